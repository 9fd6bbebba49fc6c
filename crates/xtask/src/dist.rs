//! Packages for distributions, and a container image, below `target/dist`.
//!
//! Packages are built from a copy of the working tree and the sources of all libraries,
//! without a network. The copy and cargo's build directory are kept, so that the next build
//! only compiles what has changed.

pub(crate) mod deb;
pub(crate) mod oci;
pub(crate) mod rpm;

mod repository;
mod source;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::root;

/// What is built.
#[derive(Subcommand)]
pub(crate) enum Distribution {
    /// Packages for Debian and its derivatives, and a signed repository of them
    Deb(deb::Arguments),
    /// A container image of all programs, as an archive in the format of OCI
    Oci(oci::Arguments),
    /// Packages for Fedora, its relatives and openSUSE, and a repository of them
    Rpm(rpm::Arguments),
}

/// Builds packages.
///
/// # Errors
///
/// If a program is missing or fails, or its output is invalid.
pub(crate) fn run(distribution: &Distribution) -> anyhow::Result<()> {
    match distribution {
        Distribution::Deb(arguments) => deb::run(arguments),
        Distribution::Oci(arguments) => oci::run(arguments),
        Distribution::Rpm(arguments) => rpm::run(arguments),
    }
}

/// Where everything is written to.
fn directory() -> PathBuf {
    root().join("target/dist")
}

/// The directory in which packages are built: the same one for all kinds of packages, so
/// that cargo's output is shared.
fn build_directory() -> PathBuf {
    directory().join("build")
}

/// Locks the building of packages until the returned value is dropped.
fn lock() -> anyhow::Result<fs::File> {
    fs::create_dir_all(directory())?;
    let file = fs::File::create(directory().join("lock"))?;
    file.lock().context("cannot lock target/dist")?;
    Ok(file)
}

/// Where cargo compiles.
fn cargo_target() -> PathBuf {
    directory().join("cargo")
}

/// The copy of the working tree in the directory of a build.
fn tree_in(build: &Path) -> PathBuf {
    build.join(format!("aquatic-{VERSION}"))
}

/// Checks that programs are installed; each is listed with its Debian package.
fn demand(programs: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing: Vec<_> = programs
        .iter()
        .filter(|(program, _)| !crate::requirements::has_program(program))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        bail!("these packages are needed: {}", missing.join(", "));
    }
    Ok(())
}

/// The version of everything, in the root `Cargo.toml`.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `PATH`, beginning with the toolchain that runs this: a build has a separate home
/// directory, in which rustup would find no toolchain.
fn toolchain_path() -> anyhow::Result<std::ffi::OsString> {
    let cargo = env::var_os("CARGO").context("is to be run by cargo: `cargo xtask dist`")?;
    let toolchain = Path::new(&cargo).parent().map(Path::to_path_buf);
    let path = env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let all = toolchain.into_iter().chain(env::split_paths(&path));
    Ok(env::join_paths(all.chain(administrators))?)
}

/// The output of a command.
///
/// # Errors
///
/// If it cannot be started or fails; the error contains its messages.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed: {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} prints no text"))
}

/// The files of a directory, sorted; none if there is no directory.
fn with_extension(directory: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|it| it.to_str());
        if path.is_file() && extension.is_some_and(|it| extensions.contains(&it)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn packages_have_the_version_of_the_workspace() {
        let changelog = fs::read_to_string(root().join("packaging/deb/changelog")).unwrap();
        let first = changelog.lines().next().unwrap();
        assert!(
            first.starts_with(&format!("aquatic ({VERSION})")),
            "{first}"
        );
        let spec = fs::read_to_string(root().join("packaging/rpm/aquatic.spec")).unwrap();
        let line = format!("Version:        {VERSION}");
        assert!(spec.lines().any(|other| other == line), "{line}");
    }

    #[test]
    fn all_kinds_of_packages_have_the_same_programs() {
        let read = |file: &str| fs::read_to_string(root().join("packaging").join(file)).unwrap();
        let (control, spec) = (read("deb/control"), read("rpm/aquatic.spec"));

        let named = |text: &str, before: &str| -> BTreeSet<String> {
            let names = text.lines().filter_map(|line| line.strip_prefix(before));
            names.map(str::to_owned).collect()
        };
        let mut debian = named(&control, "Package: aquatic-");
        assert!(control.contains("Package: aquatic\n"));
        assert_eq!(named(&spec, "%package "), debian);

        let words = |text: &str, before: &str| -> BTreeSet<String> {
            let line = text.lines().find_map(|line| line.strip_prefix(before));
            line.unwrap().split(' ').map(str::to_owned).collect()
        };
        // As deb/rules finds them.
        let common = fs::read_dir(root().join("packaging/common")).unwrap();
        let daemons: BTreeSet<_> = common
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                Some(name.strip_suffix(".service")?.to_owned())
            })
            .collect();
        assert_eq!(words(&spec, "%global daemons "), daemons);
        debian.retain(|name| !["common", "keys", "load-test"].contains(&name.as_str()));
        let packaged: BTreeSet<_> = debian
            .iter()
            .map(|name| format!("aquatic-{name}"))
            .collect();
        assert_eq!(packaged, daemons);
        for daemon in daemons {
            let load_test = format!("{daemon}-load-test");
            assert!(words(&spec, "%global programs %{daemons} ").contains(&load_test));
        }
    }
}
