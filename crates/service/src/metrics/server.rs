//! A small HTTP server for the status page and metrics.
//!
//! It is meant for a scraper and an operator on the same machine, so it answers one request
//! per connection and only supports `GET` and `HEAD`. One thread polls all connections,
//! whose number is bounded. Each has a deadline, and when there is no room for another one,
//! the least important one is closed, usually one that is idle. So silent clients cannot
//! exclude others. Between requests, the thread takes the samples for the plots of the status
//! page.

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

use super::history::{self, History};
use super::process::Process;
use super::{Metrics, Overview, Plot, TextFormat, page};
use crate::clock;

mod connection;

use connection::{Connection, Progress};

/// Maximum number of open connections.
pub(crate) const MAX_CONNECTIONS: usize = 64;

/// Maximum number of connections that are accepted in a turn.
const ACCEPTS_PER_TURN: usize = 16;

/// Maximum number of bytes of replies that clients have not read yet, in total. When it is
/// exceeded, the oldest connection with such a reply is closed.
const MAX_UNSENT_BYTES: usize = 16 << 20;

/// Pause after accepting has failed, for example because the limit of open files is
/// reached.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Where the server gets its metrics from.
pub(crate) struct Source {
    /// The daemon's name.
    pub(crate) daemon: &'static str,
    /// Metrics of the process.
    pub(crate) process: Arc<Process>,
    /// Adds metrics of the daemon.
    pub(crate) add_metrics: Box<dyn Fn(&mut Metrics) + Send + Sync>,
    /// What is plotted of the last hour.
    pub(crate) plots: &'static [Plot],
    /// What the status page shows of the daemon; its argument is a name or an address of
    /// this machine.
    pub(crate) overview: Box<dyn Fn(&str) -> Overview + Send + Sync>,
    /// What does not work although clients are served.
    pub(crate) degraded: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Source {
    /// What does not work although clients are served.
    pub(super) fn troubles(&self) -> impl Iterator<Item = String> {
        let unsaved = self.process.unsaved();
        let unsaved = unsaved.map(|reason| format!("snapshots cannot be written: {reason}"));
        let failures = self.process.last_reload().failures.into_iter();
        let failures = failures.map(|reason| format!("the last reload failed: {reason}"));
        unsaved.into_iter().chain((self.degraded)()).chain(failures)
    }
}

/// Starts the thread of the server; it runs as long as the process.
pub(crate) fn spawn(listener: TcpListener, source: Source) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut server = Server::new(listener, source);
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
    history: History,
    next_sample: Instant,
    /// In the order in which they were accepted.
    connections: Vec<Connection>,
    /// End of the pause after accepting has failed.
    accept_after: Option<Instant>,
}

impl Server {
    fn new(listener: TcpListener, source: Source) -> Self {
        Self {
            listener,
            history: History::new(source.plots),
            next_sample: Instant::now(),
            source,
            connections: Vec::new(),
            accept_after: None,
        }
    }

    /// Waits for events, and handles them: a bounded number of reads and writes per
    /// connection, and of new connections.
    fn turn(&mut self) {
        let (ready, may_accept) = self.wait();
        let now = Instant::now();
        let (source, history) = (&self.source, &self.history);
        let mut ready = ready.into_iter();
        self.connections.retain_mut(|connection| {
            // Connections without an event may have reached their deadline.
            let is_ready = ready.next().unwrap_or(false);
            let goes_on = !is_ready || drive(connection, source, history, now) == Progress::Open;
            goes_on && !connection.is_late(now)
        });
        self.bound_unsent();
        if may_accept {
            self.accept(now);
        }
        if now >= self.next_sample {
            self.sample();
        }
    }

    /// Takes a sample of what is plotted.
    fn sample(&mut self) {
        let Self {
            source, history, ..
        } = self;
        let now = clock::boot_milliseconds();
        let sampled = panic::catch_unwind(AssertUnwindSafe(|| {
            let mut metrics = Metrics::new(source.daemon);
            source.process.add_memory_metrics(&mut metrics);
            (source.add_metrics)(&mut metrics);
            history.sample(now, &metrics);
        }));
        // A panic is logged where it happens.
        let pause = match sampled {
            Ok(()) => self.history.due_in(now),
            Err(_) => history::INTERVAL,
        };
        self.next_sample = Instant::now() + pause;
    }

