//! The torrents, and when clients request them.

use aquatic_bittorrent::InfoHash;

use crate::calendar::DAY;

/// Number of torrents that exist at the same time.
const TORRENTS: u64 = 40_000;

/// Number of torrents that are added, and removed, per day.
const NEW_TORRENTS_A_DAY: u64 = 4_000;

/// Interval and duration of load peaks, in which all clients send requests.
const CROWD_EVERY: u64 = 3 * DAY;
const CROWD_SECONDS: u64 = 1_200;

/// A random torrent for a request at this time: a few are popular, and which ones changes
/// daily.
pub fn torrent(seconds: u64, random: &mut fastrand::Rng) -> u64 {
    let newest = TORRENTS + seconds * NEW_TORRENTS_A_DAY / DAY;
    let skewed = random.f64().powi(3);
    newest - (skewed * TORRENTS as f64) as u64
}

/// A random torrent; all are equally likely.
pub fn rare_torrent(seconds: u64, random: &mut fastrand::Rng) -> u64 {
    random.u64(0..TORRENTS) + seconds * NEW_TORRENTS_A_DAY / DAY
}

/// Whether there is a load peak at this time.
#[must_use]
pub fn is_crowded(seconds: u64) -> bool {
    (seconds + CROWD_EVERY / 2) % CROWD_EVERY < CROWD_SECONDS
}

/// The info hash of a torrent.
#[must_use]
pub fn info_hash(torrent: u64) -> InfoHash {
    // Distributed over the shards, like real ones.
    let mut bytes = [0; 20];
    let spread = torrent.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&spread.to_be_bytes());
    bytes[8..16].copy_from_slice(&torrent.to_be_bytes());
    InfoHash(bytes)
}

/// The torrent with this info hash, if there is one.
#[must_use]
pub fn torrent_of(info_hash: &InfoHash) -> Option<u64> {
    let bytes = info_hash.0[8..16].try_into().ok()?;
    let torrent = u64::from_be_bytes(bytes);
    (self::info_hash(torrent) == *info_hash).then_some(torrent)
}
