//! The system calls `recvmmsg(2)` and `sendmmsg(2)`, with their contract:
//!
//! * recvmmsg(2): "a nonblocking call reads as many messages as are available (up to the
//!   limit) and returns immediately". In each header that it used, the kernel overwrites
//!   `msg_namelen`, `msg_controllen` and `msg_flags`, so the first two must be set again
//!   before the next call. "If an error occurs after at least one message has been
//!   received, the call succeeds", and if the error persists, the next call returns it.
//! * sendmmsg(2): "an error is returned only if no datagrams could be sent": it is that of
//!   the first one. If fewer datagrams than requested were sent, the error "is lost": the
//!   caller continues with the first one that was not sent.
//! * Both take pointers, which must be valid until the call returns; the kernel does not
//!   keep them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Receives into these headers without waiting; returns the number of datagrams.
///
/// # Safety
///
/// Names, control messages and vectors of all headers point to memory of the
/// lengths that they say, which nothing else uses during the call.
pub(crate) unsafe fn receive(
    socket: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
) -> io::Result<usize> {
    // SAFETY: the headers are as many as is said, and in order by the caller's
    // promise. A null timeout is none.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    // Negative means an error.
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends the datagrams of these headers without waiting; returns how many were sent, at
/// least one.
///
/// # Safety
///
/// Names, control messages and vectors of all headers point to memory of the
/// lengths that they say, which nothing else writes during the call.
pub(crate) unsafe fn send(
    socket: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
) -> io::Result<usize> {
    // SAFETY: the headers are as many as is said, and in order by the caller's
    // promise; the kernel only reads what they point to.
    let count = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
