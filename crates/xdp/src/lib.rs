//! UDP requests and replies over AF_XDP, past the kernel's network stack, with all unsafe
//! code for that.
//!
//! Who sets it up, with privileges:
//!
//! * [`interface`]: what has to be known of a network interface.
//! * [`program`]: which frames are redirected, as instructions for the kernel.
//! * [`redirect`]: attaching the program, and the map of sockets.
//! * [`socket`]: a socket for each queue, with its memory.
//!
//! Who reads requests and sends replies, without privileges, in the same process or another
//! one that gets the two descriptors of a [`Socket`]:
//!
//! * [`queue`]: requests in batches, replies at their place in the frames.
//! * [`frame`]: Ethernet frames with requests, and with answers to them, without I/O.
//!
//! The base is `frames`, which knows whose each frame is, whatever happens to a process.

pub mod frame;
pub mod interface;
pub mod program;
pub mod queue;
pub mod redirect;
pub mod socket;

mod bpf;
mod claim;
mod frames;
mod memory;
mod ring;
mod system;

pub use bpf::Rejection;
pub use frames::Recovered;
pub use interface::Interface;
pub use memory::Sizes;
pub use queue::{OpenError, Queue};
pub use redirect::Redirect;
pub use socket::Socket;

/// Maximum number of datagrams in a batch.
pub const BATCH: usize = 64;

/// Length of a frame of the memory that is shared with the kernel.
pub const FRAME_LENGTH: usize = 2048;
