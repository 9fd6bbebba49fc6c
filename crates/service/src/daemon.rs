//! What a daemon gives to [`run`](crate::run), and what it gets.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{self, Diagnostic, ProcessSettings};
use crate::reload::Reload;
use crate::{access_list, metrics, snapshot, sockets, workers};

/// One of the daemons, as the process edge sees it.
///
/// The calls come in this order: [`settings`](Self::settings),
/// [`open`](Self::open), [`start`](Self::start), and from then on the others,
/// until the workers have ended; [`write_snapshot`](Self::write_snapshot) is
/// the last.
pub trait Daemon: Sized + Send + Sync + 'static {
    /// The name of the binary, log identifier and snapshots, such as
    /// `aquatic-udp`; with `_` for `-`, the prefix of all metrics.
    const NAME: &'static str;
    /// One sentence for `--help`.
    const ABOUT: &'static str;
    /// The version of the snapshots that it writes, and the last that it reads: it
    /// rises when what is in their blocks changes.
    const SNAPSHOT_VERSION: u32;

    /// The keys that decide which sockets [`open`](Self::open) asks for, that of
    /// the addresses first.
    const SOCKET_KEYS: &'static [&'static str] = &["network.address", "socket_workers"];

    /// What the operator writes.
    type Config: config::Config;
    /// What the daemon works with, valid by type.
    type Settings: Send + Sync;
    /// What is opened while the process still has its privileges.
    type Sockets;

    /// Makes settings of a configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with values, each under its key.
    fn settings(config: &Self::Config) -> Result<Self::Settings, Vec<Diagnostic>>;

    /// The part of the settings that `service` itself acts on.
    fn process(settings: &Self::Settings) -> &ProcessSettings;

    /// What `--check-config` should mention about settings that are good, but that
    /// a daemon would not be granted when it is started as the check was
    /// ([`resource_limits`](crate::resource_limits)). Whoever starts it, as a service or otherwise,
    /// may well grant them; so these are no warnings. The start knows better, and
    /// warns itself.
    fn notes(settings: &Self::Settings) -> Vec<String> {
        let _ = settings;
        Vec::new()
    }

    /// Tries what [`start`](Self::start) will need, besides access list and
    /// snapshot, for `--check-config`: files, and what the kernel must allow.
    /// `path_now` tells where the file is that the service will find under a
    /// path: with a change of the root directory that did not take place,
    /// somewhere else.
    ///
    /// # Errors
    ///
    /// What would keep the daemon from starting.
    fn check(settings: &Self::Settings, path_now: &dyn Fn(&Path) -> PathBuf) -> anyhow::Result<()> {
        let _ = (settings, path_now);
        Ok(())
    }

    /// The files that the daemon reads besides its configuration, the access list and
    /// the snapshot, each under its key.
    fn read_files(settings: &Self::Settings) -> Vec<(&'static str, PathBuf)> {
        let _ = settings;
        Vec::new()
    }

    /// The files that the daemon writes besides the snapshot, each under its key.
    fn written_files(settings: &Self::Settings) -> Vec<(&'static str, PathBuf)> {
        let _ = settings;
        Vec::new()
    }

    /// What the configuration says about sockets: the part of
    /// [`settings`](Self::settings) of which the units of the service manager are
    /// made, whatever else may be wrong with it.
    fn listening(config: &Self::Config, checks: &mut config::Checks) -> sockets::Listening;

    /// Takes over the sockets inherited from the service manager, or binds them.
    ///
    /// # Errors
    ///
    /// When a socket cannot be opened; the process ends.
    fn open(
        settings: &Self::Settings,
        inherited: &mut sockets::Inherited,
    ) -> anyhow::Result<Self::Sockets>;

    /// Builds the state, restores it from the snapshot, and starts the workers.
    /// Privileges are dropped by now, and no other thread exists.
    ///
    /// # Errors
    ///
    /// When the daemon cannot do its work; the process ends.
    fn start(
        settings: Self::Settings,
        sockets: Self::Sockets,
        start: Start<'_>,
    ) -> anyhow::Result<Arc<Self>>;

    /// Does a bounded piece of housekeeping on the main thread; returns how
    /// long it may be left alone. It is called at least every
    /// [`HEARTBEAT_INTERVAL`](workers::HEARTBEAT_INTERVAL), so no longer time has an effect.
    fn tick(&self, now: Instant) -> Duration;

    /// The access list was replaced: forget what has become forbidden, now or
    /// over the following ticks.
    fn access_list_changed(&self);

    /// Adds all metrics for `/metrics` and `/stats.json`. Called on a thread of
    /// the metrics server; must not hold a lock for long.
    fn add_metrics(&self, metrics: &mut metrics::Metrics);

    /// One line for `systemctl status`. Should change little from second to
    /// second.
    fn status(&self) -> String;

    /// Writes all that should survive a restart. Called on a thread of its own
    /// while the workers run, and once more when they have ended; must not
    /// hold a lock for long.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    fn write_snapshot(&self, out: &mut snapshot::BlockWriter<'_>) -> io::Result<()>;
}

/// What [`Daemon::start`] gets.
pub struct Start<'a> {
    /// Which torrents are served; reloaded behind this handle.
    pub access_list: Arc<access_list::Handle>,
    /// Where to restore the state from.
    pub snapshot: &'a mut snapshot::Source,
    /// Where to put what is to be read again at a reload, besides the access
    /// list.
    pub reloads: &'a mut Vec<Arc<dyn Reload>>,
    /// Where to start the workers.
    pub workers: &'a mut workers::Workers,
}
