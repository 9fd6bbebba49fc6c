//! The link of a daemon with others that have the same swarm.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use aquatic_cluster::local::{LocalLink, LocalSettings, LocalStatus};
use aquatic_cluster::{Kind, MaxPeerAge, NodeId, Outbox, SharedSwarms, SignalBatch, SignalOutbox};
use aquatic_service::clock::{self, Clock};
use aquatic_service::config::{ClusterConfig, EngineConfig, PrivilegesConfig};
use aquatic_service::metrics::Metrics;
use aquatic_service::workers::Workers;
use aquatic_service::{runtime_directory, secret};
use aquatic_swarm::Families;

use super::daemons::DAEMONS;
use super::members::LeftOut;
use super::{Members, engine, link_metrics};
use crate::Restoring;
use crate::State;

/// The link of a daemon with others that have the same swarm.
pub struct Link {
    max_peer_age: MaxPeerAge,
    outbox: Arc<Outbox>,
    left_out: Arc<LeftOut>,
    others: Others,
}

/// How a daemon is linked with others.
enum Others {
    /// With the daemons of this machine, through sockets.
    Local(Arc<LocalStatus>),
    /// With the daemons of a cluster, through Redis or Valkey.
    Engine(engine::Handle),
}

/// Settings of a link.
pub struct Membership<'a> {
    /// Whether to be linked with the daemons of this machine, if there is no server.
    pub local: bool,
    /// The root directory of the process, if it was changed: paths are below it.
    pub root: Option<&'a Path>,
    /// The server through which to be linked with others.
    pub engine: &'a EngineConfig,
    /// The name of the daemon.
    pub name: &'static str,
    /// The maximum age of peers.
    pub max_peer_age: MaxPeerAge,
    /// The secret key with which it makes connection ids until it knows that of the cluster;
    /// `None` if it makes none.
    pub connection_id_key: Option<[u8; 16]>,
    /// [`Link::position`] in the snapshot that was restored.
    pub position: Option<Vec<u8>>,
    /// Until its end, changes of others wait: one that removes a peer must not precede the
    /// peer. And others do not get the peers of this daemon, of which some would be missing.
    pub restoring: Restoring,
}

/// What the link of a WebTorrent tracker needs in addition.
pub struct WebTorrent<S, D> {
    /// Identifies this run of the process.
    pub node: NodeId,
    /// The swarm.
    pub swarm: S,
    /// What `swarm` counts.
    pub left_out: Arc<LeftOut>,
    /// Offers and answers for other nodes.
    pub signals: Arc<SignalOutbox>,
    /// Is called with offers and answers from other nodes, and their age in milliseconds.
    pub deliver: D,
}

/// What a link through an engine shares.
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "there is no such link")
)]
pub(super) struct Shared<S> {
    pub(super) node: NodeId,
    pub(super) kinds: Vec<Kind>,
    pub(super) swarms: S,
    pub(super) outbox: Arc<Outbox>,
}

/// Why records cannot be appended to a stream at present.
#[derive(Debug)]
pub(crate) struct RecordStreamError {
    /// In words.
    pub(crate) text: String,
    /// Whether an operator has to change something.
    pub(crate) is_lasting: bool,
}

impl Link {
    /// Links the swarms of a daemon with those of others, on background threads; returns
    /// `None` if no link is configured, or the daemons of this machine have no directory to
    /// find each other.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, the engine reports an error that an operator has to correct,
    /// or the system has no further threads, descriptors or random numbers.
    pub fn start(
        membership: Membership<'_>,
        state: &Arc<State<Families>>,
        clock: Clock,
        workers: &mut Workers,
    ) -> anyhow::Result<Option<Self>> {
        let engine = membership.engine;
        let max_peer_age = membership.max_peer_age.clone();
        let left_out = Arc::new(LeftOut::default());
        let members = Members::new(state.clone(), clock, left_out.clone());
        let outbox = Arc::new(Outbox::new(engine.max_outbox_bytes.as_usize()));
        let others = if engine.is_enabled() {
            let shared = Shared {
                node: NodeId(secret()?),
                kinds: Kind::ADDRESSES.to_vec(),
                swarms: members,
                outbox: outbox.clone(),
            };
            let handle = engine::start(membership, shared, workers)?;
            Others::Engine(handle)
        } else if membership.local
            && let Some(directory) = socket_directory(membership.root)
        {
            let local = start_local(&membership, directory, members, outbox.clone(), workers)?;
            match local {
                Some(status) => Others::Local(status),
                None => return Ok(None),
            }
        } else {
            return Ok(None);
        };
        Ok(Some(Self {
            max_peer_age,
            outbox,
            left_out,
            others,
        }))
    }

