//! Rows of tables: loads on servers. Their measurements are repeated and interleaved,
//! so that a machine that gets slower does so for all rows.

use std::collections::BTreeMap;

use anyhow::Context;
use aquatic_load_test::{Latency, ProcessUse, Report};

use crate::results::{Row, Spread};

/// The columns of a row that do not hold results.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) load: String,
    pub(crate) server: String,
    /// The name of its bar in the picture.
    pub(crate) bar: Option<String>,
}

/// One measurement for a row.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    process: ProcessUse,
    /// Announces with a reply, where there are other messages besides.
    announces: Option<u64>,
    replies_per_second: f64,
    latency: Latency,
    lost: u64,
}

impl Sample {
    /// The sample from the report of a load test.
    ///
    /// # Errors
    ///
    /// If it did not know the server's process.
    pub(crate) fn of(report: &Report) -> anyhow::Result<Self> {
        Ok(Self {
            process: process(report)?,
            announces: None,
            replies_per_second: report.all.replies_per_second,
            latency: report.all.latency,
            lost: report.lost,
        })
    }

    /// The same for loads in which announces cause other messages than their replies: the
    /// latency is that of announces.
    ///
    /// # Errors
    ///
    /// As [`Self::of`].
    pub(crate) fn of_announces(report: &Report) -> anyhow::Result<Self> {
        Ok(Self {
            announces: Some(report.announce.replies),
            latency: report.announce.latency,
            ..Self::of(report)?
        })
    }
}

/// CPU time of the server's process.
///
/// # Errors
///
/// The load test did not know it.
pub(crate) fn process(report: &Report) -> anyhow::Result<ProcessUse> {
    report.server.context("a report about no process")
}

/// Measures each of these a number of times.
///
/// # Errors
///
/// One of the measurements fails.
pub(crate) fn measure<C>(
    runs: usize,
    contests: &[C],
    label: impl Fn(&C) -> Label,
    mut measure: impl FnMut(&C) -> anyhow::Result<Sample>,
) -> anyhow::Result<Vec<Row>> {
    let mut samples = vec![Vec::new(); contests.len()];
    for _ in 0..runs {
        for (contest, samples) in contests.iter().zip(&mut samples) {
            let sample = measure(contest)?;
            let Label { load, server, .. } = label(contest);
            eprintln!(
                "{load:45} {server:22} {:8.2} µs of CPU per reply, {:.0} replies/s",
                sample.process.cpu_microseconds_per_reply, sample.replies_per_second,
            );
            samples.push(sample);
        }
    }
    let rows = contests.iter().zip(&samples);
    Ok(rows
        .map(|(contest, samples)| row(label(contest), samples))
        .collect())
}

/// Adds to each row the ratio of its CPU time per reply to that of the row with which it
/// `is_compared`, if any. The first argument of that is the label of the row.
pub(crate) fn compare<C>(
    rows: &mut [Row],
    contests: &[C],
    name: &str,
    is_compared: impl Fn(&C, &C) -> bool,
) {
    let cpu: Vec<f64> = rows.iter().map(|row| row.cpu_microseconds.median).collect();
    for (row, contest) in rows.iter_mut().zip(contests) {
        let mut others = contests.iter().zip(&cpu);
        if let Some((_, other)) = others.find(|(other, _)| is_compared(contest, other)) {
            let ratio = row.cpu_microseconds.median / other;
            row.ratios.insert(name.to_owned(), ratio);
        }
    }
}

fn row(label: Label, samples: &[Sample]) -> Row {
    let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
    let cpu = samples
        .iter()
        .map(|it| it.process.cpu_microseconds_per_reply);
    Row {
        load: label.load,
        server: label.server,
        bar: label.bar,
        cpu_microseconds: spread(cpu.collect()),
        cpu_microseconds_per_announce: samples
            .iter()
            .map(|it| Some(it.process.cpu_seconds * 1e6 / it.announces? as f64))
            .collect::<Option<_>>()
            .map(median),
        ratios: BTreeMap::new(),
        replies_per_second: of(|it| it.replies_per_second),
        p50_microseconds: of(|it| it.latency.p50_microseconds),
        p99_microseconds: of(|it| it.latency.p99_microseconds),
        busy_cores: of(|it| it.process.cores),
        lost: samples.iter().map(|it| it.lost).sum(),
    }
}

/// The median, and the range of the others.
pub(crate) fn spread(values: Vec<f64>) -> Spread {
    Spread {
        least: values.iter().copied().fold(f64::INFINITY, f64::min),
        most: values.iter().copied().fold(0.0, f64::max),
        median: median(values),
    }
}

/// The median; 0 if there are no values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => 0.0,
        Some(upper) if values.len() % 2 == 1 => *upper,
        Some(upper) => (values[middle - 1] + upper) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the replies are to announces.
    fn sample(microseconds: f64) -> Sample {
        Sample {
            process: ProcessUse {
                cpu_seconds: microseconds / 1e4,
                cpu_microseconds_per_reply: microseconds,
                ..ProcessUse::default()
            },
            announces: Some(50),
            replies_per_second: 1.0,
            latency: Latency::default(),
            lost: 1,
        }
    }

    fn label(name: &&str) -> Label {
        Label {
            load: "any".to_owned(),
            server: (*name).to_owned(),
            bar: None,
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn rows_have_medians_sums_and_ratios() {
        let mut samples = [2.0, 3.5, 3.0, 3.0, 2.5, 7.0].map(sample).into_iter();
        let contests = ["bare", "daemon"];
        let mut rows = measure(3, &contests, label, |_| samples.next().context("none")).unwrap();
        assert_eq!(rows[1].server, "daemon");
        assert_eq!(
            rows[1].cpu_microseconds,
            Spread {
                median: 3.5,
                least: 3.0,
                most: 7.0
            }
        );
        assert_eq!(rows[1].cpu_microseconds_per_announce, Some(7.0));
        assert_eq!(rows[1].lost, 3);

        compare(&mut rows, &contests, "floor", |_, other| *other == "bare");
        assert_eq!(rows[0].ratios["floor"], 1.0);
        assert_eq!(rows[1].ratios["floor"], 3.5 / 2.5);
        compare(&mut rows, &contests, "nothing", |_, _| false);
        assert_eq!(rows[1].ratios.len(), 1);
    }
}
