//! What is configured the same way by all daemons over TCP.

use std::path::Path;

use aquatic_service::config::Checks;
use aquatic_service::sockets::BoundTcp;
use aquatic_service::tls;
use serde::{Deserialize, Serialize};

use crate::{AddressRange, AddressRanges, EventLoop, Settings};

/// Descriptors that a daemon has open beside its connections, about.
const OTHER_DESCRIPTORS: u64 = 100;

/// What drives the connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EventLoopConfig {
    /// Whatever is best on this system. The log says what was chosen.
    #[default]
    Auto,
    /// io_uring, where the kernel allows it.
    Glommio,
    /// epoll.
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
            checks.fail(name, "a PEM file is needed when enable_tls is true");
        } else if !is_enabled && !is_missing {
            let message = "set, but not used: connections are not encrypted, because \
                 network.enable_tls is false";
            checks.advise(name, message);
        }
    }
    is_enabled.then(|| tls::Files {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    })
}

/// The addresses in `network.trusted_proxies`.
pub fn trusted_proxies(texts: &[String], checks: &mut Checks) -> AddressRanges {
    let mut parse = |text: &String| {
        text.parse::<AddressRange>()
            .map_err(|error| checks.fail("network.trusted_proxies", error.to_string()))
            .ok()
    };
    texts.iter().filter_map(&mut parse).collect()
}

/// How many descriptors may be open at once: one for each connection.
pub fn descriptors(settings: &Settings) -> u64 {
    settings.limits.max_connections.get() as u64 + OTHER_DESCRIPTORS
}

/// Where a daemon listens, for `systemctl status`.
pub fn status(scheme: &str, sockets: &[Vec<BoundTcp>]) -> String {
    let mut addresses: Vec<String> = sockets
        .iter()
        .flatten()
        .map(|bound| format!("{scheme}://{}", bound.address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let plural = if sockets.len() == 1 { "" } else { "s" };
    format!(
        "Serving {} with {} worker{plural}",
        addresses.join(", "),
        sockets.len()
    )
}
