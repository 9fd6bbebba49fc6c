//! Announces that are answered in groups.

use aquatic_bittorrent::InfoHash;
use aquatic_swarm::{Announce, Announced, Foreseen, LockedShard, Swarm, answer_in_rounds};
use aquatic_tracker::cluster::{Changes, Outbox};
use aquatic_udp_protocol::{AnnounceRequest, AnnounceWriter, BufferTooSmall, TransactionId};

use super::{Batch, GROUP, Now, Outcome, Outcomes, RequestKind};
use crate::config::Config;

/// An announce that is to be answered.
#[derive(Clone, Copy)]
pub(super) struct Waiting<const S: usize> {
    info_hash: InfoHash,
    transaction_id: TransactionId,
    announce: Announce<S>,
}

/// An announce, and the index of its datagram in the batch.
#[derive(Clone, Copy)]
pub(super) struct Numbered<const S: usize> {
    pub(super) number: usize,
    pub(super) announce: Waiting<S>,
}

impl<const S: usize> Waiting<S> {
    #[inline]
    pub(super) fn new(
        record: [u8; S],
        config: &Config,
        now: Now,
        request: &AnnounceRequest<'_>,
    ) -> Self {
        let max = config.protocol.max_response_peers.as_usize();
        let wanted = request.peers_wanted;
        Self {
            info_hash: request.info_hash,
            transaction_id: request.transaction_id,
            announce: Announce {
                record,
                is_seeder: request.is_seeder(),
                event: request.event,
                wanted: wanted.map_or(max, |wanted| max.min(wanted.get() as usize)),
                now_seconds: now.monotonic_seconds,
                lifetime_seconds: config.cleaning.max_peer_age.as_u16(),
            },
        }
    }

    /// Announces, and writes the reply while the torrent is locked. Adds the change of the
    /// swarm to `changes`.
    #[inline]
    fn finish<const N: usize>(
        &self,
        torrent: &mut LockedShard<'_, S, S, N>,
        foreseen: Foreseen,
        interval_seconds: u32,
        random: &mut fastrand::Rng,
        reply: &mut [u8],
        changes: &Changes<'_, S>,
    ) -> Result<Outcome, BufferTooSmall> {
        let Announced {
            seeders,
            leechers,
            peers,
            change,
            ..
        } = match torrent.announce_foreseen(&self.announce, foreseen, random) {
            Ok(announced) => announced,
            Err(reached) => {
                let (kind, reason) = (RequestKind::Announce, reached.into());
                return Outcome::reject(kind, reason, self.transaction_id, reply);
            }
        };
        if let Some(change) = change {
            changes.add(&self.info_hash, &self.announce.record, change);
        }
        let mut writer = AnnounceWriter::new(reply)?;
        for slice in peers.slices() {
            writer.append_peers(slice.as_flattened())?;
        }
        let length = writer.finish(self.transaction_id, interval_seconds, seeders, leechers);
        Ok(Outcome::served(RequestKind::Announce, length))
    }
}

/// Answers all announces of a batch, in groups and [rounds](answer_in_rounds).
pub(super) fn announce_all<const S: usize, const N: usize>(
    swarm: &Swarm<S, S, N>,
    announces: &[Numbered<S>],
    interval_seconds: u32,
    random: &mut fastrand::Rng,
    batch: &mut Batch<'_>,
    outcomes: &mut Outcomes,
    outbox: Option<&Outbox>,
) {
    let changes = Changes::new(outbox);
    let mut foresight = random.fork();
    for group in announces.chunks(GROUP) {
        let mut waiting: [_; GROUP] = std::array::from_fn(|place| group.get(place));
        answer_in_rounds(
            &mut waiting,
            |one| swarm.lock(&one.announce.info_hash),
            |one| swarm.try_lock(&one.announce.info_hash),
            |one, other| one.announce.info_hash == other.announce.info_hash,
            |round| LockedShard::foresee_all(round, &mut foresight, |one| &one.announce.announce),
            |_, Numbered { number, announce }, shard, foreseen| {
                let reply = &mut *batch[*number].reply;
                let outcome =
                    announce.finish(shard, foreseen, interval_seconds, random, reply, &changes);
                outcomes[*number] = Some(outcome.unwrap_or(Outcome::TOO_LONG));
            },
            || changes.append(),
        );
    }
}
