//! A source address: its socket, its connection id and its peers.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::Context;
use aquatic_udp_protocol::ConnectionId;

use super::settings::Settings;
use super::window::Request;
use crate::counters::Kind;
use crate::population::Population;
use crate::share::Share;

/// A source address of a worker.
pub(crate) struct Source {
    /// Its place among the sources of all workers.
    pub(crate) index: u32,
    pub(crate) socket: UdpSocket,
    /// Peers of the population that announce from here.
    pub(crate) share: Share,
    pub(crate) connection_id: Option<ConnectionId>,
    /// When the connection id came, in nanoseconds on the worker's clock.
    connected_at: u64,
    /// A connect request is under way for want of a connection id.
    pub(crate) connecting: bool,
    /// Requests under way.
    pub(crate) outstanding: usize,
    /// In the worker's list of sources that wait for replies.
    pub(crate) active: bool,
}

impl Source {
    /// Binds a socket to the address and connects it to the server.
    pub(crate) fn open(
        index: u32,
        address: IpAddr,
        settings: &Settings,
        population: &Population,
    ) -> anyhow::Result<Self> {
        let server = settings.run.server;
        let socket = UdpSocket::bind(SocketAddr::new(address, 0)).with_context(|| {
            format!("cannot bind a socket to {address} (network.source_addresses)")
        })?;
        socket
            .connect(server)
            .with_context(|| format!("cannot send from {address} to {server}"))?;
        // Best effort: the kernel caps it at net.core.rmem_max.
        let window_bytes = settings.transport.outstanding_requests * RECEIVE_BYTES_PER_REQUEST;
        let socket = socket2::Socket::from(socket);
        if socket
            .recv_buffer_size()
            .is_ok_and(|size| size < window_bytes)
        {
            socket.set_recv_buffer_size(window_bytes).ok();
        }

        Ok(Self {
            index,
            socket: socket.into(),
            share: population.share(index),
            connection_id: None,
            connected_at: 0,
            connecting: false,
            outstanding: 0,
            active: false,
        })
    }

    /// Keeps a connection id that came; says whether it is the first.
    pub(crate) fn connect(&mut self, connection_id: ConnectionId, now: u64) -> bool {
        self.connecting = false;
        self.connected_at = now;
        self.connection_id.replace(connection_id).is_none()
    }

    /// Whether it is time for a connection id, or for a new one.
    pub(crate) fn wants_connection(&self, now: u64) -> bool {
        let stale = now > self.connected_at + MAX_CONNECTION_AGE_NANOSECONDS;
        !self.connecting && (self.connection_id.is_none() || stale)
    }

    /// A request was refused, and will not be answered again.
    pub(crate) fn refuse(&mut self, kind: Kind) {
        if kind == Kind::Connect {
            self.connecting = false;
        }
    }

    /// A request got no reply.
    pub(crate) fn lose(&mut self, request: &Request) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.refuse(request.kind);
        if let Some(place) = request.filling {
            self.share.not_filled(place);
        }
    }
}

/// Connection ids are for one minute (BEP 15: "a client can use a connection
/// ID until one minute after it has received it").
const MAX_CONNECTION_AGE_NANOSECONDS: u64 = 60_000_000_000;

/// What a reply takes of a receive buffer, with the kernel's own overhead.
const RECEIVE_BYTES_PER_REQUEST: usize = 2048;
