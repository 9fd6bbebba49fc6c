//! When to connect again after an error, and what is logged about it.

use super::error::EngineError;
use super::status::{EngineStatus, Part};

const MIN_PAUSE_MILLISECONDS: u64 = 100;
const MAX_PAUSE_MILLISECONDS: u64 = 5_000;

/// The pause after an error that an operator has to correct.
const REFUSED_PAUSE_MILLISECONDS: u64 = 5_000;

/// The pause when memory is full, in which other nodes may trim the streams.
const FULL_PAUSE_MILLISECONDS: u64 = 500;

/// How long it has to work until it counts as working again: then, pauses begin with the
/// shortest, and the end of the errors is logged.
const STABLE_MILLISECONDS: u64 = 5_000;

/// Minimum time between two logged errors, if they differ and if they are the same.
const OTHER_LOG_INTERVAL_MILLISECONDS: u64 = 5_000;
const SAME_LOG_INTERVAL_MILLISECONDS: u64 = 60_000;

/// The errors of one part of a link.
#[derive(Debug)]
pub(super) struct Retry {
    part: Part,
    /// Number of errors since it last worked for [`STABLE_MILLISECONDS`].
    errors: u32,
    failed_at: u64,
    paused_until: u64,
    /// The last error that was logged, until its end is logged.
    logged: Option<Logged>,
    /// Whether there were errors, and their end is not certain yet.
    is_failing: bool,
}

#[derive(Debug)]
struct Logged {
    text: String,
    at: u64,
}

impl Retry {
    pub(super) fn new(part: Part) -> Self {
        Self {
            part,
            errors: 0,
            failed_at: 0,
            paused_until: 0,
            logged: None,
            is_failing: false,
        }
    }

    /// Whether it is too early to try again.
    pub(super) fn is_pause(&self, now: u64) -> bool {
        now < self.paused_until
    }

    /// To be called after an error.
    pub(super) fn fail(&mut self, error: &EngineError, now: u64, status: &EngineStatus) {
        let pause = match error {
            EngineError::Away(_) | EngineError::TooLong => {
                let doubled = MIN_PAUSE_MILLISECONDS << self.errors.min(10);
                doubled.min(MAX_PAUSE_MILLISECONDS)
            }
            EngineError::Full => FULL_PAUSE_MILLISECONDS,
            EngineError::Refused(_) => REFUSED_PAUSE_MILLISECONDS,
        };
        self.errors = self.errors.saturating_add(1);
        self.failed_at = now;
        self.paused_until = now.saturating_add(pause);
        let text = error.to_string();
        status.set_error(self.part, Some(text.clone()));
        self.is_failing = true;
        if !self.is_worth_logging(&text, now) {
            return;
        }
        let what = match self.part {
            Part::Publisher => "cannot send changes to other nodes",
            Part::Reader => "cannot receive changes from other nodes",
            Part::SignalSender => "cannot send offers and answers to other nodes",
            Part::SignalReceiver => "cannot receive offers and answers from other nodes",
        };
        match error {
            EngineError::Away(_) | EngineError::TooLong => log::warn!("{what}: {text}"),
            EngineError::Full | EngineError::Refused(_) => log::error!("{what}: {text}"),
        }
        self.logged = Some(Logged { text, at: now });
    }

    /// To be called after everything worked, also if there was no error before.
    pub(super) fn succeed(&mut self, now: u64, status: &EngineStatus) {
        if !self.is_failing {
            return;
        }
        self.paused_until = 0;
        status.set_error(self.part, None);
        if now < self.failed_at.saturating_add(STABLE_MILLISECONDS) {
            return;
        }
        self.errors = 0;
        self.is_failing = false;
        if self.logged.take().is_some() {
            match self.part {
                Part::Publisher => log::info!("changes are sent to other nodes again"),
                Part::Reader => log::info!("changes are received from other nodes again"),
                Part::SignalSender => {
                    log::info!("offers and answers are sent to other nodes again");
                }
                Part::SignalReceiver => {
                    log::info!("offers and answers are received from other nodes again");
                }
            }
        }
    }

    /// An engine can fail in turns with different errors, or work in between.
    fn is_worth_logging(&self, text: &str, now: u64) -> bool {
        self.logged.as_ref().is_none_or(|logged| {
            let interval = match logged.text == text {
                true => SAME_LOG_INTERVAL_MILLISECONDS,
                false => OTHER_LOG_INTERVAL_MILLISECONDS,
            };
            now >= logged.at.saturating_add(interval)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(text: &str) -> EngineError {
        EngineError::Away(text.into())
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let status = EngineStatus::default();
        let mut retry = Retry::new(Part::Reader);
        let mut last = 0;
        for _ in 0..100 {
            assert!(!retry.is_pause(1_000));
            retry.fail(&away("gone"), 0, &status);
            let pause = retry.paused_until;
            assert!(retry.is_pause(pause - 1) && !retry.is_pause(pause));
            assert!(pause >= last && pause <= MAX_PAUSE_MILLISECONDS);
            last = pause;
            retry.paused_until = 0;
        }
        assert_eq!(last, MAX_PAUSE_MILLISECONDS);
        assert_eq!(status.error().as_deref(), Some("gone"));
        // The pause stays long for an engine that works only for short times.
        retry.succeed(STABLE_MILLISECONDS - 1, &status);
        assert_eq!(status.error(), None);
        retry.fail(&away("gone"), 0, &status);
        assert_eq!(retry.paused_until, MAX_PAUSE_MILLISECONDS);
        retry.succeed(STABLE_MILLISECONDS, &status);
        retry.fail(&away("gone"), 0, &status);
        assert_eq!(retry.paused_until, MIN_PAUSE_MILLISECONDS);
    }

    #[test]
    fn errors_do_not_flood_the_log() {
        let status = EngineStatus::default();
        let mut retry = Retry::new(Part::Reader);
        let mut count_logged = |texts: &[&str]| {
            let mut logged = 0;
            for now in (0..60_000).step_by(100) {
                let text = texts[now as usize / 100 % texts.len()];
                logged += usize::from(retry.is_worth_logging(text, now));
                retry.fail(&away(text), now, &status);
                retry.succeed(now + 50, &status);
            }
            retry.logged = None;
            logged
        };
        assert_eq!(count_logged(&["one"]), 1);
        assert!(count_logged(&["one", "two", "three"]) <= 12);
    }
}
