//! The black-box tests of the daemons, for the programs of a container image.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::{Totals, run_counted};
use crate::commands::cargo_command;
use crate::requirements;

/// The variable with which the harness of the tests runs daemons from an image.
const TARGET: &str = "AQUATIC_TEST_TARGET";

/// Tests that a container cannot pass, by parts of their names, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "doctor::",
        "it looks at the process from within its machine",
    ),
    ("odd_machines", "they give the process another machine"),
    ("privileges", "the container has none to drop"),
    ("journal", "the journal knows processes of its own machine"),
    ("terminal", "podman passes on no terminal"),
    ("a_clock_that_is_set", "static programs load no library"),
    ("a_removed_address", "the process is looked for in /proc"),
    ("after_a_crash", "podman does not pass on SIGKILL"),
    (
        "memory_and_the_age_of_files",
        "podman does not pass on SIGKILL",
    ),
    ("the_largest_torrents", "podman does not pass on SIGKILL"),
    (
        "snapshots_are_written_while",
        "podman does not pass on SIGKILL",
    ),
    ("a_bad_file_changes_nothing", "podman may join two signals"),
];

/// How many tests run at the same time: starting a container takes a core for a moment.
const THREADS: &str = "4";

/// Runs the tests for an image: an archive, or the name of one that podman has.
///
/// # Errors
///
/// If this is not root, or podman cannot load the image.
pub(super) fn run(image: &str, arguments: &[String]) -> anyhow::Result<(Totals, bool)> {
    if !requirements::is_root()? {
        bail!("the tests start containers in networks of their own, for which they must be root");
    }
    let name = if Path::new(image).is_file() {
        load(image)?
    } else {
        image.to_owned()
    };
    let mut command = cargo_command();
    command.args(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    command.args(["--test", "black_box", "--"]);
    command.args(arguments);
    command.arg(format!("--test-threads={THREADS}"));
    for (part, reason) in LEFT_OUT {
        println!("left out: {part}: {reason}");
        command.args(["--skip", part]);
    }
    run_counted(command.env(TARGET, name))
}

/// Loads an archive; returns the name of the image.
fn load(archive: &str) -> anyhow::Result<String> {
    let mut podman = Command::new("podman");
    podman.args(["load", "--quiet", "--input", archive]);
    let loaded = podman.output().context("cannot run podman")?;
    let said = String::from_utf8_lossy(&loaded.stdout);
    match said.trim().rsplit_once("Loaded image: ") {
        Some((_, name)) if loaded.status.success() => Ok(name.to_owned()),
        _ => bail!(
            "podman cannot load {archive}: {}",
            String::from_utf8_lossy(&loaded.stderr).trim()
        ),
    }
}
