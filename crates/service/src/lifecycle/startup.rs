//! From settings to a running daemon: first everything that needs privileges, then
//! dropping them, then everything else.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use toml::Table;

use super::named_files;
use super::supervisor::{self, Event, InEffect, Supervisor, SupervisorParts};
use crate::config::{Diagnostic, Sources};
use crate::lists::{Contents, Lists, ListsConfig};
use crate::metrics::process::{Process, open_memory};
use crate::metrics::server;
use crate::notify::{self, Notifier};
use crate::privileges::Target;
use crate::signals::Caught;
use crate::sockets::{self, Inherited};
use crate::workers::Workers;
use crate::{Daemon, Start, clock, logging, reload, snapshot};

/// Starts a daemon; the returned supervisor only needs to be run. `sources` are what the
/// settings come from, and `config` their content.
pub(super) fn start<D: Daemon>(
    settings: D::Settings,
    sources: Sources,
    config: Table,
    caught: Caught,
    notifier: &mut Notifier,
) -> anyhow::Result<Supervisor<'_, D>> {
    let begun = Instant::now();
    // After a chroot, their paths lead elsewhere.
    let configuration = sources.identities();
    let mut process_settings = D::process(&settings).clone();
    let target = Target::find(&process_settings.privileges)?;

    let mut inherited = Inherited::from_environment()?;
    let metrics = sockets::metrics(process_settings.metrics_address, &mut inherited)?;
    let sockets = D::open(&settings, &mut inherited)?;
    inherited.finish()?;
    let memory = open_memory();

    // After a chroot, the boot id cannot be read.
    clock::current_boot();
    target.warn_of_root();
    target.become_it()?;
    // From here on there may be other threads.
    logging::detach();

    let read = named_files::read::<D>(&settings, configuration, Path::to_owned);
    let written = named_files::written::<D>(&settings, Path::to_owned);
    named_files::check(&read, &written)?;

    let lists = Lists::new(first_lists(&process_settings.lists)?);
    lists.log();
    let process = Arc::new(Process::new(memory, lists.clone()));
    let unwritable = match &process_settings.snapshot {
        Some(snapshot) => snapshot::check_writable(&snapshot.path)?,
        None => None,
    };
    if let Some(reason) = &unwritable {
        log::warn!("snapshots cannot be written: {}: {reason}", snapshot::KEY);
    }
    let mut source = snapshot::Source::new(
        D::NAME,
        D::SNAPSHOT_VERSION,
        process_settings
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.path.clone()),
    );
    let (sender, events) = supervisor::channel();
    let ended = sender.clone();
    let mut workers = Workers::new(move |index, end| {
        // Nobody listens any more only when the process is ending.
        let _ = ended.send(Event::WorkerEnded { index, end });
    });
    let daemon = D::start(
        settings,
        sockets,
        Start {
            lists: lists.clone(),
            snapshot: &mut source,
            workers: &mut workers,
        },
    )?;
    for what in [supervisor::WHAT]
        .iter()
        .chain(Contents::WHAT)
        .chain(D::RELOADED)
    {
        process.is_reloadable(what);
    }
    let in_effect = InEffect {
        sources,
        config,
        snapshot: process_settings
            .snapshot
            .as_ref()
            .map(|one| one.path.clone()),
        has_dropped: process_settings.privileges.drop_privileges,
    };
    if let Some(taken_at) = source.taken_at() {
        process.snapshot_restored(taken_at);
    }
    if let Some(reason) = source.keep() {
        process.cannot_save(reason);
        // No snapshot is taken as long as this path is configured.
        process_settings.snapshot = None;
    } else if let Some(reason) = &unwritable {
        process.cannot_save(reason);
    }
    let caught_one = sender.clone();
    caught
        .forward(move |signal| caught_one.send(Event::Signal(signal)).is_ok())
        .context("cannot start the thread that waits for signals")?;
    if let Some(listener) = metrics {
        serve_metrics(listener, &daemon, &process)?;
    }

    log::info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = workers.len(),
        milliseconds = begun.elapsed().as_millis() as u64;
        "ready"
    );
    Ok(Supervisor::new(SupervisorParts {
        daemon,
        settings: process_settings,
        lists,
        in_effect,
        process,
        workers,
        sender,
        events,
        notifier,
        watchdog_limit: notify::watchdog_limit(),
    }))
}

/// Reads the lists for the first time.
fn first_lists(config: &ListsConfig) -> anyhow::Result<Contents> {
    let config = config.clone();
    let deadline = Instant::now() + reload::PATIENCE;
    let read = move || Contents::load(&config, Some(deadline));
    let lists =
        reload::in_time("lists", read)?.map_err(|error| Diagnostic::error(error.key, error))?;
    Ok(lists)
}

fn serve_metrics<D: Daemon>(
    listener: TcpListener,
    daemon: &Arc<D>,
    process: &Arc<Process>,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("metrics socket")?;
    if !address.ip().is_loopback() {
        log::warn!(
            "metrics.address: anyone who can reach {address} can read the metrics; use a loopback \
             address such as 127.0.0.1:{} to restrict them to this machine",
            address.port()
        );
    }
    let [daemon, overview, degraded] = [daemon, daemon, daemon].map(Arc::clone);
    let source = server::Source {
        daemon: D::NAME,
        process: Arc::clone(process),
        add_metrics: Box::new(move |metrics| daemon.add_metrics(metrics)),
        plots: D::PLOTS,
        overview: Box::new(move |host| overview.overview(host)),
        degraded: Box::new(move || degraded.degraded()),
    };
    server::spawn(listener, source).context("cannot start the metrics server")?;
    log::info!("status page and metrics on http://{address}/");
    Ok(())
}
