//! Invariants for every batch of signals that another node may send.

use aquatic_cluster::{SignalBatch, SignalError, signal};

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let batch = match SignalBatch::parse(bytes) {
        Ok(batch) => batch,
        Err(error) => return expect(error, bytes),
    };
    assert!(bytes.len() <= signal::MAX_SIGNAL_BATCH_LENGTH);
    // A parsed batch is written with the same bytes.
    let mut again = signal::start();
    for signal in batch.signals() {
        let before = again.len();
        signal.write(&mut again);
        assert_eq!(again.len() - before, signal.length());
    }
    signal::write_header(&mut again, batch.node, batch.sent_at_milliseconds);
    assert_eq!(again, bytes);
}

/// Errors are about parts of the input.
fn expect(error: SignalError, bytes: &[u8]) {
    assert!(!error.to_string().is_empty());
    match error {
        SignalError::Length(length) => assert_eq!(length, bytes.len()),
        SignalError::Version(version) => {
            assert_eq!(bytes[0], version);
            assert_ne!(version, signal::SIGNAL_VERSION);
        }
        SignalError::Kind(kind) => {
            assert!(bytes.contains(&kind));
            assert!(kind != 1 && kind != 2);
        }
        SignalError::Truncated => assert!(bytes.len() > signal::start().len()),
    }
}
