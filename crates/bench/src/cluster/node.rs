//! The measured daemons with one swarm.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::engine::Engine;
use crate::event_loops::EVENT_LOOPS;
use crate::machine::Cores;
use crate::server::{Addresses, Launch, Programs, Server, free_tcp_address, free_udp_address};

/// The time for which peers are kept, and the interval at which clients are told to
/// announce, in seconds. Because they are equal, every announce is stored and sent to
/// others, as if each client had waited for its interval.
pub(super) const MAX_PEER_AGE_SECONDS: u16 = 10_800;

/// Interval of checks whether something has happened.
const LOOK_AROUND: Duration = Duration::from_millis(10);

/// With whom a daemon shares its swarm.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sharing<'a> {
    /// With none.
    Alone,
    /// With other daemons of this machine, which have the same runtime directory.
    Local(&'a Path),
    /// With all that use the engine, under a name of its own.
    Engine(&'a Engine, &'a str),
}

/// Starts an `aquatic-udp` on the core of servers, with one worker.
///
/// # Errors
///
/// If it does not start.
pub(super) fn start_udp(programs: &Programs, sharing: Sharing<'_>) -> anyhow::Result<Server> {
    let addresses = Addresses {
        service: free_udp_address()?,
        metrics: free_tcp_address()?,
    };
    let launch = Launch {
        name: "aquatic-udp",
        cores: Cores::Server,
        addresses,
        config: &udp_config(addresses, sharing),
        runtime_directory: match sharing {
            Sharing::Local(directory) => Some(directory),
            Sharing::Alone | Sharing::Engine(..) => None,
        },
    };
    Server::daemon(programs, &launch)
}

/// Starts an `aquatic-http` on the core of the load test, where it applies what an
/// `aquatic-udp` with the same runtime directory sends.
///
/// # Errors
///
/// If it does not start.
pub(super) fn start_http(programs: &Programs, directory: &Path) -> anyhow::Result<Server> {
    let addresses = Addresses {
        service: free_tcp_address()?,
        metrics: free_tcp_address()?,
    };
    let [mio, _] = EVENT_LOOPS;
    let launch = Launch {
        name: "aquatic-http",
        cores: Cores::Load,
        addresses,
        config: &mio.daemon_config(addresses, false, ""),
        runtime_directory: Some(directory),
    };
    Server::daemon(programs, &launch)
}

/// Waits until a metric has at least this value.
///
/// # Errors
///
/// If the daemon does not answer, or this takes too long.
pub(super) fn wait_for_metric(server: &Server, name: &str, least: f64) -> anyhow::Result<()> {
    wait_until(name, || Ok(server.metric(name)? >= least))
}

/// Waits until a condition holds.
///
/// # Errors
///
/// If checking it fails, or it takes too long.
pub(super) fn wait_until(
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().with_context(|| format!("while waiting for {what}"))? {
        if Instant::now() > deadline {
            bail!("waited for {what} for {} s", PATIENCE.as_secs());
        }
        thread::sleep(LOOK_AROUND);
    }
    Ok(())
}

fn udp_config(addresses: Addresses, sharing: Sharing<'_>) -> String {
    let Addresses { service, metrics } = addresses;
    let cluster = match sharing {
        Sharing::Alone => "local = false".to_owned(),
        Sharing::Local(_) => "local = true".to_owned(),
        Sharing::Engine(engine, name) => format!("url = \"{}\"\nnode = \"{name}\"", engine.url()),
    };
    format!(
        "socket_workers = 1\n\
         log_level = \"error\"\n\
         [network]\n\
         address = [\"{service}\"]\n\
         [protocol]\n\
         max_response_peers = 30\n\
         peer_announce_interval = {MAX_PEER_AGE_SECONDS}\n\
         [cleaning]\n\
         max_peer_age = {MAX_PEER_AGE_SECONDS}\n\
         [metrics]\n\
         address = \"{metrics}\"\n\
         [cluster]\n\
         {cluster}\n",
    )
}

/// Maximum time to wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[test]
    fn the_config_is_toml() {
        let addresses = Addresses {
            service: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            metrics: SocketAddr::from((Ipv4Addr::LOCALHOST, 2)),
        };
        for (sharing, is_local) in [
            (Sharing::Alone, false),
            (Sharing::Local(Path::new("/run")), true),
        ] {
            let table: toml::Table = toml::from_str(&udp_config(addresses, sharing)).unwrap();
            assert_eq!(table["cluster"]["local"].as_bool(), Some(is_local));
        }
    }
}
