//! The socket unit of the service manager, and what makes it have what the
//! configuration says.

use std::env;
use std::fmt::{self, Write as _};

use super::*;

/// Set by units whose sockets have their addresses from the configuration: the
/// name of the socket unit.
pub(crate) const SOCKET_UNIT: &str = "AQUATIC_SOCKET_UNIT";

/// The socket unit that has its addresses from the configuration, if there is
/// one.
pub(super) fn socket_unit() -> Option<String> {
    env::var(SOCKET_UNIT).ok()
}

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
        match socket_unit() {
            Some(unit) if unit == name => Self::Generated(unit),
            _ => Self::Written,
        }
    }
}

/// What differs between the sockets that were passed and those that are
/// configured, and what would make them agree.
pub(super) fn differences<S>(
    wanted: &[SocketAddr],
    workers: Option<NonZeroUsize>,
    directive: &str,
    found: &[(SocketAddr, Vec<Bound<S>>)],
    unit: &SocketUnit,
) -> Vec<String> {
    let passed: Vec<SocketAddr> = found.iter().map(|(address, _)| *address).collect();
    let missing: Vec<SocketAddr> = wanted
        .iter()
        .copied()
        .filter(|address| !passed.contains(address))
        .collect();
    let is_ipv6_missing = !passed.is_empty()
        && missing.iter().all(SocketAddr::is_ipv6)
        && passed.iter().all(SocketAddr::is_ipv4)
        && passed.len() + missing.len() == wanted.len();
    let mut texts = Vec::new();
    // The socket unit leaves out what the kernel does not have, which no restart
    // would bring.
    let left_out = (is_ipv6_missing && !missing.is_empty() && families::has_kernel_no_ipv6())
        .then(|| left_out(&passed, wanted));
    if left_out.is_none() && (passed.len() != wanted.len() || !missing.is_empty()) {
        let mut text = format!(
            "serving the sockets that the service manager passed ({}), \
             not the addresses of the configuration ({})",
            families::in_words(&passed),
            families::in_words(wanted),
        );
        if is_ipv6_missing {
            let _ = write!(
                text,
                "; if this machine has no IPv6, write address = {}",
                families::in_toml(&passed)
            );
        }
        texts.push(text);
    }
    texts.extend(match workers {
        Some(workers) => difference_in_number(workers, found, unit),
        None => difference_between_numbers(found, unit),
    });
    for text in &mut texts {
        text.push_str(&match unit {
            SocketUnit::Generated(unit) => format!("; {}", mend(unit)),
            SocketUnit::Written => format!(
                "; write {directive} into the socket unit, with ReusePort=yes, \
                 for each address once for each worker"
            ),
        });
    }
    texts.extend(left_out);
    texts
}

/// What is wrong with how many sockets were passed, when the configuration says
/// how many there should be for each address.
fn difference_in_number<S>(
    workers: NonZeroUsize,
    found: &[(SocketAddr, Vec<Bound<S>>)],
    unit: &SocketUnit,
) -> Option<String> {
    let count: usize = found.iter().map(|(_, sockets)| sockets.len()).sum();
    if count < workers.get() {
        return Some(format!(
            "{workers} socket workers are configured, but the service manager passed only {count} \
             sockets: starting {count}"
        ));
    }
    if *unit == SocketUnit::Written {
        return None;
    }
    let (address, sockets) = found
        .iter()
        .find(|(_, sockets)| sockets.len() != workers.get())?;
    Some(format!(
        "{workers} socket workers are configured, but the service manager passed {} sockets \
         for {address}",
        sockets.len()
    ))
}

/// What is wrong with how many sockets were passed, when any number is right.
fn difference_between_numbers<S>(
    found: &[(SocketAddr, Vec<Bound<S>>)],
    unit: &SocketUnit,
) -> Option<String> {
    if *unit == SocketUnit::Written {
        return None;
    }
    let ((first, sockets), rest) = found.split_first()?;
    let (other, others) = rest
        .iter()
        .find(|(_, others)| others.len() != sockets.len())?;
    Some(format!(
        "the service manager passed {} sockets for {first}, but {} for {other}",
        sockets.len(),
        others.len()
    ))
}

/// What makes a socket unit have what its daemon's configuration says.
pub(super) fn mend(unit: &str) -> String {
    format!("`systemctl daemon-reload && systemctl restart {unit}` makes them agree")
}

/// Fails when a socket unit should have passed sockets: it loses them when its
/// addresses change under it, until it is started again. A service that has such
/// a unit is confined to what it is passed, so none can be opened here.
pub(super) fn may_bind() -> Result<(), NoSockets> {
    match socket_unit() {
        Some(unit) => Err(NoSockets { unit }),
        None => Ok(()),
    }
}

/// The socket unit has passed no sockets, though it has its addresses from the
/// configuration.
#[derive(Debug)]
pub(crate) struct NoSockets {
    unit: String,
}

impl fmt::Display for NoSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit } = self;
        write!(
            f,
            "{unit} passed no sockets, as it does when its addresses have changed: {}",
            mend(unit)
        )
    }
}

impl std::error::Error for NoSockets {}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(workers: Option<usize>, counts: &[usize], unit: &SocketUnit) -> Vec<String> {
        let addresses: Vec<SocketAddr> = (1..)
            .map(|port| ([127, 0, 0, 1], port).into())
            .take(counts.len())
            .collect();
        let found: Vec<_> = addresses
            .iter()
            .zip(counts)
            .map(|(&address, &count)| {
                let sockets = (0..count).map(|_| Bound {
                    address,
                    socket: (),
                });
                (address, sockets.collect())
            })
            .collect();
        let workers = workers.map(|count| NonZeroUsize::new(count).unwrap());
        differences(&addresses, workers, "ListenDatagram=", &found, unit)
    }

    #[test]
    fn only_a_number_that_the_file_states_is_compared() {
        let unit = SocketUnit::Generated("a.socket".to_owned());
        for count in [1, 2, 64] {
            for unit in [&unit, &SocketUnit::Written] {
                assert_eq!(texts(None, &[count, count], unit), [""; 0]);
                assert_eq!(texts(Some(count), &[count, count], unit), [""; 0]);
            }
            let [text] = &texts(Some(3), &[count], &unit)[..] else {
                panic!("{count}");
            };
            assert!(
                text.starts_with("3 socket workers are configured"),
                "{text}"
            );
            assert!(text.ends_with(&mend("a.socket")), "{text}");
        }
        let texts = texts(None, &[2, 3], &unit);
        let expected = "passed 2 sockets for 127.0.0.1:1, but 3 for 127.0.0.1:2; `systemctl ";
        assert!(texts.len() == 1 && texts[0].contains(expected), "{texts:?}");
    }
}
