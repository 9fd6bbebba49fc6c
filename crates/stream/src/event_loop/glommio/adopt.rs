//! A listening socket that glommio did not bind, and takes by its number only.

use std::net;
use std::os::fd::{FromRawFd, IntoRawFd};

use glommio::net::TcpListener;

/// Gives a listening socket to the executor of this thread.
#[allow(unsafe_code, reason = "glommio offers no safe way")]
pub(super) fn adopt(listener: net::TcpListener) -> TcpListener {
    // SAFETY: the descriptor is open, a listening TCP socket, and owned by
    // nobody else from here on.
    unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) }
}
