//! The files of the image.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;

/// The user of the image, and its group. A number above those of users and services of
/// distributions, which other images also use for a user without privileges.
pub(super) const USER: u32 = 65532;

/// Where daemons keep their state.
pub(super) const STATE: &str = "/var/lib/aquatic";

/// Where daemons of several containers find each other, if they share a volume.
pub(super) const SHARED: &str = "/run/aquatic";

/// Where daemons find their configurations.
pub(super) const CONFIGURATIONS: &str = "/etc/aquatic";

/// The licence of the C library, of which parts are in the programs, as Debian installs it.
const LICENCE_OF_LIBC: &str = "/usr/share/common-licenses/LGPL-2.1";

/// Files and directories by path, without a leading slash, so that they are sorted, and
/// directories come before what is in them.
pub(super) type Files = BTreeMap<String, Entry>;

/// A file or directory.
pub(super) struct Entry {
    pub(super) mode: u32,
    /// The user and group that it belongs to.
    pub(super) owner: u32,
    /// `None` for a directory.
    pub(super) content: Option<Vec<u8>>,
}

/// The names of the daemons, sorted: those with a configuration for containers.
pub(super) fn daemons(tree: &Path) -> anyhow::Result<Vec<String>> {
    let directory = tree
        .join("packaging/container/root")
        .join(&CONFIGURATIONS[1..]);
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let name = entry?.file_name();
        let name = name.to_str().context("a name is not text")?;
        names.extend(name.strip_suffix(".toml").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// All programs.
pub(super) fn programs(daemons: &[String]) -> Vec<String> {
    let load_tests = daemons.iter().map(|daemon| format!("{daemon}-load-test"));
    let mut all: Vec<_> = daemons.iter().cloned().chain(load_tests).collect();
    all.push("aquatic-keys".to_owned());
    all
}

/// All files, from a compiled tree.
///
/// # Errors
///
/// If one cannot be read.
pub(super) fn all(tree: &Path, compiled: &Path, daemons: &[String]) -> anyhow::Result<Files> {
    let mut files = Files::new();
    add_directory(&mut files, &tree.join("packaging/container/root"), "")?;
    for program in programs(daemons) {
        let path = format!("usr/bin/{program}");
        add_file(&mut files, &compiled.join(&program), path, 0o755)?;
    }
    let documents = "usr/share/doc/aquatic";
    for (name, from) in [
        ("LICENSE", "LICENSE"),
        ("third-party-licences", "third-party-licences"),
    ] {
        add_file(
            &mut files,
            &tree.join(from),
            format!("{documents}/{name}"),
            0o644,
        )?;
    }
    let path = format!("{documents}/licence-of-glibc");
    add_file(&mut files, Path::new(LICENCE_OF_LIBC), path, 0o644)
        .context("the licence of the C library is in Debian's package base-files")?;
    for daemon in daemons {
        let from = tree.join(format!("packaging/common/reference/{daemon}.toml"));
        let path = format!("{documents}/{daemon}.toml");
        add_file(&mut files, &from, path, 0o644)?;
    }
    for directory in [STATE, SHARED] {
        let entry = Entry {
            mode: 0o750,
            owner: USER,
            content: None,
        };
        files.insert(directory[1..].to_owned(), entry);
    }
    add_parents(&mut files);
    Ok(files)
}

/// Adds all files below a directory.
fn add_directory(files: &mut Files, from: &Path, to: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!("{to}{}", name.to_str().context("a name is not text")?);
        if entry.file_type()?.is_dir() {
            add_directory(files, &entry.path(), &format!("{path}/"))?;
        } else {
            add_file(files, &entry.path(), path, 0o644)?;
        }
    }
    Ok(())
}

fn add_file(files: &mut Files, from: &Path, to: String, mode: u32) -> anyhow::Result<()> {
    let content = fs::read(from).with_context(|| from.display().to_string())?;
    let entry = Entry {
        mode,
        owner: 0,
        content: Some(content),
    };
    files.insert(to, entry);
    Ok(())
}

/// Adds the directories that files are in.
fn add_parents(files: &mut Files) {
    let paths: Vec<String> = files.keys().cloned().collect();
    for path in paths {
        for (slash, _) in path.match_indices('/') {
            files.entry(path[..slash].to_owned()).or_insert(Entry {
                mode: 0o755,
                owner: 0,
                content: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root;

    #[test]
    fn the_image_has_the_programs_of_the_packages() {
        let services = fs::read_dir(root().join("packaging/common")).unwrap();
        let mut packaged: Vec<String> = services
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                Some(name.strip_suffix(".service")?.to_owned())
            })
            .collect();
        packaged.sort();
        let daemons = daemons(&root()).unwrap();
        assert_eq!(daemons, packaged);
        assert_eq!(programs(&daemons).len(), 2 * daemons.len() + 1);
    }

    #[test]
    fn the_user_of_the_image_is_the_one_of_its_files() {
        let directory = root().join("packaging/container/root/etc");
        let passwd = fs::read_to_string(directory.join("passwd")).unwrap();
        let start = format!("aquatic:x:{USER}:{USER}:aquatic:{STATE}:");
        assert!(passwd.lines().any(|line| line.starts_with(&start)));
        let group = fs::read_to_string(directory.join("group")).unwrap();
        assert!(group.contains(&format!("aquatic:x:{USER}:\n")));
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut files = Files::new();
        let from = root().join("Cargo.toml");
        add_file(&mut files, &from, "a/b/c".to_owned(), 0o644).unwrap();
        add_parents(&mut files);
        let paths: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
    }
}
