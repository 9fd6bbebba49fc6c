//! A socket of the family AF_XDP with its memory and rings, as whoever sets it up makes it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::BATCH;
use crate::FRAME_LENGTH;
use crate::frames::Rings;
use crate::interface::Interface;
use crate::memory::{Memory, Sizes};
use crate::redirect::Mode;
use crate::system::{self, Kind};

/// Why a socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The socket itself: this needs CAP_NET_RAW, and a kernel with AF_XDP.
    #[error("cannot create a socket of the family AF_XDP: {0}")]
    Socket(io::Error),
    /// The file that is its memory.
    #[error("cannot create the memory of the socket: {0}")]
    Memory(io::Error),
    /// The kernel does not take the memory, for instance because it may not lock as much
    /// (`ENOBUFS`).
    #[error("cannot share {length} bytes of memory with the kernel: {error}")]
    Register {
        /// The error of the kernel.
        error: io::Error,
        /// Length of the memory.
        length: usize,
    },
    /// A ring.
    #[error("cannot create the rings of the socket: {0}")]
    Rings(io::Error),
    /// The queue does not exist (`EINVAL`), or has another socket (`EBUSY`).
    #[error("cannot bind the socket to queue {queue} of {interface}: {error}")]
    Bind {
        /// The name of the interface.
        interface: String,
        /// The number of the queue.
        queue: u32,
        /// The error of the kernel.
        error: io::Error,
    },
}

/// A socket and its memory: all that a consumer needs, in this process or another one.
#[derive(Debug)]
pub struct Socket {
    /// The socket.
    pub socket: OwnedFd,
    /// The file that is its memory.
    pub memory: OwnedFd,
}

/// How the kernel and the device share frames.
#[derive(Debug)]
pub enum Copying {
    /// The device reads and writes the frames itself.
    ZeroCopy,
    /// The kernel copies them, because the program runs in the network stack.
    Generic,
    /// The kernel copies them, because the driver does not support anything else.
    Driver(io::Error),
    /// The kernel copies them, as was asked.
    Asked,
}

impl Socket {
    /// Makes a socket, for an interface that sends packets up to `mtu`.
    ///
    /// # Errors
    ///
    /// See [`SocketError`].
    pub fn new(sizes: Sizes, mtu: u32) -> Result<Self, SocketError> {
        let socket = system::xdp_socket().map_err(SocketError::Socket)?;
        let (file, memory) = Memory::create(sizes, mtu).map_err(SocketError::Memory)?;
        let length = sizes.frames_length();
        let frame_length = FRAME_LENGTH as u32;
        system::register_memory(socket.as_fd(), memory.mapping(), length, frame_length)
            .map_err(|error| SocketError::Register { error, length })?;
        // Every ring has a slot for every frame, so none overflows.
        for (kind, entries) in [
            (Kind::Fill, sizes.requests()),
            (Kind::Receive, sizes.requests()),
            (Kind::Completion, sizes.replies()),
            (Kind::Transmit, sizes.replies()),
        ] {
            system::create_ring(socket.as_fd(), kind, entries).map_err(SocketError::Rings)?;
        }
        let offsets = system::ring_offsets(socket.as_fd()).map_err(SocketError::Rings)?;
        let rings = Rings::map(socket.as_fd(), &offsets, sizes).map_err(SocketError::Rings)?;
        rings.initialize();
        // Enough for a reply in each frame, with what the kernel counts beside it.
        let send_buffer = length.min(libc::c_int::MAX as usize / 4) * 2;
        system::allow_more(socket.as_fd(), send_buffer as libc::c_int, BATCH as u32);
        Ok(Self {
            socket,
            memory: file,
        })
    }

    /// Binds it to a queue of an interface, whose program runs in this mode. With zero copy,
    /// if that is possible and wanted.
    ///
    /// Before Linux 6.4, no consumer can continue after this: it has to be opened before.
    ///
    /// # Errors
    ///
    /// [`SocketError::Bind`].
    pub fn bind(
        &self,
        interface: &Interface,
        queue: u32,
        mode: Mode,
        wants_zero_copy: bool,
    ) -> Result<Copying, SocketError> {
        let bind = |flags| {
            let flags = flags | libc::XDP_USE_NEED_WAKEUP;
            system::bind(self.socket.as_fd(), interface.index, queue, flags)
        };
        let copying = match mode {
            Mode::Generic => Copying::Generic,
            Mode::Native if wants_zero_copy => match bind(libc::XDP_ZEROCOPY) {
                Ok(()) => return Ok(Copying::ZeroCopy),
                Err(error) => Copying::Driver(error),
            },
            Mode::Native => Copying::Asked,
        };
        match bind(libc::XDP_COPY) {
            Ok(()) => Ok(copying),
            Err(error) => Err(SocketError::Bind {
                interface: interface.name.clone(),
                queue,
                error,
            }),
        }
    }

    /// Copies both descriptors, for a consumer in this process.
    ///
    /// # Errors
    ///
    /// If the limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            memory: self.memory.try_clone()?,
        })
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn statistics(&self) -> io::Result<Statistics> {
        Statistics::read(&self.socket)
    }
}

/// What the kernel has counted of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Frames that were dropped: too long, or without a frame of the memory.
    pub dropped: u64,
    /// Frames that were dropped because the ring of requests was full.
    pub ring_full: u64,
    /// How often there was no frame to be filled.
    pub no_frame: u64,
    /// Addresses and descriptors from us that were not valid.
    pub invalid: u64,
}

impl Statistics {
    pub(crate) fn read(socket: &OwnedFd) -> io::Result<Self> {
        let statistics = system::statistics(socket.as_fd())?;
        Ok(Self {
            dropped: statistics.rx_dropped,
            ring_full: statistics.rx_ring_full,
            no_frame: statistics.rx_fill_ring_empty_descs,
            invalid: statistics.rx_invalid_descs + statistics.tx_invalid_descs,
        })
    }
}
