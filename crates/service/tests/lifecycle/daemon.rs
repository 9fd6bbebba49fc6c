//! The daemon under test: it sends datagrams back, counts its starts in its
//! snapshot, and misbehaves when a file says so.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use aquatic_service::clock::Clock;
use aquatic_service::config::numbers::Count;
use aquatic_service::config::{
    AccessListConfig, Addresses, Checks, Config, Diagnostic, Faults, LogLevel, MetricsConfig,
    OldKey, PrivilegesConfig, ProcessSettings, SnapshotConfig, sections,
};
use aquatic_service::destination::{Destination, Place};
use aquatic_service::lists::{Lists, ListsConfig};
use aquatic_service::metrics::{Metric, Overview, Plot};
use aquatic_service::reload::{Apply, Failure};
use aquatic_service::sockets::{self, BoundUdp, Inherited, Listening, Transport, UdpRequest};
use aquatic_service::{Daemon, Start, metrics, snapshot, workers};
use serde::{Deserialize, Serialize};

/// Kinds of the blocks in its snapshots.
const STARTS: u8 = 1;
pub(crate) const CLOCK: u8 = 2;

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TestConfig {
    log_level: LogLevel,
    network: NetworkConfig,
    privileges: PrivilegesConfig,
    access_list: AccessListConfig,
    metrics: MetricsConfig,
    snapshot: SnapshotConfig,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NetworkConfig {
    address: Addresses,
    workers: Count<1, 8>,
    /// A file that must contain `good`.
    badge_path: PathBuf,
    /// A file that the daemon would write; only its path is checked.
    log_path: PathBuf,
    /// A host that the daemon would connect to, as `test://host`.
    url: String,
    /// The beginning of the status line; not allowed with more than four workers.
    greeting: String,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            address: Addresses::all(3000),
            workers: Count::of::<2>(),
            badge_path: PathBuf::new(),
            log_path: PathBuf::new(),
            url: String::new(),
            greeting: String::new(),
        }
    }
}

impl Config for TestConfig {
    const DEFAULT_TOML: &'static str = "# The default.\n";
    const OLD_KEYS: &'static [&'static [OldKey]] = &[&[OldKey::Dropped {
        key: "network.port",
        reason: "it is part of the address",
    }]];
    const NEED_RESTART: &'static [&'static [&'static str]] =
        &[sections::NEED_RESTART, &["network.workers"]];
}

pub(crate) struct TestSettings {
    process: ProcessSettings,
    greeting: String,
    addresses: Vec<SocketAddr>,
    workers: NonZeroUsize,
    badge: Option<Badge>,
    log_path: Option<PathBuf>,
}

/// A file besides the access list that is read again by a reload.
#[derive(Clone)]
struct Badge(PathBuf);

impl Badge {
    fn read(&self) -> anyhow::Result<()> {
        // Behaves like a file server that does not answer.
        while Path::new("hang").exists() {
            thread::sleep(Duration::from_millis(10));
        }
        let text = fs::read_to_string(&self.0).context("cannot read the badge")?;
        ensure!(text == "good", "the badge says \"{text}\"");
        Ok(())
    }
}

const STARTED: Metric = Metric::counter("starts_total", "Starts");
const LIST_CHANGES: Metric = Metric::counter("list_changes_total", "Changes of the access list");

pub(crate) struct TestDaemon {
    starts: u64,
    lists: Lists,
    list_changes: AtomicU64,
    greeting: Mutex<String>,
}

