//! What is configured the same way by all daemons over TCP.

use std::path::Path;

use aquatic_service::config::numbers::{Count, Seconds, ZeroOr};
use aquatic_service::config::{Checks, Texts};
use aquatic_service::tls;
use serde::{Deserialize, Serialize};

use crate::{AddressHeader, AddressRange, AddressRanges, EventLoop, ReverseProxy, Settings};

/// Descriptors that a daemon has open beside its connections, about.
const OTHER_DESCRIPTORS: u64 = 100;

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

/// The addresses of this machine, as the proxies that are trusted by default.
pub fn loopback() -> TrustedProxies {
    let texts = ["127.0.0.0/8", "::1"].map(str::to_owned);
    // They are ranges; the default file, which has them, is compared with this.
    Texts::new(texts.into()).unwrap_or_default()
}

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

/// What the section `network` says about proxies.
#[derive(Debug, Clone, Copy)]
pub struct ProxyKeys<'a> {
    /// `runs_behind_reverse_proxy`
    pub is_behind: bool,
    /// `reverse_proxy_ip_header_name`
    pub header_name: &'a str,
    /// `reverse_proxy_ip_header_format`
    pub header_format: AddressHeaderFormat,
    /// `proxy_protocol`
    pub proxy_protocol: bool,
    /// `trusted_proxies`
    pub trusted: &'a [AddressRange],
}

/// The proxies in front of a daemon.
#[derive(Debug, Clone)]
pub struct Proxies {
    /// Those that begin each connection with a PROXY header, if there are such.
    pub proxy_protocol: Option<AddressRanges>,
    /// Those that name the client in a header of HTTP, if there are such.
    pub reverse: Option<ReverseProxy>,
}

impl ProxyKeys<'_> {
    /// Checks them.
    pub fn check(self, checks: &mut Checks) -> Proxies {
        let trusted: AddressRanges = self.trusted.iter().copied().collect();
        if self.proxy_protocol && trusted.is_empty() {
            checks.fail(
                "network.trusted_proxies",
                "at least one address is required when proxy_protocol is true, otherwise no client \
                 could connect",
            );
        }
        let reverse = self
            .is_behind
            .then(|| self.reverse_proxy(trusted.clone(), checks));
        Proxies {
            proxy_protocol: self.proxy_protocol.then_some(trusted),
            reverse,
        }
    }

    fn reverse_proxy(self, trusted: AddressRanges, checks: &mut Checks) -> ReverseProxy {
        if self.proxy_protocol {
            checks.fail(
                "network.proxy_protocol",
                "cannot be combined with runs_behind_reverse_proxy, which takes the client's \
                 address from a header; set one of the two to false",
            );
        }
        let name = self.header_name.trim();
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
        match self.header_format {
            AddressHeaderFormat::LastAddress => ReverseProxy {
                header: AddressHeader::new(name),
                trusted,
            },
        }
    }
}

impl Proxies {
    /// Addresses of those that name the client in a header of HTTP.
    pub fn reverse_addresses(&self) -> AddressRanges {
        let addresses = self.reverse.as_ref().map(|proxy| proxy.trusted.clone());
        addresses.unwrap_or_default()
    }
}

/// The files of `network.tls_certificate_path` and
/// `network.tls_private_key_path`, if `network.enable_tls` says so.
pub fn tls_files(
    is_enabled: bool,
    certificate: &Path,
    key: &Path,
    checks: &mut Checks,
) -> Option<tls::Files> {
    let files = [
        ("network.tls_certificate_path", certificate),
        ("network.tls_private_key_path", key),
    ];
    for (name, path) in files {
        let is_missing = path.as_os_str().is_empty();
        if is_enabled && is_missing {
            checks.fail(name, "a PEM file is required when enable_tls is true");
        } else if !is_enabled && !is_missing {
            let message = "set, but not used, because network.enable_tls is false";
            checks.advise(name, message);
        }
    }
    is_enabled.then(|| tls::Files {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    })
}

/// How many descriptors may be open at once: one for each connection.
pub fn descriptors(settings: &Settings) -> u64 {
    settings.limits.max_connections.get() as u64 + OTHER_DESCRIPTORS
}
