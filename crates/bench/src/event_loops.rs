//! The event loops of daemons over TCP, and their certificate.

use std::path::PathBuf;

use crate::server::Addresses;

/// An event loop, and the bare server to which daemons with it are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventLoop {
    /// Its name in configurations.
    pub(crate) name: &'static str,
    pub(crate) bare_name: &'static str,
    /// The suffix of the bare server's name.
    bare_suffix: &'static str,
}

impl EventLoop {
    /// The bare server of a protocol.
    pub(crate) fn bare_program(self, protocol: &str) -> String {
        format!("aquatic-{protocol}-bare-{}", self.bare_suffix)
    }

    /// The label of a row with connections of this kind.
    pub(crate) fn over(self, tls: bool) -> String {
        format!("{}, {}", self.name, if tls { "TLS" } else { "plain" })
    }

    /// Configuration of a daemon with one worker, without limits on connections, and without
    /// expiry during the measurement; `protocol` is the content of that section.
    pub(crate) fn daemon_config(self, addresses: Addresses, tls: bool, protocol: &str) -> String {
        let encryption = if tls { encryption() } else { String::new() };
        format!(
            "socket_workers = 1\n\
             log_level = \"error\"\n\
             [network]\n\
             address = \"{}\"\n\
             event_loop = \"{}\"\n\
             tcp_backlog = 4096\n\
             max_connections_per_ip = 0\n\
             {encryption}\
             [protocol]\n\
             {protocol}\n\
             [cleaning]\n\
             max_peer_age = 28800\n\
             max_connection_idle = 28800\n\
             [metrics]\n\
             address = \"{}\"\n",
            addresses.service, self.name, addresses.metrics,
        )
    }
}

pub(crate) const EVENT_LOOPS: [EventLoop; 2] = [
    EventLoop {
        name: "mio",
        bare_name: "bare epoll",
        bare_suffix: "epoll",
    },
    EventLoop {
        name: "glommio",
        bare_name: "bare glommio",
        bare_suffix: "glommio",
    },
];

/// The part of `[network]` that switches TLS on with a certificate for tests.
/// What it is does not matter here.
fn encryption() -> String {
    let [certificate, key] = certificate();
    format!(
        "enable_tls = true\n\
         tls_certificate_path = {certificate:?}\n\
         tls_private_key_path = {key:?}\n",
    )
}

/// The certificate and the key of tests, as files.
pub(crate) fn certificate() -> [PathBuf; 2] {
    let certificates = crate::root().join("crates/test-harness/src/certificates");
    ["ec.pem", "ec-pkcs8.key"].map(|name| certificates.join(name))
}
