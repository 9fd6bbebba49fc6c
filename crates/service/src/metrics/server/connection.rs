//! One connection: a request, its answer, and the end.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use aquatic_http1::{Head, HeaderBuffer, HttpFault, Reading};
use nix::poll::PollFlags;

/// How long a request may take, from accepting the connection to its last byte.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer may take to be fetched.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How long the client may take to close the connection when it has its answer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that are read and left unread by us when the answer is on its way.
const MAX_DISCARDED: usize = 64 * 1024;

/// Bytes that are read at once.
const READ_BUFFER: usize = 2048;

/// A connection to the metrics server.
pub(super) struct Connection {
    socket: TcpStream,
    state: State,
    deadline: Instant,
}

/// Whether it is worth anything to go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to be read or written, later.
    Open,
    /// Done.
    Closed,
}

enum State {
    Request(Vec<u8>),
    Answer {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// Waits for the client to close: closing with bytes unread would make the
    /// kernel reset the connection, and the client could lose the answer.
    End {
        discarded: usize,
    },
}

impl Connection {
    /// Of a socket that does not block.
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

    /// What poll(2) should wait for.
    pub(super) fn awaits(&self) -> PollFlags {
        match self.state {
            State::Answer { .. } => PollFlags::POLLOUT,
            State::Request(_) | State::End { .. } => PollFlags::POLLIN,
        }
    }

    /// Which connections are given up first: those that have their answer, those
    /// that have said nothing, those that have said something, those that read.
    pub(super) fn worth(&self) -> u8 {
        match &self.state {
            State::End { .. } => 0,
            State::Request(bytes) if bytes.is_empty() => 1,
            State::Request(_) => 2,
            State::Answer { .. } => 3,
        }
    }

    /// Bytes of the answer that the client has not taken yet.
    pub(super) fn unsent(&self) -> usize {
        match &self.state {
            State::Answer { bytes, sent } => bytes.len() - sent,
            State::Request(_) | State::End { .. } => 0,
        }
    }

    /// Reads and writes what is possible now. `answer` gets the request, or why there
    /// is none.
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

/// Reads until there is a request, or there can be none; returns the answer, or
/// nothing when more may come. At most
/// [`MAX_REQUEST_LENGTH`](aquatic_http1::MAX_REQUEST_LENGTH) is read, and what comes
/// with the end of the request.
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

/// Whether a socket that does not block has nothing for us now; a call that a signal
/// interrupted is made again when the socket is polled next.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
