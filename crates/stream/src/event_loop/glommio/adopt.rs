//! Hands sockets that glommio did not create over to it, by their descriptors.

use std::future::poll_fn;
use std::io;
use std::net;
use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::pin::Pin;

use futures_lite::AsyncRead as _;
use glommio::net::TcpStream;

/// Hands a connection over to the executor of this thread.
#[allow(unsafe_code, reason = "glommio offers no safe way")]
pub(super) fn adopt(connection: net::TcpStream) -> TcpStream {
    // SAFETY: the descriptor is open, a connected TCP socket, and owned by
    // nobody else from here on.
    unsafe { TcpStream::from_raw_fd(connection.into_raw_fd()) }
}

/// Waits until connections may be waiting at a listening socket.
///
/// glommio's own method has the ring accept. But a connection that the ring has accepted
/// when the task is cancelled is lost, and reset: under load, that happened to some at
/// every restart. So the ring only signals that there are connections. They stay in the
/// queue of the socket, for the next process if necessary.
///
/// This relies on glommio 0.9 (`net/stream.rs`): a stream that is made from a descriptor
/// has the ring poll it for reading at once, and its first `poll_read` is pending until
/// the ring has answered. Then it reads, which fails for a listening socket (ENOTCONN,
/// recv(2)).
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
    // The read always fails, as expected.
    let _ = poll_fn(|context| Pin::new(&mut watched).poll_read(context, &mut nothing)).await;
    Ok(())
}
