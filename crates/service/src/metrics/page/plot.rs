//! Plots of the last hour: as lines, and as a table for those who do not see them.

use std::fmt::Write as _;

use serde::Serialize;

use super::words::Unit;
use crate::metrics::history::{Line, PlotHistory, SAMPLES};
use crate::metrics::{Kind, Plot};

/// Maximum number of lines that can be told apart; the others are added up.
const MAX_LINES: usize = 6;

/// Size of the drawing.
const WIDTH: usize = 2 * SAMPLES;
const HEIGHT: u32 = 200;

/// Number of samples of which a plot has room for all that there are: those of 10 minutes,
/// half an hour or an hour.
const ROOMS: [usize; 3] = [SAMPLES / 6, SAMPLES / 2, SAMPLES];

/// Samples of which a row of the table has the mean: those of five minutes.
const SAMPLES_PER_ROW: usize = 30;

/// Minutes of a row of the table.
const MINUTES_PER_ROW: usize = 5;

/// A plot for the template.
#[derive(Debug, Serialize)]
pub(super) struct PlotView {
    title: &'static str,
    /// What is added to the title.
    unit: &'static str,
    /// What it shows, in words.
    description: String,
    /// The numbers at its side, from the top.
    marks: Vec<String>,
    /// Minutes from its left to its right edge.
    minutes: usize,
    width: usize,
    height: u32,
    lines: Vec<LineView>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct LineView {
    name: String,
    /// The last value.
    now: String,
    /// In the syntax of SVG.
    path: String,
}

#[derive(Debug, Serialize)]
struct Row {
    /// How long ago it was: `5 to 10`.
    minutes: String,
    means: Vec<String>,
}

/// The values of a line, the newest last.
struct Values<'a> {
    name: &'a str,
    values: Vec<Option<f32>>,
}

impl PlotView {
    /// `None` if nothing was measured at all, because it has no meaning.
    pub(super) fn of(history: &PlotHistory) -> Option<Self> {
        let plot = &history.plot;
        let is_known = |line: &Line| line.values.iter().any(Option::is_some);
        if history.lines.is_empty() || !plot.is_rate() && !history.lines.iter().any(is_known) {
            return None;
        }
        let lines = distinguishable(plot, &history.lines);
        let unit = unit(plot);
        let all = lines.iter().flat_map(|line| &line.values).flatten();
        let highest = all.fold(0.0, |highest: f32, value| highest.max(*value));
        let top = unit.round_up(highest.into());
        let samples = history.lines.iter().map(|line| line.values.len()).max();
        let fits = |room: &usize| samples.unwrap_or(0) <= *room;
        let room = ROOMS.into_iter().find(fits).unwrap_or(SAMPLES);
        Some(Self {
            title: plot.title,
            unit: unit.name(),
            description: describe(plot, unit, &lines, highest),
            marks: [top, top / 2.0, 0.0].map(|mark| unit.show(mark)).into(),
            minutes: room * MINUTES_PER_ROW / SAMPLES_PER_ROW,
            width: WIDTH,
            height: HEIGHT,
            rows: rows(unit, &lines),
            lines: lines
                .iter()
                .map(|line| LineView {
                    name: line.name.replace('_', " "),
                    now: last(unit, line),
                    path: path(&line.values, room, top),
                })
                .collect(),
        })
    }
}

fn unit(plot: &Plot) -> Unit {
    let Some(metric) = plot.metrics.first() else {
        return Unit::Count;
    };
    match metric.kind() {
        Kind::Counter => Unit::PerSecond,
        _ if metric.name().ends_with("_bytes") => Unit::Bytes,
        _ if metric.name().ends_with("_seconds") => Unit::Seconds,
        _ => Unit::Count,
    }
}

