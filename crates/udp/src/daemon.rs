//! The daemon, as the process edge sees it.

use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquatic_service::clock::Clock;
use aquatic_service::config::{Checks, Invalid, ProcessSettings};
use aquatic_service::metrics::clients::{self, ClientCounts};
use aquatic_service::metrics::{Figures, add_swarm_figures};
use aquatic_service::snapshot::BlockWriter;
use aquatic_service::sockets::{self, BoundUdp, KernelDrops, Listening, Passed, UdpRequest};
use aquatic_service::{Chore, Daemon, Start, secret};
use aquatic_swarm::{HashKey, Housekeeping, Limits, Swarms as _};
use aquatic_udp_protocol::ConnectionIdKey;

use crate::config::Config;
use crate::counters::{self, Counters};
use crate::scrape_export::ScrapeExport;
use crate::settings::{self, NAME, Settings};
use crate::snapshot::{self, Parts};
use crate::tracker::{Rules, State, Tracker};
use crate::worker::Worker;

/// `aquatic-udp`.
pub struct UdpDaemon {
    state: Arc<State>,
    clock: Clock,
    counters: Arc<[Counters]>,
    clients: Vec<Arc<ClientCounts>>,
    kernel_drops: KernelDrops,
    housekeeping: Chore<Housekeeping>,
    /// Used by the main thread alone.
    export: Mutex<Option<ScrapeExport>>,
    status: String,
}

impl Daemon for UdpDaemon {
    const NAME: &'static str = NAME;
    const ABOUT: &'static str = "BitTorrent tracker over UDP (BEP 15)";

    type Config = Config;
    type Settings = Settings;
    /// One list for each worker.
    type Sockets = Vec<Vec<BoundUdp>>;

    fn settings(config: &Config) -> Result<Settings, Vec<Invalid>> {
        Settings::new(config)
    }

    fn process(settings: &Settings) -> &ProcessSettings {
        &settings.process
    }

    fn notes(settings: &Settings) -> Vec<String> {
        let buffer = settings
            .receive_buffer_bytes
            .map(|bytes| bytes.get() as u64);
        buffer
            .and_then(aquatic_service::limits::receive_buffer_note)
            .into_iter()
            .collect()
    }

    fn written_files(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
        let export = settings.scrape_export.iter();
        export
            .map(|export| ("scrape_exports.path", export.path.clone()))
            .collect()
    }

    fn listening(config: &Config, checks: &mut Checks) -> Listening {
        settings::listening(config, checks)
    }

    fn open(settings: &Settings, passed: &mut Passed) -> anyhow::Result<Self::Sockets> {
        sockets::udp(request(settings), passed)
    }

    fn start(
        settings: Settings,
        sockets: Self::Sockets,
        start: Start<'_>,
    ) -> anyhow::Result<Arc<Self>> {
        let parts = Parts {
            rules: rules(&settings),
            limits: Limits::new(
                settings.limits.max_torrents,
                settings.limits.max_peers_per_torrent,
                settings.limits.max_peers_per_ip,
            ),
            hash_key: HashKey::new(secret()?),
            connection_id_key: ConnectionIdKey::from_bytes(secret()?),
            access_list: start.access_list,
        };
        let (state, clock) = start.snapshot.restore_or(
            |reader| snapshot::read(parts.clone(), reader),
            || (parts.clone().build(), Clock::start()),
        )?;

        let status = status(&sockets);
        log::info!("{status}");
        let now = Instant::now();
        let mut housekeeping = Housekeeping::new(settings.cleaning_interval);
        // The list may have changed while the tracker was away.
        housekeeping.hurry();
        let mut daemon = Self {
            state: Arc::new(state),
            clock,
            counters: sockets.iter().map(|_| Counters::default()).collect(),
            clients: Vec::new(),
            kernel_drops: KernelDrops::watch(sockets.iter().flatten().map(|bound| &bound.socket))
                .context("cannot watch for datagrams that the kernel drops")?,
            housekeeping: Chore::new(housekeeping),
            export: Mutex::new(
                settings
                    .scrape_export
                    .clone()
                    .map(|export| ScrapeExport::new(export, now)),
            ),
            status,
        };
        for (number, sockets) in sockets.into_iter().enumerate() {
            let sockets = sockets.into_iter().map(|bound| bound.socket).collect();
            daemon.start_worker(number, sockets, &settings, start.workers)?;
        }
        Ok(Arc::new(daemon))
    }

