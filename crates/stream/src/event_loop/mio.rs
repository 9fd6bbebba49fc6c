//! The event loop on mio (epoll).
//!
//! A connection is read from and answered right after it was accepted, and registered with
//! epoll only if it then has to wait: this saves a system call for each connection whose
//! request has arrived already and that is closed after the answer.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquatic_service::workers::{Context, HEARTBEAT_INTERVAL};
use mio::event::Event;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::DRAIN_INTERVAL;
use super::accepting::{ACCEPTS_PER_TURN, Accepting, LAST_ACCEPTS};
use crate::counters::Refusal;
use crate::deadlines::TICK;
use crate::engine::{Engine, LATE_PER_TURN, LoopAction, Transport};
use crate::{ConnectionId, ConnectionMap, Protocol};

/// The token of the waker. Tokens of connections start at 0.
const WAKE: Token = Token(usize::MAX);

/// The token of the first listener; those of others are lower.
const FIRST_LISTENER: usize = usize::MAX - 1;

/// Maximum number of events per call of epoll_wait(2).
const EVENTS: usize = 512;

/// Listening sockets that are watched.
pub(super) struct Watch {
    poll: Poll,
    listeners: Vec<Listener>,
}

/// A worker's loop.
struct Loop<P: Protocol> {
    poll: Poll,
    listeners: Vec<Listener>,
    engine: Engine<P>,
    /// The sockets of the engine's connections.
    sockets: ConnectionMap<Socket>,
    /// Connections that are to be driven again in the next turn.
    again: Vec<ConnectionId>,
    /// Whether the worker was woken.
    is_woken: bool,
}

struct Listener {
    listener: mio::net::TcpListener,
    /// Whether connections may be waiting to be accepted, without a further event.
    is_ready: bool,
    accepting: Accepting,
}

/// A connection's socket.
struct Socket {
    stream: TcpStream,
    watched: Watched,
    /// Whether everything that had arrived was read: there will be an event for bytes that
    /// arrive later.
    is_drained: bool,
    /// Whether the client has closed its side: there will be no further event, so the end
    /// has to be read without one.
    is_ended: bool,
    /// Whether it is to be driven again in the next turn, so that events need not drive
    /// it.
    is_queued: bool,
}

/// Which events are asked for.
#[derive(PartialEq, Eq)]
enum Watched {
    Nothing,
    Reading,
    Both,
}

impl Transport for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.is_drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.stream.read(into)?;
        // A read that does not fill the buffer has emptied the socket, so there is no need
        // for another one that returns `WouldBlock` (epoll(7)).
        self.is_drained = count < into.len() && !self.is_ended;
        Ok(count)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.write(from)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl Watch {
    /// Watches listening sockets; also returns a waker of the loop.
    ///
    /// # Errors
    ///
    /// When the system has no further descriptors or watches.
    pub(super) fn new(listeners: Vec<TcpListener>) -> anyhow::Result<(Self, Waker)> {
        let poll = Poll::new().context("cannot create an epoll instance")?;
        let waker = Waker::new(poll.registry(), WAKE).context("cannot create a waker")?;
        let mut watched = Vec::with_capacity(listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            poll.registry()
                .register(
                    &mut SourceFd(&listener.as_raw_fd()),
                    Token(FIRST_LISTENER - index),
                    Interest::READABLE,
                )
                .context("cannot add a listening socket to epoll")?;
            watched.push(Listener {
                listener: mio::net::TcpListener::from_std(listener),
                // Connections may be waiting since another process had the socket.
                is_ready: true,
                accepting: Accepting::default(),
            });
        }
        let this = Self {
            poll,
            listeners: watched,
        };
        Ok((this, waker))
    }

    /// Serves until the worker is asked to stop, and then lets connections
    /// finish.
    ///
    /// # Errors
    ///
    /// When events cannot be waited for any more.
    pub(super) fn run<P: Protocol>(
        self,
        engine: Engine<P>,
        context: &Context,
    ) -> anyhow::Result<()> {
        Loop {
            poll: self.poll,
            listeners: self.listeners,
            engine,
            sockets: ConnectionMap::new(),
            again: Vec::new(),
            is_woken: false,
        }
        .run(context)
    }
}

impl<P: Protocol> Loop<P> {
    fn run(mut self, context: &Context) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !context.is_stopping() {
            self.turn(context, &mut events, HEARTBEAT_INTERVAL)?;
            self.accept(ACCEPTS_PER_TURN);
            self.send_collected();
        }

