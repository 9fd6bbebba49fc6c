//! Programs of this system, and the daemons under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aquatic_test_harness::tools;

/// The path of a program. For a daemon, that of the one under test.
pub(crate) fn program(name: &str) -> PathBuf {
    if !name.starts_with("aquatic-") {
        return tools::find(name).unwrap_or_else(|| panic!("no program {name}"));
    }
    // From target/debug/deps/nixos_module-….
    let this = env::current_exe().unwrap();
    let directory = this.parent().and_then(Path::parent);
    let path = directory.expect("a directory of programs").join(name);
    if !path.exists() {
        // All of them are built if the tests of the whole workspace run.
        let package = if name.ends_with("-load-test") {
            "aquatic_load_test".to_owned()
        } else {
            name.replace('-', "_")
        };
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--profile=test",
                "--all-features",
                "--package",
                &package,
            ])
            .status()
            .unwrap();
        assert!(built.success(), "cannot build {name}");
    }
    path
}

/// The paths of programs on NixOS: in the store, and of the running system.
const PLACES: [&str; 2] = ["/nix/store/", "/run/current-system/sw/"];

/// A text with paths of this system instead of those of NixOS.
pub(crate) fn in_this_system(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = PLACES.iter().filter_map(|place| rest.find(place)).min() {
        let (before, path) = rest.split_at(start);
        result.push_str(before);
        let end = path
            .find(|character: char| character.is_whitespace())
            .unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        match path.split_once("/bin/") {
            Some((_, name)) => result.push_str(&program(name).display().to_string()),
            None => result.push_str(path),
        }
        rest = after;
    }
    result + rest
}

/// Fails the test with the output of the program if it failed.
#[track_caller]
pub(crate) fn succeeded(output: &Output, what: &str) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
