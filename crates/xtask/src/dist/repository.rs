//! A repository of Debian packages, signed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{directory, output};
use crate::commands::succeed;

/// The public half of the key, in a repository.
const KEYRING: &str = "aquatic-archive-keyring.asc";

/// Whose signature a repository gets.
pub(super) enum Signer {
    /// A key that is made for this and kept below `target/dist`: for tests.
    ThrowAway,
    /// A key of the user's own keyring, as gpg names it.
    Key(String),
}

/// Writes a repository of the packages to `target`, in place of what is there.
///
/// It is used with the line
/// `deb [signed-by=TARGET/aquatic-archive-keyring.asc] file://TARGET stable main`.
///
/// # Errors
///
/// A program is missing or fails.
pub(super) fn write(target: &Path, packages: &[PathBuf], signer: &Signer) -> anyhow::Result<()> {
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    let pool = target.join("pool/main");
    fs::create_dir_all(&pool)?;
    for package in packages {
        let name = package.file_name().context("a package has no name")?;
        fs::copy(package, pool.join(name)).with_context(|| package.display().to_string())?;
    }
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let index = target.join(format!("dists/stable/main/binary-{architecture}"));
    fs::create_dir_all(&index)?;

    let listed = output(
        Command::new("apt-ftparchive")
            .current_dir(target)
            .args(["packages", "pool"]),
    )?;
    fs::write(index.join("Packages"), listed)?;
    succeed(
        Command::new("gzip")
            .current_dir(&index)
            .args(["--keep", "--no-name", "Packages"]),
    )?;

    let suite = target.join("dists/stable");
    let mut command = Command::new("apt-ftparchive");
    command.current_dir(&suite);
    for (key, value) in [
        ("Origin", "aquatic"),
        ("Label", "aquatic"),
        ("Suite", "stable"),
        ("Codename", "stable"),
        ("Components", "main"),
        ("Architectures", architecture),
        ("Description", "BitTorrent trackers"),
    ] {
        command.arg(format!("-oAPT::FTPArchive::Release::{key}={value}"));
    }
    let release = output(command.args(["release", "."]))?;
    fs::write(suite.join("Release"), release)?;
    sign(target, &suite, signer)
}

/// Signs the release in both ways that apt knows, and adds the public key.
fn sign(target: &Path, suite: &Path, signer: &Signer) -> anyhow::Result<()> {
    let home = match signer {
        Signer::ThrowAway => Some(throw_away_home()?),
        Signer::Key(_) => None,
    };
    let gpg = || {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--yes", "--quiet"]).arg("--armor");
        match (&home, signer) {
            (Some(home), _) => command.arg("--homedir").arg(home),
            (None, Signer::Key(key)) => command.args(["--local-user", key]),
            (None, Signer::ThrowAway) => &mut command,
        };
        command.current_dir(suite);
        command
    };
    succeed(gpg().args(["--output", "InRelease", "--clearsign", "Release"]))?;
    succeed(gpg().args(["--output", "Release.gpg", "--detach-sign", "Release"]))?;
    let mut export = gpg();
    export.arg("--output").arg(target.join(KEYRING));
    export.arg("--export");
    if let Signer::Key(key) = signer {
        export.arg(key);
    }
    let outcome = succeed(&mut export);
    if let Some(home) = home {
        // Otherwise the agent outlives this by as long as its directory is there.
        let mut end = Command::new("gpgconf");
        end.arg("--homedir").arg(home).args(["--kill", "all"]);
        succeed(&mut end)?;
    }
    outcome
}

/// A home of gpg with a key in it, made unless it is there.
fn throw_away_home() -> anyhow::Result<PathBuf> {
    let home = directory().join("throw-away-key");
    if !home.join("pubring.kbx").exists() {
        fs::create_dir_all(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--homedir"]).arg(&home);
        command.args(["--passphrase", "", "--quick-generate-key"]);
        command.args(["aquatic throw-away key", "ed25519", "sign", "never"]);
        succeed(&mut command).context("cannot make a key")?;
    }
    Ok(home)
}
