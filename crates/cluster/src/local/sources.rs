//! The daemons that this one reads from.

use std::io::{self, Read};
use std::path::Path;

use socket2::{SockAddr, Socket};

use super::packet::{BATCH, BLOCK, COMPLETE, Hello, HelloError, MAX_PACKET_LENGTH};
use super::place;
use super::status::LocalStatus;
use super::{LocalSettings, Swarms};
use crate::batch::{Batch, BatchError, Kind, NodeId};
use crate::sequences::{Arrival, Sequences};

/// Maximum number of packets that are read from one daemon in a turn.
const PACKETS_PER_TURN: usize = 64;

/// A daemon to read from, which may not be running.
#[derive(Debug)]
pub(super) struct Source {
    index: usize,
    name: String,
    address: SockAddr,
    connection: Option<Connection>,
    was_connected: bool,
    /// The last message that was logged, so that it is not repeated each second.
    said: Option<String>,
    packet: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    /// The node at the other end, once its hello was received.
    node: Option<NodeId>,
    is_complete: bool,
    sequences: Sequences,
}

/// Why a connection was closed.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("it ended")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("a packet has more than {MAX_PACKET_LENGTH} bytes")]
    TooLong,
    #[error("a packet is of the unknown type {0}")]
    Packet(u8),
    #[error("no batch: {0}")]
    Batch(#[from] BatchError),
    #[error("a batch is of another node")]
    Node,
    #[error("no block of peers: {0}")]
    Block(String),
}

impl Source {
    /// The daemon with this index in the list of daemons to read from.
    pub(super) fn new(index: usize, name: &str, path: &Path) -> io::Result<Self> {
        Ok(Self {
            index,
            name: name.to_owned(),
            address: place::address(path)?,
            connection: None,
            was_connected: false,
            said: None,
            // One byte more, to detect packets that are too long.
            packet: vec![0; MAX_PACKET_LENGTH + 1],
        })
    }

    pub(super) fn socket(&self) -> Option<&Socket> {
        self.connection.as_ref().map(|it| &it.socket)
    }

    /// Connects if there is no connection. It is no error if the other daemon does not run:
    /// most hosts run one daemon.
    pub(super) fn connect_if_away(&mut self, status: &LocalStatus) {
        if self.connection.is_some() {
            return;
        }
        match self.connect() {
            Ok(socket) => {
                if self.was_connected {
                    status.counts().add_reconnect();
                }
                self.was_connected = true;
                self.connection = Some(Connection {
                    socket,
                    node: None,
                    is_complete: false,
                    sequences: Sequences::default(),
                });
            }
            Err(error) => {
                use io::ErrorKind::{ConnectionRefused, NotFound, WouldBlock};
                if !matches!(error.kind(), ConnectionRefused | NotFound | WouldBlock) {
                    self.say_once(format!("cannot read peers from {}: {error}", self.name));
                }
            }
        }
    }

    /// Reads packets as long as there are any, until the time `until`; at least one.
    pub(super) fn read<S: Swarms>(
        &mut self,
        swarms: &S,
        settings: &LocalSettings,
        status: &LocalStatus,
        until: u64,
    ) {
        for _ in 0..PACKETS_PER_TURN {
            let now = (settings.clock)();
            match self.read_packet(swarms, settings, status, now) {
                Ok(true) if now < until => {}
                Ok(_) => return,
                Err(end) => return self.end(&end, status),
            }
        }
    }

    /// Reads one packet; returns whether there was one.
    fn read_packet<S: Swarms>(
        &mut self,
        swarms: &S,
        settings: &LocalSettings,
        status: &LocalStatus,
        now: u64,
    ) -> Result<bool, End> {
        let Some(connection) = &mut self.connection else {
            return Ok(false);
        };
        let length = match (&connection.socket).read(&mut self.packet) {
            Ok(0) => return Err(End::Closed),
            Ok(length) if length > MAX_PACKET_LENGTH => return Err(End::TooLong),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let packet = &self.packet[..length];
        let Some(node) = connection.node else {
            let hello = Hello::parse(packet)?;
            if hello.node == settings.node {
                return Err(HelloError::Own.into());
            }
            if hello.name != self.name {
                return Err(HelloError::Name(hello.name).into());
            }
            connection.node = Some(hello.node);
            status.set_linked(self.index, true);
            return Ok(true);
        };
        let (&kind, body) = packet.split_first().ok_or(End::Closed)?;
        match kind {
            BLOCK => {
                let restored = swarms.restore(body);
                restored.map_err(|error| End::Block(error.to_string()))?;
            }
            COMPLETE if body.is_empty() && !connection.is_complete => {
                connection.is_complete = true;
                self.said = None;
                log::info!("linked with {}: its peers are known here", self.name);
            }
            BATCH => {
                let batch = Batch::parse(body)?;
                let header = batch.header();
                if header.node != node {
                    return Err(End::Node);
                }
                if !Kind::ADDRESSES.contains(&header.kind) {
                    return Err(BatchError::Kind(header.kind as u8).into());
                }
                let arrival = connection
                    .sequences
                    .note(header.node, header.kind, header.sequence);
                status.counts().add_in(arrival, batch.len(), false);
                if arrival != Arrival::Repeat {
                    swarms.apply(&batch, now);
                }
            }
            other => return Err(End::Packet(other)),
        }
        Ok(true)
    }

    fn connect(&self) -> io::Result<Socket> {
        let socket = place::socket()?;
        socket.connect(&self.address)?;
        Ok(socket)
    }

    fn end(&mut self, end: &End, status: &LocalStatus) {
        let connection = self.connection.take();
        status.set_linked(self.index, false);
        let was_complete = connection.is_some_and(|it| it.is_complete);
        match end {
            End::Closed | End::Io(_) if was_complete => {
                log::info!("the link with {} has ended", self.name);
            }
            End::Closed | End::Io(_) => {}
            _ => {
                status.counts().add_refused();
                self.say_once(format!("cannot read peers from {}: {end}", self.name));
            }
        }
    }

    fn say_once(&mut self, message: String) {
        if self.said.as_ref() != Some(&message) {
            log::warn!("{message}");
            self.said = Some(message);
        }
    }
}
