//! What a configuration says about sockets, apart from everything else in it.

use super::*;
use crate::config::{Addresses, Checks, MetricsConfig, addresses};

/// What a daemon listens on: all that its socket units are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Addresses to serve: at least one, of which none covers another.
    pub addresses: Vec<SocketAddr>,
    /// Sockets for each address; `None` for one for each processor core.
    pub workers: Option<NonZeroUsize>,
    /// The kind of the sockets.
    pub transport: Transport,
    /// Where figures are served; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
}

/// A kind of sockets, with what is set of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// For datagrams.
    Udp {
        /// As in [`UdpRequest`].
        receive_buffer_bytes: Option<NonZeroUsize>,
    },
    /// For connections.
    Tcp {
        /// As in [`TcpRequest`].
        backlog: NonZeroUsize,
    },
}

impl Transport {
    /// The size of the receive buffer of a socket for datagrams; `None` for the
    /// system's default, and for other sockets.
    pub fn receive_buffer_bytes(self) -> Option<NonZeroUsize> {
        match self {
            Self::Udp {
                receive_buffer_bytes,
            } => receive_buffer_bytes,
            Self::Tcp { .. } => None,
        }
    }

    /// How many connections may wait on a socket; one for sockets that know none.
    pub fn backlog(self) -> NonZeroUsize {
        match self {
            Self::Udp { .. } => NonZeroUsize::MIN,
            Self::Tcp { backlog } => backlog,
        }
    }
}

impl Listening {
    /// Checks the addresses of `[network]` and `[metrics]` together.
    pub fn new(
        address: &Addresses,
        workers: Option<NonZeroUsize>,
        transport: Transport,
        metrics: &MetricsConfig,
        checks: &mut Checks,
    ) -> Self {
        let listening = Self {
            addresses: address.as_slice().to_vec(),
            workers,
            transport,
            metrics: metrics.address(checks),
        };
        if let (Transport::Tcp { .. }, Some(metrics)) = (transport, listening.metrics) {
            let mut served = listening.addresses.iter();
            if let Some(served) = served.find(|served| addresses::overlap(**served, metrics)) {
                checks.fail(
                    "metrics.address",
                    format!("{metrics} is served to clients already, by {served} of network.address; choose another port"),
                );
            }
        }
        listening
    }

    /// The sockets to be opened for clients.
    pub fn request(&self) -> Request<'_> {
        match self.transport {
            Transport::Udp {
                receive_buffer_bytes,
            } => Request::Udp(UdpRequest {
                addresses: &self.addresses,
                workers: self.workers,
                receive_buffer_bytes,
            }),
            Transport::Tcp { backlog } => Request::Tcp(TcpRequest {
                addresses: &self.addresses,
                workers: self.workers,
                backlog,
            }),
        }
    }
}
