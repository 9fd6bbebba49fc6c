//! Sockets that glommio did not make, and takes by their numbers only.

use std::future::poll_fn;
use std::io;
use std::net;
use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::pin::Pin;

use futures_lite::AsyncRead as _;
use glommio::net::TcpStream;

/// Gives a connection to the executor of this thread.
#[allow(unsafe_code, reason = "glommio offers no safe way")]
pub(super) fn adopt(connection: net::TcpStream) -> TcpStream {
    // SAFETY: the descriptor is open, a connected TCP socket, and owned by
    // nobody else from here on.
    unsafe { TcpStream::from_raw_fd(connection.into_raw_fd()) }
}

/// Waits until accepting from a listening socket may do something.
///
/// glommio's own way is to have the ring accept. But a connection that the ring
/// has accepted when the task is cancelled is lost, and its client reset: under
/// load, that befell some of every restart. So the ring only tells that there
/// are some, and they stay in the queue of the socket, for the next process if
/// need be.
///
/// What is relied on, in glommio 0.9 (`net/stream.rs`): a stream that is made of
/// a descriptor asks the ring at once to poll it for reading, and its first
/// `poll_read` is pending until the ring has answered. Then it reads, which a
/// listening socket refuses (ENOTCONN, recv(2)).
///
/// # Errors
///
/// When the system has no further descriptor.
#[allow(unsafe_code, reason = "glommio offers no safe way")]
pub(super) async fn connections_of(listener: &net::TcpListener) -> io::Result<()> {
    let duplicate = listener.try_clone()?.into_raw_fd();
    // SAFETY: the descriptor is open, a TCP socket, and owned by nobody else.
    let mut watched = unsafe { TcpStream::from_raw_fd(duplicate) };
    let mut nothing = [0];
    // It never succeeds, and is no failure.
    let _ = poll_fn(|context| Pin::new(&mut watched).poll_read(context, &mut nothing)).await;
    Ok(())
}
