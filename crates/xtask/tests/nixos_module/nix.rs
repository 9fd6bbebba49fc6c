//! Running Nix.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aquatic_test_harness::tools;
use serde_json::Value;

/// Settings of Nix that depend on no machine: nothing is built, and what is
/// only tried out in Debian's version is on.
pub(crate) const CONFIG: &str = "build-users-group =\nexperimental-features = nix-command flakes";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the root of the repository")
}

/// Whether Nix is installed; see [`tools::needs`].
pub(crate) fn is_there() -> bool {
    tools::needs(&["nix-instantiate"])
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

/// The value of an expression, or what Nix says instead.
pub(crate) fn evaluate(expression: &str) -> Result<Value, String> {
    let output = Command::new("nix-instantiate")
        .args(["--eval", "--strict", "--json", "--store", "dummy://", "-E"])
        .arg(expression)
        .env("NIX_CONFIG", CONFIG)
        .stdin(Stdio::null())
        .output()
        .expect("run nix-instantiate");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON from nix-instantiate"))
}

/// What becomes of a configuration, which is an expression: see
/// `nixos-module/tests/evaluate.nix`.
pub(crate) fn outcome(lib: &str, configuration: &str) -> Result<Value, String> {
    let tests = root().join("nixos-module/tests");
    evaluate(&format!(
        "removeAttrs (import {}/evaluate.nix {{ lib = {lib}; configuration = {configuration}; }}) \
         [ \"config\" \"options\" ]",
        tests.display()
    ))
}

/// A file of `nixos-module`, called with arguments.
pub(crate) fn call(file: &str, arguments: &str) -> Value {
    let path = root().join("nixos-module").join(file);
    evaluate(&format!("import {} {arguments}", path.display()))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}
