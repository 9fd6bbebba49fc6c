//! Debian packages, checked by lintian, and a signed repository of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::repository::{self, Signer};
use super::{
    build_directory, cargo_target, directory, lock, source, toolchain_path, tree_in, with_extension,
};
use crate::commands::succeed;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Append TEXT to the version, and build into directories with TEXT in their
    /// names, for tests of upgrades: +next
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) version_suffix: String,
    /// Build with this profile of Cargo.toml; `release` compiles faster
    #[arg(long, value_name = "NAME", default_value = "dist")]
    pub(crate) profile: String,
    /// Sign the repository with this key of your keyring, instead of one that is
    /// made for it
    #[arg(long, value_name = "KEY")]
    pub(crate) signing_key: Option<String>,
    /// Build a second time, elsewhere and from the start, and compare
    #[arg(long)]
    pub(crate) check_reproducible: bool,
}

/// Where a build has left what others use.
pub(crate) struct Built {
    /// All packages lie here.
    pub(crate) packages: PathBuf,
    /// The signed repository of them.
    pub(crate) repository: PathBuf,
}

/// Builds the packages and the repository.
///
/// # Errors
///
/// A program is missing or fails, lintian has found something, or, when asked
/// for, a second build differs.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let built = ensure(arguments)?;
    if arguments.check_reproducible {
        check_reproducible(arguments, &built)?;
    }
    println!("packages:   {}", built.packages.display());
    println!("repository: {}", built.repository.display());
    Ok(())
}

/// Beside the packages, what they were built from.
const STAMP: &str = "built-from";

/// A number that changes with everything that makes packages differ.
fn fingerprint(arguments: &Arguments) -> anyhow::Result<String> {
    let key = arguments.signing_key.as_deref().unwrap_or_default();
    source::fingerprint(&["deb", &arguments.version_suffix, &arguments.profile, key])
}

/// What a build needs that Debian's packages of these names have.
const PROGRAMS: &[(&str, &str)] = &[
    ("apt-ftparchive", "apt-utils"),
    ("dh", "debhelper"),
    ("dpkg-buildpackage", "dpkg-dev"),
    ("gpg", "gnupg"),
    ("lintian", "lintian"),
];

/// The packages of the working tree, built unless they are there. With a suffix
/// they are a version that is newer than the one without.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn ensure(arguments: &Arguments) -> anyhow::Result<Built> {
    let _lock = lock()?;
    let suffix = &arguments.version_suffix;
    let built = Built {
        packages: directory().join(format!("deb{suffix}")),
        repository: directory().join(format!("apt{suffix}")),
    };
    let stamp = built.packages.join(STAMP);
    let fingerprint = fingerprint(arguments)?;
    if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == fingerprint) {
        return Ok(built);
    }
    super::demand(PROGRAMS)?;

    let place = Place {
        parent: build_directory(),
        cargo_target: cargo_target(),
        surroundings: &[],
    };
    let changes = place.build(arguments)?;
    lint(&changes)?;
    if built.packages.exists() {
        fs::remove_dir_all(&built.packages)?;
    }
    fs::create_dir_all(&built.packages)?;
    for file in place.results()? {
        let name = file.file_name().context("a file has no name")?;
        fs::rename(&file, built.packages.join(name))?;
    }
    let signer = match &arguments.signing_key {
        Some(key) => Signer::Key(key.clone()),
        None => Signer::ThrowAway,
    };
    let packages = with_extension(&built.packages, &["deb"])?;
    repository::write(&built.repository, &packages, &signer)?;
    fs::write(stamp, fingerprint)?;
    Ok(built)
}

/// Where packages are built.
struct Place {
    /// Has the copy of the working tree, and what is built, beside each other.
    parent: PathBuf,
    /// What cargo builds.
    cargo_target: PathBuf,
    /// Variables that should make no difference.
    surroundings: &'static [(&'static str, &'static str)],
}

impl Place {
    /// Builds all packages; returns the file that lists them.
    fn build(&self, arguments: &Arguments) -> anyhow::Result<PathBuf> {
        let vendor = source::vendor()?;
        let tree = tree_in(&self.parent);
        for stale in self.results()? {
            fs::remove_file(stale)?;
        }
        source::copy(&tree)?;
        symlink("packaging/deb", tree.join("debian"))?;
        add_suffix(&tree.join("debian/changelog"), &arguments.version_suffix)?;
        succeed(
            Command::new("dpkg-buildpackage")
                .current_dir(&tree)
                // The toolchain may be rustup's, of which dpkg knows nothing.
                .args(["--build=binary", "--no-sign", "--no-check-builddeps"])
                .env("PATH", toolchain_path()?)
                .env("CARGO_TARGET_DIR", &self.cargo_target)
                .env("VENDOR", vendor)
                .env("PROFILE", &arguments.profile)
                // Variables of the user must not affect the packages.
                .env_remove("CARGO")
                .env_remove("DEB_BUILD_OPTIONS")
                .envs(self.surroundings.iter().copied()),
        )?;
        let changes = with_extension(&self.parent, &["changes"])?;
        changes
            .into_iter()
            .next()
            .context("dpkg-buildpackage has left no list of what it built")
    }

    /// What a build has left.
    fn results(&self) -> anyhow::Result<Vec<PathBuf>> {
        with_extension(&self.parent, &["buildinfo", "changes", "deb"])
    }
}

/// Makes a changelog's newest version newer by `suffix`.
fn add_suffix(changelog: &Path, suffix: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(changelog).context("packaging/deb/changelog")?;
    let text = text.replacen(") ", &format!("{suffix}) "), 1);
    fs::write(changelog, text)?;
    Ok(())
}

/// Errors and warnings fail; what lintian only informs about does not.
fn lint(changes: &Path) -> anyhow::Result<()> {
    succeed(
        Command::new("lintian")
            .args(["--fail-on=error,warning", "--allow-root"])
            .arg(changes),
    )
    .context("the packages have faults")
}

/// Builds once more in another place, with another time zone and language
/// and on one processor, and compares every byte.
fn check_reproducible(arguments: &Arguments, built: &Built) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new()
        .prefix("another-place-")
        .tempdir_in(directory())?;
    let place = Place {
        parent: scratch.path().join("build"),
        cargo_target: scratch.path().join("compiled"),
        surroundings: &[
            ("DEB_BUILD_OPTIONS", "parallel=1"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "Pacific/Kiritimati"),
        ],
    };
    place.build(arguments)?;
    if fs::read_to_string(built.packages.join(STAMP))? != fingerprint(arguments)? {
        bail!("the working tree has changed while it was built a second time");
    }
    let mut differing = Vec::new();
    let packages = with_extension(&built.packages, &["deb"])?;
    for package in &packages {
        let name = package.file_name().context("a package has no name")?;
        let again = fs::read(place.parent.join(name)).unwrap_or_default();
        if fs::read(package)? != again {
            differing.push(name.display().to_string());
        }
    }
    if !differing.is_empty() {
        let kept = scratch.keep();
        bail!(
            "a second build differs in {}; it is kept in {}",
            differing.join(", "),
            kept.display()
        );
    }
    println!("a second build of {} packages is the same", packages.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_makes_the_newest_version_newer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "aquatic (2.0) stable; x\n\naquatic (1.0) stable\n").unwrap();
        add_suffix(file.path(), "+next").unwrap();
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "aquatic (2.0+next) stable; x\n\naquatic (1.0) stable\n"
        );
    }
}
