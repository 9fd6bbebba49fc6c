//! Encoding and decoding of batches, and malformed batches.

use aquatic_bittorrent::InfoHash;

use super::*;
use crate::record::PeerChange;

const HEADER: Header = Header {
    kind: Kind::Ipv4,
    max_peer_age_seconds: 1200,
    node: NodeId(*b"a node's"),
    sequence: 3,
    closed_at_milliseconds: 1_000_000,
};

fn record(number: u8, change: PeerChange) -> Record<6> {
    Record {
        info_hash: InfoHash([number; 20]),
        peer: [192, 0, 2, number, 0x1a, 0xe1],
        change,
    }
}

fn batch_of(records: &[Record<6>]) -> Vec<u8> {
    let mut batch = Vec::new();
    start(&mut batch);
    for record in records {
        record.write(&mut batch);
    }
    HEADER.write(&mut batch);
    batch
}

#[test]
fn bytes_are_as_documented() {
    let batch = batch_of(&[record(7, PeerChange::Completed)]);
    let mut expected = vec![1, 1, 0x04, 0xb0];
    expected.extend(b"a node's");
    expected.extend([0, 0, 0, 0, 0, 0, 0, 3]);
    expected.extend([0, 0, 0, 0, 0, 0x0f, 0x42, 0x40]);
    expected.extend([7; 20]);
    expected.extend([192, 0, 2, 7, 0x1a, 0xe1, 3]);
    assert_eq!(batch, expected);
    for (kind, length, count) in [
        (Kind::Ipv4, 27, 1206),
        (Kind::Ipv6, 39, 835),
        (Kind::WebTorrent, 41, 794),
    ] {
        assert_eq!(kind.record_length(), length, "info hash, peer, change");
        assert_eq!(kind.max_records(), count);
    }
}

#[test]
fn what_is_written_is_read() {
    let changes = [
        PeerChange::Leecher,
        PeerChange::Seeder,
        PeerChange::Completed,
        PeerChange::Stopped,
    ];
    let records = changes.map(|change| record(change as u8, change));
    let bytes = batch_of(&records);
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!(*batch.header(), HEADER);
    assert_eq!((batch.len(), batch.is_empty()), (4, false));
    let Records::Ipv4(read) = batch.records() else {
        panic!("IPv4 was written");
    };
    assert_eq!(read.len(), 4);
    assert!(read.eq(records));

    // A batch without records, which only shows that the node is running.
    let bytes = batch_of(&[]);
    assert!(Batch::parse(&bytes).unwrap().is_empty());
}

#[test]
fn ipv6_is_another_length() {
    let header = Header {
        kind: Kind::Ipv6,
        ..HEADER
    };
    let record = Record {
        info_hash: InfoHash([1; 20]),
        peer: [2; 18],
        change: PeerChange::Leecher,
    };
    let mut bytes = Vec::new();
    start(&mut bytes);
    record.write(&mut bytes);
    header.write(&mut bytes);
    let Records::Ipv6(mut read) = Batch::parse(&bytes).unwrap().records() else {
        panic!("IPv6 was written");
    };
    assert_eq!((read.next(), read.next()), (Some(record), None));
}

#[test]
fn what_is_no_batch_is_named() {
    let good = batch_of(&[record(1, PeerChange::Seeder), record(2, PeerChange::Seeder)]);
    let error_of = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Batch::parse(&bytes).unwrap_err()
    };
    assert_eq!(error_of(Vec::clear), BatchError::Length(0));
    assert_eq!(error_of(|it| it.truncate(27)), BatchError::Length(27));
    assert_eq!(error_of(|it| it[0] = 2), BatchError::Version(2));
    assert_eq!(error_of(|it| it[1] = 4), BatchError::Kind(4));
    assert_eq!(error_of(|it| it[12..20].fill(0)), BatchError::SequenceZero);
    assert_eq!(error_of(|it| it.truncate(81)), BatchError::Remainder(26));
    assert_eq!(error_of(|it| it.push(0)), BatchError::Remainder(1));
    for byte in [0, 5, 255] {
        let mut bytes = good.clone();
        *bytes.last_mut().unwrap() = byte;
        let error = Batch::parse(&bytes).unwrap_err();
        assert_eq!(error, BatchError::Change { index: 1, byte });
    }
}

#[test]
fn length_is_bounded() {
    let records = vec![record(1, PeerChange::Leecher); Kind::Ipv4.max_records() + 1];
    let (_, full) = records.split_first().unwrap();
    assert_eq!(Batch::parse(&batch_of(full)).unwrap().len(), 1206);
    let error = Batch::parse(&batch_of(&records)).unwrap_err();
    assert_eq!(error, BatchError::Length(32_617));
}

#[test]
fn what_is_left_counts_from_the_end_of_the_batch() {
    let left = |now| HEADER.remaining_seconds(now);
    assert_eq!(left(1_000_000), 1200);
    assert_eq!(left(1_000_999), 1200);
    assert_eq!(left(1_001_000), 1199);
    assert_eq!(left(2_199_999), 1);
    assert_eq!(left(2_200_000), 0);
    assert_eq!(left(u64::MAX), 0);
    // A batch from the future, which clocks that differ can cause.
    assert_eq!(left(0), 1200);
}
