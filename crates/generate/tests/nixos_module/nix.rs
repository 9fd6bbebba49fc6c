//! Evaluating the module.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) use aquatic_test_harness::nix_expressions::{CONFIG, can_be_evaluated, evaluate};
use serde_json::Value;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the root of the repository")
}

/// The libs to evaluate with, as Nix: the tests' own, and that of nixpkgs where
/// it is present.
pub(crate) fn libs() -> Vec<String> {
    let mut libs = vec![format!(
        "(import {}/nixos-module/tests/lib)",
        root().display()
    )];
    let nixpkgs = Command::new("nix-instantiate")
        .args(["--find-file", "nixpkgs"])
        .stderr(Stdio::null())
        .output();
    if nixpkgs.is_ok_and(|output| output.status.success()) {
        libs.push("(import <nixpkgs/lib>)".to_owned());
    }
    libs
}

/// Releases of NixOS that the module is for.
pub(crate) const RELEASES: [&str; 4] = ["24.11", "25.05", "25.11", "26.05"];

/// The environment for evaluating a configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System<'a> {
    /// The lib, as Nix.
    pub(crate) lib: &'a str,
    /// The release of NixOS.
    pub(crate) release: &'a str,
    /// The state of nixpkgs, which is in all paths of packages: a digit.
    pub(crate) generation: char,
}

impl<'a> System<'a> {
    /// The oldest release, as first installed.
    pub(crate) fn new(lib: &'a str) -> Self {
        Self {
            lib,
            release: RELEASES[0],
            generation: '0',
        }
    }

    /// Evaluates a configuration, which is an expression: see
    /// `nixos-module/tests/evaluate.nix`.
    pub(crate) fn outcome(self, configuration: &str) -> Result<Value, String> {
        let Self {
            lib,
            release,
            generation,
        } = self;
        let tests = root().join("nixos-module/tests");
        evaluate(&format!(
            "removeAttrs (import {}/evaluate.nix {{ lib = {lib}; release = \"{release}\"; \
             generation = \"{generation}\"; configuration = {configuration}; }}) \
             [ \"config\" \"options\" ]",
            tests.display()
        ))
    }
}

/// Evaluates a configuration on the oldest release.
pub(crate) fn outcome(lib: &str, configuration: &str) -> Result<Value, String> {
    System::new(lib).outcome(configuration)
}

/// A file of `nixos-module`, called with arguments.
pub(crate) fn call(file: &str, arguments: &str) -> Value {
    let path = root().join("nixos-module").join(file);
    evaluate(&format!("import {} {arguments}", path.display()))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}
