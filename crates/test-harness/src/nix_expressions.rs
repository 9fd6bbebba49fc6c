//! Expressions of the language Nix, evaluated without building anything.

use std::io::{Seek as _, Write as _};
use std::process::Command;

use serde_json::Value;

use crate::tools;

/// Settings of Nix that are the same on all machines: no users for builds, as nothing is
/// built, and the features that are experimental in Debian's version.
pub const CONFIG: &str = "build-users-group =\nexperimental-features = nix-command flakes";

/// Whether Nix is installed; see [`tools::needs`].
#[must_use]
#[track_caller]
pub fn can_be_evaluated() -> bool {
    tools::needs(&["nix-instantiate"])
}

/// The value of an expression.
///
/// # Errors
/// The error output of Nix, when the evaluation fails.
///
/// # Panics
/// When Nix cannot be run.
pub fn evaluate(expression: &str) -> Result<Value, String> {
    // It may be longer than an argument can be.
    let mut file = tempfile::tempfile().expect("make a temporary file");
    file.write_all(expression.as_bytes())
        .and_then(|()| file.rewind())
        .expect("write the expression");
    let output = Command::new("nix-instantiate")
        .args(["--eval", "--strict", "--json", "--store", "dummy://", "-"])
        .env("NIX_CONFIG", CONFIG)
        .stdin(file)
        .output()
        .expect("run nix-instantiate");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON from nix-instantiate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_errors() {
        if !can_be_evaluated() {
            return;
        }
        assert_eq!(
            evaluate("{ a = 1 + 1; }"),
            Ok(serde_json::json!({ "a": 2 }))
        );
        assert!(evaluate("throw \"no\"").unwrap_err().contains("no"));
    }
}
