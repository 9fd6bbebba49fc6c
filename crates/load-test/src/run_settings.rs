//! What every load test is made from, whatever the protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::time::Duration;

use aquatic_bittorrent::AnnounceEvent;
use aquatic_service::config::Checks;

use crate::config::{Config, EventsConfig};
use crate::mix::{self, Mix};
use crate::population::PopulationSettings;
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
    /// By all workers together; None sends as fast as replies come.
    pub(crate) requests_per_second: Option<NonZero<u32>>,
    /// A request that has no reply by then is lost.
    pub(crate) timeout: Duration,
    /// How long to look for replies before going to sleep.
    pub(crate) spin: Duration,
    pub(crate) population: PopulationSettings,
    pub(crate) events: Mix<AnnounceEvent, 4>,
}

impl RunSettings {
    /// Checks what is the same for all protocols. `carriers` says what the
    /// peers are dealt out to.
    pub(crate) fn new<Transport, Requests>(
        config: &Config<Transport, Requests>,
        carriers: Carriers,
        checks: &mut Checks,
    ) -> Self {
        let network = &config.network;
        let server = server(&config.server_address, checks);
        let workers = checks.within("workers", config.workers, 1..=MAX_WORKERS);
        let duration = checks.seconds("duration_seconds", config.duration_seconds, 1..=MAX_SECONDS);
        let warm_up = checks.seconds("warm_up_seconds", config.warm_up_seconds, 0..=MAX_SECONDS);
        let sources = sources::resolve(&network.source_addresses, server, workers, checks);
        let timeout_milliseconds = checks.within(
            "network.timeout_milliseconds",
            network.timeout_milliseconds,
            1..=MAX_TIMEOUT_MILLISECONDS,
        );
        let spin_microseconds = checks.within(
            "network.spin_microseconds",
            network.spin_microseconds,
            0..=MAX_SPIN_MICROSECONDS,
        );
        Self {
            server,
            server_pid: NonZero::new(config.server_pid),
            workers,
            duration,
            warm_up,
            fill: config.fill,
            progress: config.progress,
            requests_per_second: NonZero::new(network.requests_per_second),
            timeout: Duration::from_millis(timeout_milliseconds.into()),
            spin: Duration::from_micros(spin_microseconds.into()),
            population: match carriers {
                Carriers::Sources => {
                    PopulationSettings::of_sources(&config.population, sources.len(), checks)
                }
                Carriers::Connections(count) => {
                    PopulationSettings::of_connections(&config.population, count, checks)
                }
            },
            events: events(&config.events, checks),
            sources,
        }
    }
}

/// What the peers of the population are dealt out to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carriers {
    /// Source addresses: a peer is an address and a port.
    Sources,
    /// So many connections: a peer is where it can be reached.
    Connections(usize),
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

fn events(events: &EventsConfig, checks: &mut Checks) -> Mix<AnnounceEvent, 4> {
    let weights = [
        (AnnounceEvent::None, events.none),
        (AnnounceEvent::Started, events.started),
        (AnnounceEvent::Completed, events.completed),
        (AnnounceEvent::Stopped, events.stopped),
    ];
    mix::checked("events.none", weights, checks)
}

/// Workers at most.
const MAX_WORKERS: usize = 1024;

/// A day is enough for every phase.
const MAX_SECONDS: u32 = 86_400;

const MAX_TIMEOUT_MILLISECONDS: u32 = 60_000;

const MAX_SPIN_MICROSECONDS: u32 = 1_000_000;
