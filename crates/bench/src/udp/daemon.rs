//! The measured `aquatic-udp`.

use std::net::SocketAddr;
use std::path::Path;

use crate::machine::Cores;
use crate::server::{Addresses, Launch, Programs, Server, free_tcp_address, free_udp_address};

/// The settings that differ between measurements.
pub(crate) struct Options<'a> {
    pub(crate) cores: Cores,
    pub(crate) workers: usize,
    pub(crate) max_peer_age_seconds: u32,
    pub(crate) cleaning_seconds: u32,
    pub(crate) snapshot: Option<&'a Path>,
    /// The limit of a source; 0 for none.
    pub(crate) requests_per_second: u32,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            cores: Cores::Server,
            workers: 1,
            // Nothing expires while it is measured.
            max_peer_age_seconds: 28_800,
            cleaning_seconds: 120,
            snapshot: None,
            requests_per_second: 0,
        }
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) server: Server,
    /// The address of the socket that is bound to all addresses.
    pub(crate) any_address: SocketAddr,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn start(programs: &Programs, options: &Options<'_>) -> anyhow::Result<Self> {
        let addresses = Addresses {
            service: free_udp_address()?,
            metrics: free_tcp_address()?,
        };
        let any_address = free_udp_address()?;
        let config = config(addresses, any_address.port(), options);
        let launch = Launch {
            name: "aquatic-udp",
            cores: options.cores,
            addresses,
            config: &config,
            runtime_directory: None,
        };
        Ok(Self {
            server: Server::daemon(programs, &launch)?,
            any_address,
        })
    }

    /// The number of its torrents.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub(crate) fn torrents(&self) -> anyhow::Result<u64> {
        // Integers are exact up to 2^53.
        Ok(self.server.metric("aquatic_udp_torrents")? as u64)
    }
}

fn config(addresses: Addresses, any_port: u16, options: &Options<'_>) -> String {
    let Addresses { service, metrics } = addresses;
    let snapshot = options.snapshot.map_or_else(String::new, |path| {
        format!("[snapshot]\npath = {path:?}\ninterval_seconds = 86400\n")
    });
    format!(
        "socket_workers = {}\n\
         log_level = \"error\"\n\
         [network]\n\
         address = [\"{service}\", \"0.0.0.0:{any_port}\"]\n\
         [protocol]\n\
         max_response_peers = 30\n\
         [cleaning]\n\
         max_peer_age = {}\n\
         torrent_cleaning_interval = {}\n\
         [metrics]\n\
         address = \"{metrics}\"\n\
         [rates]\n\
         requests_per_second = {}\n\
         {snapshot}",
        options.workers,
        options.max_peer_age_seconds,
        options.cleaning_seconds,
        options.requests_per_second,
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_config_is_toml() {
        let addresses = Addresses {
            service: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            metrics: SocketAddr::from((Ipv4Addr::LOCALHOST, 2)),
        };
        let options = Options {
            snapshot: Some(Path::new("a \"b\"")),
            ..Options::default()
        };
        let text = config(addresses, 3, &options);
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["snapshot"]["path"].as_str(), Some("a \"b\""));
        assert_eq!(table["cleaning"]["max_peer_age"].as_integer(), Some(28_800));
    }
}
