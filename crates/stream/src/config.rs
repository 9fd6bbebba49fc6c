//! What is configured the same way by all daemons over TCP.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::path::PathBuf;
use std::time::Duration;

use aquatic_policy::{AddressRange, AddressRanges};
use aquatic_service::config::numbers::{Count, Seconds, ZeroOr};
use aquatic_service::config::{
    Addresses, Checks, MetricsConfig, PublicUrl, TcpRatesConfig, Texts, Workers,
};
use aquatic_service::sockets::{Listening, TcpRequest, Transport};
use aquatic_service::tls;
use serde::{Deserialize, Serialize};

use crate::{AddressHeader, ConnectionLimits, ConnectionRate, EventLoop, ReverseProxy, Settings};

/// Descriptors that a daemon has open beside its connections, about.
const OTHER_DESCRIPTORS: u64 = 100;

/// What needs a restart in the section `network`.
pub const NEED_RESTART: &[&str] = &[
    "network.event_loop",
    "network.tcp_backlog",
    "network.enable_tls",
];

/// Connections that wait to be accepted on a socket. The kernel takes an `int`.
pub type Backlog = Count<1, 0x7fff_ffff>;
/// Open connections.
pub type MaxConnections = Count<1, 10_000_000>;
/// Open connections of an IP address; 0 for no limit.
pub type MaxConnectionsPerIp = ZeroOr<MaxConnections>;
/// Time for a handshake, a message or a reply: up to ten minutes.
pub type Timeout = Seconds<1, 600>;

/// Proxies that are trusted.
pub type TrustedProxies = Texts<AddressRange>;

/// Event loop that handles connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EventLoopConfig {
    /// The best one for this system; the log tells which one was chosen.
    #[default]
    Auto,
    /// glommio, on io_uring; the kernel has to allow it.
    Glommio,
    /// mio, on epoll.
    Mio,
}

impl From<EventLoopConfig> for EventLoop {
    fn from(config: EventLoopConfig) -> Self {
        match config {
            EventLoopConfig::Auto => Self::Auto,
            EventLoopConfig::Glommio => Self::Glommio,
            EventLoopConfig::Mio => Self::Mio,
        }
    }
}

/// Which address in a header is the client's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AddressHeaderFormat {
    /// The last one, which the nearest proxy has added.
    #[default]
    LastAddress,
}

