//! A small HTTP server for metrics.
//!
//! It is meant for a scraper and a curious operator on the same machine, so it
//! answers one request a connection and knows nothing but `GET` and `HEAD`. One
//! thread polls all connections, of which there is a bounded number; each has a
//! deadline, and when there is no room for another one, the one goes that has been
//! idle for longest. So nobody is kept out by those who connect and say nothing.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_http1::{Framing, Head, HttpFault, Method, Reply, Status, write_fault};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Metrics;
use super::process::Process;

mod connection;

use connection::{Connection, Progress};

/// Connections that are open at once.
pub(crate) const MAX_CONNECTIONS: usize = 64;

/// Connections that are accepted before those that are open are looked at again.
const ACCEPTS_PER_TURN: usize = 16;

/// Bytes of answers that wait for those who asked, all together, before the one who
/// has been waited for longest is cut off.
const MAX_UNSENT_BYTES: usize = 16 << 20;

/// How long to wait when no connection can be accepted, for instance because
/// all descriptors are in use.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// What the server asks for its metrics.
pub(crate) struct Source {
    /// The daemon's name.
    pub(crate) daemon: &'static str,
    /// About the process.
    pub(crate) process: Arc<Process>,
    /// About the daemon.
    pub(crate) add_metrics: Box<dyn Fn(&mut Metrics) + Send + Sync>,
}

/// Starts the thread of the server; it runs as long as the process.
pub(crate) fn spawn(listener: TcpListener, source: Source) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut server = Server {
        listener,
        source,
        connections: Vec::new(),
        accept_after: None,
    };
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            loop {
                server.turn();
            }
        })?;
    Ok(())
}

struct Server {
    listener: TcpListener,
    source: Source,
    /// In the order in which they were accepted.
    connections: Vec<Connection>,
    /// Until when nothing is accepted, after a failure.
    accept_after: Option<Instant>,
}

impl Server {
    /// Waits until something can be done, and does it: a bounded number of reads and
    /// writes for each connection, and of new connections.
    fn turn(&mut self) {
        let (ready, may_accept) = self.wait();
        let now = Instant::now();
        let source = &self.source;
        let mut ready = ready.into_iter();
        self.connections.retain_mut(|connection| {
            // Those that are not ready may be late.
            let is_ready = ready.next().unwrap_or(false);
            let goes_on = !is_ready || drive(connection, source, now) == Progress::Open;
            goes_on && !connection.is_late(now)
        });
        self.bound_unsent();
        if may_accept {
            self.accept(now);
        }
    }

