//! The access of links to the swarms of a daemon.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH, InfoHash};
use aquatic_cluster::local::{MAX_BLOCK_LENGTH, Swarms};
use aquatic_cluster::{
    Batch, Held, Kind, NodeId, PeerChange, Record, RecordIter, Records, SharedSwarms,
};
use aquatic_policy::bans::Bans;
use aquatic_service::access_list::AccessList;
use aquatic_service::clock::Clock;
use aquatic_swarm::snapshot::{
    DamagedBlock, Restored, SnapshotWalk, restore_where, visit_downloads, visit_peers,
};
use aquatic_swarm::{
    Applied, Families, LimitReached, LockedShard, MAX_LIFETIME_SECONDS, Swarm, answer_in_rounds,
};
use arrayvec::ArrayVec;

use crate::State;

/// Number of records that are looked up together. More than announces, where a client waits
/// for the locks: a record mostly waits for memory.
const GROUP: usize = 16;

/// The first byte of a block, which identifies its swarm.
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// The swarms of a daemon, for a link that reads them and applies the changes of others.
///
/// The access list, the bans and the limits of the daemon also hold for the peers of others.
pub struct Members {
    state: Arc<State<Families>>,
    clock: Clock,
    left_out: Arc<LeftOut>,
}

/// Numbers of peers of others that were not stored.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// Because the access list forbids their torrent, or their address is banned.
    pub forbidden: AtomicU64,
    /// Because a limit was reached.
    pub limited: AtomicU64,
}

/// An iteration over all torrents, first those of IPv4.
pub struct Walk {
    ipv4: Option<SnapshotWalk>,
    ipv6: SnapshotWalk,
}

/// Why bytes are not a valid block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The first byte is not that of a swarm.
    #[error("block of an unknown swarm")]
    Swarm,
    /// The torrents that follow are damaged.
    #[error(transparent)]
    Torrents(#[from] DamagedBlock),
}

impl Members {
    pub(super) fn new(state: Arc<State<Families>>, clock: Clock, left_out: Arc<LeftOut>) -> Self {
        Self {
            state,
            clock,
            left_out,
        }
    }

    fn apply_all<const S: usize, const N: usize>(
        &self,
        swarm: &Swarm<S, S, N>,
        records: RecordIter<'_, S>,
        lifetime_seconds: u16,
    ) {
        let now_seconds = self.clock.now_after_suspension().monotonic_seconds;
        let list = self.state.lists.access_list.current();
        let bans = self.state.lists.bans.if_on();
        let is_allowed = |record: &Record<S>| {
            list.allows(&record.info_hash) && !is_banned(bans.as_deref(), &record.peer)
        };
        apply_in_groups(
            swarm,
            is_allowed,
            records,
            &self.left_out,
            |record, torrent| {
                torrent.apply(&Applied {
                    record: record.peer,
                    change: record.change,
                    now_seconds,
                    lifetime_seconds,
                })
            },
        );
    }

    fn restore_in<const S: usize, const N: usize>(
        &self,
        swarm: &Swarm<S, S, N>,
        list: &AccessList,
        block: &[u8],
    ) -> Result<Restored, DamagedBlock> {
        let now = self.clock.now_after_suspension().monotonic_seconds;
        let bans = self.state.lists.bans.if_on();
        let is_allowed = |info_hash: &_| list.allows(info_hash);
        let is_served = |peer: &_| !is_banned(bans.as_deref(), peer);
        restore_where(
            swarm,
            block,
            now,
            MAX_LIFETIME_SECONDS,
            is_allowed,
            is_served,
        )
    }
}

impl Swarms for Members {
    type Walk = Walk;
    type BlockError = BlockError;

    fn begin(&self) -> Walk {
        // The first byte identifies the swarm.
        let walk = || SnapshotWalk::with_blocks_of(MAX_BLOCK_LENGTH - 1);
        Walk {
            ipv4: Some(walk()),
            ipv6: walk(),
        }
    }

