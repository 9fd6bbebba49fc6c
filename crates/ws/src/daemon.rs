//! The daemon, as an implementation of the service's `Daemon` trait.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aquatic_cluster::{NodeId, SignalBatch};
use aquatic_policy::rates::Limiter;
use aquatic_service::clock::Clock;
use aquatic_service::config::{Checks, Diagnostic, Faults, ProcessSettings};
use aquatic_service::destination::Destination;
use aquatic_service::metrics::{Metric, Metrics, Overview, Plot};
use aquatic_service::reload::{Apply, Failure};
use aquatic_service::snapshot::BlockWriter;
use aquatic_service::sockets::{self, BoundTcp, Inherited, Listening};
use aquatic_service::workers::Workers;
use aquatic_service::{Daemon, Replaceable, Start, resource_limits, secret, tls};
use aquatic_stream::{Plan, Running, config};
use aquatic_swarm::{HashKey, SwarmLimits, WebSwarms};
use aquatic_tracker::accounting::{self, Accounting};
use aquatic_tracker::cluster::{self, LeftOut, Link, MaxPeerAge, Membership, WebTorrent};
use aquatic_tracker::keys::{self, KeyRing};
use aquatic_tracker::snapshot::{self, Kinds};
use aquatic_tracker::{
    self as tracker, Clients, Endpoint, Housekeeping, LargestTorrents, OverviewParts, Restoring,
    ScrapeExport,
};

use crate::config::Config;
use crate::connection::Ws;
use crate::counters::{self, Counters};
use crate::incoming::{Incoming, IncomingCounts};
use crate::nodes::{Members, Nodes};
use crate::relay::{self, Inboxes, Relay};
use crate::settings::{self, NAME, Settings};
use crate::tracker::{MAX_WORKERS, State, Tracker};

/// The kinds of blocks in a snapshot. Peers do not survive their connections, so no clock
/// is needed.
const KINDS: Kinds = Kinds {
    torrents: [1, 2],
    clock: None,
    cluster_position: None,
};

/// `aquatic-ws`.
pub struct WsDaemon {
    settings: Replaceable<Settings>,
    state: Arc<State>,
    clock: Clock,
    cluster: Option<Cluster>,
    counters: Arc<[Counters]>,
    clients: Clients,
    running: Running,
    housekeeping: Housekeeping,
    export: ScrapeExport,
    endpoint: Endpoint,
    largest: LargestTorrents,
    key_ring: KeyRing,
    accounting: Accounting,
    restoring: Restoring,
}

/// What a daemon has in a cluster.
struct Cluster {
    link: Link,
    nodes: Arc<Nodes>,
    incoming: Arc<IncomingCounts>,
    /// Where signals of other nodes are put, once there are workers.
    inboxes: Arc<OnceLock<Inboxes>>,
}