/// What differs between protocols in the section `network`.
pub trait ProtocolKeys: Default {
    /// The default port.
    const PORT: u16;
    /// The schemes of announce URLs, without and with TLS.
    const SCHEMES: [&'static str; 2];
    /// Documentation of [`NetworkConfig::public_url`].
    const PUBLIC_URL: &'static str;
    /// Documentation of [`NetworkConfig::enable_tls`].
    const ENABLE_TLS: &'static str;
    /// Documentation of [`NetworkConfig::handshake_timeout`].
    const HANDSHAKE_TIMEOUT: &'static str;
    /// Documentation of [`NetworkConfig::message_timeout`].
    const MESSAGE_TIMEOUT: &'static str;
}

/// Listening sockets and client connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct NetworkConfig<P: ProtocolKeys> {
    /// IP address and port to listen on, or a list of them. `0.0.0.0` means all
    /// IPv4 addresses of the machine, and `[::]` all IPv6 addresses; IPv6
    /// sockets never accept IPv4 traffic. Each worker has one socket per
    /// address. The socket unit of a packaged service takes its addresses from
    /// here, too. With a socket unit of your own, the addresses in the unit are
    /// used instead of these.
    pub address: Addresses,
    /// URL under which clients reach the tracker.
    #[cfg_attr(feature = "schema", schemars(description = P::PUBLIC_URL))]
    pub public_url: PublicUrl,
    /// Event loop that handles connections.
    pub event_loop: EventLoopConfig,
    /// Maximum number of connections waiting to be accepted, per socket. The
    /// kernel may allow fewer (sysctl net.core.somaxconn).
    pub tcp_backlog: Backlog,
    /// Whether to use TLS.
    #[cfg_attr(feature = "schema", schemars(description = P::ENABLE_TLS))]
    pub enable_tls: bool,
    /// PEM file with the server certificate, followed by any intermediate
    /// certificates. A reload reads it again.
    pub tls_certificate_path: PathBuf,
    /// PEM file with the private key of the certificate (PKCS#8, PKCS#1 or
    /// SEC1). A reload reads it again.
    pub tls_private_key_path: PathBuf,
    /// The keys that only this protocol has.
    #[serde(flatten)]
    pub own: P,
    /// Maximum number of open connections.
    pub max_connections: MaxConnections,
    /// Maximum number of open connections from one IPv4 address, or from one
    /// IPv6 /64 network. The default leaves room for hundreds of households
    /// behind one carrier-grade NAT address, and keeps a single source from
    /// using up max_connections. Trusted proxies are exempt. Raise it for a
    /// proxy that does not pass on the addresses of its clients, and for load
    /// tests. 0: no limit.
    pub max_connections_per_ip: MaxConnectionsPerIp,
    /// Time limit for the TLS handshake and the PROXY protocol header, in seconds.
    #[cfg_attr(feature = "schema", schemars(description = P::HANDSHAKE_TIMEOUT))]
    pub handshake_timeout: Timeout,
    /// Time limit for receiving a message, in seconds.
    #[cfg_attr(feature = "schema", schemars(description = P::MESSAGE_TIMEOUT))]
    pub message_timeout: Timeout,
    /// Time limit for a client to receive what is sent to it, in seconds.
    pub write_timeout: Timeout,
    /// Whether the tracker runs behind a reverse proxy that passes on the
    /// client's address in an HTTP header. Limits per address then apply to the
    /// client, not to the proxy.
    pub runs_behind_reverse_proxy: bool,
    /// Name of the header that contains the client's address: X-Forwarded-For,
    /// X-Real-IP, Forwarded, or another header with the syntax of
    /// X-Forwarded-For. Case-insensitive.
    pub reverse_proxy_ip_header_name: String,
    /// Which address in that header is the client's.
    pub reverse_proxy_ip_header_format: AddressHeaderFormat,
    /// Whether every connection begins with a PROXY protocol header (version 1
    /// or 2), as HAProxy sends it.
    pub proxy_protocol: bool,
    /// Trusted proxies: IP addresses, or networks such as 10.0.0.0/8. Address
    /// headers from other sources are ignored; with proxy_protocol, connections
    /// from other sources are rejected.
    pub trusted_proxies: TrustedProxies,
}

impl<P: ProtocolKeys> Default for NetworkConfig<P> {
    fn default() -> Self {
        Self {
            address: Addresses::all(P::PORT),
            public_url: PublicUrl::default(),
            event_loop: EventLoopConfig::Auto,
            tcp_backlog: Count::of::<1024>(),
            enable_tls: false,
            tls_certificate_path: PathBuf::new(),
            tls_private_key_path: PathBuf::new(),
            own: P::default(),
            max_connections: Count::of::<50_000>(),
            max_connections_per_ip: ZeroOr::of::<1_000>(),
            handshake_timeout: Seconds::of::<10>(),
            message_timeout: Seconds::of::<10>(),
            write_timeout: Seconds::of::<10>(),
            runs_behind_reverse_proxy: false,
            reverse_proxy_ip_header_name: "X-Forwarded-For".to_owned(),
            reverse_proxy_ip_header_format: AddressHeaderFormat::LastAddress,
            proxy_protocol: false,
            trusted_proxies: loopback(),
        }
    }
}

/// The addresses of this machine.
fn loopback() -> TrustedProxies {
    let texts = ["127.0.0.0/8", "::1"].map(str::to_owned);
    // They are ranges; the default file, which has them, is compared with this.
    Texts::new(texts.into()).unwrap_or_default()
}

