//! The part of a daemon in a cluster.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use aquatic_cluster::local::{LocalLink, LocalSettings, LocalStatus};
use aquatic_cluster::{NodeId, Outbox};
use aquatic_service::clock::{self, Clock};
use aquatic_service::config::{ClusterConfig, PrivilegesConfig};
use aquatic_service::metrics::Metrics;
use aquatic_service::workers::Workers;
use aquatic_service::{runtime_directory, secret};
use aquatic_swarm::Families;

use super::Members;
use super::daemons::DAEMONS;
use super::members::LeftOut;
use crate::State;

/// The most bytes of changes that wait for other daemons: those of some seconds. With
/// more, they read everything anew.
const MAX_OUTBOX_BYTES: usize = 16 << 20;

/// The part of a daemon in a cluster.
pub struct Link {
    outbox: Arc<Outbox>,
    status: Arc<LocalStatus>,
    left_out: Arc<LeftOut>,
}

impl Link {
    /// Starts the link of the daemon called `name` with others of this machine, on a
    /// thread of its own; `None` if it is not wanted, or they have no place to meet.
    ///
    /// # Errors
    ///
    /// When the system has no further threads, descriptors or random numbers.
    pub fn start<C: Send + Sync + 'static>(
        config: &ClusterConfig,
        name: &str,
        max_peer_age_seconds: u16,
        state: &Arc<State<Families, C>>,
        clock: Clock,
        workers: &mut Workers,
    ) -> anyhow::Result<Option<Self>> {
        if !config.local {
            return Ok(None);
        }
        let Some(directory) = meeting_place() else {
            return Ok(None);
        };
        let others = DAEMONS.iter().filter(|other| **other != name);
        let settings = LocalSettings {
            directory,
            daemon: name.to_owned(),
            linked: others.map(|&other| other.to_owned()).collect(),
            node: NodeId(secret()?),
            max_peer_age_seconds,
            clock: clock::boot_milliseconds,
        };
        let outbox = Arc::new(Outbox::new(MAX_OUTBOX_BYTES));
        let left_out = Arc::new(LeftOut::default());
        let members = Members::new(state.clone(), clock, left_out.clone());
        let (mut link, stopper) = match LocalLink::new(settings, outbox.clone(), members) {
            Ok(link) => link,
            // The path is too long for a socket: no reason to serve nobody.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                say_not_shared(&error);
                return Ok(None);
            }
            Err(error) => {
                return Err(error).context("cannot link the swarm with those of other daemons");
            }
        };
        let status = link.status();
        let stopper = Mutex::new(Some(stopper));
        let wake = move || {
            // Whoever panicked while taking it has taken it.
            let mut stopper = stopper.lock().unwrap_or_else(PoisonError::into_inner);
            stopper.take();
        };
        workers.spawn_background("cluster", wake, move |context| {
            link.run(|| context.beat());
            Ok(())
        })?;
        Ok(Some(Self {
            outbox,
            status,
            left_out,
        }))
    }

    /// Where workers leave what changes.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }

    /// Who else keeps the same swarm, for the status line; `None` if nobody.
    pub fn text(&self) -> Option<String> {
        self.status.text()
    }

    /// Adds what the link counts.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        let Self {
            status, left_out, ..
        } = self;
        metrics.gauge(
            "cluster_links",
            "Daemons whose changes are received now",
            &[],
            u64::from(status.linked()),
        );
        metrics.gauge(
            "cluster_readers",
            "Daemons that receive the changes of this one now",
            &[],
            status.readers(),
        );
        for (name, help, value) in [
            (
                "cluster_records_received_total",
                "Changes of peers that were received from other daemons",
                status.records_in(),
            ),
            (
                "cluster_records_sent_total",
                "Changes of peers that were sent to other daemons",
                status.records_out(),
            ),
            (
                "cluster_batches_received_total",
                "Batches of changes that were received from other daemons",
                status.batches_in(),
            ),
            (
                "cluster_batches_sent_total",
                "Batches of changes that were sent to other daemons",
                status.batches_out(),
            ),
            (
                "cluster_repeats_total",
                "Batches that were received more than once, and ignored",
                status.repeats(),
            ),
            (
                "cluster_gaps_total",
                "Batches of other daemons that were never received",
                status.gaps(),
            ),
            (
                "cluster_dropped_records_total",
                "Changes of peers that could not be sent because the outbox was full",
                status.dropped(),
            ),
            (
                "cluster_reconnects_total",
                "Connections to other daemons after the first one to each",
                status.reconnects(),
            ),
            (
                "cluster_rejected_connections_total",
                "Connections that were closed because of what the other daemon sent",
                status.refused(),
            ),
        ] {
            metrics.counter(name, help, &[], value);
        }
        for (reason, value) in [
            ("forbidden", &left_out.forbidden),
            ("limit", &left_out.limited),
        ] {
            metrics.counter(
                "cluster_rejected_peers_total",
                "Peers of other daemons that were not stored, because of the access list or \
                 a limit of this one",
                &[("reason", reason)],
                value.load(Relaxed),
            );
        }
    }
}

/// What `--check-config` says of the link with other daemons of this machine: where the
/// settings of the process have them meet. What it is started with is not that of the
/// service, so it says nothing of that.
pub fn note(config: &ClusterConfig, privileges: &PrivilegesConfig) -> Option<String> {
    let root = privileges.chroot().filter(|_| config.local)?;
    Some(format!(
        "cluster.local: sockets are below {}, so peers are only shared with daemons that have \
         the same privileges.chroot_path",
        root.display()
    ))
}

/// Where daemons find each other's sockets.
fn meeting_place() -> Option<PathBuf> {
    match runtime_directory::shared() {
        Ok(Some(directory)) => Some(directory),
        Ok(None) => {
            // As is usual where there is no other daemon.
            log::info!(
                "peers are not shared with other daemons of this machine: there is no runtime \
                 directory called aquatic, and XDG_RUNTIME_DIR is not set, see aquatic-cluster(7)"
            );
            None
        }
        Err(error) => {
            say_not_shared(&error);
            None
        }
    }
}

fn say_not_shared(error: &io::Error) {
    log::warn!("peers are not shared with other daemons of this machine: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chroot_is_said_to_be_where_daemons_meet() {
        let config = ClusterConfig { local: true };
        let mut privileges = PrivilegesConfig {
            drop_privileges: true,
            chroot_path: "/srv/aquatic".into(),
            ..PrivilegesConfig::default()
        };
        let said = note(&config, &privileges).unwrap();
        assert!(said.contains("below /srv/aquatic,"), "{said}");
        assert_eq!(note(&ClusterConfig { local: false }, &privileges), None);
        privileges.chroot_path = PathBuf::new();
        assert_eq!(note(&config, &privileges), None);
    }
}
