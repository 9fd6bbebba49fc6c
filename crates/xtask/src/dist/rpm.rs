//! RPM packages, checked by rpmlint, and a repository of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{
    VERSION, build_directory, cargo_target, demand, directory, lock, output, source,
    toolchain_path, tree_in, with_extension,
};
use crate::commands::succeed;
use crate::root;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Append TEXT to the release, and build into a directory with TEXT in its
    /// name, for tests of upgrades: .next
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) release_suffix: String,
    /// Build with this profile of Cargo.toml; `release` compiles faster
    #[arg(long, value_name = "NAME", default_value = "dist")]
    pub(crate) profile: String,
}

/// What a build needs that Debian's packages of these names have.
const PROGRAMS: &[(&str, &str)] = &[
    ("createrepo_c", "createrepo-c"),
    ("rpmbuild", "rpm"),
    ("rpmlint", "rpmlint"),
];

/// Builds the packages and says where they are.
///
/// # Errors
///
/// As [`ensure`].
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("repository: {}", ensure(arguments)?.display());
    Ok(())
}

/// The packages of the working tree, built unless they are there: a directory
/// that dnf takes as a repository.
///
/// # Errors
///
/// A program is missing or fails, or rpmlint has found something.
pub(crate) fn ensure(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let _lock = lock()?;
    let suffix = &arguments.release_suffix;
    let repository = directory().join(format!("rpm{suffix}"));
    let stamp = repository.join("built-from");
    let fingerprint = source::fingerprint(&["rpm", suffix, &arguments.profile])?;
    if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == fingerprint) {
        return Ok(repository);
    }
    demand(PROGRAMS)?;
    let top = directory().join("rpm-build");
    if top.exists() {
        fs::remove_dir_all(&top)?;
    }
    build(arguments, &top)?;

    if repository.exists() {
        fs::remove_dir_all(&repository)?;
    }
    fs::create_dir_all(&repository)?;
    for package in with_extension(&top.join("packages"), &["rpm"])? {
        let name = package.file_name().context("a package has no name")?;
        fs::rename(&package, repository.join(name))?;
    }
    lint(&with_extension(&repository, &["rpm"])?)?;
    succeed(Command::new("createrepo_c").arg("--quiet").arg(&repository))?;
    fs::write(stamp, fingerprint)?;
    Ok(repository)
}

/// Builds into `top/packages`.
fn build(arguments: &Arguments, top: &Path) -> anyhow::Result<()> {
    let vendor = source::vendor()?;
    let tree = tree_in(&build_directory());
    source::copy(&tree)?;
    let spec = tree.join("packaging/rpm/aquatic.spec");
    let text = fs::read_to_string(&spec).context("packaging/rpm/aquatic.spec")?;
    let text = add_suffix(&text, VERSION, &arguments.release_suffix);
    fs::write(&spec, text)?;

    let mut command = Command::new("rpmbuild");
    command.current_dir(&tree).env("PATH", toolchain_path()?);
    command.env_remove("CARGO");
    command.args(["-bb", "--build-in-place", "--nodeps"]);
    if !has_macros_of_systemd()? {
        let macros = tree.join("packaging/rpm/macros-for-tests");
        command.arg(format!("--load={}", macros.display()));
    }
    for (name, value) in [
        ("_topdir", top.display().to_string()),
        (
            "_sourcedir",
            tree.join("packaging/common").display().to_string(),
        ),
        ("_rpmdir", top.join("packages").display().to_string()),
        // All in one directory.
        (
            "_rpmfilename",
            "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned(),
        ),
        ("vendor", vendor.display().to_string()),
        ("cargo_target", cargo_target().display().to_string()),
        ("profile", arguments.profile.clone()),
    ] {
        command.arg("--define").arg(format!("{name} {value}"));
    }
    succeed(command.arg(spec))
}

/// Makes the release of a spec newer by `suffix`, in its changelog, too.
fn add_suffix(spec: &str, version: &str, suffix: &str) -> String {
    spec.replacen("%{?dist}", &format!("%{{?dist}}{suffix}"), 1)
        .replacen(
            &format!(" - {version}-1\n"),
            &format!(" - {version}-1{suffix}\n"),
            1,
        )
}

/// Whether this system has what RPM distributions call systemd-rpm-macros.
fn has_macros_of_systemd() -> anyhow::Result<bool> {
    let value = output(Command::new("rpm").args(["--eval", "%{?_unitdir}"]))?;
    Ok(!value.trim().is_empty())
}

/// Everything that rpmlint finds fails, unless its configuration says why it is
/// not to be mended.
fn lint(packages: &[PathBuf]) -> anyhow::Result<()> {
    succeed(
        Command::new("rpmlint")
            .arg("--strict")
            .arg("--config")
            .arg(root().join("packaging/rpm/rpmlint.toml"))
            .args(packages),
    )
    .context("the packages have faults")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_makes_the_release_newer() {
        let spec = "Release: 1%{?dist}\n%changelog\n* Mon Nov 23 2026 A <a@b> - 2.0-1\n- B\n";
        assert_eq!(
            add_suffix(spec, "2.0", ".next"),
            "Release: 1%{?dist}.next\n%changelog\n* Mon Nov 23 2026 A <a@b> - 2.0-1.next\n- B\n"
        );
    }
}
