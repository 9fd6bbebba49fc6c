//! `aquatic-http-bare-epoll`: a minimal HTTP server with epoll, as a baseline for
//! benchmarks of trackers.
//!
//! A connection is read immediately after it was accepted. It is added to epoll, once, only
//! if there is nothing to read yet, or if it stays open. So a request costs one read, one
//! write, and its share of waiting for events.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use aquatic_load_test::bare;
use aquatic_load_test::http::bare::{Answer, READ_BYTES, answer};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

fn main() -> ExitCode {
    bare::main("aquatic-http-bare-epoll", serve_all)
}

fn serve_all(address: SocketAddr) -> anyhow::Result<()> {
    let mut listener = TcpListener::from_std(bare::listen(address)?);
    let mut poll = Poll::new().context("cannot create an epoll instance")?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;

    let mut connections = Connections::default();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections, &mut buffer)?;
            } else {
                let number = event.token().0;
                if let Some(connection) = &mut connections.places[number]
                    && serve(connection, &mut buffer) == Outcome::Over
                {
                    connections.remove(number);
                }
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Connections,
    buffer: &mut [u8],
) -> anyhow::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // The connection was closed before it was accepted.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("cannot accept"),
        };
        if serve(&mut stream, buffer) == Outcome::Waiting {
            let place = connections.insert(stream);
            if let Some(stream) = &mut connections.places[place] {
                poll.registry()
                    .register(stream, Token(place), Interest::READABLE)?;
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Waiting,
    Over,
}

/// Reads once and answers. A request in several pieces is not answered, and replies fit
/// into the send buffer.
fn serve(stream: &mut TcpStream, buffer: &mut [u8]) -> Outcome {
    let length = match stream.read(buffer) {
        Ok(0) => return Outcome::Over,
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Outcome::Waiting,
        Err(_) => return Outcome::Over,
    };
    match answer(&buffer[..length]) {
        Answer::Keep(reply) if stream.write_all(reply).is_ok() => Outcome::Waiting,
        Answer::Close(reply) => {
            stream.write_all(reply).ok();
            Outcome::Over
        }
        _ => Outcome::Over,
    }
}

#[derive(Default)]
struct Connections {
    places: Vec<Option<TcpStream>>,
    free: Vec<usize>,
}

impl Connections {
    fn insert(&mut self, stream: TcpStream) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(stream);
        place
    }

    fn remove(&mut self, place: usize) {
        self.places[place] = None;
        self.free.push(place);
    }
}

const LISTENER: Token = Token(usize::MAX - 1);
