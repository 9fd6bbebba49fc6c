//! Where a daemon can be found: the file of its socket.
//!
//! * The file stays when a process is killed. Who connects to it then is refused, and the
//!   next process of that name replaces it.
//! * A living process of the same name is left alone.
//! * Who removes the directory, or the file, takes the socket out of reach without its
//!   process noticing. So that is looked for.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

use socket2::{Domain, SockAddr, Socket, Type};

/// The owner and the group may connect.
const MODE: u32 = 0o660;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    address: SockAddr,
    listener: Option<(Socket, File)>,
    /// Whether accepting failed, as without descriptors. The listener would be reported at
    /// once then, again and again.
    is_paused: bool,
    /// The last thing that was logged, so that it is not each second.
    said: Option<String>,
}

/// What a file is known by. Its inode alone may have been another's before.
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

    /// What is to be waited for.
    pub(super) fn listener(&self) -> Option<&Socket> {
        let listener = self.listener.as_ref().filter(|_| !self.is_paused);
        listener.map(|(socket, _)| socket)
    }

    /// Listens again, if it does not or cannot be found any more.
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
                log::info!("other daemons are told of peers at {}", self.path.display());
                self.listener = Some(listener);
                self.said = None;
            }
            Err(error) => {
                let path = self.path.display();
                let message = format!("cannot tell other daemons of peers at {path}: {error}");
                if self.said.as_ref() != Some(&message) {
                    log::warn!("{message}");
                    self.said = Some(message);
                }
            }
        }
    }

    /// Who has connected.
    pub(super) fn accept(&mut self) -> Option<Socket> {
        match self.listener()?.accept() {
            Ok((socket, _)) => Some(socket),
            Err(error) => {
                self.is_paused = error.kind() != io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    /// Removes the file, if it is the own one.
    pub(super) fn leave(&mut self) {
        let Some((_, own)) = self.listener.take() else {
            return;
        };
        if self.file().is_ok_and(|file| file == own) {
            // Who comes next replaces it.
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

    /// Removes the file if a process that is gone has left it.
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

/// A socket that keeps packets whole, and on which nothing waits.
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
