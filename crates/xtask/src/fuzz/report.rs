//! The output of a fuzz target.

use std::fmt;

/// The statistics in a target's output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Inputs that were tried.
    pub(super) runs: u64,
    /// Branches that some input has reached.
    pub(super) covered: u64,
    /// Branches together with how often an input reaches them, which guides the search.
    pub(super) features: u64,
    /// Inputs of the corpus, each of which reaches something that no other does.
    pub(super) found: u64,
    /// Maximum memory, in MiB.
    pub(super) memory_mib: u64,
    /// The file with the input that failed.
    pub(super) artifact: Option<String>,
    /// The first panic, on one line; or else what libFuzzer says is wrong with the input.
    pub(super) reason: Option<String>,
}

impl Report {
    /// Reads lines such as `#8192 pulse  cov: 213 ft: 480 corp: 70/2048b …`,
    /// `stat::number_of_executed_units: 81920` and `Test unit written to FILE`.
    pub(super) fn parse(text: &str) -> Self {
        let mut report = Self {
            reason: panic_in(text).or_else(|| complaint_in(text)),
            ..Self::default()
        };
        for line in text.lines() {
            if let Some(rest) = line.split_once(" cov: ").map(|(_, rest)| rest) {
                report.covered = number(rest).unwrap_or(report.covered);
            }
            if let Some(rest) = line.split_once(" ft: ").map(|(_, rest)| rest) {
                report.features = number(rest).unwrap_or(report.features);
            }
            let statistic = |name: &str| line.strip_prefix(name).and_then(number);
            if let Some(runs) = statistic("stat::number_of_executed_units:") {
                report.runs = runs;
            }
            if let Some(found) = statistic("stat::new_units_added:") {
                report.found = found;
            }
            if let Some(memory) = statistic("stat::peak_rss_mb:") {
                report.memory_mib = memory;
            }
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                report.artifact = Some(path.trim().to_owned());
            }
        }
        report
    }
}

/// The place and the message of the first panic. They are several lines: `thread
/// '<unnamed>' panicked at FILE:LINE:COLUMN:`, the message, and then a hint about
/// backtraces, a backtrace, or what libFuzzer adds.
fn panic_in(text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| !(line.starts_with("thread '") && line.contains(" panicked at ")));
    let (_, place) = lines.next()?.split_once(" panicked at ")?;
    let is_message = |line: &&str| {
        let ends = ["note: ", "stack backtrace:", "=="];
        !ends.iter().any(|end| line.starts_with(end))
    };
    let message = lines.take_while(is_message).map(str::trim);
    let words: Vec<_> = std::iter::once(place)
        .chain(message.filter(|line| !line.is_empty()))
        .collect();
    Some(words.join(" "))
}

/// What libFuzzer says of an input that takes too long or too much memory:
/// `==123== ERROR: libFuzzer: timeout after 21 seconds`.
fn complaint_in(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.split_once("ERROR: libFuzzer: "))
        .map(|(_, complaint)| complaint.to_owned())
}

/// The number at the beginning of a text, after spaces.
fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            covered,
            features,
            found,
            memory_mib,
            ..
        } = self;
        write!(
            f,
            "{runs:>9} runs, {covered:>5} branches and {features:>5} features, \
             {found:>4} new inputs, {memory_mib:>4} MiB"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libfuzzer_writes() {
        let text = "\
INFO: seed corpus: files: 33 min: 1b max: 1200b total: 5000b rss: 40Mb
#34\tINITED cov: 400 ft: 600 corp: 30/3000b exec/s: 0 rss: 41Mb
#8192\tREDUCE cov: 412 ft: 655 corp: 44/4Kb lim: 4096 exec/s: 0 rss: 60Mb L: 4/99 MS: 2
#81920\tDONE   cov: 412 ft: 660 corp: 44/4Kb lim: 4096 exec/s: 2642 rss: 70Mb
Done 81920 runs in 31 second(s)
stat::number_of_executed_units: 81920
stat::average_exec_per_sec:     2642
stat::new_units_added:          14
stat::slowest_unit_time_sec:    0
stat::peak_rss_mb:              70
";
        let report = Report::parse(text);
        let expected = Report {
            runs: 81_920,
            covered: 412,
            features: 660,
            found: 14,
            memory_mib: 70,
            artifact: None,
            reason: None,
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn reads_where_a_crash_is() {
        let text = "\
artifact_prefix='/a/'; Test unit written to /a/crash-0123
Base64: AA==
";
        let report = Report::parse(text);
        assert_eq!(report.artifact.as_deref(), Some("/a/crash-0123"));
        assert_eq!(report.runs, 0);
    }

    #[test]
    fn reads_why_it_failed() {
        let panic = "\
#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb

thread '<unnamed>' (77) panicked at crates/http1/src/head.rs:9:5:
assertion `left == right` failed
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
==77== ERROR: libFuzzer: deadly signal
";
        assert_eq!(
            Report::parse(panic).reason.as_deref(),
            Some(
                "crates/http1/src/head.rs:9:5: \
                 assertion `left == right` failed left: 1 right: 2"
            )
        );
        let slow = "==5== ERROR: libFuzzer: timeout after 21 seconds\n";
        assert_eq!(
            Report::parse(slow).reason.as_deref(),
            Some("timeout after 21 seconds")
        );
    }
}