    /// Links the swarm of a WebTorrent tracker with those of others, through an engine: the
    /// configuration has a URL.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn of_web_torrent<S, D>(
        membership: Membership<'_>,
        web_torrent: WebTorrent<S, D>,
        workers: &mut Workers,
    ) -> anyhow::Result<Self>
    where
        S: SharedSwarms<Walk: Send> + Send + Sync + 'static,
        D: FnMut(&SignalBatch<'_>, u64) + Send + 'static,
    {
        let max_peer_age = membership.max_peer_age.clone();
        let outbox = Arc::new(Outbox::new(membership.engine.max_outbox_bytes.as_usize()));
        let shared = Shared {
            node: web_torrent.node,
            kinds: vec![Kind::WebTorrent],
            swarms: web_torrent.swarm,
            outbox: outbox.clone(),
        };
        let mut handle = engine::start(membership, shared, workers)?;
        handle.start_signals(web_torrent.signals, web_torrent.deliver, workers)?;
        Ok(Self {
            max_peer_age,
            outbox,
            left_out: web_torrent.left_out,
            others: Others::Engine(handle),
        })
    }

    /// The outbox, into which workers put changes.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }

    /// A stream of records with this name in the engine, which works until it is dropped, also
    /// after the link was stopped; `None` without an engine.
    pub(crate) fn record_stream(&self, name: &str) -> Option<engine::RecordStream> {
        match &self.others {
            Others::Local(_) => None,
            Others::Engine(handle) => Some(handle.record_stream(name)),
        }
    }

    /// Changes the maximum age of peers; others learn it from the next changes.
    pub fn set_max_peer_age(&self, seconds: u16) {
        self.max_peer_age.set_seconds(seconds);
    }

    /// Which other daemons have the same swarm, for the status line; `None` if there are none.
    pub fn text(&self) -> Option<String> {
        match &self.others {
            Others::Local(status) => status.text(),
            Others::Engine(handle) => Some(handle.status_text()),
        }
    }

    /// Why changes cannot be sent or received at the moment; `None` if they can.
    pub fn error(&self) -> Option<String> {
        match &self.others {
            Others::Local(_) => None,
            Others::Engine(handle) => handle.error(),
        }
    }

    /// The key with which all nodes make connection ids; `None` until it is known, and if this
    /// one makes none.
    pub fn connection_id_key(&self) -> Option<[u8; 16]> {
        match &self.others {
            Others::Local(_) => None,
            Others::Engine(handle) => handle.connection_id_key(),
        }
    }

    /// The position up to which the changes of others were applied, for a snapshot. To be
    /// called before the swarms are copied.
    pub fn position(&self) -> Option<Vec<u8>> {
        match &self.others {
            Others::Local(_) => None,
            Others::Engine(handle) => handle.position(),
        }
    }

    /// Adds the metrics of the link.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        match &self.others {
            Others::Local(status) => link_metrics::add_local(status, metrics),
            Others::Engine(handle) => handle.add_metrics(metrics),
        }
        link_metrics::add_left_out(&self.left_out, metrics);
    }
}

fn start_local(
    membership: &Membership<'_>,
    directory: PathBuf,
    members: Members,
    outbox: Arc<Outbox>,
    workers: &mut Workers,
) -> anyhow::Result<Option<Arc<LocalStatus>>> {
    let name = membership.name;
    let linked = DAEMONS.iter().filter(|other| **other != name);
    let settings = LocalSettings {
        directory,
        daemon: name.to_owned(),
        linked: linked.map(|&other| other.to_owned()).collect(),
        node: NodeId(secret()?),
        max_peer_age: membership.max_peer_age.clone(),
        clock: clock::boot_milliseconds,
    };
    let (mut link, stopper) = match LocalLink::new(settings, outbox, members) {
        Ok(link) => link,
        // The path is too long for a socket. The daemon can serve without the link.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            warn_not_shared(&error, membership.root);
            return Ok(None);
        }
        Err(error) => {
            return Err(error).context("cannot link the swarm with those of other daemons");
        }
    };
    let status = link.status();
    let restoring = membership.restoring.clone();
    workers.spawn_background("cluster", drop_once(stopper), move |context| {
        restoring.wait_and(|| context.beat());
        link.run(|| context.beat());
        Ok(())
    })?;
    Ok(Some(status))
}

/// A function that drops `value` when it is called for the first time.
pub(super) fn drop_once<T: Send + 'static>(value: T) -> impl Fn() + Send + Sync + 'static {
    let value = Mutex::new(Some(value));
    move || {
        // After a panic in this function, the value has been dropped.
        let mut value = value.lock().unwrap_or_else(PoisonError::into_inner);
        value.take();
    }
}

/// What `--check-config` reports about the link with other daemons of this machine: the
/// effect of a chroot. The environment, which decides on the directory otherwise, is not that
/// of the service.
pub fn note(config: &ClusterConfig, privileges: &PrivilegesConfig) -> Option<String> {
    let root = privileges
        .chroot()
        .filter(|_| config.local && !config.engine.is_enabled())?;
    Some(format!(
        "cluster.local: sockets are below {}, so peers are only shared with daemons that have \
         the same privileges.chroot_path",
        root.display()
    ))
}

/// The directory in which daemons find each other's sockets.
fn socket_directory(root: Option<&Path>) -> Option<PathBuf> {
    match runtime_directory::shared() {
        Ok(Some(directory)) => Some(directory),
        Ok(None) => {
            // This is usual on machines with one daemon.
            log::info!(
                "peers are not shared with other daemons of this machine: there is no runtime \
                 directory called aquatic, and XDG_RUNTIME_DIR is not set, see aquatic-cluster(7)"
            );
            None
        }
        Err(error) => {
            warn_not_shared(&error, root);
            None
        }
    }
}

fn warn_not_shared(error: &io::Error, root: Option<&Path>) {
    let place = root.map_or(String::new(), |root| {
        format!(" (below privileges.chroot_path, {})", root.display())
    });
    log::warn!("peers are not shared with other daemons of this machine: {error}{place}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effect_of_a_chroot_is_reported() {
        let config = ClusterConfig::default();
        let mut privileges = PrivilegesConfig {
            drop_privileges: true,
            chroot_path: "/srv/aquatic".into(),
            ..PrivilegesConfig::default()
        };
        let text = note(&config, &privileges).unwrap();
        assert!(text.contains("below /srv/aquatic,"), "{text}");
        assert_eq!(
            note(
                &ClusterConfig {
                    local: false,
                    ..ClusterConfig::default()
                },
                &privileges
            ),
            None
        );
        privileges.chroot_path = PathBuf::new();
        assert_eq!(note(&config, &privileges), None);
    }
}
