//! `--check-config`: everything that can fail at start, but for the sockets,
//! which a running instance has.

use std::path::{Path, PathBuf};

use crate::access_list::AccessList;
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
    for warning in D::warnings(settings) {
        log::warn!("{warning}");
    }
    let target = Target::find(process.privileges.as_ref())?;
    if target.is_change() && target.is_reachable() {
        target.become_it()?;
    } else if target.is_change() {
        log::warn!(
            "not started as root, so the change of the user was not tried, \
             and files were looked at as the present user"
        );
        look_from_outside(&mut process);
    }
    let list = AccessList::load(&process.access_list)?;
    if !list.is_off() && list.is_empty() {
        log::warn!("the access list is empty");
    }
    if let Some(snapshot) = &process.snapshot {
        snapshot::check_writable(&snapshot.path)?;
    }
    log::info!("the configuration is good");
    Ok(())
}

/// Paths of files as they are called when the root directory did not change.
fn look_from_outside(process: &mut ProcessSettings) {
    let Some(root) = process
        .privileges
        .as_ref()
        .and_then(|privileges| privileges.chroot_path.as_deref())
    else {
        return;
    };
    match &mut process.access_list {
        AccessListSettings::Off => (),
        AccessListSettings::Allow(path) | AccessListSettings::Deny(path) => {
            *path = outside(root, path);
        }
    }
    if let Some(snapshot) = &mut process.snapshot {
        snapshot.path = outside(root, &snapshot.path);
    }
}

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
