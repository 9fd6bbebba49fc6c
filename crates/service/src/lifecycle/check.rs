//! `--check-config`: everything that can fail at startup, except opening the sockets,
//! which a running instance may be using.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;
use nix::unistd::{self, User};

use super::named_files;
use crate::config::{Diagnostic, Faults, PrivilegesConfig, Sources};
use crate::files;
use crate::lists::Contents;
use crate::privileges::Target;
use crate::sockets::{self, ADDRESS, Listening, SOCKET_UNIT};
use crate::{Daemon, neighbours, snapshot};

/// The user that packages run services as.
const SERVICE_USER: &str = "aquatic";

/// What is to be checked.
pub(super) struct Subject<'a, D: Daemon> {
    /// Settings that are valid in themselves.
    pub(super) settings: &'a D::Settings,
    /// What they say about sockets.
    pub(super) listening: &'a Listening,
    /// What they come from.
    pub(super) sources: &'a Sources,
}

/// Checks settings that are valid in themselves against this machine, and reports all
/// errors, not only the first one.
///
/// When run by root, the check switches to the user of the service (possibly root
/// without capabilities) and accesses files with its permissions.
///
/// The user of a packaged service is set by its unit; when run by root, files are
/// accessed as that user, because root can read files that the service cannot.
pub(super) fn check<D: Daemon>(subject: &Subject<'_, D>) -> Result<(), Faults> {
    let settings = subject.settings;
    let process = D::process(settings);
    let mut faults = Faults::default();
    for note in D::notes(settings) {
        log::info!("{note}");
    }
    let is_packaged = subject.sources.path().is_some_and(neighbours::is_packaged);
    if env::var_os(SOCKET_UNIT).is_none() {
        // A service with a socket unit has no network access.
        addresses(subject.listening, is_packaged, &mut faults);
    }
    // After a chroot, these paths are not valid any more.
    let configuration = subject.sources.paths();
    let identities = subject.sources.identities();
    // If the user is wrong, files are accessed as the current one.
    let access = faults
        .keep(Access::of_service(&process.privileges, is_packaged))
        .unwrap_or_else(|| Access::of_this_process(&process.privileges));
    if is_packaged && access.is_changed {
        for path in &configuration {
            faults.keep(require_readable(path));
        }
    }
    let path_now = |path: &Path| match &access.root {
        Some(root) => outside(root, path),
        None => path.to_owned(),
    };
    faults.0.extend(D::check(settings, &path_now).0);
    let mut lists = process.lists.clone();
    lists.resolve(&path_now);
    let lists = Contents::load(&lists, None);
    let lists = lists.map_err(|error| Diagnostic::error(error.key, error));
    for warning in faults.keep(lists).iter().flat_map(Contents::warnings) {
        log::warn!("{warning}");
    }
    let read = named_files::read::<D>(settings, identities, path_now);
    let written = named_files::written::<D>(settings, path_now);
    let are_usable = faults.keep(named_files::check(&read, &written)).is_some();
    for (key, path) in written.iter().filter(|_| are_usable) {
        faults.keep(require_writable(key, path));
    }
    if is_packaged {
        warn_of_places::<D>(&written);
    }
    if let Some(snapshot) = process.snapshot.as_ref().filter(|_| are_usable) {
        let path = path_now(&snapshot.path);
        faults.keep(check_snapshot::<D>(&path, access.is_that_of_service));
    }
    if faults.0.is_empty() {
        log::info!("the configuration is valid");
        Ok(())
    } else {
        Err(faults)
    }
}

/// As whom, and where, the files of the service are accessed.
struct Access {
    /// Whether another user than the current one is configured, or implied by a package.
    is_changed: bool,
    /// Whether this process has the permissions of the service.
    is_that_of_service: bool,
    /// The root directory of the service, unless it is that of this process.
    root: Option<PathBuf>,
}

impl Access {
    /// Switches to the user of the service, if that is possible.
    ///
    /// # Errors
    ///
    /// The configured user, group or root directory cannot be used.
    fn of_service(privileges: &PrivilegesConfig, is_packaged: bool) -> anyhow::Result<Self> {
        let mut target = Target::find(privileges)?;
        if is_packaged
            && !target.is_change()
            && target.is_reachable()
            && let Some(service) = Target::named(SERVICE_USER)?
        {
            log::info!("accessing files as the user {SERVICE_USER}, like the service");
            target = service;
        }
        let is_changed = target.is_change();
        if target.is_reachable() {
            let is_that_of_service = !is_packaged || is_service_user() || is_changed;
            // Root without capabilities, as when serving, cannot read all files.
            target.become_it()?;
            return Ok(Self {
                is_changed,
                is_that_of_service,
                root: None,
            });
        }
        if is_changed {
            log::warn!(
                "not running as root, so switching to the configured user was not tested, and \
                 files were accessed as the current user"
            );
        }
        Ok(Self {
            is_changed,
            is_that_of_service: !is_changed && (!is_packaged || is_service_user()),
            ..Self::of_this_process(privileges)
        })
    }

