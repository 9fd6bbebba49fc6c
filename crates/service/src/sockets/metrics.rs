//! The socket of the metrics server.

use super::unit::{mend, socket_unit};
use super::*;

/// The name of an inherited socket for metrics (`FileDescriptorName=`).
pub const METRICS_NAME: &str = "metrics";

/// Backlog of the metrics server. A client whose connection does not fit retries after a
/// second, so there is room for bursts of several programs, as in systemd's sockets. The
/// kernel limits it to net.core.somaxconn, see listen(2).
const METRICS_BACKLOG: i32 = 1_024;

/// The name of the socket unit for metrics of a daemon, if its address comes from the
/// configuration.
pub(crate) fn metrics_unit(daemon: &str) -> String {
    format!("{daemon}-{METRICS_NAME}.socket")
}

/// Takes the inherited listening socket named [`METRICS_NAME`] if there is one, or binds
/// `address`, if given. Warns if the two differ.
///
/// # Errors
///
/// See [`udp`].
pub(crate) fn metrics(
    address: Option<SocketAddr>,
    inherited: &mut Inherited,
) -> anyhow::Result<Option<TcpListener>> {
    let found = inherited.take_listener(METRICS_NAME)?;
    let unit = socket_unit();
    let found_address = found.as_ref().map(|one| one.address);
    if let Some(warning) = difference(address, found_address, unit.as_deref()) {
        log::warn!("metrics.address: {warning}");
    }
    match (found, address, unit) {
        // Metrics were disabled in the configuration after the socket unit was started.
        (Some(_), None, Some(_)) => Ok(None),
        (Some(found), ..) => Ok(Some(found.socket)),
        (None, Some(address), None) => bind(address).map(Some),
        (None, ..) => Ok(None),
    }
}

/// The difference between the inherited and the configured socket. With a `unit`, the
/// inherited one has its address from the configuration at the time when the unit was
/// started.
fn difference(
    wanted: Option<SocketAddr>,
    found: Option<SocketAddr>,
    unit: Option<&str>,
) -> Option<String> {
    let text = match (wanted, found, unit) {
        (Some(wanted), Some(found), _) if wanted != found => format!(
            "metrics are served on the inherited socket {found}, not on {wanted} as configured"
        ),
        (Some(wanted), None, Some(_)) => {
            format!("metrics are not served on {wanted}, because no socket for them was inherited")
        }
        (None, Some(found), Some(_)) => {
            format!("not configured, so the inherited socket {found} is not used")
        }
        _ => return None,
    };
    Some(match (unit, found) {
        (None, _) => format!("{text}; set ListenStream= in the socket unit accordingly"),
        (Some(unit), Some(_)) => format!("{text}; {}", mend(unit)),
        // Unlike the other sockets, this one is not essential for the service.
        (Some(unit), None) => {
            format!(
                "{text}; {}, unless `systemctl status {}` shows that another program uses the \
                 address",
                mend(unit),
                metrics_unit(unit.trim_end_matches(".socket"))
            )
        }
    })
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let socket = new_socket(address, Type::STREAM)?;
        // Connections of the previous process may still be in TIME_WAIT. If another process
        // listens on the address, binding still fails.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(METRICS_BACKLOG)?;
        Ok(socket)
    };
    let socket = bind().map_err(|error| bind_error(error, "metrics on TCP", address))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const UNIT: Option<&str> = Some("aquatic-udp.socket");
    const MEND: &str = "`systemctl daemon-reload && systemctl restart aquatic-udp.socket`";

    fn address(port: u16) -> Option<SocketAddr> {
        Some(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn a_burst_of_connections_finds_room() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        // As many connections as every kernel lets wait; none is accepted meanwhile.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(500));
        let connections: Result<Vec<_>, _> = (0..120).map(connect).collect();
        assert_eq!(connections.unwrap().len(), 120);
    }

    #[test]
    fn what_agrees_is_not_spoken_of() {
        for unit in [None, UNIT] {
            assert_eq!(difference(None, None, unit), None);
            assert_eq!(difference(address(1), address(1), unit), None);
        }
        // Without a unit, the daemon has bound the address itself.
        assert_eq!(difference(address(1), None, None), None);
        // The unit was written by an operator, so its socket is intended.
        assert_eq!(difference(None, address(1), None), None);
    }

    #[test]
    fn what_differs_is_told_with_what_mends_it() {
        for (wanted, found, begin) in [
            (
                address(2),
                address(1),
                "metrics are served on the inherited socket 127.0.0.1:1,",
            ),
            (address(2), None, "metrics are not served on 127.0.0.1:2,"),
            (
                None,
                address(1),
                "not configured, so the inherited socket 127.0.0.1:1 is",
            ),
        ] {
            let text = difference(wanted, found, UNIT).unwrap();
            assert!(text.starts_with(begin) && text.contains(MEND), "{text}");
        }
        let text = difference(address(2), address(1), None).unwrap();
        assert!(text.contains("ListenStream="), "{text}");
        let text = difference(address(2), None, UNIT).unwrap();
        assert!(text.contains("status aquatic-udp-metrics.socket"), "{text}");
    }

    #[test]
    fn a_listener_is_taken_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut inherited = Inherited::from_sockets(vec![(METRICS_NAME, listener.into())]);
        let taken = metrics(None, &mut inherited).unwrap().unwrap();
        assert_eq!(taken.local_addr().unwrap(), address);
        assert!(inherited.is_empty());

        let text = format!("{:#}", metrics(Some(address), &mut inherited).unwrap_err());
        assert!(
            text.contains("cannot bind metrics on TCP address"),
            "{text}"
        );
        assert!(metrics(None, &mut inherited).unwrap().is_none());
    }
}