    /// Which connections can go on, and whether there are new ones.
    fn wait(&self) -> (Vec<bool>, bool) {
        let now = Instant::now();
        let pause = self.accept_after.filter(|after| now < *after);
        let deadlines = self.connections.iter().map(Connection::deadline);
        let next = deadlines.chain(pause).min();
        let timeout = match next {
            // One more, as poll(2) counts whole milliseconds.
            Some(next) => PollTimeout::try_from(
                next.saturating_duration_since(now) + Duration::from_millis(1),
            )
            .unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        let mut polled: Vec<PollFd<'_>> = self
            .connections
            .iter()
            .map(|connection| PollFd::new(connection.as_fd(), connection.awaits()))
            .collect();
        if pause.is_none() {
            polled.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, timeout) {
            Ok(_) => (),
            // A signal handler ran: nothing is known.
            Err(Errno::EINTR) => return (Vec::new(), false),
            Err(error) => {
                log::debug!("cannot poll metrics connections: {error}");
                thread::sleep(PAUSE_AFTER_FAILURE);
                return (Vec::new(), false);
            }
        }
        let mut ready: Vec<bool> = polled.iter().map(|one| one.any() == Some(true)).collect();
        let may_accept = pause.is_none() && ready.pop() == Some(true);
        (ready, may_accept)
    }

    fn accept(&mut self, now: Instant) {
        self.accept_after = None;
        for _ in 0..ACCEPTS_PER_TURN {
            let accepted = self.listener.accept().and_then(|(socket, _)| {
                socket.set_nonblocking(true)?;
                Ok(Connection::new(socket, now))
            });
            match accepted {
                Ok(mut connection) => {
                    // Mostly the request is there already.
                    if drive(&mut connection, &self.source, now) == Progress::Open {
                        if self.connections.len() >= MAX_CONNECTIONS {
                            self.make_room();
                        }
                        self.connections.push(connection);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => (),
                Err(error) => {
                    log::debug!("cannot accept a metrics connection: {error}");
                    // All descriptors may be in use, and some of them here.
                    self.make_room();
                    self.accept_after = Some(now + PAUSE_AFTER_FAILURE);
                    return;
                }
            }
        }
        self.bound_unsent();
    }

    /// Closes the connection that is least of a loss.
    fn make_room(&mut self) {
        let worth = |index: &usize| (self.connections[*index].worth(), *index);
        if let Some(index) = (0..self.connections.len()).min_by_key(worth) {
            self.connections.remove(index);
        }
    }

    fn bound_unsent(&mut self) {
        let mut unsent: usize = self.connections.iter().map(Connection::unsent).sum();
        while unsent > MAX_UNSENT_BYTES {
            let is_slow = |connection: &Connection| connection.unsent() > 0;
            let Some(oldest) = self.connections.iter().position(is_slow) else {
                return;
            };
            unsent -= self.connections.remove(oldest).unsent();
        }
    }
}

fn drive(connection: &mut Connection, source: &Source, now: Instant) -> Progress {
    // A client that goes away in the middle is not our concern, and a panic is
    // logged where it happens: the next one is served.
    let driven = AssertUnwindSafe(|| connection.drive(now, |request| answer(request, source)));
    match panic::catch_unwind(driven) {
        Ok(Ok(progress)) => progress,
        Ok(Err(_)) | Err(_) => Progress::Closed,
    }
}

/// The bytes of an answer, after which the connection is closed.
fn answer(request: Result<&Head<'_>, HttpFault>, source: &Source) -> Vec<u8> {
    let mut bytes = Vec::new();
    match request {
        Ok(head) => {
            let page = Page::at(head, source);
            let headers = format!(
                "Content-Type: {}\r\nCache-Control: no-store\r\n",
                page.content_type
            );
            let framing = Framing::of(head, false);
            let mut reply = Reply::begin(&mut bytes, framing, page.status, &headers);
            reply.body().extend_from_slice(page.text.as_bytes());
            reply.finish();
        }
        Err(fault) => write_fault(&mut bytes, fault),
    }
    bytes
}

/// What is answered to a request.
struct Page {
    status: Status,
    content_type: &'static str,
    text: String,
}

impl Page {
    fn text(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            text: text.into(),
        }
    }

    fn at(head: &Head<'_>, source: &Source) -> Self {
        match head.target.path {
            b"/metrics" | b"/stats.json" | b"/health" if head.method == Method::Other => {
                Self::text(Status::MethodNotAllowed, "only GET and HEAD\n")
            }
            b"/metrics" => Self {
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                ..Self::text(Status::Ok, collect(source).to_prometheus())
            },
            b"/stats.json" => Self {
                content_type: "application/json",
                ..Self::text(Status::Ok, format!("{:#}\n", collect(source).to_json()))
            },
            b"/health" => match source.process.ailment() {
                // Whoever is served notices nothing, so this is no reason to restart the
                // service or to send its clients elsewhere.
                None => match source.process.unsaved() {
                    Some(reason) => Self::text(
                        Status::Ok,
                        format!(
                            "ok, but snapshots cannot be written: \
                                                        {reason}\n"
                        ),
                    ),
                    None => Self::text(Status::Ok, "ok\n"),
                },
                Some(ailment) => Self::text(Status::Unavailable, ailment + "\n"),
            },
            _ => Self::text(
                Status::NotFound,
                "there are /metrics, /stats.json and /health\n",
            ),
        }
    }
}

fn collect(source: &Source) -> Metrics {
    let mut metrics = Metrics::new(source.daemon);
    source.process.add_metrics(&mut metrics);
    (source.add_metrics)(&mut metrics);
    metrics
}

#[cfg(test)]
mod tests;
