//! Shows how far a run is: a bar if standard error is a terminal, a line each second
//! otherwise.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::control::Phase;
use crate::counters::{Count, Counters, Kind};

/// The interval between two updates of the rate, and between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// The progress of all phases of a run.
pub(crate) struct Progress {
    requests: &'static [Kind],
    output: Output,
    started: Instant,
    /// When the rate was last computed, and how many replies there were then.
    last: (Instant, u64),
}

enum Output {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

/// How far a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// The time that has passed, and the duration of the phase.
    Time(Duration, Duration),
    /// What was counted, and the number with which the phase ends.
    Count(u64, u64),
}

impl Progress {
    /// `requests` are the kinds whose replies are counted.
    pub(crate) fn new(is_enabled: bool, requests: &'static [Kind]) -> Self {
        let output = match (is_enabled, io::stderr().is_terminal()) {
            (false, _) => Output::Nothing,
            (true, true) => Output::Bar(bar()),
            (true, false) => Output::Lines,
        };
        let now = Instant::now();
        Self {
            requests,
            output,
            started: now,
            last: (now, 0),
        }
    }

    /// Shows the position in a phase; to be called several times a second.
    pub(crate) fn show(&mut self, phase: Phase, position: Position, counters: &Counters) {
        if let Output::Bar(bar) = &self.output {
            let (done, all, text) = position.parts();
            bar.set_prefix(format!("{phase:10} {text:>18}"));
            bar.update(|state| {
                state.set_len(all);
                state.set_pos(done);
            });
        }
        let now = Instant::now();
        let elapsed = now - self.last.0;
        if elapsed < INTERVAL {
            return;
        }
        let replies = counters.all_replies(self.requests);
        let per_second = replies.saturating_sub(self.last.1) as f64 / elapsed.as_secs_f64();
        self.last = (now, replies);
        let (lost, errors) = (counters[Count::Lost], counters[Count::Errors]);
        match &self.output {
            Output::Bar(bar) => bar.set_message(format!(
                "{per_second:.0} replies/s  lost {lost}  errors {errors}"
            )),
            Output::Lines => eprintln!(
                "{:4} s  {phase:10}  {per_second:9.0} replies/s  lost {lost}  error replies {errors}",
                (now - self.started).as_secs(),
            ),
            Output::Nothing => {}
        }
    }
}

impl Drop for Progress {
    /// The report takes the place of the bar.
    fn drop(&mut self) {
        if let Output::Bar(bar) = &self.output {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:14} {wide_msg}");
    let bar = ProgressBar::new(1);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

impl Position {
    /// What is done, what is to be done, and both in words.
    fn parts(self) -> (u64, u64, String) {
        match self {
            Self::Time(passed, duration) => {
                let text = format!("{} of {} s", passed.as_secs(), duration.as_secs());
                (millis(passed), millis(duration), text)
            }
            Self::Count(done, all) => (done, all, format!("{done} of {all}")),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
