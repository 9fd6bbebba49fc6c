//! The daemon, as the process edge sees it.

use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquatic_service::clock::Clock;
use aquatic_service::config::{Invalid, ProcessSettings};
use aquatic_service::metrics::clients::{self, ClientCounts};
use aquatic_service::metrics::{Figures, SwarmTotals};
use aquatic_service::snapshot::BlockWriter;
use aquatic_service::sockets::{self, BoundTcp, Passed, TcpRequest};
use aquatic_service::{Daemon, Start, limits, tls};
use aquatic_stream::{Plan, Running};
use aquatic_swarm::{HashKey, Housekeeping, Limits, Totals};

use crate::config::Config;
use crate::connection::Http;
use crate::counters::{self, Counters};
use crate::settings::{NAME, Settings};
use crate::snapshot::{self, Parts};
use crate::tracker::{Rules, State, Tracker};

/// Descriptors that a daemon has open beside its connections, about.
const OTHER_DESCRIPTORS: u64 = 100;

/// `aquatic-http`.
pub struct HttpDaemon {
    state: Arc<State>,
    clock: Clock,
    counters: Arc<[Counters]>,
    clients: Vec<Arc<ClientCounts>>,
    running: Running,
    longest_step_nanoseconds: AtomicU64,
    /// Used by the main thread alone.
    chores: Mutex<Chores>,
    status: String,
}

/// What the main thread does beside waiting.
struct Chores {
    housekeeping: Housekeeping,
    next_step: Instant,
}

impl Daemon for HttpDaemon {
    const NAME: &'static str = NAME;
    const ABOUT: &'static str = "BitTorrent tracker over HTTP and HTTPS (BEP 3, 7, 23, 48)";

    type Config = Config;
    type Settings = Settings;
    /// One list for each worker.
    type Sockets = Vec<Vec<BoundTcp>>;

    fn settings(config: &Config) -> Result<Settings, Vec<Invalid>> {
        Settings::new(config)
    }

    fn process(settings: &Settings) -> &ProcessSettings {
        &settings.process
    }

    fn warnings(settings: &Settings) -> Vec<String> {
        limits::open_files_warning(descriptors(settings))
            .into_iter()
            .collect()
    }

    fn check(settings: &Settings, path_now: &dyn Fn(&Path) -> PathBuf) -> anyhow::Result<()> {
        if let Some(files) = &settings.tls {
            tls::load(&tls::Files {
                certificate: path_now(&files.certificate),
                key: path_now(&files.key),
            })?;
        }
        aquatic_stream::check_event_loop(settings.connections.event_loop)
    }