impl<P: ProtocolKeys> NetworkConfig<P> {
    /// What a daemon with this configuration listens on.
    pub fn listening(
        &self,
        workers: Workers,
        metrics: &MetricsConfig,
        checks: &mut Checks,
    ) -> Listening {
        let backlog = self.tcp_backlog.non_zero();
        let transport = Transport::Tcp { backlog };
        Listening::new(
            &self.address,
            workers.non_zero(),
            transport,
            metrics,
            checks,
        )
    }

    /// The request for its sockets.
    pub fn sockets(&self, workers: Workers) -> TcpRequest<'_> {
        TcpRequest {
            addresses: self.address.as_slice(),
            workers: workers.non_zero(),
            backlog: self.tcp_backlog.non_zero(),
        }
    }

    /// The settings of connections, which are closed after `idle_timeout` without a message.
    pub fn settings(
        &self,
        idle_timeout: Duration,
        rates: &TcpRatesConfig,
        checks: &mut Checks,
    ) -> Settings {
        self.public_url.check(&P::SCHEMES, checks);
        rates.check(checks);
        let trusted: AddressRanges = self.trusted_proxies.iter().copied().collect();
        if self.proxy_protocol && trusted.is_empty() {
            checks.fail(
                "network.trusted_proxies",
                "at least one address is required when proxy_protocol is true, otherwise no client \
                 could connect",
            );
        }
        Settings {
            event_loop: self.event_loop.into(),
            limits: ConnectionLimits {
                max_connections: self.max_connections.non_zero(),
                max_connections_per_ip: self.max_connections_per_ip.non_zero(),
                connection_rate: rates.connections().map(|rule| ConnectionRate {
                    limit: rule.limit,
                    exempt: rule.exempt.iter().copied().collect(),
                }),
                handshake_timeout: self.handshake_timeout.duration(),
                message_timeout: self.message_timeout.duration(),
                idle_timeout,
                write_timeout: self.write_timeout.duration(),
                max_unsent_bytes: None,
                certificate_grace: Duration::MAX,
            },
            reverse_proxy: self
                .runs_behind_reverse_proxy
                .then(|| self.reverse_proxy(trusted.clone(), checks)),
            proxy_protocol: self.proxy_protocol.then_some(trusted),
        }
    }

    fn reverse_proxy(&self, trusted: AddressRanges, checks: &mut Checks) -> ReverseProxy {
        if self.proxy_protocol {
            checks.fail(
                "network.proxy_protocol",
                "cannot be combined with runs_behind_reverse_proxy, which takes the client's \
                 address from a header; set one of the two to false",
            );
        }
        let name = self.reverse_proxy_ip_header_name.trim();
        // RFC 9110, 5.1: a field name is a token.
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            checks.fail(
                "network.reverse_proxy_ip_header_name",
                format!("\"{name}\" is not a valid header name, such as \"X-Forwarded-For\""),
            );
        }
        if trusted.is_empty() {
            checks.fail(
                "network.trusted_proxies",
                "at least one address is required when runs_behind_reverse_proxy is true",
            );
        }
        match self.reverse_proxy_ip_header_format {
            AddressHeaderFormat::LastAddress => ReverseProxy {
                header: AddressHeader::new(name),
                trusted,
            },
        }
    }

    /// The files of certificate and key; `None` without TLS.
    pub fn tls_files(&self, checks: &mut Checks) -> Option<tls::Files> {
        let files = [
            ("network.tls_certificate_path", &self.tls_certificate_path),
            ("network.tls_private_key_path", &self.tls_private_key_path),
        ];
        for (name, path) in files {
            let is_missing = path.as_os_str().is_empty();
            if self.enable_tls && is_missing {
                checks.fail(name, "a PEM file is required when enable_tls is true");
            } else if !self.enable_tls && !is_missing {
                let message = "set, but not used, because network.enable_tls is false";
                checks.advise(name, message);
            }
        }
        self.enable_tls.then(|| tls::Files {
            certificate: self.tls_certificate_path.clone(),
            key: self.tls_private_key_path.clone(),
        })
    }
}

/// How many descriptors may be open at once: one for each connection.
pub fn descriptors(settings: &Settings) -> u64 {
    settings.limits.max_connections.get() as u64 + OTHER_DESCRIPTORS
}
