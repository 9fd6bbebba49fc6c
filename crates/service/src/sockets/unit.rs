//! The socket unit of the service manager, and what makes it have what the
//! configuration says.

use std::env;

use anyhow::bail;

use super::*;

/// Set by units whose sockets have their addresses from the configuration: the
/// name of the socket unit.
pub(super) const SOCKET_UNIT: &str = "AQUATIC_SOCKET_UNIT";

/// The unit that passed sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SocketUnit {
    /// One that has its addresses from the configuration of the daemon.
    Generated(String),
    /// One that somebody has written; its name is not known.
    Written,
}

impl SocketUnit {
    /// What the name of a passed socket says: by default, that is its unit's.
    pub(super) fn of(name: &str) -> Self {
        match env::var(SOCKET_UNIT) {
            Ok(unit) if unit == name => Self::Generated(unit),
            _ => Self::Written,
        }
    }
}

/// What differs between the sockets that were passed and those that are
/// configured, and what would make them agree.
pub(super) fn differences<S>(
    wanted: &[SocketAddr],
    workers: NonZeroUsize,
    directive: &str,
    found: &[(SocketAddr, Vec<Bound<S>>)],
    unit: &SocketUnit,
) -> Vec<String> {
    let mut texts = Vec::new();
    let wanted: Vec<_> = servable(wanted).collect();
    let same =
        wanted.len() == found.len() && found.iter().all(|(address, _)| wanted.contains(address));
    if !same {
        let list = |addresses: &mut dyn Iterator<Item = SocketAddr>| {
            let texts: Vec<_> = addresses.map(|address| address.to_string()).collect();
            texts.join(", ")
        };
        texts.push(format!(
            "serving the sockets that the service manager passed ({}), \
             not the addresses of the configuration ({})",
            list(&mut found.iter().map(|(address, _)| *address)),
            list(&mut wanted.iter().copied()),
        ));
    }
    let count: usize = found.iter().map(|(_, sockets)| sockets.len()).sum();
    if count < workers.get() {
        texts.push(format!(
            "{workers} socket workers are configured, but the service manager passed only {count} \
             sockets: starting {count}"
        ));
    } else if let SocketUnit::Generated(_) = unit
        && let Some((address, sockets)) = found
            .iter()
            .find(|(_, sockets)| sockets.len() != workers.get())
    {
        texts.push(format!(
            "{workers} socket workers are configured, but the service manager passed {} sockets \
             for {address}",
            sockets.len()
        ));
    }
    for text in &mut texts {
        text.push_str(&match unit {
            SocketUnit::Generated(unit) => format!("; {}", mend(unit)),
            SocketUnit::Written => format!(
                "; write {directive} into the socket unit, with ReusePort=yes, \
                 for each address once for each worker"
            ),
        });
    }
    texts
}

/// What makes a socket unit have what its daemon's configuration says.
pub(super) fn mend(unit: &str) -> String {
    format!("`systemctl daemon-reload && systemctl restart {unit}` makes them agree")
}

/// Fails when a socket unit should have passed sockets: it loses them when its
/// addresses change under it, until it is started again. A service that has such
/// a unit is confined to what it is passed, so none can be opened here.
pub(super) fn may_bind() -> anyhow::Result<()> {
    if let Ok(unit) = env::var(SOCKET_UNIT) {
        bail!(
            "{unit} passed no sockets, as it does when its addresses have changed: {}",
            mend(&unit)
        );
    }
    Ok(())
}
