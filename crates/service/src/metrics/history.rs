//! What some metrics were during the last hour, for the plots of the status page.
//!
//! Memory is bounded: a line of a plot takes 2.9 kB, and a plot has at most
//! [`MAX_LINES`] of them and one for all others. Time is that since boot, which cannot be
//! set and includes suspend; while the machine was suspended, there is a gap.

use std::collections::VecDeque;
use std::iter;
use std::time::Duration;

use super::{Kind, Metric, Metrics};

/// Time between two samples.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Number of samples that are kept: those of an hour.
pub(crate) const SAMPLES: usize = 360;

/// Maximum number of lines of a plot by label; the values of further labels are added up.
const MAX_LINES: usize = 32;

/// The name of the line that the values of further labels are added to.
const OTHER: &str = "other";

/// A plot: what it shows of which metrics. Counters are shown as rates per second.
#[derive(Debug, Clone, Copy)]
pub struct Plot {
    /// What it shows, without the unit: `Requests`.
    pub title: &'static str,
    /// The metrics, each of which has a line.
    pub metrics: &'static [Metric],
    /// The label by which the lines of a metric are kept apart. Values that have the other
    /// labels are added up.
    pub by: Option<&'static str>,
}

/// The samples of all plots.
#[derive(Debug)]
pub(crate) struct History {
    plots: Vec<PlotHistory>,
    last: Option<Taken>,
}

/// The samples of a plot.
#[derive(Debug)]
pub(crate) struct PlotHistory {
    pub(crate) plot: Plot,
    pub(crate) lines: Vec<Line>,
}

/// The samples of a line.
#[derive(Debug)]
pub(crate) struct Line {
    /// A metric without prefix, or the value of a label.
    pub(crate) name: String,
    /// The newest last; `None` where there are none. As many as all other lines have.
    pub(crate) values: VecDeque<Option<f32>>,
    /// The sum of the metric's values in the last sample.
    last_sum: f64,
}

/// When a sample was taken.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// That of the first sample.
    first_milliseconds: u64,
    milliseconds: u64,
    /// Number of intervals since the first sample, rounded.
    slot: u64,
}

impl History {
    /// Without samples.
    pub(crate) fn new(plots: &[Plot]) -> Self {
        let without_lines = |plot: &Plot| PlotHistory {
            plot: *plot,
            lines: Vec::new(),
        };
        Self {
            plots: plots.iter().map(without_lines).collect(),
            last: None,
        }
    }

    /// The samples of each plot.
    pub(crate) fn plots(&self) -> &[PlotHistory] {
        &self.plots
    }

    /// Takes a sample, unless there is one for this interval. `now` is in milliseconds since
    /// boot.
    pub(crate) fn sample(&mut self, now: u64, metrics: &Metrics) {
        let taken = Taken::after(self.last, now);
        let (elapsed, slots) = match self.last {
            None => (None, 1),
            Some(last) => (
                Some(Duration::from_millis(now.saturating_sub(last.milliseconds))),
                taken.slot.saturating_sub(last.slot),
            ),
        };
        if slots == 0 {
            return;
        }
        // Whatever is longer ago is forgotten.
        let missed = (slots - 1).min(SAMPLES as u64);
        for plot in &mut self.plots {
            for _ in 0..missed {
                plot.lines.iter_mut().for_each(|line| line.push(None));
            }
            plot.sample(elapsed, metrics);
        }
        self.last = Some(taken);
    }

    /// Time until the next sample is due, at `now`.
    pub(crate) fn due_in(&self, now: u64) -> Duration {
        let Some(last) = self.last else {
            return Duration::ZERO;
        };
        let since_first = last
            .slot
            .saturating_add(1)
            .saturating_mul(interval_milliseconds());
        let next = last.first_milliseconds.saturating_add(since_first);
        Duration::from_millis(next.saturating_sub(now))
    }
}

impl Taken {
    fn after(last: Option<Self>, now: u64) -> Self {
        let first_milliseconds = last.map_or(now, |last| last.first_milliseconds);
        let since_first = now.saturating_sub(first_milliseconds);
        let interval = interval_milliseconds();
        Self {
            first_milliseconds,
            milliseconds: now,
            // Samples are taken somewhat late, and never a whole interval early.
            slot: since_first.saturating_add(interval / 2) / interval,
        }
    }
}

impl PlotHistory {
    /// `elapsed` is the time since the last sample.
    fn sample(&mut self, elapsed: Option<Duration>, metrics: &Metrics) {
        let earlier = self.lines.first().map_or(0, |line| line.values.len());
        let is_rate = self.plot.is_rate();
        let mut sums: Vec<Option<f64>> = vec![None; self.lines.len()];
        for metric in self.plot.metrics {
            for (name, value) in self.plot.named_values(metric, metrics) {
                let number = self.number(name, earlier);
                sums.resize(self.lines.len(), None);
                *sums[number].get_or_insert(0.0) += value;
            }
        }
        for (line, sum) in self.lines.iter_mut().zip(sums) {
            let value = match (sum, elapsed) {
                (Some(sum), _) if !is_rate => Some(sum),
                // A counter that was not there before was 0.
                (Some(sum), Some(elapsed)) => {
                    Some((sum - line.last_sum).max(0.0) / elapsed.as_secs_f64())
                }
                _ => None,
            };
            line.last_sum = sum.unwrap_or(0.0);
            line.push(value.map(|value| value as f32));
        }
    }

    /// The number of the line with this name, which may be a new one with as many values as
    /// others.
    fn number(&mut self, name: &str, earlier: usize) -> usize {
        let position = |lines: &[Line], name| lines.iter().position(|line| line.name == name);
        if let Some(number) = position(&self.lines, name) {
            return number;
        }
        let is_full = self.lines.len() >= MAX_LINES;
        let name = if is_full { OTHER } else { name };
        if is_full && let Some(number) = position(&self.lines, OTHER) {
            return number;
        }
        let mut values = VecDeque::with_capacity(SAMPLES);
        values.extend(iter::repeat_n(None, earlier));
        self.lines.push(Line {
            name: name.to_owned(),
            values,
            last_sum: 0.0,
        });
        self.lines.len() - 1
    }
}

impl Plot {
    /// Whether it shows rates per second.
    pub(crate) fn is_rate(&self) -> bool {
        let mut kinds = self.metrics.iter().map(|metric| metric.kind());
        kinds.any(|kind| kind == Kind::Counter)
    }

    /// The values of a metric, each with the name of its line.
    fn named_values<'a>(
        self,
        metric: &'a Metric,
        metrics: &'a Metrics,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        let labels = metric.labels();
        let place = self
            .by
            .and_then(|by| labels.iter().position(|label| *label == by));
        metrics.values(metric).map(move |(labels, value)| {
            let label = place.and_then(|place| labels.get(place));
            (label.map_or(metric.name(), String::as_str), value)
        })
    }
}

impl Line {
    fn push(&mut self, value: Option<f32>) {
        if self.values.len() == SAMPLES {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }
}

fn interval_milliseconds() -> u64 {
    INTERVAL.as_millis() as u64
}

#[cfg(test)]
mod tests;