/// The lines to draw: of a plot by label, only those that have been above 0, and no more
/// than can be told apart.
fn distinguishable<'a>(plot: &Plot, lines: &'a [Line]) -> Vec<Values<'a>> {
    let sum = |line: &Line| line.values.iter().flatten().sum::<f32>();
    let mut shown: Vec<&Line> = lines
        .iter()
        .filter(|line| plot.by.is_none() || sum(line) > 0.0)
        .collect();
    let mut rest = Vec::new();
    if shown.len() > MAX_LINES {
        // Those with the most, but in the order in which they are otherwise.
        let mut sums: Vec<f32> = shown.iter().map(|line| sum(line)).collect();
        sums.sort_unstable_by(|one, other| other.total_cmp(one));
        let least = sums[MAX_LINES - 2];
        let mut left = MAX_LINES - 1;
        (shown, rest) = shown.into_iter().partition(|line| {
            let is_shown = left > 0 && sum(line) >= least;
            left -= usize::from(is_shown);
            is_shown
        });
    }
    let mut values: Vec<Values<'a>> = shown
        .into_iter()
        .map(|line| Values {
            name: if lines.len() == 1 {
                plot.title
            } else {
                &line.name
            },
            values: line.values.iter().copied().collect(),
        })
        .collect();
    if let Some(first) = rest.first() {
        let sum_at = |index: usize| {
            let known = rest.iter().filter_map(|line| line.values[index]);
            known.fold(None, |sum: Option<f32>, value| {
                Some(sum.unwrap_or(0.0) + value)
            })
        };
        values.push(Values {
            name: "all others",
            values: (0..first.values.len()).map(sum_at).collect(),
        });
    }
    values
}

fn last(unit: Unit, line: &Values<'_>) -> String {
    match line.values.last().copied().flatten() {
        Some(value) => unit.show(value.into()),
        None => "–".to_owned(),
    }
}

fn describe(plot: &Plot, unit: Unit, lines: &[Values<'_>], highest: f32) -> String {
    let space = if unit.name().is_empty() { "" } else { " " };
    let mut text = format!("{}{space}{} during the last hour", plot.title, unit.name());
    if lines.is_empty() {
        return text + ": none";
    }
    let now: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line.name.replace('_', " "), last(unit, line)))
        .collect();
    let _ = write!(
        text,
        ", at most {}. Now: {}",
        unit.show(highest.into()),
        now.join(", ")
    );
    text
}

/// A line through the values, with gaps where there are none. The newest is at the right
/// edge. There is room for so many of them.
fn path(values: &[Option<f32>], room: usize, top: f64) -> String {
    let mut path = String::new();
    let step = WIDTH / room;
    let start = WIDTH.saturating_sub(step * values.len());
    let mut is_open = false;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_open = false;
            continue;
        };
        let x = start + step * index + step / 2;
        let part = (f64::from(*value) / top).clamp(0.0, 1.0);
        let y = ((1.0 - part) * f64::from(HEIGHT)).round();
        // Writing to a string cannot fail.
        let _ = match is_open {
            true => write!(path, " {x} {y}"),
            // A line without length is a dot, if no value follows.
            false => write!(path, "M{x} {y}h0L{x} {y}"),
        };
        is_open = true;
    }
    path
}

