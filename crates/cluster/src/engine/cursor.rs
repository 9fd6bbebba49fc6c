//! Where this node is in a stream, and whether the stream was lost.

use redis::cmd;

use super::connection::Engine;
use super::error::EngineError;
use super::stream::{self, EntryId};
use super::{EngineSettings, Shared};
use crate::batch::Kind;

/// The reading position in a stream.
pub(super) struct Cursor {
    pub(super) kind: Kind,
    pub(super) key: String,
    /// The last entry that was read; 0-0 at the start.
    pub(super) position: EntryId,
    /// Entries up to this one are contained in the download counts that were read from the
    /// engine.
    pub(super) counted_up_to: EntryId,
    /// An entry that was in the stream at the last check.
    anchor: Option<EntryId>,
}

impl Cursor {
    pub(super) fn new(settings: &EngineSettings, kind: Kind, position: EntryId) -> Self {
        Self {
            kind,
            key: settings.stream(kind),
            position,
            counted_up_to: EntryId::default(),
            anchor: (position != EntryId::default()).then_some(position),
        }
    }

    /// Checks whether the entry is still there that was read before the last check. If it is
    /// missing, and not so old that it was trimmed, the stream was lost. Then it is read
    /// again from its start, and this returns true.
    ///
    /// To compare ids is not enough: a stream that was deleted, or restored from an older
    /// copy, may have newer entries again.
    pub(super) fn is_lost(
        &mut self,
        shared: &Shared,
        engine: &mut Engine,
    ) -> Result<bool, EngineError> {
        let newest = last_id(engine, &self.key)?;
        let is_lost = match self.anchor {
            None => false,
            Some(anchor) => {
                let mut range = cmd("XRANGE");
                range.arg(&self.key).arg(anchor.to_string());
                range.arg(anchor.to_string());
                let entries = stream::entries(engine.query(&range)?)
                    .ok_or_else(|| EngineError::unexpected_reply("XRANGE"))?;
                let retention = shared.retention_milliseconds();
                is_lost(anchor, !entries.is_empty(), newest, retention)
            }
        };
        if is_lost {
            self.position = EntryId::default();
            self.counted_up_to = EntryId::default();
        }
        self.anchor = (self.position != EntryId::default()).then_some(self.position);
        Ok(is_lost)
    }
}

/// The id of the newest entry that a stream had, even if it was trimmed; 0-0 if there is no
/// stream.
pub(super) fn last_id(engine: &mut Engine, key: &str) -> Result<EntryId, EngineError> {
    match engine.query(cmd("XINFO").arg("STREAM").arg(key)) {
        Ok(reply) => stream::info(&reply, "last-generated-id")
            .and_then(stream::id)
            .ok_or_else(|| EngineError::unexpected_reply("XINFO STREAM")),
        Err(EngineError::Away(text)) if text.contains("no such key") => Ok(EntryId::default()),
        Err(error) => Err(error),
    }
}

/// Whether a stream was lost in which the entry `anchor` had been, and is now or not. It
/// may have been trimmed if it has half of the age at which it has to be.
fn is_lost(anchor: EntryId, is_there: bool, newest: EntryId, retention: u64) -> bool {
    let is_young = anchor.milliseconds.saturating_add(retention / 2) > newest.milliseconds;
    newest < anchor || (!is_there && is_young)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_stream_differs_from_a_trimmed_one() {
        let at = |milliseconds| EntryId {
            milliseconds,
            number: 0,
        };
        let is_lost = |anchor, is_there, newest| is_lost(at(anchor), is_there, at(newest), 1_000);
        assert!(!is_lost(500, true, 600));
        assert!(is_lost(500, false, 600));
        assert!(!is_lost(500, false, 1_000));
        // Smaller ids mean that the stream was lost, whatever clock they are from.
        assert!(is_lost(500, false, 0));
        assert!(is_lost(500, false, 499));
        assert!(is_lost(500, true, 499));
    }
}
