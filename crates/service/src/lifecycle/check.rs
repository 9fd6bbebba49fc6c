//! `--check-config`: everything that can fail at start, but for the sockets,
//! which a running instance has.

use std::path::{Path, PathBuf};

use super::Misconfigured;
use crate::access_list::{self, AccessList};
use crate::config::{AccessListSettings, ProcessSettings};
use crate::privileges::Target;
use crate::{Daemon, snapshot};

/// Checks settings that are valid in themselves against this machine.
///
/// When the configuration says what to become, and the check is started as
/// root, it becomes that, and looks at the files with the service's eyes.
pub(super) fn check<D: Daemon>(settings: &D::Settings) -> anyhow::Result<()> {
    let mut process = D::process(settings).clone();
    for warning in &process.advice {
        log::warn!("{warning}");
    }
    for note in D::notes(settings) {
        log::info!("{note}");
    }
    let target = Target::find(process.privileges.as_ref())?;
    let mut root = None;
    if target.is_change() && target.is_reachable() {
        target.become_it()?;
    } else if target.is_change() {
        log::warn!(
            "not started as root, so the change of the user was not tried, \
             and files were looked at as the present user"
        );
        root = process
            .privileges
            .as_ref()
            .and_then(|privileges| privileges.chroot_path.clone());
    }
    let path_now = |path: &Path| match &root {
        Some(root) => outside(root, path),
        None => path.to_owned(),
    };
    look_at(&mut process, path_now);
    D::check(settings, &path_now)?;
    let list = AccessList::load(&process.access_list, None)
        .map_err(|error| Misconfigured::new(access_list::KEY, error))?;
    if !list.is_off() && list.is_empty() {
        log::warn!("the access list is empty");
    }
    if let Some(snapshot) = &process.snapshot {
        // The service serves all the same, and so a reload must not fail of it.
        if let Some(reason) = snapshot::check_writable(&snapshot.path)? {
            log::warn!("nothing will be saved: {}: {reason}", snapshot::KEY);
        }
    }
    log::info!("the configuration is good");
    Ok(())
}

/// Paths of files as they are called now.
fn look_at(process: &mut ProcessSettings, path_now: impl Fn(&Path) -> PathBuf) {
    match &mut process.access_list {
        AccessListSettings::Off => (),
        AccessListSettings::Allow(path) | AccessListSettings::Deny(path) => {
            *path = path_now(path);
        }
    }
    if let Some(snapshot) = &mut process.snapshot {
        snapshot.path = path_now(&snapshot.path);
    }
}

/// Where a file is when the root directory did not change to `root`.
fn outside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_the_new_root() {
        assert_eq!(
            outside(Path::new("/srv/jail"), Path::new("/lists/allow")),
            Path::new("/srv/jail/lists/allow")
        );
        assert_eq!(
            outside(Path::new("/srv/jail"), Path::new("allow")),
            Path::new("/srv/jail/allow")
        );
    }
}
