//! The population: torrents, peers, and which peer is in which torrent.
//!
//! A peer is a number, from which, and from the seed, its properties are computed. So
//! millions of peers need no memory in this program (except a table if popularity is not
//! uniform), and are the same in two runs.
//!
//! Peers are distributed over carriers: source addresses, or connections. Peer `i`
//! announces from carrier `i % carriers`, with port `1 + i / carriers`. So no two peers
//! have the same source address and port.

mod settings;

use aquatic_bittorrent::{InfoHash, PeerId};

use crate::share::Share;

pub(crate) use settings::PopulationSettings;
pub use settings::{Popularity, PopulationConfig};

/// Maximum number of peers of a source address: one for each port except 0.
pub(crate) const PEERS_PER_SOURCE: u32 = 65_535;

/// The torrents and peers of a run.
#[derive(Debug)]
pub(crate) struct Population {
    torrents: u32,
    peers: u32,
    carriers: u32,
    seed: u64,
    /// A peer whose scrambled number is below this is a seeder.
    seeder_limit: u64,
    /// The torrent of each peer, if it is not computed from its number.
    torrent_of_peer: Option<Vec<u32>>,
}

/// A peer, as announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) info_hash: InfoHash,
    pub(crate) peer_id: PeerId,
    pub(crate) port: u16,
    pub(crate) seeder: bool,
}

impl Population {
    pub(crate) fn new(settings: &PopulationSettings) -> Self {
        Self {
            torrents: settings.torrents,
            peers: settings.peers,
            carriers: settings.carriers,
            seed: settings.seed,
            seeder_limit: fraction_of_u64(settings.seeder_fraction),
            torrent_of_peer: match settings.popularity {
                Popularity::Uniform => None,
                Popularity::Zipf => Some(deal_by_zipf(settings)),
            },
        }
    }

    /// The peers of a carrier.
    pub(crate) fn share(&self, carrier: u32) -> Share {
        // The quantity of numbers below `peers` with this remainder.
        Share::new(self.peers / self.carriers + u32::from(carrier < self.peers % self.carriers))
    }

    /// The peer of a carrier with this index, which must be below the number of peers of
    /// its [`share`](Self::share).
    pub(crate) fn peer(&self, carrier: u32, place: u32) -> Peer {
        let number = place * self.carriers + carrier;
        let scrambled = scramble(self.seed ^ PEER_DOMAIN ^ u64::from(number));

        let mut peer_id = *b"-AQ1000-............";
        peer_id[8..16].copy_from_slice(&scrambled.to_be_bytes());
        peer_id[16..].copy_from_slice(&number.to_be_bytes());

        Peer {
            info_hash: self.info_hash(self.torrent(number)),
            peer_id: PeerId(peer_id),
            // If ports matter, there are at most PEERS_PER_SOURCE peers per carrier.
            port: (place + 1) as u16,
            seeder: scrambled < self.seeder_limit,
        }
    }

    /// The info hash of the torrent of a random peer, so the probability of a torrent is
    /// proportional to its number of peers.
    pub(crate) fn random_info_hash(&self, random: &mut fastrand::Rng) -> InfoHash {
        self.info_hash(self.torrent(random.u32(..self.peers)))
    }

    fn torrent(&self, number: u32) -> u32 {
        match &self.torrent_of_peer {
            Some(table) => table[number as usize],
            // Peers with adjacent numbers share a torrent, so that the peers of a torrent
            // come from several sources. The quotient is below `torrents`.
            None => (u64::from(number) * u64::from(self.torrents) / u64::from(self.peers)) as u32,
        }
    }

    fn info_hash(&self, torrent: u32) -> InfoHash {
        info_hash(self.seed, torrent)
    }
}

/// The info hash of a torrent of a load test: `torrent` counts from 0.
pub fn info_hash(seed: u64, torrent: u32) -> InfoHash {
    let first = scramble(seed ^ TORRENT_DOMAIN ^ u64::from(torrent));
    let second = scramble(first);
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[8..16].copy_from_slice(&second.to_be_bytes());
    bytes[16..].copy_from_slice(&torrent.to_be_bytes());
    InfoHash(bytes)
}

/// Chooses a torrent for every peer; the probability of the torrent of rank n is
/// proportional to 1 / n^exponent.
fn deal_by_zipf(settings: &PopulationSettings) -> Vec<u32> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=settings.torrents)
        .map(|rank| {
            sum += f64::from(rank).powf(-settings.zipf_exponent);
            sum
        })
        .collect();

    let mut random = fastrand::Rng::with_seed(settings.seed);
    (0..settings.peers)
        .map(|_| {
            let drawn = random.f64() * sum;
            let torrent = sums.partition_point(|&sum| sum <= drawn) as u32;
            // Rounding could make the product equal to the sum.
            torrent.min(settings.torrents - 1)
        })
        .collect()
}