/// Means of five minutes each, the newest first.
fn rows(unit: Unit, lines: &[Values<'_>]) -> Vec<Row> {
    let longest = lines.iter().map(|line| line.values.len()).max();
    let count = longest.unwrap_or(0).div_ceil(SAMPLES_PER_ROW);
    (0..count)
        .map(|row| Row {
            minutes: format!(
                "{} to {}",
                row * MINUTES_PER_ROW,
                (row + 1) * MINUTES_PER_ROW
            ),
            means: lines
                .iter()
                .map(|line| {
                    let newest_first = line.values.iter().rev();
                    let of_row = newest_first
                        .skip(row * SAMPLES_PER_ROW)
                        .take(SAMPLES_PER_ROW);
                    let known: Vec<f64> = of_row.flatten().map(|it| f64::from(*it)).collect();
                    match known.len() {
                        0 => "–".to_owned(),
                        count => unit.show(known.iter().sum::<f64>() / count as f64),
                    }
                })
                .collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::history::History;
    use crate::metrics::{Metric, Metrics};

    const REQUESTS: Metric = Metric::counter("requests_total", "").labelled(&["kind"]);
    const MEMORY: Metric = Metric::gauge("memory_bytes", "");
    const PLOTS: &[Plot] = &[
        Plot {
            title: "Requests",
            metrics: &[REQUESTS],
            by: Some("kind"),
        },
        Plot {
            title: "Memory",
            metrics: &[MEMORY],
            by: None,
        },
    ];

    /// The plots of these samples: requests by kind, and as many MiB of memory.
    fn views(samples: &[&[(&str, u64)]]) -> Vec<Option<PlotView>> {
        let mut history = History::new(PLOTS);
        for (number, counts) in samples.iter().enumerate() {
            let mut metrics = Metrics::new("aquatic-test");
            for (kind, count) in *counts {
                metrics.add(&REQUESTS, &[kind], *count);
                metrics.add(&MEMORY, &[], *count << 20);
            }
            history.sample(number as u64 * 10_000, &metrics);
        }
        history.plots().iter().map(PlotView::of).collect()
    }

    #[test]
    fn the_newest_sample_is_at_the_right() {
        let views = views(&[&[("a", 0)], &[("a", 20)], &[("a", 20)]]);
        let requests = views[0].as_ref().unwrap();
        assert_eq!(requests.unit, "per second");
        assert_eq!(requests.marks, ["2", "1", "0"]);
        assert_eq!(requests.lines[0].path, "M702 0h0L702 0 714 200");
        assert_eq!(requests.lines[0].now, "0");
        let memory = views[1].as_ref().unwrap();
        assert_eq!(memory.unit, "");
        assert_eq!(memory.lines[0].name, "Memory");
        assert_eq!(memory.lines[0].now, "20 MiB");
        let expected = "Memory during the last hour, at most 20 MiB. Now: Memory 20 MiB";
        assert_eq!(memory.description, expected);
    }

    #[test]
    fn a_gap_interrupts_the_line() {
        let text = path(&[Some(1.0), None, Some(1.0), Some(0.0)], SAMPLES, 1.0);
        assert_eq!(text, "M713 0h0L713 0M717 0h0L717 0 719 200");
        assert_eq!(path(&[None], SAMPLES, 1.0), "");
        assert_eq!(path(&[], SAMPLES, 1.0), "");
    }

    #[test]
    fn lines_without_requests_are_left_out() {
        let views = views(&[&[("a", 0), ("b", 0)], &[("a", 0), ("b", 0)]]);
        let requests = views[0].as_ref().unwrap();
        assert!(requests.lines.is_empty());
        assert!(requests.description.ends_with(": none"));
        assert!(requests.rows.is_empty());
    }

    #[test]
    fn what_has_no_meaning_is_not_shown() {
        assert!(views(&[&[]]).iter().all(Option::is_none));
    }

    #[test]
    fn no_more_lines_than_can_be_told_apart() {
        let kinds: Vec<String> = (0..20).map(|kind| format!("k_{kind}")).collect();
        let counts = |factor: u64| -> Vec<(&str, u64)> {
            let counts = kinds.iter().enumerate();
            counts
                .map(|(number, kind)| (kind.as_str(), 10 * factor * number as u64))
                .collect()
        };
        let (first, second) = (counts(0), counts(1));
        let different = views(&[&first, &second]);
        let requests = different[0].as_ref().unwrap();
        let names: Vec<&str> = requests.lines.iter().map(|line| &*line.name).collect();
        assert_eq!(
            names,
            ["k 15", "k 16", "k 17", "k 18", "k 19", "all others"]
        );
        let others: u32 = (0..15).sum();
        assert_eq!(requests.lines[5].now, others.to_string());
        // All counts are equal.
        let many: Vec<(&str, u64)> = kinds.iter().map(|kind| (kind.as_str(), 10)).collect();
        let equal = views(&[&first, &many]);
        assert_eq!(equal[0].as_ref().unwrap().lines.len(), MAX_LINES);
    }

    #[test]
    fn the_table_has_means_of_five_minutes() {
        let counts: Vec<Vec<(&str, u64)>> = (0..=65).map(|it| vec![("a", 10 * it)]).collect();
        let samples: Vec<&[(&str, u64)]> = counts.iter().map(Vec::as_slice).collect();
        let views = views(&samples);
        let requests = views[0].as_ref().unwrap();
        assert_eq!(requests.minutes, 30);
        let rows: Vec<_> = requests
            .rows
            .iter()
            .map(|row| (row.minutes.as_str(), row.means.join(" ")))
            .collect();
        let one = || "1".to_owned();
        assert_eq!(
            rows,
            [("0 to 5", one()), ("5 to 10", one()), ("10 to 15", one())]
        );
    }
}