    /// Switches to no user.
    fn of_this_process(privileges: &PrivilegesConfig) -> Self {
        Self {
            is_changed: false,
            is_that_of_service: false,
            root: privileges.chroot().map(Path::to_owned),
        }
    }
}

/// Checks addresses as far as possible while another process may be using them.
fn addresses(listening: &Listening, is_packaged: bool, faults: &mut Faults) {
    let servable = sockets::servable(&listening.addresses);
    if servable.len() < listening.addresses.len() {
        log::warn!("{}", sockets::left_out(&servable, &listening.addresses));
    }
    for address in &servable {
        if address.ip().is_unspecified() {
            continue;
        }
        faults.keep(sockets::refuse_broadcast(*address));
        let mut own = *address;
        own.set_port(0);
        // netdevice(7): there is no interface of the number behind the address.
        let is_absent = |error: io::Error| {
            error.kind() == io::ErrorKind::AddrNotAvailable
                || error.raw_os_error() == Some(libc::ENODEV)
        };
        if UdpSocket::bind(own).is_err_and(is_absent) {
            let text = own.to_string();
            let text = text.strip_suffix(":0").unwrap_or(&text);
            let text = text.trim_matches(['[', ']']);
            let text = format!("no network interface has {text}");
            // A socket unit of a package opens it nevertheless (`FreeBind=yes`).
            if is_packaged {
                log::warn!("{ADDRESS}: {text}");
            } else {
                faults.0.push(Diagnostic::error(ADDRESS, text));
            }
        }
    }
}

fn require_readable(path: &Path) -> anyhow::Result<()> {
    match File::open(path) {
        // There need not be any drop-ins.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("the service cannot read {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Checks that a file can be written.
fn require_writable(key: &str, path: &Path) -> Result<(), Diagnostic> {
    // The snapshot is checked separately.
    if key == snapshot::KEY {
        return Ok(());
    }
    probe(path).map_err(|error| {
        let text = format!(
            "cannot create files next to {}, which the user of the service must be able to: \
             {error}",
            path.display()
        );
        Diagnostic::error(key, text)
    })
}

/// Whether this process runs as the user of packaged services.
fn is_service_user() -> bool {
    let user = User::from_uid(unistd::geteuid());
    matches!(user, Ok(Some(user)) if user.name == SERVICE_USER)
}

/// Checks the snapshot like the start does. Only the service can read it.
fn check_snapshot<D: Daemon>(path: &Path, has_its_permissions: bool) -> anyhow::Result<()> {
    let opened = files::open_regular(path);
    let is_denied = opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    if is_denied && !has_its_permissions {
        log::warn!(
            "{}: this user cannot read {}, so it was not checked",
            snapshot::KEY,
            path.display()
        );
    } else {
        snapshot::inspect(path, D::NAME, D::SNAPSHOT_VERSION).map_err(|error| match error
            .downcast::<Diagnostic>()
        {
            Ok(error) => error,
            Err(error) => Diagnostic::error(snapshot::KEY, format!("{error:#}")),
        })?;
    }
    // The service can run without, so a reload must not fail because of it.
    if let Some(reason) = snapshot::check_writable(path)? {
        log::warn!("snapshots cannot be written: {}: {reason}", snapshot::KEY);
    }
    Ok(())
}

/// Creates and removes a file in the directory of `path`.
fn probe(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".check-{}", process::id()));
    let file = PathBuf::from(name);
    File::create_new(&file)?;
    fs::remove_file(&file)
}

/// The packaged unit only lets its service write to one directory.
fn warn_of_places<D: Daemon>(written: &[(&str, PathBuf)]) {
    let state = Path::new("/var/lib").join(D::NAME);
    for (key, path) in written.iter().filter(|(_, path)| !path.starts_with(&state)) {
        log::warn!(
            "{key}: the packaged service may only write below {}, unless ReadWritePaths= in a \
             drop-in of the unit allows {}",
            state.display(),
            path.display()
        );
    }
}

/// The path outside of the chroot at `root`.
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
