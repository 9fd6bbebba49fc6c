//! The file of a daemon's socket, where other daemons find it.
//!
//! * The file remains when a process is killed. Connections to it are then refused, and the
//!   next process of that name replaces it.
//! * The socket of a running process of the same name is left alone.
//! * When somebody removes the directory or the file, the socket becomes unreachable, of
//!   which its process is not notified. So it checks for that.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

use socket2::{Domain, SockAddr, Socket, Type};

/// The mode of the socket: the owner and the group may connect.
const MODE: u32 = 0o660;

/// Maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 16;

#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    address: SockAddr,
    listener: Option<(Socket, File)>,
    /// Set after accepting failed, for example because the limit of open files is reached:
    /// poll would report the listener again at once.
    is_paused: bool,
    /// The last message that was logged, so that it is not repeated each second.
    said: Option<String>,
}

/// Identifies a file. An inode number alone may be reused after a file was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Place {
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            address: address(&path)?,
            path,
            listener: None,
            is_paused: false,
            said: None,
        })
    }

    /// The socket to poll for connections, unless paused.
    pub(super) fn listener(&self) -> Option<&Socket> {
        let listener = self.listener.as_ref().filter(|_| !self.is_paused);
        listener.map(|(socket, _)| socket)
    }

    /// Listens again if it does not, or if the socket cannot be reached any more.
    pub(super) fn check(&mut self) {
        self.is_paused = false;
        if let Some((_, own)) = self.listener {
            if self.file().is_ok_and(|file| file == own) {
                return;
            }
            log::warn!(
                "{} was removed or replaced: trying to listen there again",
                self.path.display()
            );
            self.listener = None;
        }
        match self.listen() {
            Ok(listener) => {
                log::info!(
                    "sharing peers with other daemons at {}",
                    self.path.display()
                );
                self.listener = Some(listener);
                self.said = None;
            }
            Err(error) => {
                let path = self.path.display();
                let message = format!("cannot share peers with other daemons at {path}: {error}");
                if self.said.as_ref() != Some(&message) {
                    log::warn!("{message}");
                    self.said = Some(message);
                }
            }
        }
    }

    /// Accepts a connection, if one is pending.
    pub(super) fn accept(&mut self) -> Option<Socket> {
        match self.listener()?.accept() {
            Ok((socket, _)) => Some(socket),
            Err(error) => {
                self.is_paused = error.kind() != io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    /// Removes the file if it is the one of this process.
    pub(super) fn leave(&mut self) {
        let Some((_, own)) = self.listener.take() else {
            return;
        };
        if self.file().is_ok_and(|file| file == own) {
            // If this fails, the next process replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn listen(&self) -> io::Result<(Socket, File)> {
        let socket = socket()?;
        match socket.bind(&self.address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                self.remove_if_dead()?;
                socket.bind(&self.address)?;
            }
            bound => bound?,
        }
        // Nobody can connect before it listens.
        fs::set_permissions(&self.path, Permissions::from_mode(MODE))?;
        let file = self.file()?;
        socket.listen(BACKLOG)?;
        Ok((socket, file))
    }

    /// Removes the file if its process has ended.
    fn remove_if_dead(&self) -> io::Result<()> {
        if !fs::symlink_metadata(&self.path)?.file_type().is_socket() {
            return Err(io::Error::other("there is a file that is no socket"));
        }
        match socket()?.connect(&self.address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(&self.path)
            }
            _ => Err(io::Error::other("another process does that")),
        }
    }

    fn file(&self) -> io::Result<File> {
        let metadata = fs::symlink_metadata(&self.path)?;
        Ok(File {
            device: metadata.dev(),
            inode: metadata.ino(),
            created: metadata.created().ok(),
        })
    }
}

/// A non-blocking socket that preserves packet boundaries.
pub(super) fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub(super) fn address(path: &std::path::Path) -> io::Result<SockAddr> {
    SockAddr::unix(path).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        io::Error::new(error.kind(), message)
    })
}
