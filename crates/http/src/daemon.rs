//! The daemon, as an implementation of the service's `Daemon` trait.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_policy::rates::Limiter;
use aquatic_service::clock::Clock;
use aquatic_service::config::{Checks, Diagnostic, Faults, ProcessSettings};
use aquatic_service::destination::Destination;
use aquatic_service::metrics::{Metric, Metrics, Overview, Plot};
use aquatic_service::reload::{Apply, Failure};
use aquatic_service::snapshot::BlockWriter;
use aquatic_service::sockets::{self, BoundTcp, Inherited, Listening};
use aquatic_service::{Daemon, Replaceable, Start, resource_limits, secret, tls};
use aquatic_stream::{Plan, Running, config};
use aquatic_swarm::{Families, HashKey};
use aquatic_tracker::accounting::{self, Accounting};
use aquatic_tracker::cluster::{self, Link, MaxPeerAge, Membership};
use aquatic_tracker::keys::{self, KeyRing};
use aquatic_tracker::snapshot::{self, Kinds};
use aquatic_tracker::{
    self as tracker, Clients, Endpoint, Housekeeping, LargestTorrents, OverviewParts, Restoring,
    ScrapeExport,
};

use crate::config::Config;
use crate::connection::Http;
use crate::counters::{self, Counters};
use crate::full_scrape::FullScrapes;
use crate::settings::{self, NAME, Settings};
use crate::tracker::{State, Tracker};

/// The kinds of blocks in a snapshot.
const KINDS: Kinds = Kinds {
    torrents: [1, 2],
    clock: Some(3),
    cluster_position: Some(4),
};

/// `aquatic-http`.
pub struct HttpDaemon {
    settings: Replaceable<Settings>,
    state: Arc<State>,
    clock: Clock,
    link: Option<Link>,
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

impl Daemon for HttpDaemon {
    const NAME: &'static str = NAME;
    const ABOUT: &'static str = "BitTorrent tracker over HTTP and HTTPS (BEP 3, 7, 23, 48)";
    const USAGE: &'static str =
        "Add one of them to the trackers of a torrent, in its properties in qBittorrent,
Transmission or another client. Clients with the same torrent then find each other.";
    const SNAPSHOT_VERSION: u32 = snapshot::VERSION;
    const METRICS: &'static [&'static [Metric]] = &[
        tracker::SWARM_METRICS,
        tracker::HOUSEKEEPING_METRICS,
        tracker::REQUEST_METRICS,
        tls::METRICS,
        aquatic_stream::METRICS,
        tracker::CLIENT_METRICS,
        tracker::SCRAPE_EXPORT_METRICS,
        cluster::CLUSTER_METRICS,
        accounting::METRICS,
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
            .chain(cluster::note(
                &settings.config.cluster,
                &settings.process.privileges,
            ))
            .collect()
    }

    fn check(settings: &Settings, path_now: &dyn Fn(&Path) -> PathBuf) -> Faults {
        let mut faults = Faults::default();
        if let Some(files) = &settings.tls {
            faults.keep(tls::check(files, path_now));
        }
        faults.keep(cluster::check_files(
            &settings.config.cluster.engine,
            path_now,
        ));
        faults.keep(keys::check(&settings.config.keys, path_now));
        faults.keep(accounting::check(&settings.config.accounting, path_now));
        let event_loop = settings.connections.event_loop;
        faults.keep(aquatic_stream::check_event_loop(event_loop));
        faults
    }

    fn read_files(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
        let tls = settings.tls.iter();
        let cluster = settings.config.cluster.engine.files();
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
        cluster::destination(&config.cluster.engine)
    }

    fn open(settings: &Settings, inherited: &mut Inherited) -> anyhow::Result<Self::Sockets> {
        let config = &settings.config;
        let request = config.network.sockets(config.socket_workers);
        sockets::tcp(request, inherited)
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
        let interval = config.protocol.peer_announce_interval;
        let limits = tracker::swarm_limits(&config.limits, &config.cluster, interval);
        let hash_key = HashKey::new(secret()?);
        let state = Arc::new(State {
            swarms: Families::new(hash_key, limits),
            lists: start.lists,
        });
        let snapshot = snapshot::check(
            start.snapshot,
            &KINDS,
            config.cleaning.max_peer_age.as_u16(),
            &state.swarms,
            |_| Ok(()),
        )?;
        let clock = snapshot.clock;
        let restoring = snapshot::restore(snapshot.torrents, &state, |state| &state.swarms)?;
        let membership = Membership {
            local: config.cluster.local,
            root: settings.process.privileges.chroot(),
            engine: &config.cluster.engine,
            name: NAME,
            max_peer_age: MaxPeerAge::of_seconds(config.cleaning.max_peer_age.as_u16()),
            connection_id_key: None,
            position: snapshot.cluster_position,
            restoring: restoring.clone(),
        };
        let link = Link::start(membership, &state, clock.clone(), start.workers)?;
        let (accounting, ledger) =
            Accounting::start(&config.accounting, link.as_ref(), start.workers)?;
        let certificate = settings.tls.clone().map(tls::Handle::new);
        let certificate = certificate.transpose()?.map(Arc::new);
        let scheme = if certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let addresses = sockets.iter().flatten().map(|bound| bound.address);
        let endpoint = Endpoint::new(scheme, "/announce", addresses, sockets.len());
        let counters: Arc<[Counters]> = sockets.iter().map(|_| Counters::default()).collect();
        let mut clients = Clients::default();
        let full_scrapes = Arc::new(FullScrapes::default());
        let limiter = Arc::new(Limiter::new(secret()?));
        let plan = Plan {
            name: "http",
            settings: settings.connections.clone(),
            certificate,
            sockets,
            workers: start.workers,
        };
        let running = aquatic_stream::start(plan, |number, _| {
            Ok(Http::new(
                Tracker::new(state.clone(), tracker::random()?, clients.add_worker())
                    .with_outbox(link.as_ref().map(Link::outbox))
                    .with_limiter(limiter.clone())
                    .with_ledger(ledger.clone()),
                clock.clone(),
                shared.view(),
                counters.clone(),
                number,
            )
            .with_full_scrapes(full_scrapes.clone()))
        })?;
        log::info!("{endpoint}");

        Ok(Arc::new(Self {
            settings: shared,
            state,
            clock,
            link,
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
            tracker::export_torrents(&state.swarms, path)
        });
        let settings = self.settings.latest();
        let state = self.state.clone();
        self.largest
            .run_if_due(&settings.config.metrics, now, move |count| {
                tracker::largest_torrents(&state.swarms, count)
            });
        self.housekeeping.tick(&self.state, &self.clock, now)
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
        tracker::add_swarm_metrics(&self.state.swarms, metrics);
        self.housekeeping.add_metrics(metrics);
        self.export.add_metrics(metrics);
        counters::add_metrics(&self.counters, metrics);
        self.running.add_metrics(metrics);
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
            certificates: self.running.certificates(),
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
        )
    }
}

impl HttpDaemon {
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
        keys::log_change(before.keys.as_deref(), settings.keys.as_deref());
        let export = config.scrape_exports.settings();
        self.export.reconfigure(export, Instant::now());
        self.settings.replace(settings);
    }
}
