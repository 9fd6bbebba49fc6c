//! What a run is made from, valid by type.

use std::net::SocketAddr;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZero;
use std::time::Duration;

use aquatic_bittorrent::AnnounceEvent;
use aquatic_service::config::{Checks, Invalid};

use super::config::{Config, NetworkConfig, PopulationConfig, RequestsConfig};
use super::counters::Kind;
use super::datagrams::BATCH_CAPACITY;
use super::mix::Mix;
use super::population::{PEERS_PER_SOURCE, PopulationSettings};
use super::sources;
use super::window::WINDOW_CAPACITY;

/// A valid [`Config`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) server: SocketAddr,
    pub(crate) server_pid: Option<NonZero<u32>>,
    pub(crate) workers: usize,
    pub(crate) duration: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) fill: bool,
    pub(crate) progress: bool,
    /// At least one a worker, all of the server's family.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) pace: PaceSettings,
    pub(crate) population: PopulationSettings,
    pub(crate) requests: RequestsSettings,
}

/// How fast requests are sent.
#[derive(Debug, Clone)]
pub(crate) struct PaceSettings {
    pub(crate) requests_per_second: Option<NonZero<u32>>,
    pub(crate) outstanding_requests: usize,
    pub(crate) batch_size: usize,
    pub(crate) timeout: Duration,
    pub(crate) spin: Duration,
}

/// What is requested.
#[derive(Debug, Clone)]
pub(crate) struct RequestsSettings {
    pub(crate) kinds: Mix<Kind, 3>,
    pub(crate) events: Mix<AnnounceEvent, 4>,
    pub(crate) scrape_torrents: usize,
    /// None leaves it to the tracker.
    pub(crate) peers_wanted: Option<NonZero<u32>>,
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn new(config: &Config) -> Result<Self, Vec<Invalid>> {
        let mut checks = Checks::new();
        let server = server(&config.server_address, &mut checks);
        let workers = checks.within("workers", config.workers, 1..=MAX_WORKERS);
        let sources = sources::resolve(&config.network, server, workers, &mut checks);

        let settings = Self {
            server,
            server_pid: NonZero::new(config.server_pid),
            workers,
            duration: checks.seconds("duration_seconds", config.duration_seconds, 1..=MAX_SECONDS),
            warm_up: checks.seconds("warm_up_seconds", config.warm_up_seconds, 0..=MAX_SECONDS),
            fill: config.fill,
            progress: config.progress,
            pace: pace(&config.network, &mut checks),
            population: population(&config.population, sources.len(), &mut checks),
            requests: requests(&config.requests, &mut checks),
            sources,
        };
        checks.finish(settings)
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

fn pace(network: &NetworkConfig, checks: &mut Checks) -> PaceSettings {
    let outstanding_requests = checks.within(
        "network.outstanding_requests",
        network.outstanding_requests,
        1..=WINDOW_CAPACITY,
    );
    let batch_size = checks.within("network.batch_size", network.batch_size, 1..=BATCH_CAPACITY);
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
    PaceSettings {
        requests_per_second: NonZero::new(network.requests_per_second),
        outstanding_requests,
        batch_size: batch_size.min(outstanding_requests),
        timeout: Duration::from_millis(timeout_milliseconds.into()),
        spin: Duration::from_micros(spin_microseconds.into()),
    }
}

fn population(
    population: &PopulationConfig,
    sources: usize,
    checks: &mut Checks,
) -> PopulationSettings {
    let torrents = checks.within("population.torrents", population.torrents, 1..=u32::MAX);
    let peers = checks.within("population.peers", population.peers, 1..=u32::MAX);

    // The number of sources is bounded far below `u32::MAX`.
    let sources = sources.max(1) as u32;
    if u64::from(peers) > u64::from(sources) * u64::from(PEERS_PER_SOURCE) {
        let needed = peers.div_ceil(PEERS_PER_SOURCE);
        checks.fail(
            "population.peers",
            format!(
                "{peers} peers need {needed} source addresses, \
                 but network.source_addresses has {sources}"
            ),
        );
    }
    if peers < sources {
        checks.fail(
            "population.peers",
            format!("{peers} peers are too few for {sources} source addresses"),
        );
    }
    if !(0.0..=1.0).contains(&population.seeder_fraction) {
        checks.fail(
            "population.seeder_fraction",
            format!("{} is not from 0 to 1", population.seeder_fraction),
        );
    }
    if !(population.zipf_exponent > 0.0 && population.zipf_exponent <= MAX_ZIPF_EXPONENT) {
        let exponent = population.zipf_exponent;
        checks.fail(
            "population.zipf_exponent",
            format!("{exponent} is not above 0 and at most {MAX_ZIPF_EXPONENT}"),
        );
    }

    PopulationSettings {
        torrents,
        peers,
        sources,
        popularity: population.popularity,
        zipf_exponent: population.zipf_exponent,
        seeder_fraction: population.seeder_fraction,
        seed: population.seed,
    }
}

fn requests(requests: &RequestsConfig, checks: &mut Checks) -> RequestsSettings {
    let weights = [
        (Kind::Connect, requests.connect_weight),
        (Kind::Announce, requests.announce_weight),
        (Kind::Scrape, requests.scrape_weight),
    ];
    let kinds = mix("requests.announce_weight", weights, checks);

    let weights = [
        (AnnounceEvent::None, requests.event_none_weight),
        (AnnounceEvent::Started, requests.event_started_weight),
        (AnnounceEvent::Completed, requests.event_completed_weight),
        (AnnounceEvent::Stopped, requests.event_stopped_weight),
    ];
    let events = mix("requests.event_none_weight", weights, checks);

    RequestsSettings {
        kinds,
        events,
        scrape_torrents: checks.within(
            "requests.scrape_torrents",
            requests.scrape_torrents,
            1..=MAX_SCRAPE_TORRENTS,
        ),
        peers_wanted: NonZero::new(requests.peers_wanted),
    }
}

fn mix<T: Copy, const N: usize>(
    key: &str,
    weights: [(T, u32); N],
    checks: &mut Checks,
) -> Mix<T, N> {
    Mix::new(weights).unwrap_or_else(|| {
        checks.fail(
            key,
            "one of these weights must be above 0, and their sum below 2^32",
        );
        Mix::even(weights.map(|(value, _)| value))
    })
}

/// Workers at most.
const MAX_WORKERS: usize = 1024;

/// Info hashes in a scrape request at most (BEP 15: "up to about 74 torrents
/// can be scraped at once").
pub(crate) const MAX_SCRAPE_TORRENTS: usize = 74;

/// A day is enough for every phase.
const MAX_SECONDS: u32 = 86_400;

const MAX_TIMEOUT_MILLISECONDS: u32 = 60_000;

const MAX_SPIN_MICROSECONDS: u32 = 1_000_000;

/// Above this, nearly all peers are in the first torrent.
const MAX_ZIPF_EXPONENT: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are at fault after a change to the default configuration.
    fn faults(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        match Settings::new(&config) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.into_iter().map(|invalid| invalid.key).collect(),
        }
    }

