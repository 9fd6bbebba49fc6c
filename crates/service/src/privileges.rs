//! Dropping of privileges, before anything is read from the network.
//!
//! In the main thread and before any other exists, root directory, supplementary groups,
//! group and user are changed as configured; then all capabilities are dropped, also from
//! the bounding set where that is allowed, and no_new_privs keeps them from being regained.
//!
//! Paths of files that are used while the service runs (access list, snapshot) are always
//! resolved after this, also the first time. So with a chroot they refer to the same file
//! inside it at startup, at a reload and at shutdown.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::unistd::{self, Gid, Group, Uid, User};

use crate::config::{Diagnostic, PrivilegesConfig};

const USER: &str = "privileges.user";
const GROUP: &str = "privileges.group";
const ROOT: &str = "privileges.chroot_path";

/// The user, groups and root directory to switch to, with names resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    identity: Option<Identity>,
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    root: Option<PathBuf>,
    user: Uid,
    group: Gid,
    /// Further groups.
    groups: Vec<Gid>,
}

impl Target {
    /// Looks up user and group, and checks that the process may change to them.
    ///
    /// # Errors
    ///
    /// When there is no such user, group or directory, or the process was not
    /// started as root; the message names the key.
    pub(crate) fn find(config: &PrivilegesConfig) -> anyhow::Result<Self> {
        if !config.drop_privileges {
            return Ok(Self { identity: None });
        }
        let user = User::from_name(&config.user)
            .with_context(|| format!("privileges.user: cannot look up \"{}\"", config.user))?
            .ok_or_else(|| wrong(USER, format!("there is no user \"{}\"", config.user)))?;
        let group = Group::from_name(&config.group)
            .with_context(|| format!("privileges.group: cannot look up \"{}\"", config.group))?
            .ok_or_else(|| wrong(GROUP, format!("there is no group \"{}\"", config.group)))?;
        if user.uid.is_root() {
            let name = &config.user;
            let text = format!("\"{name}\" is root; configure an unprivileged user");
            return Err(wrong(USER, text).into());
        }
        if let Some(root) = config.chroot() {
            let metadata = fs::metadata(root)
                .map_err(|error| wrong(ROOT, format!("cannot use {}: {error}", root.display())))?;
            if !metadata.is_dir() {
                let text = format!("{} is not a directory", root.display());
                return Err(wrong(ROOT, text).into());
            }
        }
        Ok(Self {
            identity: Some(Identity {
                root: config.chroot().map(Path::to_owned),
                user: user.uid,
                group: group.gid,
                groups: Vec::new(),
            }),
        })
    }

    /// The user with this name and its groups, as in a service of systemd; `None` if it
    /// does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be looked up.
    pub(crate) fn named(name: &str) -> anyhow::Result<Option<Self>> {
        let context = || format!("cannot look up the user \"{name}\"");
        let Some(user) = User::from_name(name).with_context(context)? else {
            return Ok(None);
        };
        let name = CString::new(name)?;
        let groups = unistd::getgrouplist(&name, user.gid).with_context(context)?;
        Ok(Some(Self {
            identity: Some(Identity {
                root: None,
                user: user.uid,
                group: user.gid,
                groups,
            }),
        }))
    }

    /// Whether a different user is configured.
    pub(crate) fn is_change(&self) -> bool {
        self.identity.is_some()
    }

    /// Whether this process may switch to another user.
    pub(crate) fn is_reachable(&self) -> bool {
        unistd::geteuid().is_root()
    }

    /// Warns of a service that stays root.
    pub(crate) fn warn_of_root(&self) {
        if !self.is_change() && self.is_reachable() {
            log::warn!(
                "running as root, although without capabilities; set privileges.drop_privileges \
                 and privileges.user, or start the service as a dedicated user"
            );
        }
    }

    /// Switches to it, and verifies that.
    ///
    /// # Errors
    ///
    /// When any privilege was not dropped; the process must exit.
    pub(crate) fn become_it(&self) -> anyhow::Result<()> {
        ensure_single_thread()?;
        if let Some(identity) = &self.identity {
            if !self.is_reachable() {
                let text =
                    "only root can switch to another user; start as root, or set it to false";
                return Err(wrong("privileges.drop_privileges", text).into());
            }
            if let Some(root) = &identity.root {
                change_root(root)?;
            }
            drop_bounding_set();
            change_identity(identity)?;
        } else {
            drop_bounding_set();
        }
        drop_capabilities()?;
        prctl::set_no_new_privs().context("cannot set no_new_privs")?;
        Ok(())
    }
}

fn wrong(key: &str, message: impl fmt::Display) -> Diagnostic {
    Diagnostic::error(key, message)
}

