//! Scrapes, whose torrents are looked up in groups.

use aquatic_bittorrent::InfoHash;
use aquatic_swarm::{Scraped, Swarm};
use aquatic_udp_protocol::{BufferTooSmall, ScrapeWriter, TorrentStatistics, TransactionId};

use super::{Batch, Outcome, Outcomes, RequestKind, SCRAPE_GROUP};

/// A scrape that is to be answered.
#[derive(Clone, Copy)]
pub(super) struct Scraping<'a> {
    /// The index of its datagram in the batch.
    pub(super) number: usize,
    pub(super) transaction_id: TransactionId,
    /// The torrents of the reply.
    pub(super) info_hashes: &'a [[u8; 20]],
}

/// Answers all scrapes of a batch. Groups are made of the torrents of all of them, so that
/// they are full if scrapes have only some torrents each.
pub(super) fn scrape_all<const S: usize, const N: usize>(
    swarm: &Swarm<S, S, N>,
    is_allowed: impl Fn(&InfoHash) -> bool,
    scrapes: &[Scraping<'_>],
    batch: &mut Batch<'_>,
    outcomes: &mut Outcomes,
) {
    let info_hashes = scrapes.iter().flat_map(|scraping| scraping.info_hashes);
    let mut counts = Counts {
        swarm,
        is_allowed,
        info_hashes: info_hashes.map(|&bytes| InfoHash(bytes)),
        found: [Scraped::default(); SCRAPE_GROUP],
        next: SCRAPE_GROUP,
    };
    for scraping in scrapes {
        let mut own = counts.by_ref().take(scraping.info_hashes.len());
        let reply = &mut *batch[scraping.number].reply;
        let outcome = write(scraping.transaction_id, &mut own, reply);
        // Those that did not fit are not of the next scrape.
        own.for_each(drop);
        outcomes[scraping.number] = Some(outcome.unwrap_or(Outcome::TOO_LONG));
    }
}

fn write(
    transaction_id: TransactionId,
    counts: impl Iterator<Item = Scraped>,
    reply: &mut [u8],
) -> Result<Outcome, BufferTooSmall> {
    let mut writer = ScrapeWriter::new(reply, transaction_id)?;
    for scraped in counts {
        writer.append(TorrentStatistics {
            seeders: scraped.seeders,
            completed: scraped.completed,
            leechers: scraped.leechers,
        })?;
    }
    Ok(Outcome::served(RequestKind::Scrape, writer.finish()))
}

/// The counts of torrents, in their order. A forbidden torrent looks like an unknown one.
struct Counts<'a, I, A, const S: usize, const N: usize> {
    swarm: &'a Swarm<S, S, N>,
    is_allowed: A,
    info_hashes: I,
    /// The counts of the last group, and which of them is next.
    found: [Scraped; SCRAPE_GROUP],
    next: usize,
}

impl<I, A, const S: usize, const N: usize> Iterator for Counts<'_, I, A, S, N>
where
    I: Iterator<Item = InfoHash>,
    A: Fn(&InfoHash) -> bool,
{
    type Item = Scraped;

    /// Never ends: whoever asks for more than there are info hashes gets zeros.
    #[inline]
    fn next(&mut self) -> Option<Scraped> {
        if self.next == SCRAPE_GROUP {
            let group = std::array::from_fn(|_| {
                let info_hash = self.info_hashes.next()?;
                (self.is_allowed)(&info_hash).then_some(info_hash)
            });
            self.found = self.swarm.scrape_all(group);
            self.next = 0;
        }
        let scraped = self.found[self.next];
        self.next += 1;
        Some(scraped)
    }
}