/// Maps consecutive numbers to pseudo-random ones, one to one (the output function of the
/// SplitMix64 generator).
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Converts a fraction between 0 and 1 to a fraction of all 64-bit numbers.
fn fraction_of_u64(fraction: f64) -> u64 {
    // The conversion saturates, so 1 becomes the maximum.
    (fraction * 2f64.powi(64)) as u64
}

/// Separate the values computed from peers and from torrents, whose numbers have 32 bits,
/// so these bits are free.
const PEER_DOMAIN: u64 = 1 << 32;
const TORRENT_DOMAIN: u64 = 1 << 33;

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn settings(torrents: u32, peers: u32, carriers: u32) -> PopulationSettings {
        PopulationSettings {
            torrents,
            peers,
            carriers,
            popularity: Popularity::Uniform,
            zipf_exponent: 1.0,
            seeder_fraction: 0.25,
            seed: 7,
        }
    }

    fn everybody(settings: &PopulationSettings) -> Vec<(u32, Peer)> {
        let population = Population::new(settings);
        (0..settings.carriers)
            .flat_map(|carrier| (0..population.share(carrier).peers).map(move |at| (carrier, at)))
            .map(|(carrier, place)| (carrier, population.peer(carrier, place)))
            .collect()
    }

    fn sizes(peers: &[(u32, Peer)]) -> HashMap<InfoHash, usize> {
        let mut sizes = HashMap::new();
        for (_, peer) in peers {
            *sizes.entry(peer.info_hash).or_default() += 1;
        }
        sizes
    }

    #[test]
    fn peers_are_distinct_and_complete() {
        let peers = everybody(&settings(100, 1001, 7));
        let keys: HashSet<_> = peers.iter().map(|(s, peer)| (*s, peer.port)).collect();
        let ids: HashSet<_> = peers.iter().map(|(_, peer)| peer.peer_id).collect();

        assert_eq!((peers.len(), keys.len(), ids.len()), (1001, 1001, 1001));
        assert!(peers.iter().all(|(_, peer)| peer.port > 0));
    }

    #[test]
    fn uniform_torrents_have_equal_sizes() {
        let sizes = sizes(&everybody(&settings(100, 1000, 3)));
        assert_eq!(sizes.len(), 100);
        assert!(sizes.values().all(|&size| size == 10));
    }

    #[test]
    fn peers_of_a_torrent_come_from_several_carriers() {
        let peers = everybody(&settings(100, 200, 8));
        let pairs: HashSet<_> = peers.iter().map(|(s, peer)| (*s, peer.info_hash)).collect();
        assert_eq!(pairs.len(), 200);
    }

    #[test]
    fn zipf_torrents_have_the_sizes_of_the_distribution() {
        let mut sizes: Vec<usize> = sizes(&everybody(&PopulationSettings {
            popularity: Popularity::Zipf,
            ..settings(1000, 100_000, 2)
        }))
        .into_values()
        .collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));

        // The harmonic number of 1000 is 7.4855, so the first torrent has
        // 13.36 % of all peers and the tenth a tenth of that.
        assert!((12_900..13_800).contains(&sizes[0]), "{}", sizes[0]);
        assert!((1_200..1_480).contains(&sizes[9]), "{}", sizes[9]);
    }

    #[test]
    fn seeders_are_the_fraction_asked_for() {
        let seeders = |fraction| {
            let peers = everybody(&PopulationSettings {
                seeder_fraction: fraction,
                ..settings(10, 10_000, 1)
            });
            peers.iter().filter(|(_, peer)| peer.seeder).count()
        };
        assert_eq!(seeders(0.0), 0);
        assert!((2_350..2_650).contains(&seeders(0.25)));
        assert_eq!(seeders(1.0), 10_000);
    }

    #[test]
    fn the_seed_decides() {
        let first = everybody(&settings(10, 10, 1));
        assert_eq!(first, everybody(&settings(10, 10, 1)));
        let other = everybody(&PopulationSettings {
            seed: 8,
            ..settings(10, 10, 1)
        });
        assert!(
            first
                .iter()
                .zip(&other)
                .all(|(a, b)| a.1.info_hash != b.1.info_hash)
        );
    }
}
