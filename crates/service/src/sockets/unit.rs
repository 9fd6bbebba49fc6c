//! The socket unit of the service manager, and its differences from the configuration.

use std::env;
use std::fmt::{self, Write as _};

use super::*;

/// Environment variable that is set by units whose sockets have their addresses from the
/// configuration: the name of the socket unit.
pub(crate) const SOCKET_UNIT: &str = "AQUATIC_SOCKET_UNIT";

/// The name of the socket unit that has its addresses from the configuration, if there is
/// one.
pub(super) fn socket_unit() -> Option<String> {
    env::var(SOCKET_UNIT).ok()
}

/// The unit from which sockets were inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SocketUnit {
    /// A unit that has its addresses from the configuration of the daemon.
    Generated(String),
    /// A unit written by an operator; its name is not known.
    Written,
}

impl SocketUnit {
    /// Determines the unit from the name of an inherited socket, which is the name of its
    /// unit by default.
    pub(super) fn of(name: &str) -> Self {
        match socket_unit() {
            Some(unit) if unit == name => Self::Generated(unit),
            _ => Self::Written,
        }
    }
}

/// Warnings about differences between inherited and configured sockets, and how to resolve
/// them.
pub(super) fn differences<S>(
    wanted: &[SocketAddr],
    workers: Option<NonZeroUsize>,
    directive: &str,
    found: &[(SocketAddr, Vec<Bound<S>>)],
    unit: &SocketUnit,
) -> Vec<String> {
    let inherited: Vec<SocketAddr> = found.iter().map(|(address, _)| *address).collect();
    let missing: Vec<SocketAddr> = wanted
        .iter()
        .copied()
        .filter(|address| !inherited.contains(address))
        .collect();
    let is_ipv6_missing = !inherited.is_empty()
        && missing.iter().all(SocketAddr::is_ipv6)
        && inherited.iter().all(SocketAddr::is_ipv4)
        && inherited.len() + missing.len() == wanted.len();
    let mut texts = Vec::new();
    // The socket unit leaves out addresses that the kernel does not support, which a
    // restart would not change.
    let left_out = (is_ipv6_missing && !missing.is_empty() && families::has_kernel_no_ipv6())
        .then(|| left_out(&inherited, wanted));
    if left_out.is_none() && (inherited.len() != wanted.len() || !missing.is_empty()) {
        let mut text = format!(
            "using the sockets inherited from the service manager ({}), not the configured \
             addresses ({})",
            families::in_words(&inherited),
            families::in_words(wanted),
        );
        if is_ipv6_missing {
            let _ = write!(
                text,
                "; if this machine does not support IPv6, set address = {}",
                families::in_toml(&inherited)
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
                "; set {directive} in the socket unit, with ReusePort=yes, once per address and \
                 worker"
            ),
        });
    }
    texts.extend(left_out);
    texts
}

/// The difference in the number of inherited sockets, if the number of workers is
/// configured.
fn difference_in_number<S>(
    workers: NonZeroUsize,
    found: &[(SocketAddr, Vec<Bound<S>>)],
    unit: &SocketUnit,
) -> Option<String> {
    let count: usize = found.iter().map(|(_, sockets)| sockets.len()).sum();
    if count < workers.get() {
        return Some(format!(
            "{workers} socket workers are configured, but only {count} sockets were inherited: \
             starting {count}"
        ));
    }
    if *unit == SocketUnit::Written {
        return None;
    }
    let (address, sockets) = found
        .iter()
        .find(|(_, sockets)| sockets.len() != workers.get())?;
    Some(format!(
        "{workers} socket workers are configured, but {} sockets were inherited for {address}",
        sockets.len()
    ))
}

/// The difference between the numbers of sockets of addresses, if the number of workers
/// is not configured.
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
        "{} sockets were inherited for {first}, but {} for {other}",
        sockets.len(),
        others.len()
    ))
}

/// The command that applies the configuration to a socket unit.
pub(super) fn mend(unit: &str) -> String {
    format!("run `systemctl daemon-reload && systemctl restart {unit}` to apply the configuration")
}

/// Fails if sockets should have been inherited from a socket unit: systemd closes them when
/// its addresses change, until the unit is started again. A service with such a unit is not
/// allowed to bind sockets itself.
pub(super) fn may_bind() -> Result<(), NoSockets> {
    match socket_unit() {
        Some(unit) => Err(NoSockets { unit }),
        None => Ok(()),
    }
}

/// No sockets were inherited from the socket unit, although it has its addresses from the
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
            "no sockets were inherited from {unit}, which happens when its addresses have changed: \
             {}",
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
        let expected = "2 sockets were inherited for 127.0.0.1:1, but 3 for 127.0.0.1:2; \
                        run `systemctl ";
        assert!(texts.len() == 1 && texts[0].contains(expected), "{texts:?}");
    }
}
