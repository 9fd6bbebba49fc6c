//! The packages and root file systems.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use aquatic_test_harness::Process;

use crate::container::PATIENCE;

/// The releases of Debian that packages are for.
pub(crate) const RELEASES: [&str; 2] = ["bookworm", "trixie"];

/// The root file system in which containers run: that of a release, with podman.
pub(crate) const WITH_PODMAN: &str = "trixie-podman";

/// The suffix of the version of packages that are newer and otherwise the same.
const NEXT: &str = "+next";

/// What is appended to the version of packages that are older.
const FIRST: &str = "~first";

/// Writes the checksums of a package's files, except conffiles.
const SUMS: &str = "find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\\0' \
                    | xargs --null --no-run-if-empty md5sum > DEBIAN/md5sums";

/// The directory of root file systems, `bookworm.tar` and so on.
const ROOTS: &str = "AQUATIC_TEST_ROOTS";

/// The signed repository.
const REPOSITORY: &str = "AQUATIC_TEST_REPOSITORY";

/// The directory of RPM packages, and that of the next release.
const RPM_REPOSITORIES: [&str; 2] = ["AQUATIC_TEST_RPM", "AQUATIC_TEST_RPM_NEXT"];

/// The archive of the container image.
const IMAGE: &str = "AQUATIC_TEST_IMAGE";

/// The environment of the tests of a release.
pub(crate) struct Environment {
    /// Name of the release.
    pub(crate) release: &'static str,
    roots: PathBuf,
    /// The signed repository of packages.
    pub(crate) repository: PathBuf,
}

impl Environment {
    /// The environment from the variables that `cargo xtask test --system` sets.
    #[track_caller]
    pub(crate) fn of(release: &'static str) -> Self {
        Self {
            release,
            roots: directory(ROOTS),
            repository: directory(REPOSITORY),
        }
    }

    /// Directories of RPM packages: one, and one with the next release of them.
    #[track_caller]
    pub(crate) fn rpm_repositories(&self) -> [PathBuf; 2] {
        RPM_REPOSITORIES.map(directory)
    }

    /// The archive of the container image.
    #[track_caller]
    pub(crate) fn image(&self) -> PathBuf {
        directory(IMAGE)
    }

    /// The root file system unpacked, for reading.
    pub(crate) fn root(&self) -> PathBuf {
        let archive = self.roots.join(format!("{}.tar", self.release));
        let root = self.roots.join(self.release);
        once(&root, &archive, |root| {
            let arguments: [&OsStr; 4] = [
                "--extract".as_ref(),
                "--numeric-owner".as_ref(),
                "--file".as_ref(),
                archive.as_ref(),
            ];
            succeed(
                Command::new("tar")
                    .args(arguments)
                    .arg("--directory")
                    .arg(root),
            );
        });
        root
    }

    /// Packages of these names from the repository.
    pub(crate) fn packages(&self, names: &[&str]) -> Vec<PathBuf> {
        let pool = self.repository.join("pool/main");
        let entries = fs::read_dir(&pool).expect("the repository has packages");
        let files: Vec<_> = entries
            .map(|entry| entry.expect("it can be listed").path())
            .collect();
        let named = |name: &&str| {
            let start = format!("{name}_");
            files
                .iter()
                .find(|file| file_name(file).starts_with(&start))
                .unwrap_or_else(|| panic!("{} has no package {name}", pool.display()))
                .clone()
        };
        names.iter().map(named).collect()
    }

    /// The same packages with a higher version.
    pub(crate) fn next_packages(&self, names: &[&str]) -> Vec<PathBuf> {
        self.rewritten(names, NEXT, |tree| {
            change_configuration(&tree.join("usr/share/aquatic"));
        })
    }

    /// The same packages as release 1.0 had them, with a lower version: the configuration
    /// has all keys, and belongs to dpkg.
    pub(crate) fn first_packages(&self, names: &[&str]) -> Vec<PathBuf> {
        self.rewritten(names, FIRST, give_configuration_to_dpkg)
    }

