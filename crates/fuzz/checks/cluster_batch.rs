//! Invariants for every batch that another node may send.

use aquatic_cluster::{Batch, BatchError, Kind, RecordIter, Records, batch};

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let batch = match Batch::parse(bytes) {
        Ok(batch) => batch,
        Err(error) => return expect(error, bytes),
    };
    let header = batch.header();
    assert!(batch.len() <= header.kind.max_records());
    assert!(header.remaining_seconds(header.closed_at_milliseconds) == header.max_peer_age_seconds);
    assert!(header.remaining_seconds(u64::MAX) <= header.max_peer_age_seconds);

    // A parsed batch is written with the same bytes.
    let mut again = Vec::new();
    batch::start(&mut again);
    match batch.records() {
        Records::Ipv4(records) => write(records, batch.len(), &mut again),
        Records::Ipv6(records) => write(records, batch.len(), &mut again),
        Records::WebTorrent(records) => write(records, batch.len(), &mut again),
    }
    header.write(&mut again);
    assert_eq!(again, bytes);
}

fn write<const S: usize>(records: RecordIter<'_, S>, expected: usize, batch: &mut Vec<u8>) {
    assert_eq!(records.len(), expected);
    let mut count = 0;
    for record in records {
        record.write(batch);
        count += 1;
    }
    assert_eq!(count, expected);
}

/// Errors are about parts of the input.
fn expect(error: BatchError, bytes: &[u8]) {
    assert!(!error.to_string().is_empty());
    match error {
        BatchError::Length(length) => {
            assert_eq!(length, bytes.len());
            assert!(!(batch::HEADER_LENGTH..=batch::MAX_BATCH_LENGTH).contains(&length));
        }
        BatchError::Version(version) => {
            assert_eq!(bytes[0], version);
            assert_ne!(version, batch::VERSION);
        }
        BatchError::Kind(kind) => {
            assert_eq!(bytes[1], kind);
            assert!(Kind::from_repr(kind).is_none());
        }
        BatchError::SequenceZero => assert_eq!(bytes[12..20], [0; 8]),
        BatchError::Remainder(left) => assert!(left > 0 && left < bytes.len()),
        BatchError::Change { byte, .. } => assert!(bytes.contains(&byte)),
    }
}
