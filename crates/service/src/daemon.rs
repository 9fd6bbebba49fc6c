//! The interface between a daemon and [`run`](crate::run).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{self, Diagnostic, Faults, ProcessSettings};
use crate::destination::Destination;
use crate::lists::Lists;
use crate::reload::{Apply, Failure};
use crate::{metrics, snapshot, sockets, workers};

/// A daemon.
///
/// The functions are called in this order: [`settings`](Self::settings),
/// [`open`](Self::open), [`start`](Self::start), and afterwards the others, until the
/// workers have ended; [`write_snapshot`](Self::write_snapshot) is the last.
pub trait Daemon: Sized + Send + Sync + 'static {
    /// The name of the binary, log identifier and snapshots, such as
    /// `aquatic-udp`; with `_` for `-`, the prefix of all metrics.
    const NAME: &'static str;
    /// One sentence for `--help`.
    const ABOUT: &'static str;
    /// How to use announce URLs, for people who start it on a terminal.
    const USAGE: &'static str;
    /// The version of the snapshots that it writes, and the highest version that it can
    /// read: it must be incremented when the content of the blocks changes.
    const SNAPSHOT_VERSION: u32;

    /// The keys that determine which sockets [`open`](Self::open) opens; the first is that
    /// of the addresses.
    const SOCKET_KEYS: &'static [&'static str] = &["network.address", "socket_workers"];

    /// The configuration, as written by users.
    type Config: config::Config;
    /// The validated settings.
    type Settings: Send + Sync;
    /// The sockets, which are opened before privileges are dropped.
    type Sockets;

    /// Converts a configuration to settings.
    ///
    /// # Errors
    ///
    /// All errors in values, each with its key.
    fn settings(config: &Self::Config) -> Result<Self::Settings, Vec<Diagnostic>>;

    /// The settings for this crate.
    fn process(settings: &Self::Settings) -> &ProcessSettings;

    /// Notes for `--check-config` about valid settings that would exceed the limits of a
    /// process started like the check ([`resource_limits`](crate::resource_limits)). A
    /// process that is started in another way, for example as a service, may have higher
    /// limits, so these are not warnings. The start of the daemon itself warns.
    fn notes(settings: &Self::Settings) -> Vec<String> {
        let _ = settings;
        Vec::new()
    }

    /// For `--check-config`: checks what [`start`](Self::start) needs, except lists and
    /// snapshot: files, and features of the kernel. `path_now` returns the current path
    /// of a file to which a configured path will refer, which differs if a chroot is
    /// configured that the check does not perform. Returns all that would prevent the daemon
    /// from starting.
    fn check(settings: &Self::Settings, path_now: &dyn Fn(&Path) -> PathBuf) -> Faults {
        let _ = (settings, path_now);
        Faults::default()
    }

    /// The files that the daemon reads, except configuration, lists and snapshot,
    /// each with its key.
    fn read_files(settings: &Self::Settings) -> Vec<(&'static str, PathBuf)> {
        let _ = settings;
        Vec::new()
    }

    /// The files that the daemon writes, except the snapshot, each with its key.
    fn written_files(settings: &Self::Settings) -> Vec<(&'static str, PathBuf)> {
        let _ = settings;
        Vec::new()
    }

    /// The sockets that a configuration asks for: the part of [`settings`](Self::settings)
    /// from which socket units are generated, even if the rest of the configuration has
    /// errors.
    fn listening(config: &Self::Config, checks: &mut config::Checks) -> sockets::Listening;

    /// The server that a configuration has the daemon connect to, which the sandbox of its
    /// unit has to permit; also if the rest of the configuration has errors.
    fn destination(config: &Self::Config) -> Option<Destination>;

    /// Takes the sockets inherited from the service manager, or binds new ones.
    ///
    /// # Errors
    ///
    /// If a socket cannot be opened; the process exits.
    fn open(
        settings: &Self::Settings,
        inherited: &mut sockets::Inherited,
    ) -> anyhow::Result<Self::Sockets>;

    /// Creates the state, checks the snapshot, restores it or begins to, and starts the
    /// workers. Privileges have been dropped, and there are no other threads.
    ///
    /// # Errors
    ///
    /// If the daemon cannot run; the process exits.
    fn start(
        settings: Self::Settings,
        sockets: Self::Sockets,
        start: Start<'_>,
    ) -> anyhow::Result<Arc<Self>>;

    /// Does a bounded amount of periodic work on the main thread; returns the time until
    /// the next call, which is made after at most
    /// [`HEARTBEAT_INTERVAL`](workers::HEARTBEAT_INTERVAL).
    fn tick(&self, now: Instant) -> Duration;

    /// What [`reload`](Self::reload) reads: the values of [`Failure::what`].
    const RELOADED: &'static [&'static str] = &[];

    /// Reads what the settings name besides the lists, such as certificates, and
    /// returns a function that puts all of it and the settings into effect. Called at a
    /// reload, on a thread of its own, with settings in which keys that
    /// [need a restart](config::Config::NEED_RESTART) have their values of the start.
    ///
    /// # Errors
    ///
    /// What cannot be used; nothing must have been changed.
    fn reload(self: &Arc<Self>, settings: Self::Settings) -> Result<Apply, Failure>;

    /// The access list was replaced: torrents that are no longer allowed should be removed,
    /// now or during the next ticks.
    fn access_list_changed(&self);

    /// The definitions of all metrics that [`add_metrics`](Self::add_metrics) may add.
    const METRICS: &'static [&'static [metrics::Metric]];

    /// What the status page plots of the last hour.
    const PLOTS: &'static [metrics::Plot];

    /// Adds all metrics for `/metrics` and `/stats.json`. Called on a thread of the metrics
    /// server; must not hold a lock for long.
    fn add_metrics(&self, metrics: &mut metrics::Metrics);

    /// What the status page shows of the daemon in particular. `host` is a name or an
    /// address of this machine, for URLs of a daemon that listens on all of them. Called on
    /// a thread of the metrics server; must not hold a lock for long.
    fn overview(&self, host: &str) -> metrics::Overview;

    /// The status line for `systemctl status`. Should not change much every second.
    fn status(&self) -> String;

    /// What does not work although clients are served, in words; `/health` shows it.
    fn degraded(&self) -> Option<String> {
        None
    }

    /// Writes all state that should survive a restart. Called on a separate thread while
    /// the workers run, and once more after they have ended; must not hold a lock for long.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    fn write_snapshot(&self, out: &mut snapshot::BlockWriter<'_>) -> io::Result<()>;
}

/// The arguments of [`Daemon::start`].
pub struct Start<'a> {
    /// The lists of whom and what is served, which reloads replace.
    pub lists: Lists,
    /// The snapshot to restore from.
    pub snapshot: &'a mut snapshot::Source,
    /// Workers are started with this.
    pub workers: &'a mut workers::Workers,
}