    /// Returns which connections have events, and whether there are new ones.
    fn wait(&self) -> (Vec<bool>, bool) {
        let now = Instant::now();
        let pause = self.accept_after.filter(|after| now < *after);
        let deadlines = self.connections.iter().map(Connection::deadline);
        let next = deadlines.chain(pause).fold(self.next_sample, Instant::min);
        // One millisecond more, because poll(2) has whole milliseconds.
        let timeout =
            PollTimeout::try_from(next.saturating_duration_since(now) + Duration::from_millis(1))
                .unwrap_or(PollTimeout::MAX);
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
            // Interrupted by a signal: nothing is known.
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
                    // Usually the request has already arrived.
                    let (source, history) = (&self.source, &self.history);
                    if drive(&mut connection, source, history, now) == Progress::Open {
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
                    // The limit of open files may be reached, and some are used here.
                    self.make_room();
                    self.accept_after = Some(now + PAUSE_AFTER_FAILURE);
                    return;
                }
            }
        }
        self.bound_unsent();
    }

    /// Closes the least important connection.
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

fn drive(
    connection: &mut Connection,
    source: &Source,
    history: &History,
    now: Instant,
) -> Progress {
    let answer = |request: Result<&Head<'_>, HttpFault>| answer(request, source, history);
    // Errors of a client only end its connection, and a panic is logged where it happens:
    // the next client is served.
    let driven = AssertUnwindSafe(|| connection.drive(now, answer));
    match panic::catch_unwind(driven) {
        Ok(Ok(progress)) => progress,
        Ok(Err(_)) | Err(_) => Progress::Closed,
    }
}

/// The bytes of a reply, after which the connection is closed.
fn answer(request: Result<&Head<'_>, HttpFault>, source: &Source, history: &History) -> Vec<u8> {
    let mut bytes = Vec::new();
    match request {
        Ok(head) => {
            let Page {
                status,
                headers,
                text,
            } = Page::at(head, source, history);
            let headers = headers + "Cache-Control: no-store\r\n";
            let mut reply = Reply::begin(&mut bytes, Framing::of(head, false), status, &headers);
            reply.body().extend_from_slice(text.as_bytes());
            reply.finish();
        }
        Err(fault) => write_fault(&mut bytes, fault),
    }
    bytes
}

/// The content of a reply.
pub(super) struct Page {
    pub(super) status: Status,
    /// Its type, and others that depend on it, each with its line end.
    pub(super) headers: String,
    pub(super) text: String,
}

impl Page {
    pub(super) fn text(status: Status, text: impl Into<String>) -> Self {
        Self::of_type("text/plain; charset=utf-8", status, text)
    }

    fn of_type(content_type: &str, status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            headers: format!("Content-Type: {content_type}\r\nX-Content-Type-Options: nosniff\r\n"),
            text: text.into(),
        }
    }

    fn at(head: &Head<'_>, source: &Source, history: &History) -> Self {
        let path = match head.target.path {
            b"" => b"/",
            path => path,
        };
        match path {
            b"/" | b"/metrics" | b"/stats.json" | b"/health" if head.method == Method::Other => {
                Self::text(Status::MethodNotAllowed, "only GET and HEAD\n")
            }
            b"/" => page::status_page(head.host, source, history),
            b"/metrics" => {
                let format = wanted(head);
                let content_type = match format {
                    TextFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
                    TextFormat::OpenMetrics => {
                        "application/openmetrics-text; version=1.0.0; charset=utf-8"
                    }
                };
                Self::of_type(content_type, Status::Ok, collect(source).to_text(format))
            }
            b"/stats.json" => {
                let json = format!("{:#}\n", collect(source).to_json());
                Self::of_type("application/json", Status::Ok, json)
            }
            b"/health" => match source.process.ailment() {
                // Clients of the tracker are not affected, so this is no reason to restart
                // the service or to redirect its clients.
                None => Self::text(Status::Ok, healthy(source)),
                Some(ailment) => Self::text(Status::Unavailable, ailment + "\n"),
            },
            _ => Self::text(
                Status::NotFound,
                "there are /, /metrics, /stats.json and /health\n",
            ),
        }
    }
}

/// The text format that a client asks for. A client that names none gets that of
/// Prometheus, and so does a browser.
fn wanted(head: &Head<'_>) -> TextFormat {
    if head.accepts("application/openmetrics-text") {
        TextFormat::OpenMetrics
    } else {
        TextFormat::Prometheus
    }
}

/// What is said of a daemon that serves its clients, but may have troubles of its own.
fn healthy(source: &Source) -> String {
    let troubles: Vec<String> = source.troubles().collect();
    if troubles.is_empty() {
        "ok\n".to_owned()
    } else {
        format!("ok, but {}\n", troubles.join("; "))
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