    #[test]
    fn the_default_is_valid() {
        assert!(faults(|_| ()).is_empty());
    }

    #[test]
    fn two_million_peers_need_thirty_one_sources() {
        let with_sources = |sources: &str| {
            faults(|config| {
                config.population.peers = 2_000_000;
                config.network.source_addresses = vec![sources.to_string()];
            })
        };
        assert_eq!(with_sources("127.0.0.1-127.0.0.30"), ["population.peers"]);
        assert!(with_sources("127.0.0.1-127.0.0.31").is_empty());
    }

    #[test]
    fn every_fault_is_named() {
        let found = faults(|config| {
            config.server_address = "127.0.0.1".to_string();
            config.workers = 0;
            config.duration_seconds = 0;
            config.network.batch_size = BATCH_CAPACITY + 1;
            config.network.outstanding_requests = WINDOW_CAPACITY + 1;
            config.network.timeout_milliseconds = 0;
            config.population.torrents = 0;
            config.population.seeder_fraction = f64::NAN;
            config.population.zipf_exponent = 0.0;
            config.requests.connect_weight = 0;
            config.requests.announce_weight = 0;
            config.requests.scrape_weight = 0;
            config.requests.event_none_weight = 0;
            config.requests.scrape_torrents = 75;
        });
        assert_eq!(
            found,
            [
                "server_address",
                "workers",
                "duration_seconds",
                "network.outstanding_requests",
                "network.batch_size",
                "network.timeout_milliseconds",
                "population.torrents",
                "population.seeder_fraction",
                "population.zipf_exponent",
                "requests.announce_weight",
                "requests.event_none_weight",
                "requests.scrape_torrents",
            ]
        );
    }

    #[test]
    fn port_zero_is_refused() {
        assert_eq!(
            faults(|config| config.server_address = "127.0.0.1:0".to_string()),
            ["server_address"]
        );
    }
}
