//! The swarm of this node, as the link with other nodes sees it.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aquatic_bittorrent::{InfoHash, PeerChange, PeerId};
use aquatic_cluster::local::MAX_BLOCK_LENGTH;
use aquatic_cluster::{Batch, Held, Kind, NodeId, Record, RecordIter, Records, SharedSwarms};
use aquatic_service::clock::Clock;
use aquatic_swarm::snapshot::{SnapshotWalk, visit_downloads, visit_peers};
use aquatic_swarm::{Applied, Sweep, WebSwarm};
use aquatic_tracker::cluster::{LeftOut, apply_in_groups};

use super::Nodes;
use crate::tracker::{Address, State, record};

/// Torrents that are searched at a time for peers of nodes that are gone: some milliseconds.
const TORRENTS_PER_STEP: usize = 16_384;

/// The swarm of this node, for the link with others.
///
/// A peer that is connected to this node stays so, whatever others report: a client may
/// announce to several nodes. Access list and limits of this node apply to the peers of
/// others, too.
pub(crate) struct Members {
    state: Arc<State>,
    nodes: Arc<Nodes>,
    /// This node, whose own records need not be applied again.
    own: NodeId,
    clock: Clock,
    left_out: Arc<LeftOut>,
    /// A search for peers of nodes that are gone, unless all are removed.
    search: Mutex<Option<Sweep>>,
}

impl Members {
    pub(crate) fn new(
        state: Arc<State>,
        nodes: Arc<Nodes>,
        own: NodeId,
        clock: Clock,
        left_out: Arc<LeftOut>,
    ) -> Self {
        Self {
            state,
            nodes,
            own,
            clock,
            left_out,
            search: Mutex::default(),
        }
    }

    /// All peers are in one swarm: families are not separate in a cluster.
    fn swarm(&self) -> &WebSwarm {
        self.state.shared.swarms.of(Ipv4Addr::UNSPECIFIED.into())
    }

    fn search(&self) -> MutexGuard<'_, Option<Sweep>> {
        self.search.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_all(&self, records: RecordIter<'_, 20>, node: Address, lifetime_seconds: u16) {
        let list = self.state.shared.lists.access_list.current();
        let now_seconds = self.clock.now_after_suspension().monotonic_seconds;
        let is_here = |known: &_| Address::in_record(known).node().is_none();
        apply_in_groups(
            self.swarm(),
            // Nodes do not tell each other the addresses of their peers: each has banned its
            // own.
            |record| list.allows(&record.info_hash),
            records,
            &self.left_out,
            |change, torrent| {
                let record = record(&PeerId(change.peer), node);
                if torrent.record(&record).as_ref().is_some_and(is_here) {
                    return Ok(());
                }
                torrent.apply(&Applied {
                    record,
                    change: change.change,
                    now_seconds,
                    lifetime_seconds,
                })
            },
        );
    }
}

impl SharedSwarms for Members {
    type Walk = SnapshotWalk;

    fn begin(&self) -> SnapshotWalk {
        SnapshotWalk::with_blocks_of(MAX_BLOCK_LENGTH)
    }

