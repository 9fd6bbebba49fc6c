//! Connections in memory, between clients of the test and the state machine that an
//! event loop drives.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use aquatic_stream::simulation::{LoopAction, Setup, Simulation, Transport};
use aquatic_stream::{ConnectionId, Protocol};

use crate::memory::{counted, uncounted};

/// Maximum number of times that a connection may be driven in a row; beyond that, the
/// loop is considered endless.
const MAX_TURNS: usize = 10_000;

/// The data in transit between a client and its connection.
#[derive(Debug, Default)]
pub struct Link {
    to_server: Vec<u8>,
    /// What the client has received and not yet taken.
    pub received: Vec<u8>,
    /// Whether the client has closed its sending side.
    is_ended: bool,
    /// Maximum number of bytes that the client has not read.
    room: usize,
}

impl Transport for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.to_server.len());
        if count == 0 && !self.is_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..count].copy_from_slice(&self.to_server[..count]);
        self.to_server.drain(..count);
        Ok(count)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let count = from
            .len()
            .min(self.room.saturating_sub(self.received.len()));
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // The client's memory is not part of the tracker's.
        uncounted(|| self.received.extend_from_slice(&from[..count]));
        Ok(count)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All connections of a worker.
pub struct Network<P: Protocol> {
    simulation: Simulation<P>,
    links: BTreeMap<u64, Link>,
    /// Connections whose client may have received data.
    touched: Vec<u64>,
    is_draining: bool,
}

impl<P: Protocol> Network<P> {
    /// No connections.
    #[must_use]
    pub fn new(protocol: P, setup: Setup, now: Instant) -> Self {
        Self {
            simulation: counted(|| Simulation::new(protocol, setup, now)),
            links: BTreeMap::new(),
            touched: Vec::new(),
            is_draining: false,
        }
    }

    /// Connects from an address; `None` if that is refused.
    pub fn connect(&mut self, source: SocketAddr) -> Option<u64> {
        let id = counted(|| self.simulation.open(source))?;
        let link = Link {
            room: 1 << 20,
            ..Link::default()
        };
        self.links.insert(id.to_bits(), link);
        self.drive(id.to_bits());
        Some(id.to_bits())
    }

    /// The client sends bytes. Nothing happens on a connection that was closed.
    pub fn send(&mut self, id: u64, bytes: &[u8]) {
        if let Some(link) = self.links.get_mut(&id) {
            link.to_server.extend_from_slice(bytes);
            self.drive(id);
        }
    }

    /// The client closes its sending side.
    pub fn end(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.is_ended = true;
            self.drive(id);
        }
    }

    /// The client stops reading.
    pub fn stall(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.room = 0;
        }
    }

    /// Takes what the client has received; `None` if the connection was closed.
    pub fn take(&mut self, id: u64) -> Option<Vec<u8>> {
        let link = self.links.get_mut(&id)?;
        Some(std::mem::take(&mut link.received))
    }

    /// Connections on which data may have arrived since the last call.
    pub fn take_touched(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.touched)
    }

    /// Whether the connection is open on the server's side.
    #[must_use]
    pub fn is_open(&self, id: u64) -> bool {
        self.links.contains_key(&id)
    }

    /// The number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        assert_eq!(self.simulation.len(), self.links.len());
        self.links.len()
    }

    /// Whether there are no connections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets the worker process its deadlines, and the messages of other workers.
    pub fn turn(&mut self, now: Instant) {
        counted(|| {
            self.simulation.advance(now);
            self.simulation.woken();
        });
        if self.is_draining {
            self.drive_all();
        }
        let mut late = 0;
        while let Some(id) = counted(|| self.simulation.next_late()) {
            self.drive(id.to_bits());
            late += 1;
            assert!(late < MAX_TURNS, "there is always a late connection");
        }
        self.send_collected();
    }

    /// Starts the shutdown of the worker; connections have this time to finish.
    pub fn drain(&mut self) {
        self.simulation.drain();
        self.is_draining = true;
        self.drive_all();
    }

    /// Whether all connections are finished, or the time is over.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.simulation.is_drained()
    }

    fn drive_all(&mut self) {
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for id in ids {
            self.drive(id);
        }
    }

    fn drive(&mut self, id: u64) {
        self.touched.push(id);
        for _ in 0..MAX_TURNS {
            let Some(link) = self.links.get_mut(&id) else {
                return;
            };
            let action = counted(|| self.simulation.drive(ConnectionId::from_bits(id), link));
            match action {
                LoopAction::Again => (),
                LoopAction::Close => {
                    self.links.remove(&id);
                    break;
                }
                LoopAction::Wait | LoopAction::WaitToWrite => break,
            }
        }
        self.send_collected();
    }

    /// Sends the output that was collected for connections to their clients.
    fn send_collected(&mut self) {
        let mut turns = 0;
        while let Some(id) = self.simulation.next_collected() {
            turns += 1;
            assert!(turns < MAX_TURNS, "there is always something collected");
            let Some(link) = self.links.get_mut(&id.to_bits()) else {
                continue;
            };
            let action = counted(|| self.simulation.send_collected(id, link));
            self.touched.push(id.to_bits());
            if action == LoopAction::Close {
                self.links.remove(&id.to_bits());
            }
        }
    }
}
