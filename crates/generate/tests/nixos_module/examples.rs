//! The examples of the documentation, and the appliance: daemons and systemd accept the
//! results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aquatic_test_harness::{certificates, tools};
use serde_json::Value;

use crate::nix;
use crate::programs::{in_this_system, program, succeeded};

/// The maximum exposure of a service according to systemd, in tenths of a point.
const MAX_EXPOSURE: &str = "10";

/// A configuration and its result.
struct Example {
    name: String,
    outcome: Value,
}

fn examples() -> Vec<Example> {
    let module = nix::root().join("nixos-module");
    let examples = nix::evaluate(&format!(
        "builtins.mapAttrs (_: toString) (import {}/examples)",
        module.display()
    ))
    .unwrap();
    let mut files: Vec<(String, PathBuf)> = examples
        .as_object()
        .expect("a set")
        .iter()
        .map(|(name, path)| (name.clone(), path.as_str().expect("a path").into()))
        .collect();
    assert!(files.len() > 3);
    files.push(("appliance".to_owned(), module.join("appliance.nix")));
    let mut all = Vec::new();
    for lib in nix::libs() {
        for (name, file) in &files {
            let outcome = nix::outcome(&lib, &file.display().to_string())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(outcome["warnings"], serde_json::json!([]), "{name}");
            all.push(Example {
                name: name.clone(),
                outcome,
            });
        }
    }
    all
}

#[test]
fn the_documentation_shows_them_as_they_are() {
    let module = nix::root().join("nixos-module");
    let readme = fs::read_to_string(module.join("README.md")).unwrap();
    let mut shown: Vec<&str> = readme
        .split("```nix\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let mut files: Vec<String> = fs::read_dir(module.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("default.nix"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    shown.sort_unstable();
    files.sort_unstable();
    assert_eq!(shown, files);
}

#[test]
fn daemons_accept_them() {
    if !nix::can_be_evaluated() {
        return;
    }
    for Example { name, outcome } in examples() {
        let machine = Machine::with(&outcome);
        for (path, script) in outcome["scripts"].as_object().expect("a set") {
            // As Nix does when it builds the system.
            let source = machine.path("build-input.toml");
            let text = outcome["etc"][path].as_str().expect("a file");
            fs::write(&source, text).unwrap();
            let built = Command::new("sh")
                .args([
                    "-e",
                    "-c",
                    &in_this_system(script.as_str().expect("a script")),
                ])
                .env("config", &source)
                .env("out", machine.path("build-output.toml"))
                .output()
                .unwrap();
            succeeded(&built, &format!("{name}: the check of {path}"));
            assert_eq!(
                fs::read_to_string(machine.path("build-output.toml")).unwrap(),
                text
            );

            // As the service does on its machine.
            let daemon = Path::new(path).file_stem().unwrap().to_str().unwrap();
            let checked = Command::new(program(daemon))
                .arg("-c")
                .arg(machine.path("etc").join(path))
                .arg("--check-config")
                // Sockets of a unit are opened, whether or not an interface has the address.
                .env("AQUATIC_SOCKET_UNIT", format!("{daemon}.socket"))
                .output()
                .unwrap();
            succeeded(&checked, &format!("{name}: --check-config of {path}"));
        }
    }
}

#[test]
fn daemons_find_mistakes_that_types_cannot() {
    if !nix::can_be_evaluated() {
        return;
    }
    let lib = &nix::libs()[0];
    let outcome = nix::outcome(
        lib,
        "{ services.aquatic.enable = true; \
         services.aquatic.udp.settings.network.address = \"localhost:3000\"; }",
    )
    .unwrap();
    let machine = Machine::with(&outcome);
    let path = "aquatic/aquatic-udp.toml";
    let built = Command::new("sh")
        .args([
            "-e",
            "-c",
            &in_this_system(outcome["scripts"][path].as_str().unwrap()),
        ])
        .env("config", machine.path("etc").join(path))
        .env("out", machine.path("build-output.toml"))
        .output()
        .unwrap();
    assert!(!built.status.success());
    let error = String::from_utf8_lossy(&built.stderr);
    assert!(error.contains("network.address"), "{error}");
    assert!(!machine.path("build-output.toml").exists());
}

#[test]
fn systemd_accepts_their_units() {
    if !nix::can_be_evaluated() || !tools::needs(&["systemd-analyze"]) {
        return;
    }
    for Example { name, outcome } in examples() {
        let machine = Machine::with(&outcome);
        let units: Vec<PathBuf> = outcome["units"]
            .as_object()
            .expect("a set")
            .iter()
            .map(|(unit, text)| {
                let path = machine.path("units").join(unit);
                fs::write(&path, in_this_system(text.as_str().expect("a unit"))).unwrap();
                path
            })
            .collect();
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=yes"])
            .args(&units)
            .output()
            .unwrap();
        succeeded(&verified, &format!("{name}: systemd-analyze verify"));
        assert_eq!(String::from_utf8_lossy(&verified.stderr), "", "{name}");

        for unit in units.iter().filter(|unit| {
            let name = unit.to_string_lossy();
            name.ends_with(".service") && !name.ends_with("-sockets.service")
        }) {
            let scored = Command::new("systemd-analyze")
                .args(["security", "--offline=yes", "--no-pager"])
                .arg(format!("--threshold={MAX_EXPOSURE}"))
                .arg(unit)
                .output()
                .unwrap();
            succeeded(&scored, &format!("{name}: exposure of {}", unit.display()));
        }
    }
}

/// A directory that represents the root of a machine, with the files that configurations
/// name.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn with(outcome: &Value) -> Self {
        let machine = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for directory in ["etc/aquatic", "units", "var/lib/moderation"] {
            fs::create_dir_all(machine.path(directory)).unwrap();
        }
        fs::write(machine.path("var/lib/moderation/denied"), "").unwrap();
        for daemon in ["http", "udp", "ws"] {
            let credentials = format!("run/credentials/aquatic-{daemon}.service");
            fs::create_dir_all(machine.path(&credentials)).unwrap();
            let password = format!("{credentials}/cluster-password");
            fs::write(machine.path(&password), "secret").unwrap();
        }
        let acme = machine.path("var/lib/acme/tracker.example.org");
        fs::create_dir_all(&acme).unwrap();
        fs::write(acme.join("fullchain.pem"), certificates::EC_CERTIFICATE).unwrap();
        fs::write(acme.join("key.pem"), certificates::EC_KEY_PKCS8).unwrap();
        for (path, text) in outcome["etc"].as_object().expect("a set") {
            let text = text.as_str().expect("a file");
            // Absolute paths begin here.
            let text = text.replace("\"/", &format!("\"{}/", machine.root.path().display()));
            fs::write(machine.path("etc").join(path), text).unwrap();
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }
}