    fn next_held(&self, walk: &mut SnapshotWalk, held: &mut Held) -> bool {
        let mut block = Vec::with_capacity(MAX_BLOCK_LENGTH);
        let now = self.clock.now_after_suspension().monotonic_seconds;
        if !walk.next_block(self.swarm(), now, &mut block) {
            return false;
        }
        let visited = visit_peers::<28>(&block, |info_hash, peer, is_seeder, left| {
            // Those of other nodes are told by these.
            if Address::in_record(peer).node().is_none() {
                held.web_torrent
                    .push((held_record(info_hash, peer, is_seeder), left));
            }
        });
        debug_assert!(visited.is_ok(), "a block that was made here");
        let visited = visit_downloads::<28>(&block, |info_hash, count| {
            held.downloads.push((Kind::WebTorrent, *info_hash, count));
        });
        debug_assert!(visited.is_ok(), "a block that was made here");
        true
    }

    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64) {
        let header = batch.header();
        if header.node == self.own {
            return;
        }
        // Without an address, there are too many nodes.
        let node = self.nodes.address(header.node);
        if let (Some(node), Records::WebTorrent(records)) = (node, batch.records()) {
            self.swarm().note_lifetime(header.max_peer_age_seconds);
            self.apply_all(records, node, header.remaining_seconds(now_milliseconds));
        }
    }

    fn restore_downloads(&self, _: Kind, info_hash: &InfoHash, downloads: u64) {
        if self.state.shared.lists.access_list.allows(info_hash) {
            let downloads = u32::try_from(downloads).unwrap_or(u32::MAX);
            self.swarm().lock(info_hash).restore_downloads(downloads);
        }
    }

    fn node_has_started(&self, node: NodeId) {
        self.nodes.add(node);
    }

    fn node_has_ended(&self, node: NodeId) {
        self.nodes.remove(node);
        *self.search() = Some(Sweep::new());
    }

    fn remove_ended_peers(&self) -> bool {
        let mut search = self.search();
        let Some(sweep) = &mut *search else {
            return false;
        };
        let now = self.clock.now_after_suspension().monotonic_seconds;
        let is_alive = self.nodes.is_alive();
        let keeps = |record: &[u8; 28]| is_alive(Address::in_record(record));
        if sweep.step_where(self.swarm(), now, TORRENTS_PER_STEP, |_| true, keeps) {
            *search = None;
        }
        search.is_some()
    }
}

