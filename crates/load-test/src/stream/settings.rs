//! How many connections there are, and of which kind.

use std::sync::Arc;

use aquatic_service::config::Checks;
use aquatic_service::config::numbers::Count;
use serde::{Deserialize, Serialize};

use super::tls::{self, TlsConfig, TlsSettings};
use crate::run_settings::RunSettings;

/// Number and kind of connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TransportConfig {
    /// Number of connections that send requests, distributed over the source
    /// addresses in turn. Each has one outstanding request at a time.
    pub connections: Count<1, MAX_CONNECTIONS>,
    /// Number of additional connections that send one request when they are
    /// opened, and then stay open and idle.
    pub idle_connections: Count<0, MAX_CONNECTIONS>,
    /// TLS.
    pub tls: TlsConfig,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connections: Count::of::<64>(),
            idle_connections: Count::of::<0>(),
            tls: TlsConfig::default(),
        }
    }
}

/// A valid [`TransportConfig`].
#[derive(Debug, Clone)]
pub(crate) struct TransportSettings {
    /// At least one a source.
    pub(crate) active: usize,
    pub(crate) idle: usize,
    /// None for plain connections.
    pub(crate) tls: Option<TlsSettings>,
    /// The value of the header Host.
    pub(crate) host: Arc<str>,
}

impl TransportSettings {
    /// Checks the section `transport`.
    pub(crate) fn new(config: &TransportConfig, run: &RunSettings, checks: &mut Checks) -> Self {
        let active = config.connections.as_usize();
        // Otherwise some of the peers would never announce.
        let sources = run.sources.len();
        if active < sources {
            checks.fail(
                "transport.connections",
                format!("{active} connections are too few for {sources} source addresses"),
            );
        }
        let tls = tls::settings(&config.tls, checks);
        let host = match &tls {
            Some(tls) => format!("{}:{}", tls.server_name.to_str(), run.server.port()),
            None => run.server.to_string(),
        };
        Self {
            active,
            idle: config.idle_connections.as_usize(),
            tls,
            host: host.into(),
        }
    }

    /// All connections.
    pub(crate) fn connections(&self) -> usize {
        self.active + self.idle
    }
}

/// Connections at most: each is a file descriptor.
const MAX_CONNECTIONS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Config, Settings};

    fn faults(change: impl FnOnce(&mut Config)) -> Vec<String> {
        crate::config::faults(Settings::new, change)
    }

    #[test]
    fn every_source_needs_a_connection() {
        let found = faults(|config| config.transport.connections = Count::of::<31>());
        assert_eq!(found, ["transport.connections"]);
    }

    #[test]
    fn every_fault_is_named() {
        let found = faults(|config| {
            config.network.source_addresses = vec!["127.0.0.1".to_owned()];
            config.population.peers = Count::of::<100>();
            config.transport = TransportConfig {
                connections: Count::of::<1>(),
                tls: TlsConfig {
                    enable: true,
                    server_name: "not a name".to_owned(),
                    ca_certificate_path: "/does/not/exist".to_owned(),
                    ..TlsConfig::default()
                },
                ..TransportConfig::default()
            };
        });
        assert_eq!(
            found,
            [
                "transport.tls.server_name",
                "transport.tls.ca_certificate_path",
            ]
        );
    }

    #[test]
    fn tls_is_not_looked_at_without() {
        assert!(faults(|config| config.transport.tls.server_name = String::new()).is_empty());
        assert!(faults(|config| config.transport.tls.enable = true).is_empty());
    }
}
