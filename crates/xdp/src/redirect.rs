//! A program that is attached to an interface, and its map of sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::bpf::{self, Rejection};
use crate::interface::Interface;
use crate::program::{self, Rules};

/// Who runs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The driver, before it allocates anything for a frame.
    Native,
    /// The network stack, with every driver, but later.
    Generic,
}

/// Which mode is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WantedMode {
    /// Native if the driver can, otherwise generic.
    #[default]
    Fastest,
    /// Native, or nothing.
    Native,
    /// Generic.
    Generic,
}

/// Why frames are not redirected.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// The map of sockets cannot be created: this needs privileges.
    #[error("cannot create a map of sockets: {0}")]
    Map(io::Error),
    /// The program is rejected, with the end of what the kernel says of it.
    #[error("cannot load the program: {}{}{}", .0.error, if .0.said.is_empty() { "" } else { ": " }, .0.said)]
    Load(Rejection),
    /// The program cannot be attached in the wanted mode, or in either.
    #[error("cannot attach the program to {interface}: {error}{}", native_reason(.native.as_ref()))]
    Attach {
        /// The name of the interface.
        interface: String,
        /// The error of the last try.
        error: io::Error,
        /// Why the driver does not run it, if generic mode was tried after that.
        native: Option<io::Error>,
    },
}

fn native_reason(native: Option<&io::Error>) -> String {
    native
        .map(|error| format!(" (in the driver: {error})"))
        .unwrap_or_default()
}

/// Redirects frames of an interface to sockets, as long as it exists.
#[derive(Debug)]
pub struct Redirect {
    map: OwnedFd,
    /// Closing it detaches the program.
    link: OwnedFd,
    mode: Mode,
    why_not_native: Option<io::Error>,
}

impl Redirect {
    /// Attaches a program for these rules to an interface. Until a queue has a socket, all
    /// its frames are passed to the network stack.
    ///
    /// # Errors
    ///
    /// See [`RedirectError`].
    pub fn attach(
        interface: &Interface,
        rules: &Rules,
        wanted: WantedMode,
    ) -> Result<Self, RedirectError> {
        let map = bpf::create_socket_map(interface.queues).map_err(RedirectError::Map)?;
        let program = program::emit(rules, map.as_raw_fd());
        let program = bpf::load(&program).map_err(RedirectError::Load)?;
        let attached = |link, mode, why_not_native| Self {
            map,
            link,
            mode,
            why_not_native,
        };
        let failed = |error, native| RedirectError::Attach {
            interface: interface.name.clone(),
            error,
            native,
        };
        let native = match wanted {
            WantedMode::Generic => None,
            WantedMode::Fastest | WantedMode::Native => {
                match bpf::link(&program, interface.index, bpf::NATIVE) {
                    Ok(link) => return Ok(attached(link, Mode::Native, None)),
                    Err(error) => Some(error),
                }
            }
        };
        match native {
            // Another program is there, which generic mode would not change.
            Some(error) if wanted == WantedMode::Native || is_taken(&error) => {
                Err(failed(error, None))
            }
            native => match bpf::link(&program, interface.index, bpf::GENERIC) {
                Ok(link) => Ok(attached(link, Mode::Generic, native)),
                Err(error) => Err(failed(error, native)),
            },
        }
    }

    /// Who runs the program.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Why the driver does not run it, if it was asked to.
    #[must_use]
    pub fn why_not_native(&self) -> Option<&io::Error> {
        self.why_not_native.as_ref()
    }

    /// The link, which another process can keep open to keep the program attached.
    #[must_use]
    pub fn link(&self) -> &OwnedFd {
        &self.link
    }

    /// From now on, redirects frames of a queue to a socket that is bound to it.
    ///
    /// # Errors
    ///
    /// If there is no such queue.
    pub fn begin(&self, queue: u32, socket: &impl AsFd) -> io::Result<()> {
        bpf::set(&self.map, queue, socket)
    }

    /// From now on, passes all frames of a queue to the network stack. What is in the ring
    /// already stays there. It does not matter if there was no socket.
    ///
    /// # Errors
    ///
    /// If there is no such queue.
    pub fn end(&self, queue: u32) -> io::Result<()> {
        match bpf::clear(&self.map, queue) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }
}

/// Whether the interface has a program already.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}
