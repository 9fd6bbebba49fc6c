//! The settings of every load test, for all protocols.

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
    /// At least one per worker, all of the server's address family.
    pub(crate) sources: Vec<IpAddr>,
    /// The rate of all workers together; `None` sends as fast as replies arrive.
    pub(crate) requests_per_second: Option<NonZero<u32>>,
    /// A request without a reply after this time is lost.
    pub(crate) timeout: Duration,
    /// How long to poll for replies before blocking.
    pub(crate) spin: Duration,
    pub(crate) population: PopulationSettings,
    pub(crate) events: Mix<AnnounceEvent, 4>,
}

impl RunSettings {
    /// Validates the settings that all protocols have. `carriers` says how peers are
    /// distributed.
    pub(crate) fn new<Transport, Requests>(
        config: &Config<Transport, Requests>,
        carriers: Carriers,
        checks: &mut Checks,
    ) -> Self {
        let network = &config.network;
        let server = server(&config.server_address, checks);
        let workers = config.workers.as_usize();
        let sources = sources::resolve(&network.source_addresses, server, workers, checks);
        Self {
            server,
            server_pid: config.server_pid.non_zero_u32(),
            workers,
            duration: config.duration_seconds.duration(),
            warm_up: config.warm_up_seconds.duration(),
            fill: config.fill,
            progress: config.progress,
            requests_per_second: network.requests_per_second.non_zero_u32(),
            timeout: network.timeout_milliseconds.duration(),
            spin: network.spin_microseconds.duration(),
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

/// What the peers of the population are distributed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carriers {
    /// Source addresses: a peer is identified by address and port.
    Sources,
    /// This number of connections: a peer is identified by its connection.
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
