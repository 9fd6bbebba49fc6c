//! `--check-config`: everything that can fail at start, but for the sockets,
//! which a running instance has.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;
use nix::unistd::{self, User};

use super::named_files;
use crate::access_list::{self, AccessList};
use crate::config::{AccessListSettings, Diagnostic, ProcessSettings};
use crate::files::{self, Identity};
use crate::privileges::Target;
use crate::sockets::{self, Listening, SOCKET_UNIT};
use crate::{Daemon, neighbours, snapshot};

/// The user that packages run services as.
const SERVICE_USER: &str = "aquatic";

/// The key of the addresses.
const ADDRESS: &str = "network.address";

/// What is to be checked.
pub(super) struct Subject<'a, D: Daemon> {
    /// Settings that are valid in themselves.
    pub(super) settings: &'a D::Settings,
    /// What they say about sockets.
    pub(super) listening: &'a Listening,
    /// The file that they come from, if any.
    pub(super) path: Option<&'a Path>,
}

/// Checks settings that are valid in themselves against this machine.
///
/// When the check is started as root, it becomes what the service does, be it root
/// without capabilities, and looks at the files with the service's eyes.
///
/// A packaged service has its user from its unit instead; when root asks, files are
/// looked at as that one, because root can read what the service cannot.
pub(super) fn check<D: Daemon>(subject: &Subject<'_, D>) -> anyhow::Result<()> {
    let settings = subject.settings;
    let mut process = D::process(settings).clone();
    for note in D::notes(settings) {
        log::info!("{note}");
    }
    if env::var_os(SOCKET_UNIT).is_none() {
        // A service that has a socket unit has no network to be looked at.
        addresses(subject.listening)?;
    }
    // By this name, it is not there when the root directory has changed.
    let configuration = subject.path.map(Identity::of);
    let mut target = Target::find(process.privileges.as_ref())?;
    let is_packaged = subject.path.is_some_and(neighbours::is_packaged);
    if is_packaged
        && !target.is_change()
        && target.is_reachable()
        && let Some(service) = Target::named(SERVICE_USER)?
    {
        log::info!("looking at files as the user {SERVICE_USER}, as the service does");
        target = service;
    }
    let mut root = None;
    let mut has_its_eyes = !is_packaged || is_service_user();
    if target.is_reachable() {
        // Root without its capabilities, as it serves, cannot read everything.
        target.become_it()?;
        has_its_eyes |= target.is_change();
    } else if target.is_change() {
        has_its_eyes = false;
        log::warn!(
            "not started as root, so the change of the user was not tried, \
             and files were looked at as the present user"
        );
        root = process
            .privileges
            .as_ref()
            .and_then(|privileges| privileges.chroot_path.clone());
    }
    if let Some(path) = subject.path.filter(|_| is_packaged && target.is_change()) {
        let readable = File::open(path);
        readable.with_context(|| format!("the service cannot read {}", path.display()))?;
    }
    let path_now = |path: &Path| match &root {
        Some(root) => outside(root, path),
        None => path.to_owned(),
    };
    look_at(&mut process, path_now);
    D::check(settings, &path_now)?;
    let list = AccessList::load(&process.access_list, None)
        .map_err(|error| Diagnostic::error(access_list::KEY, error))?;
    if !list.is_off() && list.is_empty() {
        log::warn!("the access list is empty");
    }
    let read = named_files::read::<D>(settings, configuration, path_now);
    let written = named_files::written::<D>(settings, path_now);
    named_files::check(&read, &written)?;
    writable(&written)?;
    if is_packaged {
        warn_of_places::<D>(&written);
    }
    if let Some(snapshot) = &process.snapshot {
        look_at_snapshot::<D>(&snapshot.path, has_its_eyes)?;
    }
    log::info!("the configuration is good");
    Ok(())
}

/// Looks at addresses as far as that is possible while another process has them.
fn addresses(listening: &Listening) -> anyhow::Result<()> {
    let servable = sockets::servable(&listening.addresses);
    if servable.len() < listening.addresses.len() {
        log::warn!("{}", sockets::left_out(&servable, &listening.addresses));
    }
    for address in &servable {
        if address.ip().is_unspecified() {
            continue;
        }
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        // Nothing is sent. Without SO_BROADCAST, this fails for the broadcast address
        // of any interface (ip(7)).
        let connected = UdpSocket::bind(any).and_then(|socket| socket.connect(address));
        if connected.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            let text = format!(
                "{address} is the broadcast address of a network, which is no machine's own"
            );
            return Err(Diagnostic::error(ADDRESS, text).into());
        }
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
            log::warn!("{ADDRESS}: no network interface has {text} at present");
        }
    }
    Ok(())
}

/// Makes sure that files could be written.
fn writable(written: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    for (key, path) in written {
        // That of the snapshot is looked at already.
        if *key != snapshot::KEY {
            probe(path).map_err(|error| {
                let text = format!(
                    "cannot create files beside {}, as the user of the service must: {error}",
                    path.display()
                );
                Diagnostic::error(*key, text)
            })?;
        }
    }
    Ok(())
}

/// Whether this process runs as the user of packaged services.
fn is_service_user() -> bool {
    let user = User::from_uid(unistd::geteuid());
    matches!(user, Ok(Some(user)) if user.name == SERVICE_USER)
}

/// Looks at the snapshot as the start will. Only the service can read it.
fn look_at_snapshot<D: Daemon>(path: &Path, has_its_eyes: bool) -> anyhow::Result<()> {
    let opened = files::open_regular(path);
    let is_denied = opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    if is_denied && !has_its_eyes {
        log::warn!(
            "{}: this user cannot read {}, so it was not looked at",
            snapshot::KEY,
            path.display()
        );
    } else {
        snapshot::inspect(path, D::NAME, D::SNAPSHOT_VERSION)?;
    }
    // The service serves all the same, and so a reload must not fail of it.
    if let Some(reason) = snapshot::check_writable(path)? {
        log::warn!("nothing will be saved: {}: {reason}", snapshot::KEY);
    }
    Ok(())
}

/// Creates and removes a file beside `path`.
fn probe(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".check-{}", process::id()));
    let file = PathBuf::from(name);
    File::create_new(&file)?;
    fs::remove_file(&file)
}

/// The packaged unit lets its service write to one directory only.
fn warn_of_places<D: Daemon>(written: &[(&str, PathBuf)]) {
    let state = Path::new("/var/lib").join(D::NAME);
    for (key, path) in written.iter().filter(|(_, path)| !path.starts_with(&state)) {
        log::warn!(
            "{key}: the packaged service may write below {} only, unless ReadWritePaths= of a \
             drop-in allows it {}",
            state.display(),
            path.display()
        );
    }
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
