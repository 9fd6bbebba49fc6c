//! The daemon, as an implementation of the service's `Daemon` trait.

use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquatic_policy::rates::Limiter;
use aquatic_service::clock::Clock;
use aquatic_service::config::{Checks, Diagnostic, Faults, ProcessSettings};
use aquatic_service::destination::Destination;
use aquatic_service::metrics::{Metric, Metrics, Overview, Plot};
use aquatic_service::reload::{Apply, Failure};
use aquatic_service::snapshot::{Block, BlockWriter, ReadError};
use aquatic_service::sockets::{self, BoundUdp, Inherited, KernelDrops, Listening, UdpRequest};
use aquatic_service::{Daemon, Replaceable, Start, secret};
use aquatic_swarm::{Families, HashKey};
use aquatic_tracker::accounting::{self, Accounting, Ledger};
use aquatic_tracker::cluster::{self, Link, MaxPeerAge, Membership};
use aquatic_tracker::keys::{self, KeyRing};
use aquatic_tracker::snapshot::{self, Kinds};
use aquatic_tracker::{
    self as tracker, Clients, Endpoint, Housekeeping, LargestTorrents, OverviewParts, Restoring,
    ScrapeExport,
};
use aquatic_udp_protocol::ConnectionIdKey;

use crate::config::Config;
use crate::counters::{self, Counters};
use crate::settings::{self, NAME, Settings};
use crate::tracker::{ConnectionIdKeys, Limiters, State, Tracker};
use crate::worker::UdpWorker;

/// The kinds of blocks in a snapshot.
const KINDS: Kinds = Kinds {
    torrents: [2, 3],
    clock: Some(4),
    cluster_position: Some(5),
};

/// The block that holds the key of connection ids.
const CONNECTION_ID_KEY: u8 = 1;

/// `aquatic-udp`.
pub struct UdpDaemon {
    settings: Replaceable<Settings>,
    state: Arc<State>,
    clock: Clock,
    link: Option<Link>,
    keys: Arc<ConnectionIdKeys>,
    limiters: Arc<Limiters>,
    counters: Arc<[Counters]>,
    clients: Clients,
    kernel_drops: KernelDrops,
    housekeeping: Housekeeping,
    export: ScrapeExport,
    endpoint: Endpoint,
    largest: LargestTorrents,
    key_ring: KeyRing,
    accounting: Accounting,
    restoring: Restoring,
}