    fn listen(settings: &Settings) -> anyhow::Result<sockets::Request<'_>> {
        Ok(sockets::Request::Tcp(request(settings)?))
    }

    fn open(settings: &Settings, passed: &mut Passed) -> anyhow::Result<Self::Sockets> {
        sockets::tcp(request(settings)?, passed)
    }

    fn start(
        settings: Settings,
        sockets: Self::Sockets,
        start: Start<'_>,
    ) -> anyhow::Result<Arc<Self>> {
        if let Some(warning) = limits::allow_open_files(descriptors(&settings)) {
            log::warn!("{warning}");
        }
        let clock = Clock::start();
        let parts = Parts {
            rules: rules(&settings),
            limits: swarm_limits(&settings),
            hash_key: HashKey::new(secret()?),
            access_list: start.access_list,
        };
        let restored = start
            .snapshot
            .restore(|reader| snapshot::read(parts.clone(), &clock, reader))?;
        let (state, restored) = restored.unwrap_or_else(|| (parts.build(), Default::default()));
        if restored.refused > 0 {
            log::warn!(
                "{} peers of the snapshot were left out, as the limits are lower now",
                restored.refused
            );
        }
        let tls = match &settings.tls {
            Some(files) => {
                let handle = Arc::new(tls::Handle::new(files.clone())?);
                start.reloads.push(handle.clone());
                Some(aquatic_stream::tls_config(handle)?)
            }
            None => None,
        };

        let state = Arc::new(state);
        let status = status(&settings, &sockets);
        let counters: Arc<[Counters]> = sockets.iter().map(|_| Counters::default()).collect();
        let counts = settings.count_peer_clients || settings.count_peer_id_prefixes;
        let mut clients = Vec::new();
        let plan = Plan {
            name: "http",
            settings: settings.connections.clone(),
            tls,
            renewal: None,
            sockets,
            workers: start.workers,
        };
        let running = aquatic_stream::start(plan, |number, _| {
            let client_counts = counts.then(|| {
                Arc::new(ClientCounts::new(
                    settings.count_peer_clients,
                    settings.count_peer_id_prefixes,
                ))
            });
            clients.extend(client_counts.clone());
            let random = fastrand::Rng::with_seed(u64::from_ne_bytes(secret()?));
            Ok(Http::new(
                Tracker::new(state.clone(), random, client_counts),
                clock,
                settings.keep_alive,
                settings.reverse_proxy.clone(),
                counters.clone(),
                number,
            ))
        })?;
        log::info!("{status}");

        let mut housekeeping = Housekeeping::new(settings.cleaning_interval);
        // The list may have changed while the tracker was away.
        housekeeping.hurry();
        Ok(Arc::new(Self {
            state,
            clock,
            counters,
            clients,
            running,
            longest_step_nanoseconds: AtomicU64::new(0),
            chores: Mutex::new(Chores {
                housekeeping,
                next_step: Instant::now(),
            }),
            status,
        }))
    }

    fn tick(&self, now: Instant) -> Duration {
        let mut chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
        let Chores {
            housekeeping,
            next_step,
        } = &mut *chores;
        if now >= *next_step {
            let start = Instant::now();
            let list = self.state.access_list.current();
            let seconds = self.clock.at(now).monotonic_seconds;
            let keep = |hash: &_| list.allows(hash);
            *next_step = now + housekeeping.step(&self.state.swarms, seconds, keep);
            let nanoseconds = start.elapsed().as_nanos() as u64;
            self.longest_step_nanoseconds
                .fetch_max(nanoseconds, Relaxed);
        }
        next_step.saturating_duration_since(Instant::now())
    }

    fn access_list_changed(&self) {
        let mut chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
        chores.housekeeping.hurry();
        chores.next_step = Instant::now();
    }

    fn figures(&self, figures: &mut Figures) {
        let swarms = &self.state.swarms;
        swarm_totals(swarms.ipv4.totals()).add_figures("ipv4", figures);
        swarm_totals(swarms.ipv6.totals()).add_figures("ipv6", figures);
        figures.gauge(
            "retired_torrents",
            "Torrents without peers that are kept for their download counts",
            &[],
            swarms.usage.retired() as u64,
        );
        let longest_step = self.longest_step_nanoseconds.load(Relaxed);
        figures.gauge(
            "longest_housekeeping_step_seconds",
            "The longest time for which peers were forgotten in one go",
            &[],
            longest_step as f64 / 1e9,
        );
        counters::add_figures(&self.counters, figures);
        self.running.add_figures(figures);
        clients::add_figures(self.clients.iter().map(AsRef::as_ref), figures);
    }

    fn status(&self) -> String {
        let live = self.state.swarms.usage.live();
        format!("{}; {live} torrents", self.status)
    }

    fn write_snapshot(&self, out: &mut BlockWriter<'_>) -> io::Result<()> {
        snapshot::write(&self.state, &self.clock, out)
    }
}

/// The sockets that the settings ask for.
fn request(settings: &Settings) -> anyhow::Result<TcpRequest<'_>> {
    let workers = settings
        .workers
        .map_or_else(thread::available_parallelism, Ok);
    Ok(TcpRequest {
        addresses: &settings.addresses,
        workers: workers.context("cannot count the processors; set socket_workers")?,
        backlog: settings.backlog,
    })
}

/// Bytes from the system's source of secrets.
fn secret<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the system has no random numbers")?;
    Ok(bytes)
}

/// How many descriptors may be open at once: one for each connection.
fn descriptors(settings: &Settings) -> u64 {
    settings.connections.limits.max_connections.get() as u64 + OTHER_DESCRIPTORS
}

fn rules(settings: &Settings) -> Rules {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let lifetime = settings.times.max_peer_age.as_secs();
    Rules {
        max_peers: settings.max_peers.get(),
        max_scrape_torrents: settings.max_scrape_torrents.get(),
        announce_interval_seconds: seconds(settings.times.interval),
        min_announce_interval_seconds: seconds(settings.min_announce_interval),
        peer_lifetime_seconds: u16::try_from(lifetime).unwrap_or(u16::MAX),
    }
}

fn swarm_limits(settings: &Settings) -> Limits {
    let count = |max: NonZeroUsize| NonZeroU32::try_from(max).unwrap_or(NonZeroU32::MAX);
    Limits {
        max_torrents: Some(settings.limits.max_torrents),
        max_peers_per_torrent: Some(count(settings.limits.max_peers_per_torrent)),
        max_peers_per_ip: settings.limits.max_peers_per_ip.map(count),
    }
}

/// Where the daemon listens, for `systemctl status`.
fn status(settings: &Settings, sockets: &[Vec<BoundTcp>]) -> String {
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut addresses: Vec<String> = sockets
        .iter()
        .flatten()
        .map(|bound| format!("{scheme}://{}", bound.address))
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

fn swarm_totals(totals: Totals) -> SwarmTotals {
    let Totals {
        torrents,
        peers,
        seeders,
        downloads,
    } = totals;
    SwarmTotals {
        torrents,
        peers,
        seeders,
        downloads,
    }
}
