//! The source of packages: a copy of the working tree, and the sources of all libraries.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::{directory, output};
use crate::commands::{cargo_command, succeed};
use crate::root;

/// Files of the working tree, as paths in it: those that git knows, and those
/// that it would add.
///
/// # Errors
///
/// Git fails.
fn files() -> anyhow::Result<Vec<String>> {
    let listed = output(Command::new("git").current_dir(root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]))?;
    let root = root();
    let there = |file: &&str| !file.is_empty() && root.join(file).symlink_metadata().is_ok();
    Ok(listed
        .split('\0')
        .filter(there)
        .map(str::to_owned)
        .collect())
}

/// Copies the working tree to `target`, in place of what is there. Times of the
/// files are kept, so that cargo builds only what has changed.
///
/// # Errors
///
/// Git or tar fails.
pub(super) fn copy(target: &Path) -> anyhow::Result<()> {
    if target.exists() {
        fs::remove_dir_all(target).with_context(|| format!("{}", target.display()))?;
    }
    fs::create_dir_all(target).with_context(|| format!("{}", target.display()))?;
    let mut pack = Command::new("tar")
        .current_dir(root())
        .args(["--create", "--null", "--no-recursion", "--files-from=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let (Some(mut names), Some(archive)) = (pack.stdin.take(), pack.stdout.take()) else {
        bail!("tar has no pipes");
    };
    let unpack = Command::new("tar")
        .current_dir(target)
        .arg("--extract")
        .stdin(archive)
        .spawn()
        .context("cannot run tar")?;
    for file in files()? {
        names.write_all(file.as_bytes())?;
        names.write_all(&[0])?;
    }
    drop(names);
    for mut child in [pack, unpack] {
        if !child.wait()?.success() {
            bail!("cannot copy the working tree to {}", target.display());
        }
    }
    Ok(())
}

/// The sources of all libraries, written by `cargo vendor` unless they are there
/// already.
///
/// # Errors
///
/// Cargo fails: a library is neither in its cache nor to be had.
pub(super) fn vendor() -> anyhow::Result<PathBuf> {
    let vendor = directory().join("vendor");
    let lock = fs::read(root().join("Cargo.lock")).context("Cargo.lock")?;
    let stamp = directory().join("vendor.lock");
    if vendor.is_dir() && fs::read(&stamp).is_ok_and(|stamped| stamped == lock) {
        return Ok(vendor);
    }
    println!(
        "copying the sources of all libraries to {}",
        vendor.display()
    );
    if vendor.exists() {
        fs::remove_dir_all(&vendor)?;
    }
    let mut command = cargo_command();
    command.args(["vendor", "--quiet", "--locked", "--versioned-dirs"]);
    succeed(command.arg(&vendor).stdout(Stdio::null()))?;
    fs::write(&stamp, lock)?;
    Ok(vendor)
}

/// A number that changes with any file that packages are made of.
///
/// # Errors
///
/// Git fails, or a file cannot be read.
pub(super) fn fingerprint(options: &[&str]) -> anyhow::Result<String> {
    let mut hasher = DefaultHasher::new();
    options.hash(&mut hasher);
    let compiler = output(cargo_command().arg("--version"))?;
    compiler.hash(&mut hasher);
    for file in files()? {
        let path = root().join(&file);
        let content = if path.is_symlink() {
            fs::read_link(&path)?.into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).with_context(|| file.clone())?
        };
        (file, content).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