    fn next_block(&self, walk: &mut Walk, block: &mut Vec<u8>) -> bool {
        let Families { ipv4, ipv6, .. } = &self.state.swarms;
        let now = self.clock.now_after_suspension().monotonic_seconds;
        if let Some(walk_ipv4) = &mut walk.ipv4 {
            block.push(IPV4);
            if walk_ipv4.next_block(ipv4, now, block) {
                return true;
            }
            block.clear();
            walk.ipv4 = None;
        }
        block.push(IPV6);
        walk.ipv6.next_block(ipv6, now, block)
    }

    fn restore(&self, block: &[u8]) -> Result<(), BlockError> {
        let Families { ipv4, ipv6, .. } = &self.state.swarms;
        let list = self.state.lists.access_list.current();
        let restored = match block.split_first() {
            Some((&IPV4, block)) => self.restore_in(ipv4, &list, block)?,
            Some((&IPV6, block)) => self.restore_in(ipv6, &list, block)?,
            _ => return Err(BlockError::Swarm),
        };
        self.left_out
            .limited
            .fetch_add(restored.dropped as u64, Relaxed);
        Ok(())
    }

    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64) {
        let header = batch.header();
        let lifetime = header.remaining_seconds(now_milliseconds);
        let Families { ipv4, ipv6, .. } = &self.state.swarms;
        ipv4.note_lifetime(header.max_peer_age_seconds);
        ipv6.note_lifetime(header.max_peer_age_seconds);
        match batch.records() {
            Records::Ipv4(records) => self.apply_all(ipv4, records, lifetime),
            Records::Ipv6(records) => self.apply_all(ipv6, records, lifetime),
            // No link of these swarms reads such batches.
            Records::WebTorrent(_) => {}
        }
    }
}

impl SharedSwarms for Members {
    type Walk = Walk;

    fn begin(&self) -> Walk {
        Swarms::begin(self)
    }

    fn next_held(&self, walk: &mut Walk, held: &mut Held) -> bool {
        let mut block = Vec::with_capacity(MAX_BLOCK_LENGTH);
        if !self.next_block(walk, &mut block) {
            return false;
        }
        let Held { downloads, .. } = held;
        let visited = match block.split_first() {
            Some((&IPV4, block)) => {
                visit_downloads::<IPV4_PEER_LENGTH>(block, |info_hash, count| {
                    downloads.push((Kind::Ipv4, *info_hash, count));
                })
            }
            Some((&IPV6, block)) => {
                visit_downloads::<IPV6_PEER_LENGTH>(block, |info_hash, count| {
                    downloads.push((Kind::Ipv6, *info_hash, count));
                })
            }
            _ => Ok(()),
        };
        debug_assert!(visited.is_ok(), "a block that was made here");
        let visited = match block.split_first() {
            Some((&IPV4, block)) => visit_peers(block, |info_hash, peer, is_seeder, left| {
                held.ipv4.push((record(info_hash, peer, is_seeder), left));
            }),
            Some((&IPV6, block)) => visit_peers(block, |info_hash, peer, is_seeder, left| {
                held.ipv6.push((record(info_hash, peer, is_seeder), left));
            }),
            _ => Ok(()),
        };
        debug_assert!(visited.is_ok(), "a block that was made here");
        true
    }

    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64) {
        Swarms::apply(self, batch, now_milliseconds);
    }

    fn restore_downloads(&self, kind: Kind, info_hash: &InfoHash, downloads: u64) {
        if !self.state.lists.access_list.allows(info_hash) {
            return;
        }
        let downloads = u32::try_from(downloads).unwrap_or(u32::MAX);
        let Families { ipv4, ipv6, .. } = &self.state.swarms;
        match kind {
            Kind::Ipv4 => ipv4.lock(info_hash).restore_downloads(downloads),
            Kind::Ipv6 => ipv6.lock(info_hash).restore_downloads(downloads),
            // No link of these swarms reads them.
            Kind::WebTorrent => {}
        }
    }

    // Peers with an address do not depend on the node to which they announced.

    fn node_has_started(&self, _: NodeId) {}

    fn node_has_ended(&self, _: NodeId) {}

    fn remove_ended_peers(&self) -> bool {
        false
    }
}