/// Capabilities belong to threads: with a second one, dropping them in this one
/// would not be enough.
fn ensure_single_thread() -> anyhow::Result<()> {
    match fs::read_dir("/proc/self/task") {
        Ok(threads) => {
            let count = threads.count();
            ensure!(
                count == 1,
                "cannot drop privileges: {count} threads exist already"
            );
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            log::debug!("cannot count threads without /proc");
            Ok(())
        }
        Err(error) => Err(error).context("cannot count threads"),
    }
}

fn change_root(root: &Path) -> anyhow::Result<()> {
    let context = || {
        format!(
            "privileges.chroot_path: cannot change to {}",
            root.display()
        )
    };
    unistd::chroot(root).with_context(context)?;
    // A working directory outside would allow to escape from the chroot.
    unistd::chdir("/").with_context(context)
}

fn change_identity(identity: &Identity) -> anyhow::Result<()> {
    let Identity {
        user,
        group,
        ref groups,
        ..
    } = *identity;
    unistd::setgroups(groups).context("cannot change supplementary groups")?;
    unistd::setresgid(group, group, group)
        .with_context(|| format!("privileges.group: cannot switch to group {group}"))?;
    unistd::setresuid(user, user, user)
        .with_context(|| format!("privileges.user: cannot switch to user {user}"))?;

    let users = unistd::getresuid().context("cannot read back the user")?;
    let groups = unistd::getresgid().context("cannot read back the group")?;
    ensure!(
        [users.real, users.effective, users.saved] == [user; 3]
            && [groups.real, groups.effective, groups.saved] == [group; 3],
        "the user and group did not change"
    );
    Ok(())
}

/// Requires CAP_SETPCAP, so it is done before the change of the user, and skipped in
/// processes that never had that capability: no_new_privs has the same effect.
fn drop_bounding_set() {
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false)
        && let Err(error) = caps::clear(None, CapSet::Bounding)
    {
        log::warn!("cannot clear the bounding set of capabilities: {error}");
    }
}

fn drop_capabilities() -> anyhow::Result<()> {
    // Kernels before 4.3 and some sandboxes have no ambient set.
    if let Err(error) = caps::clear(None, CapSet::Ambient) {
        log::debug!("cannot clear the ambient set of capabilities: {error}");
    }
    for set in [CapSet::Effective, CapSet::Inheritable, CapSet::Permitted] {
        // Hardened units forbid the system call that clears a set (capset is
        // among systemd's @privileged), but they start without capabilities.
        let present = caps::read(None, set).context("cannot read capabilities")?;
        if present.is_empty() {
            continue;
        }
        caps::clear(None, set).with_context(|| format!("cannot clear capabilities ({set:?})"))?;
        let left = caps::read(None, set).context("cannot read capabilities back")?;
        ensure!(left.is_empty(), "capabilities remain ({set:?}): {left:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default names.
    fn config() -> PrivilegesConfig {
        PrivilegesConfig {
            drop_privileges: true,
            ..PrivilegesConfig::default()
        }
    }

    fn error(change: impl FnOnce(&mut PrivilegesConfig)) -> String {
        let mut config = config();
        change(&mut config);
        format!("{:#}", Target::find(&config).unwrap_err())
    }

    #[test]
    fn names_are_looked_up() {
        let target = Target::find(&config()).unwrap();
        let identity = target.identity.unwrap();
        assert_eq!(identity.user.as_raw(), 65534);
        assert_eq!(identity.group.as_raw(), 65534);
        let kept = Target::find(&PrivilegesConfig::default()).unwrap();
        assert_eq!(kept.identity, None);
    }

    #[test]
    fn what_does_not_exist_is_named_with_its_key() {
        assert_eq!(
            error(|config| config.user = "nobody-here".to_owned()),
            "privileges.user: there is no user \"nobody-here\""
        );
        assert_eq!(
            error(|config| config.group = "nobody-here".to_owned()),
            "privileges.group: there is no group \"nobody-here\""
        );
        assert!(error(|config| config.user = "root".to_owned()).contains("is root; configure"));
        let text = error(|config| config.chroot_path = "/nonexistent".into());
        assert!(text.starts_with("privileges.chroot_path: "), "{text}");
        let text = error(|config| config.chroot_path = "/etc/passwd".into());
        assert!(text.ends_with("is not a directory"), "{text}");
    }

    #[test]
    fn a_second_thread_is_an_error() {
        // The test runner has more than one thread.
        let handle = std::thread::spawn(std::thread::park);
        let error = ensure_single_thread().unwrap_err().to_string();
        assert!(error.contains("threads exist already"), "{error}");
        handle.thread().unpark();
        handle.join().unwrap();
    }
}