        // Connections that are waiting now are accepted; later ones are not.
        for listener in &mut self.listeners {
            listener.is_ready = true;
        }
        self.accept(LAST_ACCEPTS);
        self.listeners.clear();
        self.engine.advance(Instant::now());
        self.engine.drain();
        // Bytes that have arrived are read, with an event or without.
        for socket in self.sockets.values_mut() {
            socket.is_drained = false;
        }
        while !self.engine.is_drained() {
            for slot in 0..self.sockets.slots() {
                if let Some(id) = self.sockets.id_at(slot) {
                    self.drive(id);
                }
            }
            self.send_collected();
            if self.engine.is_drained() {
                break;
            }
            self.turn(context, &mut events, DRAIN_INTERVAL)?;
            self.send_collected();
        }
        Ok(())
    }

    /// Waits, but not for longer than `max_wait`, and drives the connections that have an
    /// event, or a deadline that has passed.
    fn turn(
        &mut self,
        context: &Context,
        events: &mut Events,
        max_wait: Duration,
    ) -> anyhow::Result<()> {
        context.beat();
        let now = Instant::now();
        let is_busy = !self.again.is_empty()
            || self
                .listeners
                .iter()
                .any(|it| it.is_ready && !it.accepting.is_paused(now));
        let timeout = match (is_busy, self.engine.len()) {
            (true, _) => Duration::ZERO,
            (false, 0) => max_wait,
            (false, _) => max_wait.min(TICK),
        };
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result.context("cannot wait for events")?,
        }
        self.engine.advance(Instant::now());
        for event in events.iter() {
            self.handle_event(event);
        }
        if mem::take(&mut self.is_woken) {
            self.engine.woken();
        }
        self.drive_again();
        for _ in 0..LATE_PER_TURN {
            let Some(id) = self.engine.next_late() else {
                break;
            };
            self.drive(id);
        }
        Ok(())
    }

    /// Drives connections that had more to do. Those that still have more are driven in
    /// the next turn.
    fn drive_again(&mut self) {
        for id in mem::take(&mut self.again) {
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.is_queued = false;
                self.drive(id);
            }
        }
    }

    fn handle_event(&mut self, event: &Event) {
        if event.token() == WAKE {
            self.is_woken = true;
            return;
        }
        let Token(number) = event.token();
        if let Some(listener) = FIRST_LISTENER
            .checked_sub(number)
            .and_then(|index| self.listeners.get_mut(index))
        {
            listener.is_ready = true;
            return;
        }
        let Some(id) = self.sockets.id_at(number) else {
            return;
        };
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.is_drained = false;
            socket.is_ended |= event.is_read_closed() || event.is_error();
            if socket.is_queued {
                return;
            }
        }
        self.drive(id);
    }

    /// Accepts connections that wait, but not more than `max` of a listener.
    fn accept(&mut self, max: usize) {
        for index in 0..self.listeners.len() {
            for _ in 0..max {
                let listener = &mut self.listeners[index];
                if !listener.is_ready || listener.accepting.is_paused(Instant::now()) {
                    break;
                }
                match listener.listener.accept() {
                    Ok((stream, source)) => {
                        if let Ok(id) = self.engine.open(source) {
                            self.begin(id, stream);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        listener.is_ready = false;
                    }
                    Err(error) => {
                        if listener.accepting.failed(&error) {
                            self.engine.refused(Refusal::NoDescriptors);
                        }
                    }
                }
            }
        }
    }

    fn begin(&mut self, id: ConnectionId, stream: TcpStream) {
        let socket = Socket {
            stream,
            watched: Watched::Nothing,
            is_drained: false,
            is_ended: false,
            is_queued: false,
        };
        self.sockets.insert(id, socket);
        self.drive(id);
    }

    /// Reads, answers and writes for a connection.
    fn drive(&mut self, id: ConnectionId) {
        self.drive_by(id, |engine, socket| engine.drive(id, socket));
    }

    /// Ends the turn: sends what was collected.
    fn send_collected(&mut self) {
        while let Some(id) = self.engine.next_collected() {
            self.drive_by(id, |engine, socket| engine.send_collected(id, socket));
        }
    }

    /// Drives a connection, and then waits for events, schedules or closes it.
    fn drive_by(
        &mut self,
        id: ConnectionId,
        drive: impl FnOnce(&mut Engine<P>, &mut Socket) -> LoopAction,
    ) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        let action = drive(&mut self.engine, socket);
        let registry = self.poll.registry();
        let result = match action {
            LoopAction::Close => {
                self.sockets.remove(id);
                return;
            }
            LoopAction::Again => {
                if !mem::replace(&mut socket.is_queued, true) {
                    self.again.push(id);
                }
                Ok(())
            }
            LoopAction::Wait => socket.watch(registry, id.slot(), Watched::Reading),
            LoopAction::WaitToWrite => socket.watch(registry, id.slot(), Watched::Both),
        };
        if let Err(error) = result {
            log::warn!("cannot add a connection to epoll, so it is closed: {error}");
            self.engine.abandon(id);
            self.sockets.remove(id);
        }
    }
}

impl Socket {
    /// Registers for events, never for fewer than before: a connection that was not
    /// writable once may be so again.
    fn watch(&mut self, registry: &Registry, slot: usize, wanted: Watched) -> io::Result<()> {
        let interest = match wanted {
            Watched::Nothing | Watched::Reading => Interest::READABLE,
            Watched::Both => Interest::READABLE | Interest::WRITABLE,
        };
        if self.watched == Watched::Nothing {
            registry.register(&mut self.stream, Token(slot), interest)?;
        } else if self.watched == Watched::Reading && wanted == Watched::Both {
            registry.reregister(&mut self.stream, Token(slot), interest)?;
        } else {
            return Ok(());
        }
        self.watched = wanted;
        Ok(())
    }
}