/// Whether the address of a peer, with which its record begins, is banned.
fn is_banned<const S: usize>(bans: Option<&Arc<Bans>>, peer: &[u8; S]) -> bool {
    let Some(bans) = bans else { return false };
    // The port is in the last two bytes.
    let address = peer
        .split_last_chunk::<2>()
        .map_or(&peer[..], |(address, _)| address);
    if let Ok(octets) = <[u8; 4]>::try_from(address) {
        return bans.contains(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(address).is_ok_and(|octets| bans.contains(IpAddr::from(octets)))
}

/// Applies records of peers in groups, looking up the torrents of each together, except
/// those that `is_allowed` excludes. `apply` stores one, while its torrent is locked;
/// those that a limit forbids are counted.
pub fn apply_in_groups<const P: usize, const S: usize, const K: usize, const N: usize>(
    swarm: &Swarm<S, K, N>,
    is_allowed: impl Fn(&Record<P>) -> bool,
    mut records: RecordIter<'_, P>,
    left_out: &LeftOut,
    mut apply: impl FnMut(&Record<P>, &mut LockedShard<'_, S, K, N>) -> Result<(), LimitReached>,
) {
    let mut forbidden = 0;
    let mut limited = 0;
    loop {
        let group: ArrayVec<_, GROUP> = records.by_ref().take(GROUP).collect();
        if group.is_empty() {
            break;
        }
        let mut waiting: [_; GROUP] = std::array::from_fn(|place| {
            let record = group.get(place)?;
            let is_allowed = is_allowed(record);
            forbidden += u64::from(!is_allowed);
            is_allowed.then_some(record)
        });
        answer_in_rounds(
            &mut waiting,
            |record| swarm.lock(&record.info_hash),
            |record| swarm.try_lock(&record.info_hash),
            |one, other| one.info_hash == other.info_hash,
            |round| {
                LockedShard::locate_all(round);
                [(); GROUP]
            },
            |_, record, torrent, ()| limited += u64::from(apply(record, torrent).is_err()),
            || {},
        );
    }
    left_out.forbidden.fetch_add(forbidden, Relaxed);
    left_out.limited.fetch_add(limited, Relaxed);
}

fn record<const S: usize>(info_hash: &InfoHash, peer: &[u8; S], is_seeder: bool) -> Record<S> {
    Record {
        info_hash: *info_hash,
        peer: *peer,
        change: match is_seeder {
            true => PeerChange::Seeder,
            false => PeerChange::Leecher,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerChange};
    use aquatic_cluster::{Header, Kind, NodeId, Record, batch};
    use aquatic_policy::AddressRanges;
    use aquatic_policy::bans::{BanLine, BansBuilder};
    use aquatic_service::access_list::InfoHashSet;
    use aquatic_service::lists::Lists;
    use aquatic_swarm::{Announce, HashKey, SwarmLimits};

    use super::*;

    const FORBIDDEN: InfoHash = InfoHash([0xff; 20]);
    const AGE_SECONDS: u16 = 600;

    fn members(max_torrents: usize) -> Members {
        let list = InfoHashSet::parse(format!("{FORBIDDEN}\n").as_bytes()).unwrap();
        let limits = SwarmLimits {
            max_torrents: NonZeroUsize::new(max_torrents),
            ..SwarmLimits::default()
        };
        let state = State {
            swarms: Families::new(HashKey::new([1; 16]), limits),
            lists: Lists::of_torrents(AccessList::Deny(list)),
        };
        Members::new(Arc::new(state), Clock::start(), Arc::default())
    }

    fn info_hash(torrent: u16) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&torrent.to_be_bytes());
        InfoHash(bytes)
    }

    fn batch<const S: usize>(records: &[(InfoHash, PeerChange)], closed_at: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        for &(info_hash, change) in records {
            let peer = [7; S];
            Record {
                info_hash,
                peer,
                change,
            }
            .write(&mut bytes);
        }
        let header = Header {
            kind: Record::<S>::KIND,
            max_peer_age_seconds: AGE_SECONDS,
            node: NodeId([2; 8]),
            sequence: 1,
            closed_at_milliseconds: closed_at,
        };
        header.write(&mut bytes);
        bytes
    }

    fn apply(members: &Members, bytes: &[u8], now: u64) {
        Swarms::apply(members, &Batch::parse(bytes).unwrap(), now);
    }

    /// The numbers of torrents, peers and seeders, for IPv4 and for IPv6.
    fn totals(members: &Members) -> [[usize; 3]; 2] {
        let Families { ipv4, ipv6, .. } = &members.state.swarms;
        [ipv4.totals(), ipv6.totals()].map(|it| [it.torrents, it.peers, it.seeders])
    }

    #[test]
    fn changes_of_others_are_applied_in_order() {
        let members = members(100);
        let records: Vec<_> = (0..50)
            .flat_map(|torrent| {
                let all = [
                    PeerChange::Leecher,
                    PeerChange::Stopped,
                    PeerChange::Completed,
                ];
                all.map(|change| (info_hash(torrent), change))
            })
            .collect();
        apply(&members, &batch::<6>(&records, 1_000), 1_000);
        assert_eq!(totals(&members), [[50, 50, 50], [0; 3]]);
        let scraped = members.state.swarms.ipv4.lock(&info_hash(3)).scrape();
        assert_eq!((scraped.seeders, scraped.completed), (1, 1));

        apply(
            &members,
            &batch::<18>(&[(info_hash(1), PeerChange::Leecher)], 0),
            0,
        );
        assert_eq!(totals(&members), [[50, 50, 50], [1, 1, 0]]);
    }

    #[test]
    fn batches_that_are_too_old_add_no_peer() {
        let members = members(100);
        let bytes = batch::<6>(&[(info_hash(1), PeerChange::Seeder)], 5_000);
        let end = 5_000 + u64::from(AGE_SECONDS) * 1_000;
        apply(&members, &bytes, end);
        assert_eq!(totals(&members), [[0; 3]; 2]);
        apply(&members, &bytes, end - 1);
        assert_eq!(totals(&members), [[1, 1, 1], [0; 3]]);
        // A record sets the role of a known peer, whatever the record's age.
        apply(
            &members,
            &batch::<6>(&[(info_hash(1), PeerChange::Leecher)], 0),
            end,
        );
        assert_eq!(totals(&members), [[1, 1, 0], [0; 3]]);
    }

    #[test]
    fn the_access_list_and_limits_apply_to_peers_of_others() {
        let members = members(2);
        let of = |torrents: [InfoHash; 4]| torrents.map(|it| (it, PeerChange::Seeder));
        let records = of([info_hash(1), FORBIDDEN, info_hash(2), info_hash(3)]);
        apply(&members, &batch::<6>(&records, 0), 0);
        assert_eq!(totals(&members), [[2, 2, 2], [0; 3]]);
        assert_eq!(members.left_out.forbidden.load(Relaxed), 1);
        assert_eq!(members.left_out.limited.load(Relaxed), 1);
    }

    #[test]
    fn bans_apply_to_peers_of_others() {
        let ban = |members: &Members, lines: &[&str]| {
            let mut builder = BansBuilder::default();
            for line in lines {
                match BanLine::parse(line.as_bytes()) {
                    Ok(BanLine::Banned(range)) => builder.add(range),
                    other => panic!("{other:?}"),
                }
            }
            let bans = builder.build(&AddressRanges::default());
            members.state.lists.bans.replace(bans);
        };
        let records = [(info_hash(1), PeerChange::Seeder)];
        let others = members(10);
        apply(&others, &batch::<6>(&records, 0), 0);
        apply(&others, &batch::<18>(&records, 0), 0);
        assert_eq!(totals(&others), [[1, 1, 1]; 2]);
        // The peers are at 7.7.7.7 and 707:707:707:707:707:707:707:707.
        let cases: [(&[&str], usize); 3] = [
            (&["7.7.7.0/24", "707::/16"], 0),
            (&["7.7.7.7"], 1),
            (&["7.7.7.6", "7.7.7.8", "706::/16", "708::/16"], 2),
        ];
        for (lines, left) in cases {
            let members = members(10);
            ban(&members, lines);
            apply(&members, &batch::<6>(&records, 0), 0);
            apply(&members, &batch::<18>(&records, 0), 0);
            let peers = |members: &Members| {
                let [ipv4, ipv6] = totals(members);
                ipv4[1] + ipv6[1]
            };
            assert_eq!(peers(&members), left, "{lines:?}");
            let forbidden = members.left_out.forbidden.load(Relaxed);
            assert_eq!(forbidden, 2 - left as u64, "{lines:?}");

            let restored = self::members(10);
            ban(&restored, lines);
            let (mut walk, mut block) = (Swarms::begin(&others), Vec::new());
            while others.next_block(&mut walk, &mut block) {
                restored.restore(&block).unwrap();
                block.clear();
            }
            assert_eq!(peers(&restored), left, "{lines:?}");
        }
    }

    #[test]
    fn blocks_copy_everything_to_another_daemon() {
        let from = members(10_000);
        let records = |torrents| {
            let torrents = 0..torrents;
            let all = torrents.map(|number| (info_hash(number), PeerChange::Completed));
            all.collect::<Vec<_>>()
        };
        for start in (0..4_000_usize).step_by(1_000) {
            let some = &records(4_000)[start..start + 1_000];
            apply(&from, &batch::<6>(some, 0), 0);
        }
        apply(&from, &batch::<18>(&records(500), 0), 0);
        let mut random = fastrand::Rng::with_seed(1);
        // A peer that announced before the access list forbade the torrent.
        let announce = Announce {
            record: [9; 6],
            is_seeder: true,
            event: AnnounceEvent::None,
            wanted: 0,
            now_seconds: 0,
            lifetime_seconds: AGE_SECONDS,
        };
        let mut torrent = from.state.swarms.ipv4.lock(&FORBIDDEN);
        torrent.announce(&announce, &mut random).unwrap();
        drop(torrent);

        let to = members(10_000);
        let mut walk = Swarms::begin(&from);
        let mut block = Vec::new();
        let mut blocks = 0;
        while from.next_block(&mut walk, &mut block) {
            assert!(block.len() <= MAX_BLOCK_LENGTH);
            to.restore(&block).unwrap();
            blocks += 1;
            block.clear();
        }
        assert!(blocks > 2, "{blocks}");
        assert_eq!(totals(&to), [[4_000, 4_000, 4_000], [500, 500, 500]]);
        let scraped = to.state.swarms.ipv6.lock(&info_hash(3)).scrape();
        assert_eq!((scraped.seeders, scraped.completed), (1, 1));
    }

    #[test]
    fn blocks_contain_peers_and_downloads() {
        let members = members(100);
        let records = [
            (info_hash(1), PeerChange::Completed),
            (info_hash(2), PeerChange::Leecher),
            // This torrent ends up without peers, but its downloads are kept.
            (info_hash(3), PeerChange::Completed),
            (info_hash(3), PeerChange::Stopped),
        ];
        apply(&members, &batch::<6>(&records, 0), 0);
        apply(&members, &batch::<18>(&records[..2], 0), 0);
        let mut held = Held::default();
        let mut walk = SharedSwarms::begin(&members);
        while members.next_held(&mut walk, &mut held) {}
        assert_eq!((held.ipv4.len(), held.ipv6.len()), (2, 2));
        held.downloads.sort_unstable();
        let downloads = [(Kind::Ipv4, 1), (Kind::Ipv4, 3), (Kind::Ipv6, 1)];
        assert_eq!(
            held.downloads,
            downloads.map(|(kind, torrent)| (kind, info_hash(torrent), 1))
        );
    }

    #[test]
    fn invalid_blocks_are_rejected() {
        let members = members(10);
        assert_eq!(members.restore(b""), Err(BlockError::Swarm));
        assert_eq!(members.restore(b"\x05"), Err(BlockError::Swarm));
        let damaged = members.restore(b"\x04 no torrent");
        assert_eq!(
            damaged,
            Err(BlockError::Torrents(DamagedBlock::Truncated(0)))
        );
        assert_eq!(totals(&members), [[0; 3]; 2]);
    }
}