impl Daemon for TestDaemon {
    const NAME: &'static str = "aquatic-test";
    const ABOUT: &'static str = "Sends datagrams back.";
    const USAGE: &'static str = "Send it some.";
    const SNAPSHOT_VERSION: u32 = 1;
    const METRICS: &'static [&'static [Metric]] = &[&[STARTED, LIST_CHANGES]];
    const PLOTS: &'static [Plot] = &[];

    type Config = TestConfig;
    type Settings = TestSettings;
    type Sockets = Vec<Vec<BoundUdp>>;

    fn settings(config: &TestConfig) -> Result<TestSettings, Vec<Diagnostic>> {
        let mut checks = Checks::new();
        let listening = Self::listening(config, &mut checks);
        let mut process = ProcessSettings {
            log_level: config.log_level,
            privileges: config.privileges.clone(),
            lists: ListsConfig {
                access_list: config.access_list.clone(),
                ..ListsConfig::default()
            },
            metrics_address: listening.metrics,
            snapshot: config.snapshot.settings(Self::NAME),
            advice: Vec::new(),
        };
        process.check(&mut checks);
        if !config.network.greeting.is_empty() && config.network.workers.as_u64() > 4 {
            checks.fail("network.greeting", "so many workers must be silent");
        }
        let settings = TestSettings {
            process,
            greeting: config.network.greeting.clone(),
            workers: listening.workers.unwrap_or(NonZeroUsize::MIN),
            addresses: listening.addresses,
            badge: Some(config.network.badge_path.clone())
                .filter(|path| !path.as_os_str().is_empty())
                .map(Badge),
            log_path: Some(config.network.log_path.clone())
                .filter(|path| !path.as_os_str().is_empty()),
        };
        checks.finish(settings)
    }

    fn process(settings: &TestSettings) -> &ProcessSettings {
        &settings.process
    }

    const SOCKET_KEYS: &'static [&'static str] = &["network.address", "network.workers"];

    fn listening(config: &TestConfig, checks: &mut Checks) -> Listening {
        let transport = Transport::Udp {
            receive_buffer_bytes: None,
        };
        Listening::new(
            &config.network.address,
            Some(config.network.workers.non_zero()),
            transport,
            &config.metrics,
            checks,
        )
    }

    fn destination(config: &TestConfig) -> Option<Destination> {
        let url = &config.network.url;
        let host = url.strip_prefix("test://")?;
        Some(Destination {
            url: url.clone(),
            place: Place::Host(host.to_owned()),
            services: &["test.service"],
        })
    }

    fn open(settings: &TestSettings, inherited: &mut Inherited) -> anyhow::Result<Self::Sockets> {
        sockets::udp(request(settings), inherited)
    }

    fn check(settings: &TestSettings, path_now: &dyn Fn(&Path) -> PathBuf) -> Faults {
        let mut faults = Faults::default();
        if let Some(Badge(path)) = &settings.badge {
            faults.keep(Badge(path_now(path)).read());
        }
        faults
    }

    fn read_files(settings: &TestSettings) -> Vec<(&'static str, PathBuf)> {
        let badge = settings.badge.iter();
        badge
            .map(|Badge(path)| ("network.badge_path", path.clone()))
            .collect()
    }

    fn written_files(settings: &TestSettings) -> Vec<(&'static str, PathBuf)> {
        let log = settings.log_path.iter();
        log.map(|path| ("network.log_path", path.clone())).collect()
    }

    fn start(
        settings: TestSettings,
        sockets: Self::Sockets,
        start: Start<'_>,
    ) -> anyhow::Result<Arc<Self>> {
        let checked = start.snapshot.check(|reader| {
            let mut starts = 0;
            while let Some(block) = reader.next_block()? {
                if block.kind != STARTS {
                    continue;
                }
                let bytes = block.payload.try_into();
                starts = u64::from_le_bytes(
                    bytes.map_err(|_| snapshot::ReadError::damaged("an odd block"))?,
                );
            }
            Ok(starts)
        })?;
        if let Some(badge) = &settings.badge {
            badge.read()?;
        }
        for (index, sockets) in sockets.into_iter().enumerate() {
            start.workers.spawn(
                format!("echo-{index}"),
                || (),
                move |context| work(&context, &sockets),
            )?;
        }
        Ok(Arc::new(Self {
            starts: checked.map_or(0, |(starts, _)| starts) + 1,
            lists: start.lists,
            list_changes: AtomicU64::new(0),
            greeting: Mutex::new(settings.greeting),
        }))
    }

    fn tick(&self, _: Instant) -> Duration {
        Duration::from_secs(3600)
    }

    const RELOADED: &'static [&'static str] = &["badge"];

    fn reload(self: &Arc<Self>, settings: TestSettings) -> Result<Apply, Failure> {
        if let Some(badge) = &settings.badge {
            badge.read().map_err(|error| Failure::of("badge", error))?;
        }
        let daemon = Arc::clone(self);
        Ok(Box::new(move || {
            *daemon.greeting.lock().expect("no panic") = settings.greeting;
        }))
    }

    fn access_list_changed(&self) {
        self.list_changes.fetch_add(1, Ordering::Relaxed);
    }

    fn add_metrics(&self, metrics: &mut metrics::Metrics) {
        metrics.add(&STARTED, &[], self.starts);
        let list_changes = self.list_changes.load(Ordering::Relaxed);
        metrics.add(&LIST_CHANGES, &[], list_changes);
    }

    fn overview(&self, _: &str) -> Overview {
        Overview::default()
    }

    fn status(&self) -> String {
        format!(
            "{}start {}, {} listed",
            self.greeting.lock().expect("no panic"),
            self.starts,
            self.lists.access_list.current().len()
        )
    }

    fn write_snapshot(&self, out: &mut snapshot::BlockWriter<'_>) -> io::Result<()> {
        // Behaves like a disk that does not respond, and reports an error in the end.
        if fs::rename("hang_next_snapshot", "hanging_snapshot").is_ok() {
            while Path::new("hanging_snapshot").exists() {
                thread::sleep(Duration::from_millis(10));
            }
            return Err(io::Error::other("the disk is broken"));
        }
        out.write_block(CLOCK, &Clock::start().mark().to_bytes())?;
        out.write_block(STARTS, &self.starts.to_le_bytes())
    }
}

fn request(settings: &TestSettings) -> UdpRequest<'_> {
    UdpRequest {
        addresses: &settings.addresses,
        workers: Some(settings.workers),
        receive_buffer_bytes: None,
    }
}

/// Sends datagrams back, unless a file in the working directory says otherwise.
fn work(context: &workers::Context, sockets: &[BoundUdp]) -> anyhow::Result<()> {
    let says = |what: &str| context.name() == "echo-0" && Path::new(what).exists();
    loop {
        if says("panic") {
            panic!("on purpose");
        }
        if says("fail") {
            bail!("failed on purpose");
        }
        if says("leave") {
            return Ok(());
        }
        if !says("stuck") {
            context.beat();
        }
        if context.is_stopping() && !says("deaf") {
            return Ok(());
        }
        for bound in sockets {
            let mut buffer = [0; 64];
            while let Ok((length, source)) = bound.socket.recv_from(&mut buffer) {
                bound.socket.send_to(&buffer[..length], source)?;
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}
