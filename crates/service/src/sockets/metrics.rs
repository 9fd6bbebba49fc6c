//! The socket that serves figures.

use std::env;

use super::unit::{SOCKET_UNIT, mend};
use super::*;

/// The name that a passed socket for metrics has (`FileDescriptorName=`).
pub const METRICS_NAME: &str = "metrics";

/// Connections that may wait to be accepted by the metrics server.
const METRICS_BACKLOG: i32 = 16;

/// Takes over the listening socket named [`METRICS_NAME`] if the service manager
/// passed one, or binds `address` if there is one.
///
/// # Errors
///
/// As [`udp`].
pub(crate) fn metrics(
    address: Option<SocketAddr>,
    passed: &mut Passed,
) -> anyhow::Result<Option<TcpListener>> {
    if let Some(socket) = passed.take_listener(METRICS_NAME)? {
        return Ok(Some(socket));
    }
    let Some(address) = address else {
        return Ok(None);
    };
    if let Ok(unit) = env::var(SOCKET_UNIT) {
        log::warn!(
            "metrics.address: no figures at {address}, as no socket for them was passed; {}",
            mend(&unit)
        );
        return Ok(None);
    }
    let bind = || {
        let socket = new_socket(address, Type::STREAM)?;
        // Connections of the process before this one may linger on the port; a
        // listener that is alive still makes the bind fail.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(METRICS_BACKLOG)?;
        Ok(socket)
    };
    let socket = bind().map_err(|error| bind_error(error, "metrics on TCP", address))?;
    Ok(Some(socket.into()))
}
