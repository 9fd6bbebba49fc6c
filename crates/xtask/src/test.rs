//! Runs all tests, and reports what they need from the system.

use std::env;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::num::NonZeroUsize;
use std::ops::AddAssign;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, bail};

use crate::commands::cargo_command;
use crate::requirements::{self, Package};
use failures::Failures;

mod failures;
mod image;
mod system;

/// The variable with which the harness of the tests allows them to be skipped.
const WITHOUT_CLIENTS: &str = "AQUATIC_TEST_WITHOUT_CLIENTS";

/// The variable that says how many tests of a program run at the same time.
const TEST_THREADS: &str = "RUST_TEST_THREADS";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install what the tests need, with apt-get, as root or through sudo
    #[arg(long)]
    install: bool,
    /// Skip tests whose programs are missing, and say which
    #[arg(long)]
    without_clients: bool,
    /// List what the tests need from the system, after --install installed it, and run none
    #[arg(long)]
    list: bool,
    /// Build the packages, and test them, and nothing else, in containers of
    /// Debian; needs root
    #[arg(long, conflicts_with = "without_clients")]
    system: bool,
    /// Run the black-box tests of the daemons for the programs of a container image, and
    /// nothing else: an archive, or the name of one that podman has; needs root
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["system", "without_clients"])]
    target: Option<String>,
    /// Passed on to `cargo test`, for example `-p aquatic_udp`; all of the
    /// workspace otherwise. With --system, a part of the names of tests
    #[arg(last = true)]
    cargo_arguments: Vec<String>,
}

/// Runs all tests and prints the totals as its last line.
///
/// # Errors
///
/// A test fails, or a program that one needs is missing.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let needed = if arguments.system {
        requirements::SYSTEM_PACKAGES
    } else if arguments.target.is_some() {
        requirements::IMAGE_PACKAGES
    } else {
        requirements::PACKAGES
    };
    let mut missing = requirements::missing(needed);
    if arguments.install && !missing.is_empty() {
        requirements::install(&missing)?;
        missing = requirements::missing(needed);
    }
    if arguments.list {
        list(needed);
        return Ok(());
    }
    if !missing.is_empty() {
        list(needed);
        let names: Vec<_> = missing.iter().map(|it| it.name).collect();
        if !arguments.without_clients {
            bail!(
                "tests need what is missing here: {}; --install installs it on Debian, \
                 --without-clients skips these tests",
                names.join(", ")
            );
        }
        println!("tests that need {} are skipped", names.join(", "));
    }

    let (totals, success) = if arguments.system {
        system::run(&arguments.cargo_arguments)?
    } else if let Some(image) = &arguments.target {
        image::run(image, &arguments.cargo_arguments)?
    } else {
        cargo_test(arguments)?
    };
    println!("{totals}");
    if !success || totals.failed > 0 {
        bail!("not all tests passed");
    }
    if totals.passed == 0 {
        bail!("no test was run");
    }
    Ok(())
}

fn list(needed: &[Package]) {
    println!("the tests need, as Debian calls it:");
    for package in needed {
        let state = if package.is_there() {
            "there"
        } else {
            "MISSING"
        };
        println!("  {:<20} {state:<8} {}", package.name, package.purpose);
    }
}

/// Runs `cargo test`.
fn cargo_test(arguments: &Arguments) -> anyhow::Result<(Totals, bool)> {
    let mut command = cargo_command();
    command.args(["test", "--all-features", "--no-fail-fast"]);
    if arguments.cargo_arguments.is_empty() {
        command.arg("--workspace");
    }
    command.args(&arguments.cargo_arguments);
    if env::var_os(TEST_THREADS).is_none() {
        // Most tests wait for daemons and clients, with a tenth of a core each.
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        command.env(TEST_THREADS, (4 * cores).to_string());
    }
    if arguments.without_clients {
        command.env(WITHOUT_CLIENTS, "1");
    } else {
        command.env_remove(WITHOUT_CLIENTS);
    }
    run_counted(&mut command)
}

/// Runs tests, shows what they print, counts, and repeats the failures.
fn run_counted(command: &mut Command) -> anyhow::Result<(Totals, bool)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run the tests")?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("the tests have no output");
    };

    // Both pipes are read at once, so that neither fills up.
    let reader = thread::spawn(move || count(stderr, |line| eprintln!("{line}")));
    let mut failures = Failures::default();
    let mut totals = count(stdout, |line| {
        failures.see(line);
        println!("{line}");
    });
    match reader.join() {
        Ok(more) => totals += more,
        Err(_) => bail!("the reader of the tests' errors failed"),
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !failures.lines().is_empty() {
        println!("=== failures\n{}", failures.lines().join("\n"));
    }
    Ok((totals, status.success()))
}

/// How many tests ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// Passed, but reported that they cannot run here.
    skipped: usize,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
            skipped,
        } = self;
        // A skipped test has returned early, which counts as passed for its runner.
        let passed = passed.saturating_sub(*skipped);
        write!(
            f,
            "tests: {passed} passed, {failed} failed, {ignored} ignored, {skipped} skipped"
        )
    }
}

fn count(output: impl Read, mut show: impl FnMut(&str)) -> Totals {
    let mut totals = Totals::default();
    // The output of tests may not be UTF-8.
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        totals += totals_in(&line);
        show(&line);
    }
    totals
}

/// The change by one line of output: `test result: ok. 3 passed; 0 failed; …` from
/// the test runner, or `skipped NAME: REASON` from the harness.
fn totals_in(line: &str) -> Totals {
    let mut totals = Totals::default();
    if line.starts_with("skipped ") {
        totals.skipped = 1;
    }
    let Some((_, counts)) = line
        .strip_prefix("test result: ")
        .and_then(|rest| rest.split_once(". "))
    else {
        return totals;
    };
    for part in counts.split("; ") {
        let Some((count, what)) = part.split_once(' ') else {
            continue;
        };
        let count = count.parse().unwrap_or(0);
        match what {
            "passed" => totals.passed = count,
            "failed" => totals.failed = count,
            "ignored" => totals.ignored = count,
            _ => {}
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_runner_says() {
        let output = "\
running 3 tests
test result: ok. 38 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s
skipped clients_meet: missing: aria2c
test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 7 filtered out; finished in 1.00s
";
        let mut shown = 0;
        let totals = count(output.as_bytes(), |_| shown += 1);
        let expected = Totals {
            passed: 40,
            failed: 1,
            ignored: 4,
            skipped: 1,
        };
        assert_eq!(totals, expected);
        assert_eq!(shown, 4);
        assert_eq!(
            totals.to_string(),
            "tests: 39 passed, 1 failed, 4 ignored, 1 skipped"
        );
    }

    #[test]
    fn output_need_not_be_text() {
        let output = b"\xff\xfe\ntest result: ok. 1 passed; 0 failed; 0 ignored";
        assert_eq!(count(&output[..], |_| ()).passed, 1);
    }
}
