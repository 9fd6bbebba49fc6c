//! Reads everything again at a reload, on a thread of its own, so that a slow file system
//! does not block the main thread.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use serde::Deserialize as _;
use toml::Table;

use super::events::{Event, Fresh};
use crate::config::{self, Changes, Diagnostic, Loaded, Sources};
use crate::lifecycle::{for_service, located, named_files};
use crate::lists::Contents;
use crate::reload::{Failure, PATIENCE};
use crate::{Daemon, snapshot};

/// The name of the configuration in messages about reloads.
pub(in crate::lifecycle) const WHAT: &str = "configuration";

/// The configuration of a running daemon, and where it comes from.
#[derive(Clone)]
pub(in crate::lifecycle) struct InEffect {
    /// The file, its drop-ins, and variables.
    pub(in crate::lifecycle) sources: Sources,
    /// The configuration: keys that need a restart have the values of the start.
    pub(in crate::lifecycle) config: Table,
    /// The snapshot file.
    pub(in crate::lifecycle) snapshot: Option<PathBuf>,
    /// Whether privileges were dropped after the file was read for the first time, so that
    /// it may be out of reach since.
    pub(in crate::lifecycle) has_dropped: bool,
}

/// Starts to read on a new thread, which sends [`Event::Read`] at its end, with `ticket`,
/// which tells this attempt from others.
///
/// # Errors
///
/// When the thread cannot be started.
pub(super) fn start<D: Daemon>(
    daemon: &Arc<D>,
    in_effect: &InEffect,
    ticket: u64,
    sender: SyncSender<Event>,
) -> Result<(), Failure> {
    let (daemon, in_effect) = (Arc::clone(daemon), in_effect.clone());
    // The supervisor abandons the attempt after this time. The thread then ends, too, unless
    // it is blocked in a system call.
    let deadline = Instant::now() + PATIENCE;
    thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || {
            let read = || read(&daemon, &in_effect, deadline);
            let result = panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
                let error = anyhow!("a panic while it was read");
                Err(Failure::of(WHAT, error))
            });
            // The receiver is gone only when the process is ending.
            let _ = sender.send(Event::Read { ticket, result });
        })
        .map(drop)
        .context("cannot start the thread that reads it")
        .map_err(|error| Failure::of(WHAT, error))
}

/// Reads the configuration and all files that it names, and checks them as at a start.
fn read<D: Daemon>(
    daemon: &Arc<D>,
    in_effect: &InEffect,
    deadline: Instant,
) -> Result<Box<Fresh>, Failure> {
    let configuration = |error| Failure::of(WHAT, for_service::<D>(error));
    let (loaded, out_of_reach) = load::<D>(in_effect).map_err(configuration)?;
    let (settings, config, changes) = settings::<D>(&loaded, in_effect).map_err(configuration)?;
    let at_key = |mut failure: Failure| {
        failure.error = located(&loaded, failure.error);
        failure
    };
    let process = D::process(&settings).clone();
    let unwritable =
        check_files::<D>(&settings, in_effect).map_err(|error| at_key(Failure::of(WHAT, error)))?;
    let lists = Contents::load(&process.lists, Some(deadline)).map_err(|error| {
        let what = error.what;
        at_key(Failure::of(what, Diagnostic::error(error.key, error)))
    })?;
    let apply = daemon.reload(settings).map_err(at_key)?;
    Ok(Box::new(Fresh {
        advice: loaded.located(process.advice.clone()),
        warnings: loaded.warnings(),
        out_of_reach,
        config,
        changes,
        process,
        unwritable,
        lists,
        apply,
    }))
}

/// Loads the file. If it is out of reach since privileges were dropped, returns the
/// configuration in effect, and why: lists and certificates can still be renewed.
fn load<D: Daemon>(in_effect: &InEffect) -> anyhow::Result<(Loaded<D::Config>, Option<String>)> {
    let error = match config::load(&in_effect.sources) {
        Ok(loaded) => return Ok((loaded, None)),
        Err(error) => error,
    };
    match &error {
        config::Error::Read { source, .. } | config::Error::List { source, .. }
            if in_effect.has_dropped && is_out_of_reach(source) =>
        {
            let reason = format!("{:#}", anyhow::Error::new(error));
            let config = D::Config::deserialize(in_effect.config.clone())?;
            Ok((Loaded::of(config), Some(reason)))
        }
        _ => Err(error.into()),
    }
}

fn is_out_of_reach(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | PermissionDenied)
}

/// The settings after the reload, and the configuration that they come from: keys that need
/// a restart have the values in effect.
fn settings<D: Daemon>(
    loaded: &Loaded<D::Config>,
    in_effect: &InEffect,
) -> anyhow::Result<(D::Settings, Table, Changes)> {
    let settings = loaded.settings(D::settings)?;
    let mut config = Table::try_from(&loaded.config)?;
    let changes = config::take_over::<D::Config>(&in_effect.config, &mut config);
    if changes.need_restart.is_empty() {
        return Ok((settings, config, changes));
    }
    let mixed = D::Config::deserialize(config.clone())?;
    let settings = D::settings(&mixed).map_err(|errors| {
        let keys = changes.need_restart.join(", ");
        let why = format!("it cannot be combined with the values in effect of {keys}; restart");
        anyhow::Error::new(loaded.located(errors)).context(why)
    })?;
    Ok((settings, config, changes))
}

/// Checks the files that are written. Returns why the snapshot cannot be written.
fn check_files<D: Daemon>(
    settings: &D::Settings,
    in_effect: &InEffect,
) -> anyhow::Result<Option<String>> {
    let configuration = in_effect.sources.identities();
    let read = named_files::read::<D>(settings, configuration, Path::to_owned);
    let written = named_files::written::<D>(settings, Path::to_owned);
    named_files::check(&read, &written)?;
    match &D::process(settings).snapshot {
        Some(snapshot) if in_effect.snapshot.as_ref() != Some(&snapshot.path) => {
            snapshot::require_replaceable(&snapshot.path, D::NAME, D::SNAPSHOT_VERSION)?;
            Ok(snapshot::check_writable(&snapshot.path)?)
        }
        _ => Ok(None),
    }
}
