//! Closing of connections whose certificate was replaced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_service::tls::Handle;

/// Maximum number of rotations that are tracked separately; if there are more within the
/// grace period, the last ones count as one.
const MAX_PENDING_ROTATIONS: usize = 16;

/// Which connections of one worker are to be closed.
///
/// A certificate has a number: how many there were before it. A connection is older than
/// a rotation if its handshake presented a certificate with a lower number, whenever it
/// was accepted.
pub(crate) struct OutdatedCertificates {
    handle: Option<Arc<Handle>>,
    /// The number of the current certificate.
    present: u64,
    /// When grace periods end, and the certificate before which all are outdated then.
    pending: VecDeque<(Instant, u64)>,
    outdated_before: u64,
}

impl OutdatedCertificates {
    /// Watches the certificate, if there is one.
    pub(crate) fn new(handle: Option<Arc<Handle>>) -> Self {
        Self {
            present: handle.as_ref().map_or(0, |handle| handle.rotations()),
            handle,
            pending: VecDeque::new(),
            outdated_before: 0,
        }
    }

    /// Notices that the certificate was replaced, after which older connections may stay open
    /// for `grace`, and that grace periods have ended. Returns whether more certificates are
    /// outdated than before.
    pub(crate) fn advance(&mut self, now: Instant, grace: Duration) -> bool {
        let Some(handle) = &self.handle else {
            return false;
        };
        let number = handle.rotations();
        if number != self.present {
            self.present = number;
            if self.pending.len() == MAX_PENDING_ROTATIONS {
                self.pending.pop_back();
            }
            // A grace period beyond the range of the clock never ends.
            if let Some(due) = now.checked_add(grace) {
                self.pending.push_back((due, number));
            }
        }
        let before = self.outdated_before;
        while let Some((due, present)) = self.pending.front().copied()
            && due <= now
        {
            self.outdated_before = present;
            self.pending.pop_front();
        }
        self.outdated_before != before
    }

    /// The number of the current certificate.
    pub(crate) fn present(&self) -> u64 {
        self.present
    }

    /// Whether the grace period after a certificate has ended.
    pub(crate) fn is_outdated(&self, certificate: u64) -> bool {
        certificate < self.outdated_before
    }
}
