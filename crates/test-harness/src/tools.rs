//! Programs that a test needs, and skipping without them.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Set this variable (to anything) to skip tests whose programs are missing.
pub const WITHOUT_CLIENTS: &str = "AQUATIC_TEST_WITHOUT_CLIENTS";

/// Whether every program in `programs` is installed. If one is missing, the test fails,
/// unless [`WITHOUT_CLIENTS`] is set: then this prints the reason and returns false, and
/// the test has to return.
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

/// Whether the command succeeds; for requirements other than programs, such as a Python
/// module, which `what` names. Otherwise like [`needs`].
///
/// # Panics
/// When it fails and skipping is not allowed.
#[must_use]
#[track_caller]
pub fn needs_success(what: &str, command: &mut Command) -> bool {
    succeeds(command) || skip(&format!("missing: {what}"))
}

/// Whether the command succeeds; for features of the machine that no package can add. If
/// it fails, this prints the reason and returns false, and the test has to return.
#[must_use]
pub fn offers(what: &str, command: &mut Command) -> bool {
    let offers = succeeds(command);
    if !offers {
        say_skipped(&format!("this machine does not offer {what}"));
    }
    offers
}

/// Whether this process runs as root. If not, this prints the reason and returns false,
/// and the test has to return: tests should not require root.
#[must_use]
pub fn needs_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        say_skipped("not run as root");
    }
    is_root
}

/// Whether the kernel is of this version or a later one.
///
/// # Panics
/// When it does not say.
#[must_use]
#[track_caller]
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("procfs is mounted");
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok());
    let version = number().zip(number());
    version.expect("a release begins with two numbers") >= (major, minor)
}

/// The path of `program`, which is searched in PATH and in the directories for
/// administrators' programs.
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

/// Prints the reason and returns false, if skipping is allowed; fails the test otherwise.
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

/// Prints why the test is skipped, without the test runner's capture of output, which
/// hides the output of tests that pass.
fn say_skipped(reason: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // If standard error is closed, the message is lost.
    let _ = writeln!(io::stderr(), "skipped {test}: {reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared() {
        assert!(kernel_is_at_least(3, 10));
        assert!(!kernel_is_at_least(1_000, 0));
    }

    #[test]
    fn programs_are_found() {
        assert!(find("sh").is_some());
        assert!(find("/bin/sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
        assert!(needs(&["sh", "true"]));
        assert!(needs_success("true", &mut Command::new("true")));
    }
}
