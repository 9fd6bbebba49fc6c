//! Programs that a test needs, and skipping without them.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Set (to anything) to allow tests to be skipped whose programs are missing.
pub const WITHOUT_CLIENTS: &str = "AQUATIC_TEST_WITHOUT_CLIENTS";

/// Whether every program in `programs` is there. When one is not, the test fails,
/// unless [`WITHOUT_CLIENTS`] is set: then this says why, and returns false, and
/// the test returns at once.
///
/// # Panics
/// When one is missing and skipping is not allowed.
#[must_use]
#[track_caller]
pub fn needs(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| find(program).is_none())
        .collect();
    missing.is_empty() || skip(&format!("missing: {}", missing.join(", ")))
}

/// Whether the command ends with success; for what is more than a program, such
/// as a Python module. `what` names it. Otherwise like [`needs`].
///
/// # Panics
/// When it does not and skipping is not allowed.
#[must_use]
#[track_caller]
pub fn needs_success(what: &str, command: &mut Command) -> bool {
    succeeds(command) || skip(&format!("missing: {what}"))
}

/// Whether the command ends with success; for what the machine may not offer,
/// and installing a package would not change. When it does not, this says so
/// and returns false, and the test returns at once.
#[must_use]
pub fn offers(what: &str, command: &mut Command) -> bool {
    let offers = succeeds(command);
    if !offers {
        say_skipped(&format!("this machine does not offer {what}"));
    }
    offers
}

/// Whether this process may do what only root may. When not, this says so and
/// returns false, and the test returns at once: nobody should have to run tests
/// as root.
#[must_use]
pub fn needs_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        say_skipped("not run as root");
    }
    is_root
}

/// Where `program` is, looked for in PATH and where administrators' programs are.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| Path::is_file(candidate))
}

/// False, if skipping is allowed.
#[track_caller]
fn skip(reason: &str) -> bool {
    assert!(
        env::var_os(WITHOUT_CLIENTS).is_some(),
        "{reason} (set {WITHOUT_CLIENTS}=1 to skip such tests)"
    );
    say_skipped(reason);
    false
}

fn succeeds(command: &mut Command) -> bool {
    let outcome = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    outcome.is_ok_and(|status| status.success())
}

/// Says why the test is skipped, past the capture of the test runner, so that it
/// is seen although the test passes.
fn say_skipped(reason: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Nothing can be done about a closed standard error.
    let _ = writeln!(io::stderr(), "skipped {test}: {reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found() {
        assert!(find("sh").is_some());
        assert!(find("/bin/sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
        assert!(needs(&["sh", "true"]));
        assert!(needs_success("true", &mut Command::new("true")));
    }
}