fn held_record(info_hash: &InfoHash, record: &[u8; 28], is_seeder: bool) -> Record<20> {
    let mut peer = [0; 20];
    peer.copy_from_slice(&record[..20]);
    Record {
        info_hash: *info_hash,
        peer,
        change: match is_seeder {
            true => PeerChange::Seeder,
            false => PeerChange::Leecher,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use aquatic_bittorrent::AnnounceEvent;
    use aquatic_cluster::{Header, batch};
    use aquatic_service::access_list::{AccessList, InfoHashSet};
    use aquatic_service::lists::Lists;
    use aquatic_swarm::{Announce, HashKey, Scraped, SwarmLimits, WebSwarms};

    use super::*;

    const OWN: NodeId = NodeId([1; 8]);
    const OTHER: NodeId = NodeId([2; 8]);
    const THIRD: NodeId = NodeId([3; 8]);
    const HASH: InfoHash = InfoHash([7; 20]);
    const FORBIDDEN: InfoHash = InfoHash([0xff; 20]);

    fn members() -> Members {
        let list = InfoHashSet::parse(format!("{FORBIDDEN}\n").as_bytes()).unwrap();
        let limits = SwarmLimits::default();
        let swarms = WebSwarms::new(HashKey::new([1; 16]), limits, false);
        let lists = Lists::of_torrents(AccessList::Deny(list));
        let state = State::new(swarms, lists);
        let nodes = Arc::new(Nodes::default());
        let members = Members::new(Arc::new(state), nodes, OWN, Clock::start(), Arc::default());
        members.node_has_started(OTHER);
        members.node_has_started(THIRD);
        members
    }

    fn apply(members: &Members, node: NodeId, records: &[(InfoHash, u8, PeerChange)]) {
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        for &(info_hash, peer, change) in records {
            let peer = [peer; 20];
            Record {
                info_hash,
                peer,
                change,
            }
            .write(&mut bytes);
        }
        let header = Header {
            kind: Kind::WebTorrent,
            max_peer_age_seconds: 180,
            node,
            sequence: 1,
            closed_at_milliseconds: 0,
        };
        header.write(&mut bytes);
        members.apply(&Batch::parse(&bytes).unwrap(), 0);
    }

    /// A peer announces over a connection of this node.
    fn announce(members: &Members, peer: u8) {
        let announce = Announce {
            record: record(&PeerId([peer; 20]), Address(5)),
            is_seeder: true,
            event: AnnounceEvent::None,
            wanted: 0,
            now_seconds: members.clock.now().monotonic_seconds,
            lifetime_seconds: 180,
        };
        let mut random = fastrand::Rng::with_seed(1);
        let mut torrent = members.swarm().lock(&HASH);
        torrent.announce(&announce, &mut random).unwrap();
    }

    /// The numbers of seeders and leechers.
    fn counts(members: &Members) -> [u32; 2] {
        let Scraped {
            seeders, leechers, ..
        } = members.swarm().lock(&HASH).scrape();
        [seeders, leechers]
    }

    #[test]
    fn a_peer_of_this_node_stays_whatever_others_report() {
        let members = members();
        announce(&members, 1);
        let own = (HASH, 1, PeerChange::Leecher);
        apply(&members, OTHER, &[own, (HASH, 2, PeerChange::Leecher)]);
        assert_eq!(counts(&members), [1, 1]);
        apply(&members, OTHER, &[(HASH, 1, PeerChange::Stopped)]);
        assert_eq!(counts(&members), [1, 1]);
        // A peer that connects to this node no longer belongs to the other node.
        announce(&members, 2);
        apply(&members, OTHER, &[(HASH, 2, PeerChange::Stopped)]);
        assert_eq!(counts(&members), [2, 0]);
        // This node also receives its own records, and ignores them.
        apply(&members, OWN, &[own, (HASH, 3, PeerChange::Leecher)]);
        assert_eq!(counts(&members), [2, 0]);
    }

    #[test]
    fn a_peer_is_removed_for_the_node_to_which_it_is_connected() {
        let members = members();
        apply(&members, OTHER, &[(HASH, 1, PeerChange::Leecher)]);
        apply(&members, THIRD, &[(HASH, 1, PeerChange::Seeder)]);
        apply(&members, OTHER, &[(HASH, 1, PeerChange::Stopped)]);
        assert_eq!(counts(&members), [1, 0]);
        apply(&members, THIRD, &[(HASH, 1, PeerChange::Stopped)]);
        assert_eq!(counts(&members), [0, 0]);
        apply(&members, OTHER, &[(FORBIDDEN, 1, PeerChange::Leecher)]);
        assert_eq!(members.left_out.forbidden.load(Relaxed), 1);
        // Records of an unknown node are ignored.
        apply(&members, NodeId([4; 8]), &[(HASH, 1, PeerChange::Seeder)]);
        assert_eq!(members.swarm().totals().peers, 0);
    }

    #[test]
    fn the_peers_of_a_node_end_with_it_and_return_with_it() {
        let members = members();
        announce(&members, 1);
        for torrent in 0..200 {
            let of = |peer| (InfoHash([torrent; 20]), peer, PeerChange::Leecher);
            apply(&members, OTHER, &[of(2)]);
            apply(&members, THIRD, &[of(3)]);
        }
        assert!(!members.remove_ended_peers());
        assert_eq!(members.swarm().totals().peers, 401);
        members.node_has_ended(OTHER);
        // One peer of the node is back before all old ones are removed.
        members.node_has_started(OTHER);
        apply(&members, OTHER, &[(HASH, 4, PeerChange::Leecher)]);
        while members.remove_ended_peers() {}
        assert_eq!(members.swarm().totals().peers, 202);
        assert_eq!(counts(&members), [1, 2]);

        // Only this node's own peers are sent to others.
        let mut held = Held::default();
        let mut walk = members.begin();
        while members.next_held(&mut walk, &mut held) {}
        let [(own, _)] = held.web_torrent[..] else {
            panic!("{held:?}");
        };
        assert_eq!((own.peer, own.change), ([1; 20], PeerChange::Seeder));
    }
}