impl Daemon for UdpDaemon {
    const NAME: &'static str = NAME;
    const ABOUT: &'static str = "BitTorrent tracker over UDP (BEP 15)";
    const USAGE: &'static str =
        "Add one of them to the trackers of a torrent, in its properties in qBittorrent,
Transmission or another client. Clients with the same torrent then find each other.";
    const SNAPSHOT_VERSION: u32 = snapshot::VERSION;
    const METRICS: &'static [&'static [Metric]] = &[
        tracker::SWARM_METRICS,
        tracker::HOUSEKEEPING_METRICS,
        tracker::REQUEST_METRICS,
        counters::METRICS,
        tracker::CLIENT_METRICS,
        tracker::SCRAPE_EXPORT_METRICS,
        cluster::CLUSTER_METRICS,
        accounting::METRICS,
    ];
    const PLOTS: &'static [Plot] = tracker::PLOTS;

    type Config = Config;
    type Settings = Settings;
    /// One list for each worker.
    type Sockets = Vec<Vec<BoundUdp>>;

    fn settings(config: &Config) -> Result<Settings, Vec<Diagnostic>> {
        Settings::new(config)
    }

    fn process(settings: &Settings) -> &ProcessSettings {
        &settings.process
    }

    fn notes(settings: &Settings) -> Vec<String> {
        let buffer = settings.config.network.socket_recv_buffer_size.non_zero();
        buffer
            .map(|bytes| bytes.get() as u64)
            .and_then(aquatic_service::resource_limits::receive_buffer_note)
            .into_iter()
            .chain(cluster::note(
                &settings.config.cluster,
                &settings.process.privileges,
            ))
            .collect()
    }

    fn check(settings: &Settings, path_now: &dyn Fn(&Path) -> PathBuf) -> Faults {
        let mut faults = Faults::default();
        faults.keep(cluster::check_files(
            &settings.config.cluster.engine,
            path_now,
        ));
        faults.keep(keys::check(&settings.config.keys, path_now));
        faults.keep(accounting::check(&settings.config.accounting, path_now));
        faults
    }

    fn read_files(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
        let mut files = settings.config.cluster.engine.files();
        files.extend(keys::read_file(&settings.config.keys));
        files
    }

    fn written_files(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
        let accounting = accounting::written_file(&settings.config.accounting);
        let exports = settings.config.scrape_exports.files();
        exports.into_iter().chain(accounting).collect()
    }

    fn listening(config: &Config, checks: &mut Checks) -> Listening {
        settings::listening(config, checks)
    }

    fn destination(config: &Config) -> Option<Destination> {
        cluster::destination(&config.cluster.engine)
    }

    fn open(settings: &Settings, inherited: &mut Inherited) -> anyhow::Result<Self::Sockets> {
        let config = &settings.config;
        let request = UdpRequest {
            addresses: config.network.address.as_slice(),
            workers: config.socket_workers.non_zero(),
            receive_buffer_bytes: config.network.socket_recv_buffer_size.non_zero(),
        };
        sockets::udp(request, inherited)
    }

    fn start(
        mut settings: Settings,
        sockets: Self::Sockets,
        start: Start<'_>,
    ) -> anyhow::Result<Arc<Self>> {
        let key_ring = KeyRing::new()?;
        settings.client_keys = key_ring.load(&settings.config.keys)?;
        keys::log_change(None, settings.client_keys.as_deref());
        let config = &settings.config;
        let interval = config.protocol.peer_announce_interval;
        let limits = tracker::swarm_limits(&config.limits, &config.cluster, interval);
        let hash_key = HashKey::new(secret()?);
        let mut connection_id_key = ConnectionIdKey::from_bytes(secret()?);
        let state = Arc::new(State {
            swarms: Families::new(hash_key, limits),
            lists: start.lists,
        });
        let snapshot = snapshot::check(
            start.snapshot,
            &KINDS,
            config.cleaning.max_peer_age.as_u16(),
            &state.swarms,
            |block| read_key(block, &mut connection_id_key),
        )?;
        let clock = snapshot.clock;
        let restoring = snapshot::restore(snapshot.torrents, &state, |state| &state.swarms)?;
        let membership = Membership {
            local: config.cluster.local,
            root: settings.process.privileges.chroot(),
            engine: &config.cluster.engine,
            name: NAME,
            max_peer_age: MaxPeerAge::of_seconds(config.cleaning.max_peer_age.as_u16()),
            connection_id_key: Some(connection_id_key.to_bytes()),
            position: snapshot.cluster_position,
            restoring: restoring.clone(),
        };
        let link = Link::start(membership, &state, clock.clone(), start.workers)?;

        let (accounting, ledger) =
            Accounting::start(&config.accounting, link.as_ref(), start.workers)?;
        let addresses = sockets.iter().flatten().map(|bound| bound.address);
        let endpoint = Endpoint::new("udp", "", addresses, sockets.len());
        log::info!("{endpoint}");
        let now = Instant::now();
        let mut daemon = Self {
            state,
            clock,
            link,
            keys: Arc::new(ConnectionIdKeys::new(connection_id_key)),
            limiters: Arc::new(Limiters {
                requests: Limiter::new(secret()?),
                connects: Limiter::new(secret()?),
            }),
            counters: sockets.iter().map(|_| Counters::default()).collect(),
            clients: Clients::default(),
            kernel_drops: KernelDrops::watch(sockets.iter().flatten().map(|bound| &bound.socket))
                .context("cannot monitor datagrams dropped by the kernel")?,
            housekeeping: Housekeeping::new(
                config.cleaning.torrent_cleaning_interval.duration(),
                &limits,
            ),
            export: ScrapeExport::new(config.scrape_exports.settings(), now),
            endpoint,
            largest: LargestTorrents::default(),
            key_ring,
            accounting,
            restoring,
            settings: Replaceable::new(settings),
        };
        for (number, sockets) in sockets.into_iter().enumerate() {
            let sockets = sockets.into_iter().map(|bound| bound.socket).collect();
            daemon.start_worker(number, sockets, ledger.clone(), start.workers)?;
        }
        Ok(Arc::new(daemon))
    }

    fn tick(&self, now: Instant) -> Duration {
        self.key_ring.tick();
        let state = self.state.clone();
        self.export.run_if_due(now, move |path| {
            tracker::export_torrents(&state.swarms, path)
        });
        if let Some(key) = self.link.as_ref().and_then(Link::connection_id_key) {
            self.keys.share(key);
        }
        let settings = self.settings.latest();
        let state = self.state.clone();
        self.largest
            .run_if_due(&settings.config.metrics, now, move |count| {
                tracker::largest_torrents(&state.swarms, count)
            });
        self.housekeeping.tick(&self.state, &self.clock, now)
    }

    const RELOADED: &'static [&'static str] = &[keys::WHAT];

    fn reload(self: &Arc<Self>, mut settings: Settings) -> Result<Apply, Failure> {
        let keys = self.key_ring.load(&settings.config.keys);
        settings.client_keys = keys.map_err(|error| Failure::of(keys::WHAT, error))?;
        let daemon = self.clone();
        Ok(Box::new(move || daemon.apply(settings)))
    }

    fn access_list_changed(&self) {
        self.housekeeping.hurry();
    }

    fn add_metrics(&self, metrics: &mut Metrics) {
        tracker::add_swarm_metrics(&self.state.swarms, metrics);
        self.housekeeping.add_metrics(metrics);
        self.export.add_metrics(metrics);
        counters::add_metrics(&self.counters, self.kernel_drops.total(), metrics);
        let settings = self.settings.latest();
        self.clients.add_metrics(&settings.config.metrics, metrics);
        self.accounting.add_metrics(metrics);
        if let Some(link) = &self.link {
            link.add_metrics(metrics);
        }
    }

    fn overview(&self, host: &str) -> Overview {
        let settings = self.settings.latest();
        let parts = OverviewParts {
            endpoint: &self.endpoint,
            public_url: &settings.config.network.public_url,
            certificates: Vec::new(),
            link: self.link.as_ref(),
            clients: &self.clients,
            largest: &self.largest,
            config: &settings.config.metrics,
        };
        parts.overview(host)
    }

    fn status(&self) -> String {
        let link = self.link.as_ref();
        tracker::status(&self.endpoint, &self.state.swarms, link, &self.accounting)
    }

    fn degraded(&self) -> Option<String> {
        tracker::degraded(self.link.as_ref(), &self.accounting)
    }

    fn write_snapshot(&self, out: &mut BlockWriter<'_>) -> io::Result<()> {
        let link = self.link.as_ref();
        snapshot::write(
            &self.state.swarms,
            &self.restoring,
            &self.clock,
            link,
            &KINDS,
            out,
        )?;
        out.write_block(CONNECTION_ID_KEY, &self.keys.current().to_bytes())
    }
}

