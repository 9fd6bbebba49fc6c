//! Invariants for every block of torrents in a snapshot.

use std::sync::Arc;

use aquatic_swarm::snapshot::{self, Restored, SnapshotWalk, restore};
use aquatic_swarm::{HashKey, Swarm, SwarmLimits, SwarmTotals, Sweep, TorrentWalk, Usage};

const NOW: u32 = 1_000;
const LIFETIME_SECONDS: u16 = 1_800;

/// Panics if an invariant does not hold.
pub(crate) fn check(block: &[u8]) {
    check_records::<6, 6, 2>(block);
    check_records::<18, 18, 1>(block);
    check_records::<28, 20, 1>(block);
}

fn check_records<const S: usize, const K: usize, const N: usize>(block: &[u8]) {
    let first = empty::<S, K, N>();
    // What was read before an error is kept.
    let restored = restore(&first, block, NOW, LIFETIME_SECONDS, true);
    assert_eq!(snapshot::check(&first, block), restored.map(|_| ()));
    let totals = first.totals();
    assert!(totals.peers * S <= block.len(), "peers come from bytes");
    assert!(totals.seeders <= totals.peers);
    if let Ok(Restored { peers, dropped, .. }) = restored {
        assert!(totals.peers <= peers);
        assert_eq!(dropped, 0, "there are no caps");
    }

    // The result can be written and read again.
    let second = empty::<S, K, N>();
    let mut walk = SnapshotWalk::new();
    let mut written = Vec::new();
    while walk.next_block(&first, NOW, &mut written) {
        restore(&second, &written, NOW, LIFETIME_SECONDS, true).expect("just written");
        written.clear();
    }
    assert_eq!(contents(&second), contents(&first));

    // No peer has more time left than one that has just announced.
    let end = NOW + u32::from(LIFETIME_SECONDS);
    let mut sweep = Sweep::new();
    while !sweep.step(&second, end, 1_000, |_| true) {}
    assert_eq!(second.totals().peers, 0);

    let counts_only = empty::<S, K, N>();
    let _ = restore(&counts_only, block, NOW, LIFETIME_SECONDS, false);
    assert_eq!(counts_only.totals().peers, 0);
}

fn empty<const S: usize, const K: usize, const N: usize>() -> Swarm<S, K, N> {
    let key = HashKey::new(*b"a key of nobody.");
    Swarm::new(key, SwarmLimits::default(), Arc::new(Usage::default()))
}

/// Totals, and the counts of all torrents, sorted by info hash.
type Contents = (SwarmTotals, Vec<([u8; 20], [u32; 3])>);

fn contents<const S: usize, const K: usize, const N: usize>(swarm: &Swarm<S, K, N>) -> Contents {
    let mut torrents = Vec::new();
    let mut walk = TorrentWalk::new();
    while walk.step(swarm, |info_hash, scraped| {
        let counts = [scraped.seeders, scraped.leechers, scraped.completed];
        torrents.push((info_hash.0, counts));
    }) {}
    torrents.sort_unstable();
    (swarm.totals(), torrents)
}
