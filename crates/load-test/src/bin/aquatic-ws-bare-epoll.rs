//! `aquatic-ws-bare-epoll`: a minimal WebTorrent tracker with epoll, as a baseline for
//! benchmarks.
//!
//! A connection is added to epoll once. Its output is sent after all input was read, with
//! one write per connection.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use aquatic_load_test::bare;
use aquatic_load_test::ws::bare::{Hub, Over, READ_BYTES, USAGE};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

fn main() -> ExitCode {
    bare::main_with_more("aquatic-ws-bare-epoll", USAGE, |address, arguments| {
        Server::new(address, Hub::new(arguments)?)?.run()
    })
}

struct Server {
    hub: Hub,
    listener: TcpListener,
    poll: Poll,
    /// Indexed by their number in the hub.
    connections: Vec<Option<Connection>>,
    /// Connections with output.
    touched: Vec<usize>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Output that did not fit into the send buffer.
    unsent: Vec<u8>,
}

impl Server {
    fn new(address: SocketAddr, hub: Hub) -> anyhow::Result<Self> {
        let mut listener = TcpListener::from_std(bare::listen(address)?);
        let poll = Poll::new().context("cannot create an epoll instance")?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            hub,
            listener,
            poll,
            connections: Vec::new(),
            touched: Vec::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    fn run(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let place = event.token().0;
                self.touched.push(place);
                let is_over = event.is_readable() && self.read(place) == Err(Over);
                // There is no separate event for data that arrive with the end.
                if is_over || event.is_read_closed() || event.is_error() {
                    // A late event is ignored.
                    if self.connections[place].take().is_some() {
                        self.hub.remove(place);
                    }
                }
            }
            while let Some(place) = self.touched.pop() {
                self.write(place);
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The connection was closed before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("cannot accept"),
            };
            stream.set_nodelay(true)?;
            let place = self.hub.insert()?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(place), interest)?;
            if place == self.connections.len() {
                self.connections.push(None);
            }
            self.connections[place] = Some(Connection {
                stream,
                unsent: Vec::new(),
            });
        }
    }

    fn read(&mut self, place: usize) -> Result<(), Over> {
        loop {
            let Some(connection) = &mut self.connections[place] else {
                return Ok(());
            };
            let length = match connection.stream.read(&mut self.buffer) {
                Ok(0) => return Err(Over),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Over),
            };
            let bytes = &self.buffer[..length];
            self.hub.read(place, bytes, &mut self.touched)?;
            // After a short read, new data cause another event.
            if length < self.buffer.len() {
                return Ok(());
            }
        }
    }

    fn write(&mut self, place: usize) {
        let Some(connection) = &mut self.connections[place] else {
            return;
        };
        self.hub.output(place, &mut connection.unsent);
        if connection.unsent.is_empty() {
            return;
        }
        // The next read also returns the error.
        if let Ok(sent) = connection.stream.write(&connection.unsent) {
            connection.unsent.drain(..sent);
        }
    }
}

const LISTENER: Token = Token(usize::MAX - 1);
