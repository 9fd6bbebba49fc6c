//! What can be set about connections.

use std::num::NonZeroUsize;
use std::time::Duration;

use aquatic_policy::AddressRanges;
use aquatic_policy::rates::Limit;

use crate::ReverseProxy;

/// How a daemon's connections are treated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What drives the connections.
    pub event_loop: EventLoop,
    /// What connections may cost.
    pub limits: ConnectionLimits,
    /// From which proxies each connection begins with a PROXY header, version 1
    /// or 2; connections from elsewhere are refused. `None` when there is no
    /// such proxy.
    pub proxy_protocol: Option<AddressRanges>,
    /// Proxies that name their client within the protocol, and how: for their connections
    /// there is no
    /// [`max_connections_per_ip`](ConnectionLimits::max_connections_per_ip) until the
    /// protocol [counts](crate::Exchange::count_client) them for a client.
    pub reverse_proxy: Option<ReverseProxy>,
}

/// What drives the connections of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventLoop {
    /// Whatever is best here.
    #[default]
    Auto,
    /// glommio, which is io_uring.
    Glommio,
    /// mio, which is epoll.
    Mio,
}

/// What connections may cost. Times are kept with the precision of a quarter of
/// a second.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Connections that may be open at once, over all workers.
    pub max_connections: NonZeroUsize,
    /// Connections that may be open at once from one IPv4 address, or one /64
    /// of IPv6; a proxy's own address has no limit.
    pub max_connections_per_ip: Option<NonZeroUsize>,
    /// How many connections a source may open; proxies are exempt.
    pub connection_rate: Option<ConnectionRate>,
    /// How long the PROXY header and the TLS handshake may take together, and
    /// after them what a client has to send first for the protocol to begin.
    pub handshake_timeout: Duration,
    /// How long a message may take to arrive, from its first byte to its last.
    pub message_timeout: Duration,
    /// How long a connection may be silent between messages.
    pub idle_timeout: Duration,
    /// How long a client may take to read what was written for it, without what was
    /// written later; that has its own time.
    pub write_timeout: Duration,
    /// How many bytes may be unsent; a client for which more are is cut off. `None` where
    /// clients get only what they ask for, as nothing is read from a client while
    /// something is unsent.
    pub max_unsent_bytes: Option<NonZeroUsize>,
    /// How long a connection may stay open after its certificate was replaced, if that is
    /// watched.
    pub certificate_grace: Duration,
}

/// How many connections a source may open.
#[derive(Debug, Clone)]
pub struct ConnectionRate {
    /// The limit of each source.
    pub limit: Limit,
    /// Sources without a limit.
    pub exempt: AddressRanges,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        const MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

        Self {
            max_connections: MAX_CONNECTIONS,
            max_connections_per_ip: None,
            connection_rate: None,
            handshake_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            max_unsent_bytes: None,
            certificate_grace: Duration::MAX,
        }
    }
}