    fn rewritten(&self, names: &[&str], suffix: &str, change: fn(&Path)) -> Vec<PathBuf> {
        let repack = |package: PathBuf| {
            let name = file_name(&package).replacen('_', &format!("{suffix}_"), 1);
            let target = self.roots.join("rewritten").join(name);
            once(&target, &package, |target| {
                rewrite(&package, target, suffix, change);
            });
            target
        };
        self.packages(names).into_iter().map(repack).collect()
    }
}

/// The directory, or file, that a variable names.
#[track_caller]
fn directory(variable: &str) -> PathBuf {
    let directory = env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test --system`"));
    fs::canonicalize(directory).expect("it exists")
}

/// Writes a package with `suffix` behind its version, which also depends on such versions
/// of its siblings.
fn rewrite(package: &Path, target: &Path, suffix: &str, change: fn(&Path)) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let tree = scratch.path().join("tree");
    succeed(Command::new("dpkg-deb").arg("-R").arg(package).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).expect("a package has a control file");
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))
        .expect("a package has a version");
    let other = format!("{version}{suffix}");
    let text = text
        .replace(
            &format!("Version: {version}\n"),
            &format!("Version: {other}\n"),
        )
        .replace(&format!("= {version})"), &format!("= {other})"));
    fs::write(&control, text).expect("it can be written");
    change(&tree);
    // debsums compares files with them.
    let mut sums = Command::new("sh");
    sums.args(["-c", SUMS]).current_dir(&tree);
    succeed(&mut sums);
    let file = target.join("package.deb");
    let mut build = Command::new("dpkg-deb");
    build.args(["-Znone", "--root-owner-group", "-b"]).arg(tree);
    succeed(build.arg(&file));
}

/// An additional comment in each configuration file, so that it differs.
fn change_configuration(directory: &Path) {
    for path in configurations(directory) {
        let text = fs::read_to_string(&path).expect("a configuration is text");
        fs::write(path, text + "\n# The next version.\n").expect("it can be written");
    }
}

/// Installs the file of all keys as a conffile.
fn give_configuration_to_dpkg(tree: &Path) {
    for path in configurations(&tree.join("usr/share/aquatic")) {
        fs::remove_file(&path).expect("it can be removed");
        let name = file_name(&path);
        let package = name.trim_end_matches(".toml");
        let reference = tree.join(format!("usr/share/doc/{package}/{name}"));
        fs::rename(reference, tree.join("etc/aquatic").join(&name)).expect("it is there");
        let list = format!("/etc/aquatic/{name}\n");
        fs::write(tree.join("DEBIAN/conffiles"), list).expect("it can be written");
        fs::remove_dir(tree.join(format!("etc/aquatic/{name}.d"))).expect("it is there");
        // Only what debhelper adds.
        let script = tree.join("DEBIAN/postinst");
        let text = fs::read_to_string(&script).expect("there is a script");
        let added = text
            .find("# Automatically added")
            .expect("debhelper adds something");
        let text = format!("#!/bin/sh\nset -e\n{}", &text[added..]);
        fs::write(script, text).expect("it can be written");
    }
}

/// The configuration files in a directory; none if there is no directory.
fn configurations(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect()
}

/// Makes a directory and lets `fill` fill it, unless it was made from this version of `source`
/// before.
fn once(target: &Path, source: &Path, fill: impl FnOnce(&Path)) {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    // Unpacking sets the time of the root directory, so another file records it.
    let witness = target.with_extension("made");
    if target.exists() && modified(&witness) > modified(source) {
        return;
    }
    if target.exists() {
        fs::remove_dir_all(target).expect("a stale directory can be removed");
    }
    fs::create_dir_all(target).expect("a directory can be made");
    fill(target);
    fs::write(&witness, "").expect("a file can be written");
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[track_caller]
fn succeed(command: &mut Command) {
    let name = command.get_program().to_string_lossy().into_owned();
    let finished = Process::start(&name, command).wait(PATIENCE);
    assert!(finished.status.success(), "{name}: {}", finished.stderr);
}
