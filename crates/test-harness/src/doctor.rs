//! What `doctor` of a daemon has found.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::network::Host;
use crate::process::Finished;
use crate::{PATIENCE, Process, Setup};

/// The output of `doctor --json`.
#[derive(Debug)]
pub struct Examination {
    /// The exit code of `doctor`.
    pub code: Option<i32>,
    report: Value,
}

impl Examination {
    /// Examines a daemon whose configuration has this text.
    ///
    /// # Panics
    /// When the output is not JSON.
    #[must_use]
    #[track_caller]
    pub fn of(setup: &Setup, config: &str, more: &[&str]) -> Self {
        setup.write("doctor.toml", config);
        let arguments = [&["doctor", "--json", "-c", "doctor.toml"], more].concat();
        Self::from(&setup.run(&arguments))
    }

    /// Examines a daemon on a host of a test network.
    ///
    /// # Panics
    /// When the output is not JSON.
    #[must_use]
    #[track_caller]
    pub fn on(host: &Host, program: &str, setup: &Setup, config: &str, more: &[&str]) -> Self {
        let path = setup.write("doctor.toml", config);
        let mut command: Command = host.command(program);
        command
            .args(["doctor", "--json", "-c"])
            .arg(path)
            .args(more);
        let finished = Process::start("doctor", &mut command).wait(PATIENCE);
        Self::from(&finished)
    }

    /// Asserts that a check has a finding in this state whose text contains `text`.
    ///
    /// # Panics
    /// When it has no such finding.
    #[track_caller]
    pub fn expect(&self, check: &str, state: &str, text: &str) {
        self.expect_text("what", check, state, text);
    }

    /// Asserts that a check has a finding in this state whose advice contains `text`.
    ///
    /// # Panics
    /// When it has no such finding.
    #[track_caller]
    pub fn expect_advice(&self, check: &str, state: &str, text: &str) {
        self.expect_text("advice", check, state, text);
    }

    #[track_caller]
    fn expect_text(&self, key: &str, check: &str, state: &str, text: &str) {
        let is_there = self.findings().any(|finding| {
            let value = finding[key].as_str();
            let has = value.is_some_and(|value| value.contains(text));
            finding["check"] == check && finding["state"] == state && has
        });
        assert!(
            is_there,
            "{check} should be {state}, and its {key} {text:?}: {:#}",
            self.report
        );
    }

    /// The names of the checks that have found something wrong.
    ///
    /// # Panics
    /// When the report has no findings.
    #[must_use]
    #[track_caller]
    pub fn wrong(&self) -> BTreeSet<&str> {
        let wrong = self.findings().filter(|it| it["state"] == "wrong");
        wrong.filter_map(|it| it["check"].as_str()).collect()
    }

    #[track_caller]
    fn findings(&self) -> impl Iterator<Item = &Value> {
        let findings = self.report["findings"].as_array();
        findings.expect("a report has findings").iter()
    }
}

impl From<&Finished> for Examination {
    #[track_caller]
    fn from(finished: &Finished) -> Self {
        let Ok(report) = serde_json::from_str(&finished.stdout) else {
            panic!("not JSON: {}{}", finished.stdout, finished.stderr);
        };
        Self {
            code: finished.status.code(),
            report,
        }
    }
}
