//! What every load test is made from, whatever the protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::time::Duration;

use aquatic_service::config::Checks;

use crate::population::{PopulationConfig, PopulationSettings};
use crate::sources;

/// The part of the settings that is the same for all protocols.
#[derive(Debug, Clone)]
pub(crate) struct RunSettings {
    pub(crate) server: SocketAddr,
    pub(crate) server_pid: Option<NonZero<u32>>,
    pub(crate) workers: usize,
    pub(crate) duration: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) fill: bool,
    pub(crate) progress: bool,
    /// At least one a worker, all of the server's family.
    pub(crate) sources: Vec<IpAddr>,
    /// A request that has no reply by then is lost.
    pub(crate) timeout: Duration,
    pub(crate) population: PopulationSettings,
}

/// The keys that [`RunSettings`] is made from.
pub(crate) struct RunKeys<'a> {
    pub(crate) server_address: &'a str,
    pub(crate) server_pid: u32,
    pub(crate) workers: usize,
    pub(crate) duration_seconds: u32,
    pub(crate) warm_up_seconds: u32,
    pub(crate) fill: bool,
    pub(crate) progress: bool,
    pub(crate) source_addresses: &'a [String],
    pub(crate) timeout_milliseconds: u32,
    pub(crate) population: &'a PopulationConfig,
}

impl RunSettings {
    pub(crate) fn new(keys: &RunKeys<'_>, checks: &mut Checks) -> Self {
        let server = server(keys.server_address, checks);
        let workers = checks.within("workers", keys.workers, 1..=MAX_WORKERS);
        let duration = checks.seconds("duration_seconds", keys.duration_seconds, 1..=MAX_SECONDS);
        let warm_up = checks.seconds("warm_up_seconds", keys.warm_up_seconds, 0..=MAX_SECONDS);
        let sources = sources::resolve(keys.source_addresses, server, workers, checks);
        let timeout_milliseconds = checks.within(
            "network.timeout_milliseconds",
            keys.timeout_milliseconds,
            1..=MAX_TIMEOUT_MILLISECONDS,
        );
        Self {
            server,
            server_pid: NonZero::new(keys.server_pid),
            workers,
            duration,
            warm_up,
            fill: keys.fill,
            progress: keys.progress,
            timeout: Duration::from_millis(timeout_milliseconds.into()),
            population: PopulationSettings::new(keys.population, sources.len(), checks),
            sources,
        }
    }
}

fn server(text: &str, checks: &mut Checks) -> SocketAddr {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => return address,
        Ok(_) => checks.fail("server_address", "the port must not be 0"),
        Err(_) => checks.fail(
            "server_address",
            format!(
                "\"{text}\" is not an address and port: write \"127.0.0.1:3000\" or \"[::1]:3000\""
            ),
        ),
    }
    SocketAddr::from((Ipv4Addr::LOCALHOST, 3000))
}

/// Checks how long to look for replies before going to sleep.
pub(crate) fn spin(microseconds: u32, checks: &mut Checks) -> Duration {
    let microseconds = checks.within(
        "network.spin_microseconds",
        microseconds,
        0..=MAX_SPIN_MICROSECONDS,
    );
    Duration::from_micros(microseconds.into())
}

/// Workers at most.
const MAX_WORKERS: usize = 1024;

/// A day is enough for every phase.
const MAX_SECONDS: u32 = 86_400;

const MAX_TIMEOUT_MILLISECONDS: u32 = 60_000;

const MAX_SPIN_MICROSECONDS: u32 = 1_000_000;
