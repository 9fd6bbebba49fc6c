//! A container image of all programs, as an archive in the image layout of OCI.
//!
//! It has no other program and no library: what is in it is compiled by
//! `packaging/common/compile` with `STATIC`, or is below `packaging/container`.
//!
//! * `files`: the files of the image.
//! * `layer`: these as a compressed layer.
//! * `layout`: the layer with its configuration, as an archive.

mod files;
mod layer;
mod layout;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::{
    VERSION, build_directory, cargo_target, directory, lock, output, source, toolchain_path,
    tree_in,
};
use crate::commands::succeed;
use crate::root;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build with this profile of Cargo.toml; `release` compiles faster
    #[arg(long, value_name = "NAME", default_value = "dist")]
    pub(crate) profile: String,
    /// Build a second time, elsewhere and from the start, and compare
    #[arg(long)]
    pub(crate) check_reproducible: bool,
}

/// Maximum size of the archive.
const MAX_BYTES: u64 = 30 << 20;

/// Builds the image, and says where it is.
///
/// # Errors
///
/// As [`ensure_built`]; or, when asked for, a second build differs.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let archive = ensure_built(arguments)?;
    if arguments.check_reproducible {
        check_reproducible(arguments, &archive)?;
    }
    println!("image: {}", archive.display());
    Ok(())
}

/// The image of the working tree, built unless it is there.
///
/// # Errors
///
/// Something does not compile, or the image is too large.
pub(crate) fn ensure_built(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let _lock = lock()?;
    let built = directory().join("oci");
    let archive = built.join(format!("aquatic-{VERSION}.oci.tar"));
    let stamp = built.join("built-from");
    let fingerprint = fingerprint(arguments)?;
    if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == fingerprint) {
        return Ok(archive);
    }
    let place = Place {
        tree: tree_in(&build_directory()),
        cargo_target: cargo_target(),
        surroundings: &[],
    };
    let image = place.build(arguments)?;
    if built.exists() {
        fs::remove_dir_all(&built)?;
    }
    fs::create_dir_all(&built)?;
    fs::write(&archive, image).with_context(|| archive.display().to_string())?;
    fs::write(stamp, fingerprint)?;
    Ok(archive)
}

/// A number that changes with everything that makes images differ.
fn fingerprint(arguments: &Arguments) -> anyhow::Result<String> {
    source::fingerprint(&["oci", &arguments.profile])
}

/// Where an image is built.
struct Place {
    /// The copy of the working tree.
    tree: PathBuf,
    /// What cargo builds.
    cargo_target: PathBuf,
    /// Variables that should make no difference.
    surroundings: &'static [(&'static str, &'static str)],
}

