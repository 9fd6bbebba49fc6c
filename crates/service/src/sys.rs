//! System calls that no dependency provides safely: the only unsafe code of this crate.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Takes ownership of a descriptor inherited from the service manager.
///
/// Must be called at most once per descriptor, and only for those in `LISTEN_FDS`: nothing
/// else in this process owns them.
pub(crate) fn adopt(descriptor: RawFd) -> OwnedFd {
    // SAFETY: sd_listen_fds(3) hands these descriptors to this process, and
    // `sockets::Inherited` takes them once, before anything else was opened.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Number of datagrams that the kernel dropped on this socket since it was opened, modulo
/// 2^32, nearly always because its receive buffer was full.
pub(crate) fn dropped_datagrams(socket: impl AsFd) -> io::Result<u32> {
    /// Index of the drop counter in the result of SO_MEMINFO (`SK_MEMINFO_DROPS` in
    /// linux/sock_diag.h).
    const DROPS: usize = 8;

    let mut info = [0u32; DROPS + 1];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, the size of the array,
    // and any bytes make valid integers.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(info[DROPS])
    } else {
        Err(io::Error::last_os_error())
    }
}
