//! The outcome of a datagram.

use std::num::NonZeroUsize;

use aquatic_tracker::{RejectReason, RequestKind};
use aquatic_udp_protocol::{BufferTooSmall, TransactionId, write_error};

/// The outcome of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What was requested.
    pub kind: RequestKind,
    /// The reason if it was rejected.
    pub rejected: Option<RejectReason>,
    /// Length of the reply in bytes; `None` if there is none.
    pub reply_length: Option<NonZeroUsize>,
}

impl Outcome {
    /// The reply does not fit into its buffer.
    pub(super) const TOO_LONG: Self = Self::silence(RequestKind::Other, RejectReason::ReplyTooLong);

    /// The outcome without its reply, for metrics.
    #[inline]
    pub(crate) const fn request(&self) -> aquatic_tracker::Outcome {
        aquatic_tracker::Outcome {
            kind: self.kind,
            rejected: self.rejected,
        }
    }

    #[inline]
    pub(super) fn served(kind: RequestKind, length: usize) -> Self {
        Self {
            kind,
            rejected: None,
            reply_length: NonZeroUsize::new(length),
        }
    }

    /// An outcome without a reply.
    pub(super) const fn silence(kind: RequestKind, reason: RejectReason) -> Self {
        Self {
            kind,
            rejected: Some(reason),
            reply_length: None,
        }
    }

    /// Writes an error (BEP 15, action 3).
    #[cold]
    pub(super) fn reject(
        kind: RequestKind,
        reason: RejectReason,
        transaction_id: TransactionId,
        reply: &mut [u8],
    ) -> Result<Self, BufferTooSmall> {
        Self::reject_as(kind, reason, reason.text(), transaction_id, reply)
    }

    /// Writes an error with a text of its own.
    #[cold]
    pub(super) fn reject_as(
        kind: RequestKind,
        reason: RejectReason,
        text: &str,
        transaction_id: TransactionId,
        reply: &mut [u8],
    ) -> Result<Self, BufferTooSmall> {
        let length = write_error(reply, transaction_id, text)?;
        Ok(Self {
            rejected: Some(reason),
            ..Self::served(kind, length)
        })
    }
}