impl Daemon for WsDaemon {
    const NAME: &'static str = NAME;
    const ABOUT: &'static str = "WebTorrent tracker over WebSocket, in the clear and with TLS";
    const USAGE: &'static str = "Browsers use them through WebTorrent, in a page that contains:
  client.add(torrent, { announce: [\"URL\"] })";
    const SNAPSHOT_VERSION: u32 = snapshot::VERSION;
    const METRICS: &'static [&'static [Metric]] = &[
        tracker::SWARM_METRICS,
        cluster::CLUSTER_METRICS,
        accounting::METRICS,
        cluster::SIGNAL_METRICS,
        crate::incoming::METRICS,
        tracker::HOUSEKEEPING_METRICS,
        tracker::REQUEST_METRICS,
        counters::METRICS,
        tls::METRICS,
        aquatic_stream::METRICS,
        tracker::CLIENT_METRICS_WITH_PEERS,
        tracker::SCRAPE_EXPORT_METRICS,
    ];
    const PLOTS: &'static [Plot] = tracker::PLOTS;

    type Config = Config;
    type Settings = Settings;
    /// One list for each worker.
    type Sockets = Vec<Vec<BoundTcp>>;

    fn settings(config: &Config) -> Result<Settings, Vec<Diagnostic>> {
        Settings::new(config)
    }

    fn process(settings: &Settings) -> &ProcessSettings {
        &settings.process
    }

    fn notes(settings: &Settings) -> Vec<String> {
        resource_limits::open_files_note(config::descriptors(&settings.connections))
            .into_iter()
            .collect()
    }

    fn check(settings: &Settings, path_now: &dyn Fn(&Path) -> PathBuf) -> Faults {
        let mut faults = Faults::default();
        if let Some(files) = &settings.tls {
            faults.keep(tls::check(files, path_now));
        }
        faults.keep(cluster::check_files(&settings.config.cluster, path_now));
        faults.keep(keys::check(&settings.config.keys, path_now));
        faults.keep(accounting::check(&settings.config.accounting, path_now));
        let event_loop = settings.connections.event_loop;
        faults.keep(aquatic_stream::check_event_loop(event_loop));
        faults
    }

    fn read_files(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
        let tls = settings.tls.iter();
        let cluster = settings.config.cluster.files();
        let keys = keys::read_file(&settings.config.keys);
        tls.flat_map(tls::Files::by_key)
            .chain(cluster)
            .chain(keys)
            .collect()
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
        cluster::destination(&config.cluster)
    }

    fn open(settings: &Settings, inherited: &mut Inherited) -> anyhow::Result<Self::Sockets> {
        let config = &settings.config;
        let request = config.network.sockets(config.socket_workers);
        let mut sockets = sockets::tcp(request, inherited)?;
        // More than a machine has cores; addresses of connections have no more bits for it.
        sockets.truncate(MAX_WORKERS);
        Ok(sockets)
    }

    fn start(
        mut settings: Settings,
        sockets: Self::Sockets,
        start: Start<'_>,
    ) -> anyhow::Result<Arc<Self>> {
        let key_ring = KeyRing::new()?;
        settings.keys = key_ring.load(&settings.config.keys)?;
        keys::log_change(None, settings.keys.as_deref());
        let shared = Replaceable::new(settings);
        let settings = shared.latest();
        let config = &settings.config;
        let limits = limits_of(config);
        let hash_key = HashKey::new(secret()?);
        let swarms = WebSwarms::new(hash_key, limits, config.protocol.separate_families);
        let state = Arc::new(State::new(swarms, start.lists));
        let snapshot = snapshot::check(
            start.snapshot,
            &KINDS,
            config.cleaning.max_peer_age.as_u16(),
            &state.shared.swarms,
            |_| Ok(()),
        )?;
        let clock = snapshot.clock;
        let torrents = snapshot.torrents;
        let restoring = snapshot::restore(torrents, &state, |state| &state.shared.swarms)?;
        let cluster = Cluster::start(&shared, &state, &clock, start.workers)?;
        let linked = cluster.as_ref().map(|it| &it.link);
        let (accounting, ledger) = Accounting::start(&config.accounting, linked, start.workers)?;
        let certificate = settings.tls.clone().map(tls::Handle::new);
        let certificate = certificate.transpose()?.map(Arc::new);
        let scheme = if certificate.is_some() { "wss" } else { "ws" };
        let addresses = sockets.iter().flatten().map(|bound| bound.address);
        let endpoint = Endpoint::new(scheme, "", addresses, sockets.len());
        let counters: Arc<[Counters]> = sockets.iter().map(|_| Counters::default()).collect();
        let mut clients = Clients::default();
        let limiter = Arc::new(Limiter::new(secret()?));
        let mut inboxes = None;
        let plan = Plan {
            name: "ws",
            settings: settings.connections.clone(),
            certificate,
            sockets,
            workers: start.workers,
        };
        let running = aquatic_stream::start(plan, |number, wakers| {
            let inboxes = inboxes.get_or_insert_with(|| relay::inboxes(wakers));
            let cluster = cluster.as_ref();
            let nodes = cluster.map(|it| it.share(inboxes));
            Ok(Ws::new(
                Tracker::new(state.clone(), tracker::random()?, clients.add_worker())
                    .with_outbox(cluster.map(|it| it.link.outbox()))
                    .with_limiter(limiter.clone())
                    .with_key_ring(key_ring.clone())
                    .with_ledger(ledger.clone()),
                Relay::new(number, inboxes.clone(), nodes, counters.clone()),
                clock.clone(),
                shared.view(),
                counters.clone(),
                number,
            ))
        })?;
        log::info!("{endpoint}");

        Ok(Arc::new(Self {
            settings: shared,
            state,
            clock,
            cluster,
            counters,
            clients,
            running,
            export: ScrapeExport::new(config.scrape_exports.settings(), Instant::now()),
            housekeeping: Housekeeping::new(
                config.cleaning.torrent_cleaning_interval.duration(),
                &limits,
            ),
            endpoint,
            largest: LargestTorrents::default(),
            key_ring,
            accounting,
            restoring,
        }))
    }

    fn tick(&self, now: Instant) -> Duration {
        self.key_ring.tick();
        self.running.watch_certificate();
        let state = self.state.clone();
        self.export.run_if_due(now, move |path| {
            tracker::export_torrents(&state.shared.swarms, path)
        });
        let settings = self.settings.latest();
        let state = self.state.clone();
        self.largest
            .run_if_due(&settings.config.metrics, now, move |count| {
                tracker::largest_torrents(&state.shared.swarms, count)
            });
        self.housekeeping.tick(&self.state.shared, &self.clock, now)
    }

    const RELOADED: &'static [&'static str] = &[tls::WHAT, keys::WHAT];

    fn reload(self: &Arc<Self>, mut settings: Settings) -> Result<Apply, Failure> {
        let keys = self.key_ring.load(&settings.config.keys);
        settings.keys = keys.map_err(|error| Failure::of(keys::WHAT, error))?;
        let connections = settings.connections.clone();
        let apply = self.running.reload(connections, settings.tls.as_ref())?;
        let daemon = self.clone();
        Ok(Box::new(move || {
            apply();
            daemon.apply(settings);
        }))
    }

    fn access_list_changed(&self) {
        self.housekeeping.hurry();
    }

    fn add_metrics(&self, metrics: &mut Metrics) {
        tracker::add_swarm_metrics(&self.state.shared.swarms, metrics);
        self.housekeeping.add_metrics(metrics);
        self.export.add_metrics(metrics);
        counters::add_metrics(&self.counters, metrics);
        self.running.add_metrics(metrics);
        let settings = self.settings.latest();
        self.clients.add_metrics(&settings.config.metrics, metrics);
        self.accounting.add_metrics(metrics);
        if let Some(cluster) = &self.cluster {
            cluster.link.add_metrics(metrics);
            cluster.incoming.add_metrics(metrics);
        }
    }

    fn overview(&self, host: &str) -> Overview {
        let settings = self.settings.latest();
        let parts = OverviewParts {
            endpoint: &self.endpoint,
            public_url: &settings.config.network.public_url,
            certificates: self.running.certificates(),
            link: self.cluster.as_ref().map(|it| &it.link),
            clients: &self.clients,
            largest: &self.largest,
            config: &settings.config.metrics,
        };
        parts.overview(host)
    }

    fn status(&self) -> String {
        let link = self.cluster.as_ref().map(|it| &it.link);
        tracker::status(
            &self.endpoint,
            &self.state.shared.swarms,
            link,
            &self.accounting,
        )
    }

    fn degraded(&self) -> Option<String> {
        let link = self.cluster.as_ref().map(|it| &it.link);
        tracker::degraded(link, &self.accounting)
    }

    fn write_snapshot(&self, out: &mut BlockWriter<'_>) -> io::Result<()> {
        snapshot::write(
            &self.state.shared.swarms,
            &self.restoring,
            &self.clock,
            None,
            &KINDS,
            out,
        )
    }
}

impl WsDaemon {
    fn apply(&self, settings: Settings) {
        let config = &settings.config;
        let limits = limits_of(config);
        let interval = config.cleaning.torrent_cleaning_interval.duration();
        self.housekeeping
            .reconfigure(interval, limits, &self.state.shared.swarms);
        if let Some(cluster) = &self.cluster {
            let max_peer_age = config.cleaning.max_peer_age.as_u16();
            cluster.link.set_max_peer_age(max_peer_age);
        }
        self.accounting.reconfigure(&config.accounting);
        let before = self.settings.latest();
        keys::log_change(before.keys.as_deref(), settings.keys.as_deref());
        let export = config.scrape_exports.settings();
        self.export.reconfigure(export, Instant::now());
        self.settings.replace(settings);
    }
}

impl Cluster {
    /// Links the swarm with those of other nodes, if there is a URL.
    fn start(
        shared: &Replaceable<Settings>,
        state: &Arc<State>,
        clock: &Clock,
        workers: &mut Workers,
    ) -> anyhow::Result<Option<Self>> {
        let settings = shared.latest();
        let engine = &settings.config.cluster;
        if !engine.is_enabled() {
            return Ok(None);
        }
        let node = NodeId(secret()?);
        let nodes = Arc::new(Nodes::default());
        let left_out = Arc::new(LeftOut::default());
        let mut incoming = Incoming {
            state: state.clone(),
            nodes: nodes.clone(),
            inboxes: Arc::default(),
            clock: clock.clone(),
            settings: shared.view(),
            counts: Arc::default(),
        };
        let (inboxes, counts) = (incoming.inboxes.clone(), incoming.counts.clone());
        let membership = Membership {
            local: false,
            root: settings.process.privileges.chroot(),
            engine,
            name: NAME,
            max_peer_age: MaxPeerAge::of_seconds(settings.config.cleaning.max_peer_age.as_u16()),
            connection_id_key: None,
            position: None,
            // There are no peers in it.
            restoring: Restoring::default(),
        };
        let web_torrent = WebTorrent {
            node,
            swarm: Members::new(
                state.clone(),
                nodes.clone(),
                node,
                clock.clone(),
                left_out.clone(),
            ),
            left_out,
            signals: nodes.outbox(),
            deliver: move |batch: &SignalBatch<'_>, age: u64| incoming.receive(batch, age),
        };
        Ok(Some(Self {
            link: Link::of_web_torrent(membership, web_torrent, workers)?,
            nodes,
            incoming: counts,
            inboxes,
        }))
    }

    /// What a worker needs to send to other nodes. From now on, the inboxes get what these
    /// send.
    fn share(&self, inboxes: &Inboxes) -> Arc<Nodes> {
        self.inboxes.get_or_init(|| inboxes.clone());
        self.nodes.clone()
    }
}

/// The limits of the swarms.
pub(crate) fn limits_of(config: &Config) -> SwarmLimits {
    SwarmLimits::new(
        config.limits.max_torrents.non_zero(),
        config.limits.max_peers_per_torrent.non_zero(),
        config.limits.max_peers_per_ip.non_zero(),
    )
}