impl Place {
    /// Builds the archive.
    fn build(&self, arguments: &Arguments) -> anyhow::Result<Vec<u8>> {
        let vendor = source::vendor()?;
        source::copy(&self.tree)?;
        let daemons = files::daemons(&self.tree)?;
        let programs = files::programs(&daemons);
        succeed(
            Command::new("packaging/common/compile")
                .current_dir(&self.tree)
                .args(&programs)
                .env("PATH", toolchain_path()?)
                .env("CARGO_TARGET_DIR", &self.cargo_target)
                .env("VENDOR", vendor)
                .env("PROFILE", &arguments.profile)
                .env("STATIC", "yes")
                // Variables of the user must not affect the image.
                .env_remove("CARGO")
                .envs(self.surroundings.iter().copied()),
        )?;
        let compiled = self.cargo_target.join(&arguments.profile);
        for program in &programs {
            ensure_static(&compiled.join(program))?;
        }
        let files = files::all(&self.tree, &compiled, &daemons)?;
        let released_at = released_at()?;
        let layer = layer::Layer::of(&files, released_at.seconds)?;
        let image = layout::archive(&layer, &daemons, &released_at)?;
        let bytes = image.len() as u64;
        ensure!(
            bytes <= MAX_BYTES,
            "the image has {bytes} bytes, which is more than {MAX_BYTES}"
        );
        println!(
            "image: {} programs, {:.1} MiB, {:.1} MiB compressed",
            programs.len(),
            mebibytes(layer.unpacked_bytes),
            mebibytes(bytes)
        );
        Ok(image)
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Checks that a program needs no file to run: it names no interpreter, as those that are
/// linked dynamically do.
fn ensure_static(program: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(program).with_context(|| program.display().to_string())?;
    ensure!(
        !has_interpreter(&bytes).context("not a program of 64 bits")?,
        "{} needs a dynamic linker, which the image lacks",
        program.display()
    );
    Ok(())
}

/// Whether an ELF file of 64 bits, little-endian, has a program header of type PT_INTERP;
/// `None` if it is none.
fn has_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let u16_at = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let headers = u64::from_le_bytes(elf.get(32..40)?.try_into().ok()?);
    let (size, count) = (u16_at(54)?, u16_at(56)?);
    for index in 0..usize::from(count) {
        let at = usize::try_from(headers).ok()? + index * usize::from(size);
        let kind = u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?);
        if kind == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

/// When a version was released.
pub(super) struct ReleasedAt {
    /// Since the epoch.
    pub(super) seconds: u64,
    /// In RFC 3339.
    pub(super) text: String,
}

/// The date of the changelog of Debian's packages, whose files have it, too: images of one
/// source are the same whenever they are built.
fn released_at() -> anyhow::Result<ReleasedAt> {
    let changelog = fs::read_to_string(root().join("packaging/deb/changelog"))
        .context("packaging/deb/changelog")?;
    let date = date_in(&changelog).context("packaging/deb/changelog has no date")?;
    let shown = |format: &str| {
        let mut command = Command::new("date");
        command.args(["--utc", "--date", date, format]);
        Ok::<_, anyhow::Error>(output(&mut command)?.trim().to_owned())
    };
    Ok(ReleasedAt {
        seconds: shown("+%s")?.parse().context("date prints no number")?,
        text: shown("+%Y-%m-%dT%H:%M:%SZ")?,
    })
}

/// The date of the newest version.
fn date_in(changelog: &str) -> Option<&str> {
    let line = changelog.lines().find(|line| line.starts_with(" -- "))?;
    line.split_once(">  ").map(|(_, date)| date)
}

/// Builds once more in another place, with another time zone and language and on one
/// processor, and compares every byte.
fn check_reproducible(arguments: &Arguments, archive: &Path) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new()
        .prefix("another-place-")
        .tempdir_in(directory())?;
    let place = Place {
        tree: tree_in(&scratch.path().join("build")),
        cargo_target: scratch.path().join("compiled"),
        surroundings: &[
            ("CARGO_BUILD_JOBS", "1"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "Pacific/Kiritimati"),
        ],
    };
    let again = place.build(arguments)?;
    if fs::read(archive)? != again {
        let kept = scratch.keep();
        fs::write(kept.join("again.oci.tar"), again)?;
        bail!("a second build differs; it is kept in {}", kept.display());
    }
    println!("a second build of the image is the same");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_the_date_of_the_changelog() {
        let changelog =
            "aquatic (2.0) x; y\n\n  * A\n\n -- B <b@c>  Mon, 23 Nov 2026 22:00:00 +0000\n";
        assert_eq!(date_in(changelog), Some("Mon, 23 Nov 2026 22:00:00 +0000"));
        let released_at = released_at().unwrap();
        assert!(released_at.seconds > 1_700_000_000);
        assert!(released_at.text.ends_with('Z'), "{}", released_at.text);
    }

    #[test]
    fn programs_that_need_a_linker_are_told_apart() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(has_interpreter(&fs::read(&own).unwrap()), Some(true));
        let said = ensure_static(&own).unwrap_err().to_string();
        assert!(said.contains("needs a dynamic linker"), "{said}");
        assert_eq!(has_interpreter(b"#!/bin/sh\n"), None);

        // One header, of a segment that is loaded.
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64] = 1;
        assert_eq!(has_interpreter(&elf), Some(false));
        // Cut off.
        assert_eq!(has_interpreter(&elf[..66]), None);
    }
}
