//! The listening sockets of a configuration.

use super::*;
use crate::config::{Addresses, Checks, MetricsConfig, addresses};

/// What a daemon listens on; its socket units are generated from this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Addresses to listen on: at least one, none of which includes another.
    pub addresses: Vec<SocketAddr>,
    /// Sockets per address; `None` for one per CPU core.
    pub workers: Option<NonZeroUsize>,
    /// The transport of the sockets.
    pub transport: Transport,
    /// The address for metrics, if they are enabled.
    pub metrics: Option<SocketAddr>,
}

/// The transport of sockets, with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp {
        /// See [`UdpRequest`].
        receive_buffer_bytes: Option<NonZeroUsize>,
    },
    /// TCP.
    Tcp {
        /// See [`TcpRequest`].
        backlog: NonZeroUsize,
    },
}

impl Transport {
    /// The size of the receive buffer of a UDP socket; `None` for the system's default, and
    /// for TCP sockets.
    pub fn receive_buffer_bytes(self) -> Option<NonZeroUsize> {
        match self {
            Self::Udp {
                receive_buffer_bytes,
            } => receive_buffer_bytes,
            Self::Tcp { .. } => None,
        }
    }

    /// The backlog of a TCP socket; 1 for UDP sockets.
    pub fn backlog(self) -> NonZeroUsize {
        match self {
            Self::Udp { .. } => NonZeroUsize::MIN,
            Self::Tcp { backlog } => backlog,
        }
    }
}

impl Listening {
    /// Validates the addresses of `[network]` and `[metrics]` together.
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
                    format!(
                        "{metrics} is already used by {served} of network.address; choose \
                             another port"
                    ),
                );
            }
        }
        listening
    }

    /// The request for the sockets for clients.
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
