//! A connection: its request, its reply, and its end.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use aquatic_http1::{Head, HeaderBuffer, HttpFault, Reading};
use nix::poll::PollFlags;

/// Time limit for a request, from accepting the connection to its last byte.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// Time limit for reading the reply.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Time limit for the client to close the connection after the reply.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Maximum number of bytes that are read and discarded after the request.
const MAX_DISCARDED: usize = 64 * 1024;

/// Number of bytes that are read with one call.
const READ_BUFFER: usize = 2048;

/// A connection to the metrics server.
pub(super) struct Connection {
    socket: TcpStream,
    state: State,
    deadline: Instant,
}

/// Whether the connection is still needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for the client.
    Open,
    /// It is done.
    Closed,
}

enum State {
    Request(Vec<u8>),
    Answer {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// Waits for the client to close: if unread bytes remained, closing would reset the
    /// connection, and the client might not get the reply.
    End {
        discarded: usize,
    },
}

impl Connection {
    /// Starts with a non-blocking socket.
    pub(super) fn new(socket: TcpStream, now: Instant) -> Self {
        Self {
            socket,
            state: State::Request(Vec::new()),
            deadline: now + REQUEST_PATIENCE,
        }
    }

    /// When it is to be closed.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Events to poll for.
    pub(super) fn awaits(&self) -> PollFlags {
        match self.state {
            State::Answer { .. } => PollFlags::POLLOUT,
            State::Request(_) | State::End { .. } => PollFlags::POLLIN,
        }
    }

    /// Importance, from the lowest: connections that have got their reply, those that have
    /// sent nothing, those that have sent something, those that are reading.
    pub(super) fn worth(&self) -> u8 {
        match &self.state {
            State::End { .. } => 0,
            State::Request(bytes) if bytes.is_empty() => 1,
            State::Request(_) => 2,
            State::Answer { .. } => 3,
        }
    }

    /// Number of bytes of the reply that the client has not read yet.
    pub(super) fn unsent(&self) -> usize {
        match &self.state {
            State::Answer { bytes, sent } => bytes.len() - sent,
            State::Request(_) | State::End { .. } => 0,
        }
    }

    /// Reads and writes as far as possible. `answer` is called with the request, or with
    /// the reason why it is malformed.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        answer: impl FnOnce(Result<&Head<'_>, HttpFault>) -> Vec<u8>,
    ) -> io::Result<Progress> {
        if let State::Request(bytes) = &mut self.state {
            let Some(bytes) = read_request(&mut self.socket, bytes, answer)? else {
                return Ok(Progress::Open);
            };
            self.state = State::Answer { bytes, sent: 0 };
            self.deadline = now + ANSWER_PATIENCE;
        }
        if let State::Answer { bytes, sent } = &mut self.state {
            while *sent < bytes.len() {
                match self.socket.write(&bytes[*sent..]) {
                    Ok(0) => return Ok(Progress::Closed),
                    Ok(written) => *sent += written,
                    Err(error) if is_later(&error) => return Ok(Progress::Open),
                    Err(error) => return Err(error),
                }
            }
            self.socket.shutdown(Shutdown::Write)?;
            self.state = State::End { discarded: 0 };
            self.deadline = now + CLOSE_PATIENCE;
        }
        if let State::End { discarded } = &mut self.state {
            let mut buffer = [0; READ_BUFFER];
            while *discarded < MAX_DISCARDED {
                match self.socket.read(&mut buffer) {
                    Ok(0) => return Ok(Progress::Closed),
                    Ok(read) => *discarded += read,
                    Err(error) if is_later(&error) => return Ok(Progress::Open),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Progress::Closed)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads until the request is complete or malformed; returns the reply, or nothing if more
/// has to arrive. At most [`MAX_REQUEST_LENGTH`](aquatic_http1::MAX_REQUEST_LENGTH) is
/// read, and whatever arrived together with the end of the request.
fn read_request(
    socket: &mut TcpStream,
    bytes: &mut Vec<u8>,
    answer: impl FnOnce(Result<&Head<'_>, HttpFault>) -> Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; READ_BUFFER];
    loop {
        let read = match socket.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if is_later(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        bytes.extend_from_slice(&buffer[..read]);
        let mut headers = HeaderBuffer::new();
        match Reading::of(bytes, &mut headers) {
            Reading::Complete { head, .. } => return Ok(Some(answer(Ok(&head)))),
            Reading::Fault(fault) => return Ok(Some(answer(Err(fault)))),
            Reading::Incomplete if read == 0 => {
                return Ok(Some(answer(Err(HttpFault::Incomplete))));
            }
            Reading::Incomplete => {}
        }
    }
}

/// Whether a non-blocking call has to be repeated after polling; this includes calls that
/// were interrupted by a signal.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
