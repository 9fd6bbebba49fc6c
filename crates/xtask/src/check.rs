//! Checks of the code without running it.
//!
//! All steps run, even if some fail, so that one run reports everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::commands::{cargo_command, succeed};
use crate::requirements::has_program;
use crate::{dependencies, root, source, units};

/// The result of a step.
enum Finding {
    /// No errors.
    Good,
    /// The reason why it could not be checked here.
    NotChecked(String),
}

struct Step {
    name: &'static str,
    run: fn() -> anyhow::Result<Finding>,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "lints",
        run: lints,
    },
    Step {
        name: "without features",
        run: || good(without_features()),
    },
    Step {
        name: "documentation",
        run: documentation,
    },
    Step {
        name: "fuzz targets",
        run: fuzz_targets,
    },
    Step {
        name: "generated files",
        run: generated_files,
    },
    Step {
        name: "manual pages",
        run: || good(manual_pages()),
    },
    Step {
        name: "units",
        run: units,
    },
    Step {
        name: "direction of dependencies",
        run: || good(dependencies::check_direction()),
    },
    Step {
        name: "code map",
        run: || good(dependencies::check_code_map()),
    },
    Step {
        name: "reasons of dependencies",
        run: || good(dependencies::check_reasons()),
    },
    Step {
        name: "source files",
        run: || good(source::check()),
    },
    Step {
        name: "Nix files",
        run: nix_files,
    },
    Step {
        name: "licences, bans, sources",
        run: || good(deny(&["licenses", "bans", "sources"])),
    },
    Step {
        name: "advisories",
        run: advisories,
    },
];

/// Runs all steps, and reports the result of each.
///
/// # Errors
///
/// At least one step failed.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut summary = Vec::new();
    let mut failures = 0;
    for step in STEPS {
        println!("=== {}", step.name);
        let start = Instant::now();
        let result = (step.run)();
        let outcome = match result {
            Ok(Finding::Good) => "good".to_owned(),
            Ok(Finding::NotChecked(reason)) => format!("NOT CHECKED: {reason}"),
            Err(error) => {
                failures += 1;
                eprintln!("{error:#}");
                "FAILED".to_owned()
            }
        };
        summary.push(line(step.name, start.elapsed(), &outcome));
    }
    println!("=== summary");
    for line in summary {
        println!("{line}");
    }
    if failures > 0 {
        bail!("{failures} of {} checks failed", STEPS.len());
    }
    Ok(())
}

fn line(name: &str, duration: Duration, outcome: &str) -> String {
    format!("{name:<26} {:>6.1} s  {outcome}", duration.as_secs_f64())
}

fn good(result: anyhow::Result<()>) -> anyhow::Result<Finding> {
    result.map(|()| Finding::Good)
}

fn format() -> anyhow::Result<Finding> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--manifest-path", FUZZ_MANIFEST, "--check"])?;
    Ok(Finding::Good)
}

fn lints() -> anyhow::Result<Finding> {
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        // One crate's warnings do not hide another's.
        "--keep-going",
        "--",
        "--deny=warnings",
    ])?;
    Ok(Finding::Good)
}

/// Checks the daemons without the event loop on glommio, and without Redis: no warnings,
/// and no crate twice.
fn without_features() -> anyhow::Result<()> {
    let mut selection = vec!["--no-default-features".to_owned()];
    let list = root().join("packaging/daemons.toml");
    let list = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let names = list
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    selection.extend(names.map(|name| format!("--package=aquatic_{name}")));
    let mut clippy = cargo_command();
    succeed(
        clippy
            .arg("clippy")
            .args(&selection)
            .args(["--", "--deny=warnings"]),
    )?;
    let mut tree = cargo_command();
    tree.arg("tree").args(&selection);
    tree.args(["--duplicates", "--edges=normal,no-proc-macro", "--depth=0"]);
    let output = tree.output().context("cannot run cargo tree")?;
    let duplicates = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !duplicates.trim().is_empty() {
        bail!(
            "crates that are there twice: {duplicates}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn documentation() -> anyhow::Result<Finding> {
    let mut command = cargo_command();
    // For developers, so private items and links to them are included.
    command.args(["doc", "--workspace", "--no-deps", "--all-features"]);
    command.args(["--document-private-items", "--keep-going"]);
    command.env(
        "RUSTDOCFLAGS",
        "--deny=warnings --allow=rustdoc::private_intra_doc_links",
    );
    succeed(&mut command)?;
    Ok(Finding::Good)
}

const FUZZ_MANIFEST: &str = "crates/fuzz/Cargo.toml";

/// Fuzz targets are compiled, for which no nightly compiler is needed, so that a change
/// that breaks them is noticed.
fn fuzz_targets() -> anyhow::Result<Finding> {
    cargo(&[
        "clippy",
        "--manifest-path",
        FUZZ_MANIFEST,
        "--target-dir=target",
        "--",
        "--deny=warnings",
    ])?;
    Ok(Finding::Good)
}

/// One of the generator's tests compares all files. It is compiled as [`crate::test`] does, so
/// that only the first of the two takes long.
fn generated_files() -> anyhow::Result<Finding> {
    cargo(&[
        "test",
        "--quiet",
        "--workspace",
        "--all-features",
        "--bin=aquatic_generate",
    ])?;
    Ok(Finding::Good)
}

fn manual_pages() -> anyhow::Result<()> {
    if !has_program("mandoc") {
        bail!("mandoc is missing; Debian has it as the package mandoc");
    }
    let mut pages: Vec<_> = fs::read_dir(root().join("man"))
        .context("man")?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    pages.sort();
    succeed(
        Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .args(pages),
    )
}

fn units() -> anyhow::Result<Finding> {
    if !has_program("systemd-analyze") {
        return Ok(Finding::NotChecked(
            "systemd-analyze is missing; Debian has it in the package systemd".to_owned(),
        ));
    }
    good(units::check())
}

/// The formatter for Nix is optional: it is only needed by those who write Nix.
fn nix_files() -> anyhow::Result<Finding> {
    if !has_program("nixfmt") {
        return Ok(Finding::NotChecked(
            "nixfmt is missing; install it with `cargo install --locked nixfmt_rs`".to_owned(),
        ));
    }
    let mut files = vec![root().join("flake.nix"), root().join("overlay.nix")];
    find_nix_files(&root().join("nixos-module"), &mut files)?;
    succeed(Command::new("nixfmt").arg("--check").args(files))?;
    Ok(Finding::Good)
}

fn find_nix_files(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("cannot read directory {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            find_nix_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "nix") {
            files.push(path);
        }
    }
    Ok(())
}

fn deny(checks: &[&str]) -> anyhow::Result<()> {
    let installed = cargo_command()
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !installed {
        bail!("cargo-deny is missing; install it with `cargo install --locked cargo-deny`");
    }
    let mut command = cargo_command();
    command.args(["deny", "--all-features", "check"]);
    succeed(command.args(checks))
}

/// The database of advisories comes from the network, and a machine without one
/// can still check everything else.
fn advisories() -> anyhow::Result<Finding> {
    let fetched = cargo_command()
        .args(["deny", "fetch", "db"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !fetched {
        return Ok(Finding::NotChecked(
            "the database of advisories cannot be fetched".to_owned(),
        ));
    }
    good(deny(&["--disable-fetch", "advisories"]))
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    succeed(cargo_command().args(arguments))
}
