//! Records on their way from workers to a link.

use std::collections::BTreeMap;
use std::thread;

use aquatic_bittorrent::InfoHash;

use super::*;
use crate::batch::{Batch, Header, NodeId, Records};
use crate::record::PeerChange;

const FULL: usize = Kind::Ipv4.max_records();

fn record<const S: usize>(number: u32) -> Record<S> {
    let mut peer = [0; S];
    peer[..4].copy_from_slice(&number.to_be_bytes());
    Record {
        info_hash: InfoHash([1; 20]),
        peer,
        change: PeerChange::Leecher,
    }
}

fn opened(batches: usize) -> Outbox {
    let outbox = Outbox::new(batches * MAX_BATCH_LENGTH);
    outbox.open();
    outbox
}

fn fill(outbox: &Outbox, numbers: std::ops::Range<u32>) {
    let records: Vec<Record<6>> = numbers.map(record).collect();
    for group in records.chunks(8) {
        outbox.append(group);
    }
}

/// The numbers of the records in the next batch of IPv4, and its other properties.
fn take(outbox: &Outbox, now: u64) -> Option<(Vec<u32>, Taken)> {
    let mut bytes = Vec::new();
    let taken = outbox.take(Kind::Ipv4, now, &mut bytes)?;
    Header {
        kind: Kind::Ipv4,
        max_peer_age_seconds: 1200,
        node: NodeId([1; 8]),
        sequence: 1,
        closed_at_milliseconds: taken.closed_at_milliseconds,
    }
    .write(&mut bytes);
    let Records::Ipv4(records) = Batch::parse(&bytes).unwrap().records() else {
        panic!("IPv4 was asked for");
    };
    let number = |it: Record<6>| u32::from_be_bytes(*it.peer.first_chunk().unwrap());
    Some((records.map(number).collect(), taken))
}

#[test]
fn what_is_left_is_taken_in_order() {
    let outbox = opened(10);
    fill(&outbox, 0..FULL as u32 + 5);
    outbox.append(&[record::<18>(7)]);
    assert!(outbox.has_full(Kind::Ipv4) && !outbox.has_full(Kind::Ipv6));
    let (first, _) = take(&outbox, 0).unwrap();
    assert!(!outbox.has_full(Kind::Ipv4));
    let (second, _) = take(&outbox, 0).unwrap();
    assert_eq!((first.len(), second.len()), (FULL, 5));
    assert!(first.into_iter().chain(second).eq(0..FULL as u32 + 5));
    assert_eq!(take(&outbox, 0), None);

    let mut bytes = Vec::new();
    assert!(outbox.take(Kind::Ipv6, 0, &mut bytes).is_some());
    assert_eq!(bytes.len(), HEADER_LENGTH + 39);
    assert_eq!(outbox.dropped(), 0);
}

#[test]
fn a_closed_one_takes_nothing_and_keeps_nothing() {
    let outbox = Outbox::new(1 << 20);
    fill(&outbox, 0..10);
    outbox.open();
    assert_eq!(take(&outbox, 0), None);
    fill(&outbox, 0..10);
    outbox.close();
    fill(&outbox, 0..10);
    assert!(!outbox.is_open());
    outbox.open();
    assert_eq!(take(&outbox, 0), None);
    assert_eq!(outbox.dropped(), 0);
}

#[test]
fn the_oldest_goes_when_it_is_full() {
    let outbox = opened(4);
    fill(&outbox, 0..5 * FULL as u32);
    assert_eq!(outbox.dropped(), FULL as u64);
    let (first, _) = take(&outbox, 0).unwrap();
    assert_eq!(first[0], FULL as u32);
    let left = std::iter::from_fn(|| take(&outbox, 0)).count();
    assert_eq!(left, 3);
}

#[test]
fn a_kind_keeps_half_of_the_space() {
    let outbox = opened(4);
    let records: Vec<Record<18>> = (0..10 * Kind::Ipv6.max_records() as u32)
        .map(record)
        .collect();
    fill(&outbox, 0..2 * FULL as u32);
    for group in records.chunks(8) {
        outbox.append(group);
    }
    // The other kind has not lost anything.
    let (first, _) = take(&outbox, 0).unwrap();
    let (second, _) = take(&outbox, 0).unwrap();
    assert!(first.into_iter().chain(second).eq(0..2 * FULL as u32));
    assert_eq!(outbox.dropped(), 8 * Kind::Ipv6.max_records() as u64);
}

#[test]
fn batches_get_the_time_at_which_they_were_closed() {
    let outbox = opened(10);
    fill(&outbox, 0..1);
    outbox.close_batches(5);
    fill(&outbox, 1..2 + FULL as u32);
    outbox.close_batches(6);
    // Without new records, closed batches stay as they are.
    outbox.close_batches(7);
    fill(&outbox, 0..1);
    let times: Vec<_> = std::iter::from_fn(|| take(&outbox, 8))
        .map(|(records, taken)| (records.len(), taken.closed_at_milliseconds))
        .collect();
    assert_eq!(times, [(1, 5), (FULL, 6), (1, 6), (1, 8)]);
}

#[test]
fn batches_say_what_was_received_before_them() {
    let outbox = opened(10);
    outbox.set_batches_received(3);
    fill(&outbox, 0..1);
    outbox.set_batches_received(4);
    fill(&outbox, 1..1 + FULL as u32);
    let before: Vec<_> = std::iter::from_fn(|| take(&outbox, 0))
        .map(|(_, taken)| taken.received_before)
        .collect();
    assert_eq!(before, [3, 4]);
}

#[test]
fn memory_is_used_again() {
    let outbox = opened(4);
    let mut bytes = Vec::with_capacity(MAX_BATCH_LENGTH);
    let mut addresses = Vec::new();
    for _ in 0..10 {
        fill(&outbox, 0..1);
        outbox.take(Kind::Ipv4, 0, &mut bytes).unwrap();
        addresses.push(bytes.as_ptr());
    }
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 2);
}

/// Workers change peers while they hold the lock of a shard; the last record that a link
/// takes for a peer has its current state.
#[test]
fn the_order_of_a_peers_records_is_that_of_what_happened() {
    const SHARDS: usize = 4;
    const CHANGES: u32 = 20_000;
    let outbox = opened(1000);
    let shards: [Mutex<u32>; SHARDS] = Default::default();
    let mut last = BTreeMap::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|seed| {
                let (outbox, shards) = (&outbox, &shards);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..CHANGES {
                        let index = random.usize(0..SHARDS);
                        let mut shard = shards[index].lock().unwrap();
                        *shard += 1;
                        let mut record = record::<6>(*shard);
                        record.peer[5] = index as u8;
                        outbox.append(&[record]);
                    }
                })
            })
            .collect();
        let mut bytes = Vec::new();
        loop {
            let is_over = workers.iter().all(thread::ScopedJoinHandle::is_finished);
            while outbox.take(Kind::Ipv4, 0, &mut bytes).is_some() {
                for record in bytes[HEADER_LENGTH..].chunks(27) {
                    let number = u32::from_be_bytes(*record[20..].first_chunk().unwrap());
                    let before = last.insert(record[25], number);
                    assert_eq!(before.unwrap_or(0) + 1, number);
                }
            }
            if is_over {
                break;
            }
            thread::yield_now();
        }
    });
    for (index, shard) in shards.iter().enumerate() {
        assert_eq!(last[&(index as u8)], *shard.lock().unwrap());
    }
}
