//! The files that a configuration refers to: a file that is written must neither be
//! read nor be written for another purpose, because writing replaces it.

use std::path::{Path, PathBuf};

use crate::config::Diagnostic;
use crate::files::{self, Identity};
use crate::{Daemon, lists, snapshot};

/// A file that is read, and its description for messages.
pub(super) struct Read {
    said: String,
    identity: Identity,
    /// Whether all files in it are read, if it is a directory.
    is_list: bool,
}

/// The files that a daemon reads: its configuration, and those that it refers to.
/// `path_now` maps paths to what they are before a chroot.
pub(super) fn read<D: Daemon>(
    settings: &D::Settings,
    configuration: Vec<Identity>,
    path_now: impl Fn(&Path) -> PathBuf,
) -> Vec<Read> {
    let mut read = Vec::new();
    for identity in configuration {
        read.push(Read {
            said: "the configuration itself".to_owned(),
            identity,
            is_list: false,
        });
    }
    let mut add = |key, path: &Path, is_list| {
        read.push(Read {
            said: format!("also the file of {key}"),
            identity: Identity::of(path),
            is_list,
        });
    };
    for (key, path) in D::read_files(settings) {
        add(key, &path_now(&path), false);
    }
    for (key, path) in D::process(settings).lists.paths() {
        let path = path_now(path);
        add(key, &path, true);
        // Symbolic links in a directory may lead to any place. What cannot be read is found
        // when it is.
        for file in lists::files(&path).unwrap_or_default() {
            add(key, &file, false);
        }
    }
    read
}

/// The files that a daemon writes, each under its key, where they are now.
pub(super) fn written<D: Daemon>(
    settings: &D::Settings,
    path_now: impl Fn(&Path) -> PathBuf,
) -> Vec<(&'static str, PathBuf)> {
    let snapshot = D::process(settings).snapshot.as_ref();
    let snapshot = snapshot.map(|snapshot| (snapshot::KEY, snapshot.path.clone()));
    let others = D::written_files(settings);
    let all = snapshot.into_iter().chain(others);
    all.map(|(key, path)| (key, path_now(&path))).collect()
}

/// Checks that regular files can be written, and that none, under its final or its
/// temporary name, replaces one with another purpose, even if that has another path.
///
/// # Errors
///
/// The first path for which this fails.
pub(super) fn check(read: &[Read], written: &[(&'static str, PathBuf)]) -> Result<(), Diagnostic> {
    for (key, path) in written {
        files::require_place(path)
            .map_err(|error| Diagnostic::error(*key, format!("{}: {error}", path.display())))?;
    }
    require_distinct(read, written)
}

fn require_distinct(read: &[Read], written: &[(&'static str, PathBuf)]) -> Result<(), Diagnostic> {
    let mut taken: Vec<(&str, Identity)> = Vec::new();
    let of_written: Vec<_> = written
        .iter()
        .map(|(key, _)| format!("also the file of {key}"))
        .collect();
    for one in read {
        taken.push((&one.said, one.identity.clone()));
    }
    for ((key, path), said) in written.iter().zip(&of_written) {
        let temporary = files::temporary(path);
        let places = [
            (path, ""),
            (&temporary, ", its temporary name while it is written,"),
        ];
        for (place, by) in places {
            let identity = Identity::of(place);
            if let Some((said, _)) = taken.iter().find(|(_, other)| identity.is_same(other)) {
                let text = format!(
                    "{}{by} is {said}, which would be overwritten; use a separate file",
                    place.display()
                );
                return Err(Diagnostic::error(*key, text));
            }
            let parent = Identity::of(files::directory(place));
            let is_in = |one: &&Read| one.is_list && one.identity.is_same(&parent);
            if let Some(Read { said, .. }) = read.iter().find(is_in) {
                let text = format!(
                    "{}{by} is in a directory that is {said}, as which it would be read; use \
                     another directory",
                    place.display()
                );
                return Err(Diagnostic::error(*key, text));
            }
        }
        taken.extend(places.map(|(place, _)| (said.as_str(), Identity::of(place))));
    }
    Ok(())
}
