//! The flake, evaluated as a whole with a stand-in for nixpkgs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use aquatic_test_harness::tools;

use crate::nix;

#[test]
fn every_output_can_be_evaluated() {
    if !tools::needs(&["nix"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs::create_dir_all(source.join("packaging")).unwrap();
    let root = nix::root();
    for file in [
        "flake.nix",
        "overlay.nix",
        "Cargo.toml",
        "Cargo.lock",
        "nixos-module",
        "packaging/daemons.toml",
    ] {
        copy(&root.join(file), &source.join(file));
    }
    copy(
        &root.join("nixos-module/tests"),
        &directory.path().join("nixpkgs"),
    );

    // Everything is checked except the virtual machines.
    let checked = run(directory.path(), &["flake", "check", "--no-build"], "");
    assert!(checked.is_ok(), "{checked:?}");
    let outputs = [
        (
            "legacyPackages.x86_64-linux.nixosTests",
            "builtins.mapAttrs (_: test: test.drvPath)",
        ),
        (
            "legacyPackages.x86_64-linux.options.drvPath",
            "path: \"aquatic ${path}\"",
        ),
        (
            "overlays.default",
            "overlay: builtins.attrNames (overlay (throw \"final\") { })",
        ),
        (
            "packages.x86_64-linux",
            "builtins.mapAttrs (_: package: { inherit (package.meta) homepage changelog; \
             tests = builtins.mapAttrs (_: test: test.drvPath) package.tests; })",
        ),
        // Imported by two of a host's modules.
        (
            "nixosModules.default",
            &format!(
                "module: (((import {}/nixpkgs/flake.nix).outputs {{ }}).lib.nixosSystem {{ modules = [ \
                 module module {{ services.aquatic.enable = true; }} ]; }}).config.system.build.toplevel.name + \"-aquatic\"",
                directory.path().display()
            ),
        ),
    ];
    for (output, apply) in outputs {
        let result = run(
            directory.path(),
            &["eval", "--impure", "--json", "--apply", apply],
            output,
        )
        .unwrap_or_else(|error| panic!("{output}: {error}"));
        assert!(result.contains("aquatic"), "{result}");
    }
    // If the compiler is too old, this is reported before anything is compiled.
    let nixpkgs = directory.path().join("nixpkgs/flake.nix");
    let text = fs::read_to_string(&nixpkgs).unwrap();
    fs::write(&nixpkgs, text.replace("\"1.92.0\"", "\"1.91.1\"")).unwrap();
    let built = run(
        directory.path(),
        &["eval", "--json"],
        "packages.x86_64-linux.aquatic-udp.drvPath",
    );
    let error = built.unwrap_err();
    assert!(
        error.contains("aquatic needs rustc 1.92 or later, and this nixpkgs has 1.91.1"),
        "{error}"
    );
    fs::write(&nixpkgs, text).unwrap();
    // An error is reported.
    let appliance = source.join("nixos-module/appliance.nix");
    let text = fs::read_to_string(&appliance).unwrap();
    fs::write(&appliance, text.replace("socket_workers", "socket_wrokers")).unwrap();
    let error = run(directory.path(), &["flake", "check", "--no-build"], "").unwrap_err();
    assert!(
        error.contains("settings.socket_wrokers' does not exist"),
        "{error}"
    );
}

/// Runs a Nix command on an output of the flake, without a network and with a separate
/// store.
fn run(directory: &Path, command: &[&str], output: &str) -> Result<String, String> {
    let (first, rest) = command.split_first().expect("a command");
    let (subcommand, rest) = match *first {
        "flake" => (vec!["flake", rest[0]], &rest[1..]),
        other => (vec![other], rest),
    };
    let flake = |name: &str| format!("path:{}/{name}", directory.display());
    let done = Command::new("nix")
        .args(["--offline", "--store"])
        .arg(directory.join("store"))
        .args(subcommand)
        .args(rest)
        .args(["--no-write-lock-file", "--no-use-registries"])
        .args(["--override-input", "nixpkgs", &flake("nixpkgs")])
        .arg(format!("{}#{output}", flake("source")).trim_end_matches('#'))
        .env("NIX_CONFIG", nix::CONFIG)
        .env("HOME", directory)
        .stdin(Stdio::null())
        .output()
        .expect("run nix");
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}
