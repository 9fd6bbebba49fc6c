//! A large snapshot is restored while requests are answered.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use aquatic_service::snapshot::BlockWriter;
use aquatic_test_harness::{PATIENCE, Signal};

use crate::tracker::{Place, Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, Counts, Hash};

const FILE: &str = "swarm.snapshot";

/// Enough to take longer than a start waits.
const TORRENTS: u64 = 2_000_000;

/// Torrents of a block.
const BLOCK: u64 = 10_000;

/// The kind of blocks with torrents of IPv4.
const IPV4: u8 = 2;

const RESTORING: &str = "restored while the tracker serves";
const RESTORED: &str = "restored the snapshot";

/// A torrent of the snapshot, in which it comes in the order of its number.
fn torrent(number: u64) -> Hash {
    let mut hash = [7; 20];
    hash[12..].copy_from_slice(&number.to_be_bytes());
    hash
}

/// Writes a snapshot of torrents with a seeder at port 1001 and a leecher at port 1002.
fn write_snapshot(path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    // Its age would be that of the peers.
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut writer = BlockWriter::new(&mut file, "aquatic-udp", 1, now).unwrap();
    let mut block = Vec::new();
    for number in 0..TORRENTS {
        block.extend_from_slice(&torrent(number));
        block.extend_from_slice(&[3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        for port in [1001_u16, 1002] {
            block.extend_from_slice(&[127, 0, 0, 1]);
            block.extend_from_slice(&port.to_be_bytes());
        }
        block.extend_from_slice(&1_000_u16.to_le_bytes().repeat(2));
        if (number + 1) % BLOCK == 0 {
            writer.write_block(IPV4, &block).unwrap();
            block.clear();
        }
    }
    writer.finish().unwrap();
    file.flush().unwrap();
}

fn place() -> Place {
    let mut place = new_place();
    place.set_path("snapshot.path", FILE);
    place
}

#[test]
fn requests_are_answered_while_a_snapshot_is_restored() {
    let place = place();
    write_snapshot(&place.setup.path(FILE));
    let tracker = place.start();
    tracker.daemon.wait_for_log(RESTORING);

    let mut client = tracker.client();
    client.announce(&Announce::seeder([1; 20], 1003));
    // It comes last. The leecher has become a seeder meanwhile.
    let last = torrent(TORRENTS - 1);
    let changed = client.announce(&Announce::seeder(last, 1002));
    let log = tracker.daemon.log();
    assert!(!log.contains(RESTORED), "{log}");
    // The other peer is not there yet.
    assert_eq!((changed.seeders, changed.leechers), (0, 0));

    tracker.daemon.wait_for_log(RESTORED);
    let counts = |seeders, leechers| Counts {
        seeders,
        completed: 3,
        leechers,
    };
    assert_eq!(client.scrape(&[last]), [counts(2, 0)]);
    assert_eq!(client.scrape(&[torrent(0)]), [counts(1, 1)]);
    let torrents = (TORRENTS + 1) as f64;
    assert_eq!(tracker.metric("torrents", &[]), torrents);
    assert_eq!(tracker.metric("peers", &[]), 2.0 * torrents - 1.0);

    // A daemon that is stopped meanwhile keeps what it has not restored yet.
    let tracker = tracker.restart();
    tracker.daemon.wait_for_log(RESTORING);
    assert!(!tracker.daemon.log().contains(RESTORED));
    tracker.daemon.signal(Signal::SIGTERM);
    let Tracker { place, daemon } = tracker;
    assert!(daemon.wait(PATIENCE).status.success());
    let tracker = place.start();
    tracker.daemon.wait_for_log(RESTORED);
    assert_eq!(tracker.metric("torrents", &[]), torrents);
}
