//! Prometheus and Grafana accept the files that are generated for them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aquatic_test_harness::{browser, tools};

const PROMTOOL: &str = "promtool";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command that has to succeed.
#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    assert!(output.status.success(), "{out}{error}");
}

fn promtool(arguments: &[&str]) {
    let program = tools::find(PROMTOOL).unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/monitoring");
    succeed(Command::new(program).args(arguments).current_dir(directory));
}

#[test]
fn prometheus_accepts_the_rules() {
    if tools::needs(&[PROMTOOL]) {
        let rules = root().join("packaging/monitoring/aquatic-rules.yml");
        let rules = rules.to_str().unwrap();
        promtool(&["check", "rules", "--lint-fatal", rules]);
    }
}

#[test]
fn alerts_fire_when_something_is_wrong_and_not_otherwise() {
    if tools::needs(&[PROMTOOL]) {
        promtool(&["test", "rules", "rules.yml"]);
    }
}

/// Grafana's types are its schema: a field that is unknown, missing or of another type is
/// an error of the compiler.
#[test]
fn the_dashboard_has_the_schema_of_grafana() {
    let packages = browser::scripts().join("node_modules");
    if !browser::can_run_scripts(&[]) {
        return;
    }
    let dashboard = root().join("packaging/monitoring/aquatic-dashboard.json");
    let dashboard = fs::read_to_string(dashboard).unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(
        packages.canonicalize().unwrap(),
        directory.path().join("node_modules"),
    )
    .unwrap();
    fs::write(
        directory.path().join("dashboard.ts"),
        format!(
            "import type {{ Dashboard }} from '@grafana/schema';\n\
             export const dashboard: Dashboard = {dashboard};\n"
        ),
    )
    .unwrap();
    succeed(
        Command::new("node")
            .arg(packages.join("typescript/bin/tsc"))
            .args([
                "--noEmit",
                "--strict",
                "--skipLibCheck",
                "--module",
                "esnext",
            ])
            .args(["--moduleResolution", "bundler", "dashboard.ts"])
            .current_dir(directory.path()),
    );
}