impl UdpDaemon {
    fn apply(&self, settings: Settings) {
        let config = &settings.config;
        let interval = config.protocol.peer_announce_interval;
        let limits = tracker::swarm_limits(&config.limits, &config.cluster, interval);
        let interval = config.cleaning.torrent_cleaning_interval.duration();
        self.housekeeping
            .reconfigure(interval, limits, &self.state.swarms);
        if let Some(link) = &self.link {
            link.set_max_peer_age(config.cleaning.max_peer_age.as_u16());
        }
        self.accounting.reconfigure(&config.accounting);
        let before = self.settings.latest();
        keys::log_change(
            before.client_keys.as_deref(),
            settings.client_keys.as_deref(),
        );
        let export = config.scrape_exports.settings();
        self.export.reconfigure(export, Instant::now());
        self.settings.replace(settings);
    }

    fn start_worker(
        &mut self,
        number: usize,
        sockets: Vec<UdpSocket>,
        ledger: Option<Ledger>,
        workers: &mut aquatic_service::workers::Workers,
    ) -> anyhow::Result<()> {
        let tracker = Tracker::new(
            self.state.clone(),
            self.keys.clone(),
            tracker::random()?,
            self.clients.add_worker(),
        )
        .with_outbox(self.link.as_ref().map(Link::outbox))
        .with_limiters(self.limiters.clone())
        .with_ledger(ledger);
        let (settings, clock) = (self.settings.view(), self.clock.clone());
        let counters = self.counters.clone();
        let (worker, waker) = UdpWorker::new(sockets, tracker, settings, clock, counters, number)?;
        let wake = move || {
            // It fails only if the worker has ended, and needs no waking.
            let _ = waker.wake();
        };
        workers.spawn(format!("udp-{number}"), wake, move |context| {
            worker.run(&context)
        })
    }
}

/// Reads the key of connection ids from its block.
fn read_key(block: Block<'_>, key: &mut ConnectionIdKey) -> Result<(), ReadError> {
    if block.kind == CONNECTION_ID_KEY {
        let bytes = block.payload.try_into().map_err(|_| {
            let length = block.payload.len();
            ReadError::damaged(format!("a key of {length} bytes, not 16"))
        })?;
        *key = ConnectionIdKey::from_bytes(bytes);
    }
    Ok(())
}
