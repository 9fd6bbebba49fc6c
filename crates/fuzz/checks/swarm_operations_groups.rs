//! Announces that are answered as a group.

use aquatic_bittorrent::PeerChange;
use aquatic_swarm::{Announce, Announced, LimitReached, LockedShard, answer_in_rounds};

use super::{Input, Pair, info_hash, record};

/// Number of announces in a group, and of the torrents that they are for.
const GROUP: usize = 8;
const TORRENTS_OF_A_GROUP: u16 = 4;

/// What an announce was answered with.
#[derive(Debug)]
pub(super) struct Answer<const S: usize> {
    pub(super) seeders: u32,
    pub(super) leechers: u32,
    pub(super) peers: Vec<[u8; S]>,
    pub(super) change: Option<PeerChange>,
}

impl<const S: usize> Answer<S> {
    pub(super) fn of(
        announced: Result<Announced<'_, S>, LimitReached>,
    ) -> Result<Self, LimitReached> {
        announced.map(|announced| Self {
            seeders: announced.seeders,
            leechers: announced.leechers,
            peers: announced.peers.slices().concat(),
            change: announced.change,
        })
    }
}

impl<const S: usize, const K: usize, const N: usize> Pair<S, K, N> {
    /// Announces of some torrents, as a group. The model gets them in the order in which they
    /// are answered.
    pub(super) fn announce_together(&mut self, input: &mut Input<'_>) {
        let mut waiting: [_; GROUP] = std::array::from_fn(|number| {
            let (torrent, peer, flags) = (input.torrent(), input.peer(), input.byte());
            let owner = flags >> 1 & 3;
            let announce = Announce {
                record: record::<S, K>(peer, owner),
                is_seeder: flags & 1 == 0,
                event: input.event(),
                wanted: usize::from(flags >> 3) + 1,
                now_seconds: self.now,
                lifetime_seconds: self.lifetime,
            };
            (flags & 0x18 != 0x18).then_some((
                number,
                torrent % TORRENTS_OF_A_GROUP,
                (peer, owner),
                announce,
            ))
        });
        let mut answers = Vec::new();
        let mut foresight = self.random.fork();
        answer_in_rounds(
            &mut waiting,
            |(_, torrent, ..)| self.swarm.lock(&info_hash(*torrent)),
            |(_, torrent, ..)| self.swarm.try_lock(&info_hash(*torrent)),
            |(_, one, ..), (_, other, ..)| one == other,
            |round| LockedShard::foresee_all(round, &mut foresight, |(.., announce)| announce),
            |_, (number, torrent, peer, announce), locked, foreseen| {
                let random = &mut self.random;
                let answer = locked.announce_foreseen(&announce, foreseen, random);
                answers.push((number, torrent, peer, announce, Answer::of(answer)));
            },
            || {},
        );
        for torrent in 0..TORRENTS_OF_A_GROUP {
            let of_torrent = answers.iter().filter(|answer| answer.1 == torrent);
            assert!(of_torrent.is_sorted_by_key(|answer| answer.0));
        }
        for (_, torrent, peer, announce, answer) in answers {
            let ((peer, owner), is_seeder, event) = (peer, announce.is_seeder, announce.event);
            let expected = self.model_announce(torrent, peer, owner, is_seeder, event);
            self.compare_answer(torrent, peer, &announce, expected, answer);
        }
        if self.limits.max_torrents.is_some() {
            self.forget_replaced();
        }
    }

    /// Within a group, a torrent can lose its last peer, its downloads to another one that
    /// takes its place, and then come back.
    fn forget_replaced(&mut self) {
        for torrent in 0..TORRENTS_OF_A_GROUP {
            let completed = self.swarm.lock(&info_hash(torrent)).scrape().completed;
            if let Some(model) = self.torrents.get_mut(&torrent) {
                assert!(completed <= model.downloads);
                model.downloads = completed;
            }
        }
    }
}
