//! Sockets of the family AF_XDP and the memory that they share with the kernel: system calls,
//! with what they promise.

use std::ffi::CStr;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

/// The option that says how many frames a call may send in copy mode, from Linux 6.18 on.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// Creates a socket.
pub(crate) fn xdp_socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    new_descriptor(socket)
}

/// Creates a socket that can be asked about interfaces.
pub(crate) fn any_socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    new_descriptor(socket)
}

/// Creates a file in memory of this length, which nobody can change.
pub(crate) fn memory_file(name: &CStr, length: usize) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name ends with a zero; the kernel copies it.
    let file = new_descriptor(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: no pointers.
    check(unsafe { libc::ftruncate(file.as_raw_fd(), length as libc::off_t) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(file)
}

/// The device, number and length of a file.
pub(crate) fn identify(file: BorrowedFd<'_>) -> io::Result<(u64, u64, u64)> {
    let mut status = mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat writes a structure of this type.
    check(unsafe { libc::fstat(file.as_raw_fd(), status.as_mut_ptr()) })?;
    // SAFETY: it has succeeded, so the structure was written.
    let status = unsafe { status.assume_init() };
    Ok((status.st_dev, status.st_ino, status.st_size as u64))
}

/// Locks a file for this process; fails if another one has locked it.
///
/// fcntl(2): "Record locks are automatically released when the process terminates", and "if
/// it closes *any* file descriptor referring to a file".
pub(crate) fn lock(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a structure of integers; a length of 0 means to the end.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: F_SETLK reads a structure of this type.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) }).map(drop)
}

/// Memory that is shared with the kernel or another process.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to the process, not to a thread. How it is accessed is up to
// those who have the pointer.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes of a file from `offset` on, and makes their pages present.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        length: usize,
        offset: libc::off_t,
    ) -> io::Result<Self> {
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, length })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`; what points into it has a `Mapping` beside it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Makes memory, from page to page, that of a socket. The kernel keeps the pages, not the
/// mapping.
pub(crate) fn register_memory(
    socket: BorrowedFd<'_>,
    memory: &Mapping,
    length: usize,
    frame_length: u32,
) -> io::Result<()> {
    assert!(length <= memory.length(), "within the mapping");
    let registration = libc::xdp_umem_reg {
        addr: memory.start().as_ptr() as u64,
        len: length as u64,
        chunk_size: frame_length,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    set_option(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
}

/// Which ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fill,
    Completion,
    Receive,
    Transmit,
}

impl Kind {
    /// The option with which it is created.
    fn option(self) -> libc::c_int {
        match self {
            Self::Fill => libc::XDP_UMEM_FILL_RING,
            Self::Completion => libc::XDP_UMEM_COMPLETION_RING,
            Self::Receive => libc::XDP_RX_RING,
            Self::Transmit => libc::XDP_TX_RING,
        }
    }

    /// The offset at which it is mapped.
    pub(crate) fn page_offset(self) -> libc::off_t {
        match self {
            Self::Fill => libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t,
            Self::Completion => libc::XDP_UMEM_PGOFF_COMPLETION_RING as libc::off_t,
            Self::Receive => libc::XDP_PGOFF_RX_RING,
            Self::Transmit => libc::XDP_PGOFF_TX_RING,
        }
    }
}

/// Creates a ring of that many entries, a power of two.
pub(crate) fn create_ring(socket: BorrowedFd<'_>, kind: Kind, entries: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_XDP, kind.option(), &entries)
}

/// Where the parts of each ring are in its mapping.
pub(crate) fn ring_offsets(socket: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: it consists of integers.
    unsafe { option(socket, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS) }
}

/// Whether the driver reads and writes the frames itself.
pub(crate) fn is_zero_copy(socket: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: it consists of one integer.
    let options: libc::xdp_options = unsafe { option(socket, libc::SOL_XDP, libc::XDP_OPTIONS) }?;
    Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
}

/// What the kernel has counted.
pub(crate) fn statistics(socket: BorrowedFd<'_>) -> io::Result<libc::xdp_statistics> {
    // SAFETY: it consists of integers.
    unsafe { option(socket, libc::SOL_XDP, libc::XDP_STATISTICS) }
}

/// The error of a socket, such as ENETDOWN when its interface has gone; reading it removes
/// it.
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    // SAFETY: one integer.
    let error: libc::c_int = unsafe { option(socket, libc::SOL_SOCKET, libc::SO_ERROR) }?;
    Ok((error != 0).then(|| io::Error::from_raw_os_error(error)))
}

/// Binds a socket to a queue.
pub(crate) fn bind(
    socket: BorrowedFd<'_>,
    interface: u32,
    queue: u32,
    flags: u16,
) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    // SAFETY: a pointer to an address of that length, which bind copies.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Asks for more space for what was sent and has not left, beyond what users may have if
/// that is permitted, and for as many frames for a call as a batch has. Both only save
/// calls, so it does not matter if an older kernel knows one of them not.
pub(crate) fn allow_more(socket: BorrowedFd<'_>, send_buffer: libc::c_int, frames: u32) {
    let level = libc::SOL_SOCKET;
    if set_option(socket, level, libc::SO_SNDBUFFORCE, &send_buffer).is_err() {
        let _ = set_option(socket, level, libc::SO_SNDBUF, &send_buffer);
    }
    let _ = set_option(socket, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &frames);
}

/// Makes the kernel look at the ring of frames to be sent.
///
/// In copy mode, it sends some of them before it returns, and fails with EAGAIN if there are
/// more, if the send buffer is full, or if the device is busy; with EBUSY if the device has
/// dropped the last of those that it took.
pub(crate) fn start_sending(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no data and no address.
    let result = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            ptr::null(),
            0,
            libc::MSG_DONTWAIT,
            ptr::null(),
            0,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes the kernel look at the ring of frames to be filled.
pub(crate) fn start_filling(socket: BorrowedFd<'_>) {
    // An error means that it looks later: at the next frame.
    // SAFETY: no data and no address.
    unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            ptr::null_mut(),
            0,
            libc::MSG_DONTWAIT,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
}

fn set_option<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: a pointer to a value and its length; the kernel reads no more.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// # Safety
///
/// All bytes of a `T` may have any value.
unsafe fn option<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    let mut value = mem::MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: a pointer to a value and its length; the kernel writes no more.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    if length as usize != size_of::<T>() {
        // A kernel that is too old.
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: zeroed, and then written by the kernel.
    Ok(unsafe { value.assume_init() })
}

fn new_descriptor(result: libc::c_int) -> io::Result<OwnedFd> {
    check(result)?;
    // SAFETY: it is new, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