    fn tick(&self, now: Instant) -> Duration {
        let mut export = self.export.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(export) = &mut *export {
            export.run_if_due(&self.state, now);
        }
        self.housekeeping.tick(now, |housekeeping| {
            let list = self.state.access_list.current();
            let seconds = self.clock.at(now).monotonic_seconds;
            housekeeping.step(&self.state.swarms, seconds, |hash| list.allows(hash))
        })
    }

    fn access_list_changed(&self) {
        self.housekeeping.change(Housekeeping::hurry);
    }

    fn figures(&self, figures: &mut Figures) {
        let swarms = &self.state.swarms;
        add_swarm_figures(&swarms.totals(), swarms.usage.retired(), figures);
        self.housekeeping.add_figures(figures);
        counters::add_figures(&self.counters, self.kernel_drops.total(), figures);
        clients::add_figures(self.clients.iter().map(AsRef::as_ref), figures);
    }

    fn status(&self) -> String {
        format!(
            "{}; {} torrents",
            self.status,
            self.state.swarms.usage.live()
        )
    }

    fn write_snapshot(&self, out: &mut BlockWriter<'_>) -> io::Result<()> {
        snapshot::write(&self.state, &self.clock, out)
    }
}

impl UdpDaemon {
    fn start_worker(
        &mut self,
        number: usize,
        sockets: Vec<UdpSocket>,
        settings: &Settings,
        workers: &mut aquatic_service::workers::Workers,
    ) -> anyhow::Result<()> {
        let clients = settings.count_peer_clients || settings.count_peer_id_prefixes;
        let clients = clients.then(|| {
            Arc::new(ClientCounts::new(
                settings.count_peer_clients,
                settings.count_peer_id_prefixes,
            ))
        });
        self.clients.extend(clients.clone());

        let seed = u64::from_ne_bytes(secret()?);
        let random = fastrand::Rng::with_seed(seed);
        let tracker = Tracker::new(self.state.clone(), random, clients);
        let counters = self.counters.clone();
        let (worker, waker) = Worker::new(sockets, tracker, self.clock, counters, number)?;
        let wake = move || {
            // It fails only if the worker is gone, and then there is no need.
            let _ = waker.wake();
        };
        workers.spawn(format!("udp-{number}"), wake, move |context| {
            worker.run(&context)
        })
    }
}

/// The sockets that the settings ask for.
fn request(settings: &Settings) -> UdpRequest<'_> {
    UdpRequest {
        addresses: &settings.addresses,
        workers: settings.workers,
        receive_buffer_bytes: settings.receive_buffer_bytes,
    }
}

fn rules(settings: &Settings) -> Rules {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    Rules {
        max_response_peers: settings.max_response_peers.get(),
        max_scrape_torrents: settings.max_scrape_torrents.get(),
        announce_interval_seconds: seconds(settings.times.interval),
        peer_lifetime_seconds: u16::try_from(settings.times.max_peer_age.as_secs())
            .unwrap_or(u16::MAX),
        connection_lifetime_seconds: seconds(settings.max_connection_age),
    }
}

/// Where the daemon listens, for `systemctl status`.
fn status(sockets: &[Vec<BoundUdp>]) -> String {
    let mut addresses: Vec<String> = sockets
        .iter()
        .flatten()
        .map(|bound| format!("udp://{}", bound.address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let plural = if sockets.len() == 1 { "" } else { "s" };
    format!(
        "Serving {} with {} worker{plural}",
        addresses.join(", "),
        sockets.len()
    )
}
