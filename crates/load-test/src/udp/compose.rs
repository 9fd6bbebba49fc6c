//! From what a worker decided to request to the bytes that it sends.

use aquatic_bittorrent::AnnounceEvent;
use aquatic_udp_protocol::{
    AnnounceRequest, BufferTooSmall, ConnectRequest, ConnectionId, INFO_HASH_LENGTH, ScrapeRequest,
    TransactionId, UrlData,
};

use super::config::MAX_SCRAPE_TORRENTS;
use super::settings::Settings;
use super::source::Source;
use super::window::Request;
use crate::counters::Kind;
use crate::population::Population;

/// What all requests of a worker are composed from.
pub(crate) struct Composer<'a> {
    pub(crate) population: &'a Population,
    pub(crate) settings: &'a Settings,
    pub(crate) random: &'a mut fastrand::Rng,
}

impl Composer<'_> {
    /// Writes a request of a source; returns its length.
    pub(crate) fn write(
        &mut self,
        request: &Request,
        transaction_id: TransactionId,
        source: &Source,
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        // Every source has a connection id by the time that it sends anything
        // but connect requests.
        let connection_id = source.connection_id.unwrap_or(ConnectionId([0; 8]));

        match request.kind {
            Kind::Connect => {
                let bytes = ConnectRequest { transaction_id }.to_bytes();
                let (head, _) = buffer.split_first_chunk_mut().ok_or(BufferTooSmall)?;
                *head = bytes;
                Ok(bytes.len())
            }
            Kind::Announce => {
                let (place, event) = match request.filling {
                    Some(place) => (place, AnnounceEvent::Started),
                    None => (
                        self.random.u32(..source.share.peers),
                        self.settings.run.events.choose(self.random),
                    ),
                };
                let peer = self.population.peer(source.index, place);
                let announce = AnnounceRequest {
                    connection_id,
                    transaction_id,
                    info_hash: peer.info_hash,
                    peer_id: peer.peer_id,
                    downloaded: 0,
                    left: if peer.seeder { 0 } else { LEECHER_LEFT_BYTES },
                    uploaded: 0,
                    event,
                    claimed_address: None,
                    key: place,
                    peers_wanted: self.settings.requests.peers_wanted,
                    port: peer.port,
                    url_data: UrlData::default(),
                };
                announce.write(buffer)
            }
            // Offers and answers are of WebTorrent.
            Kind::Scrape | Kind::Offer | Kind::Answer => {
                let mut info_hashes = [[0; INFO_HASH_LENGTH]; MAX_SCRAPE_TORRENTS];
                let info_hashes = &mut info_hashes[..self.settings.requests.scrape_torrents];
                for info_hash in info_hashes.iter_mut() {
                    *info_hash = self.population.random_info_hash(self.random).0;
                }
                let scrape = ScrapeRequest {
                    connection_id,
                    transaction_id,
                    info_hashes,
                };
                scrape.write(buffer)
            }
        }
    }
}

/// What a leecher says that it lacks. Trackers ask only whether it is 0.
const LEECHER_LEFT_BYTES: i64 = 1 << 20;
