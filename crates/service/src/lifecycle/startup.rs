//! From settings to a daemon that serves: what needs privileges first, then
//! their end, then everything else.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::supervisor::{Supervisor, SupervisorParts};
use crate::access_list::{self, AccessList, Handle};
use crate::metrics::process::{Process, open_memory};
use crate::metrics::server;
use crate::notify::{self, Notifier};
use crate::privileges::Target;
use crate::signals::Caught;
use crate::sockets::{self, Passed};
use crate::workers::Workers;
use crate::{Daemon, Start, snapshot};

/// Brings a daemon up; what is returned only needs to be run.
pub(super) fn start<D: Daemon>(settings: D::Settings) -> anyhow::Result<Supervisor<D>> {
    let begun = Instant::now();
    let process_settings = D::process(&settings).clone();

    let caught = Caught::register().context("cannot catch signals")?;
    let notifier = Notifier::from_environment();
    let target = Target::find(process_settings.privileges.as_ref())?;

    let mut passed = Passed::from_environment()?;
    let metrics = sockets::metrics(process_settings.metrics_address, &mut passed)?;
    let sockets = D::open(&settings, &mut passed)?;
    passed.finish()?;
    let memory = open_memory();

    target.become_it()?;

    let access_list = Arc::new(Handle::new(AccessList::load(
        &process_settings.access_list,
    )?));
    if !access_list.is_off() {
        log::info!(entries = access_list.current().len(); "loaded the access list");
    }
    if let Some(snapshot) = &process_settings.snapshot {
        snapshot::check_writable(&snapshot.path)?;
    }
    let process = Arc::new(Process::new(memory, Arc::clone(&access_list)));
    let mut source = snapshot::Source::new(
        D::NAME,
        process_settings
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.path.clone()),
    );
    let (mut workers, sender, events) = Workers::new();
    let mut reloads = Vec::new();
    let daemon = D::start(
        settings,
        sockets,
        Start {
            access_list: Arc::clone(&access_list),
            snapshot: &mut source,
            reloads: &mut reloads,
            workers: &mut workers,
        },
    )?;
    if !access_list.is_off() {
        process.is_reloadable(access_list::WHAT);
    }
    for one in &reloads {
        process.is_reloadable(one.what());
    }
    if let Some(taken_at) = source.taken_at() {
        process.snapshot_restored(taken_at);
    }
    caught
        .forward(sender.clone())
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
        access_list,
        reloads,
        process,
        workers,
        sender,
        events,
        notifier,
        watchdog_limit: notify::watchdog_limit(),
    }))
}

fn serve_metrics<D: Daemon>(
    listener: TcpListener,
    daemon: &Arc<D>,
    process: &Arc<Process>,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("metrics socket")?;
    if !address.ip().is_loopback() {
        log::warn!(
            "metrics.address: everyone who reaches {address} can read the figures; \
             a loopback address such as 127.0.0.1:{} keeps them to this machine",
            address.port()
        );
    }
    let daemon = Arc::clone(daemon);
    let source = server::Source {
        daemon: D::NAME,
        process: Arc::clone(process),
        figures: Box::new(move |figures| daemon.figures(figures)),
    };
    server::spawn(listener, source).context("cannot start the metrics server")?;
    log::info!("metrics on http://{address}/metrics");
    Ok(())
}
