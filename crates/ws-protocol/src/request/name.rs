//! The names of the fields of a message.

use crate::json::Text;

/// The known names.
#[derive(Clone, Copy)]
pub(super) enum Name {
    Action,
    InfoHash,
    PeerId,
    Event,
    Left,
    Uploaded,
    Downloaded,
    Wanted,
    Offers,
    Offer,
    Answer,
    ToPeerId,
    OfferId,
    Other,
}

impl Name {
    #[inline]
    pub(super) fn of(name: Text<'_>) -> Self {
        match name.decoded().as_deref() {
            Some("action") => Self::Action,
            Some("info_hash") => Self::InfoHash,
            Some("peer_id") => Self::PeerId,
            Some("event") => Self::Event,
            Some("left") => Self::Left,
            Some("uploaded") => Self::Uploaded,
            Some("downloaded") => Self::Downloaded,
            Some("numwant") => Self::Wanted,
            Some("offers") => Self::Offers,
            Some("offer") => Self::Offer,
            Some("answer") => Self::Answer,
            Some("to_peer_id") => Self::ToPeerId,
            Some("offer_id") => Self::OfferId,
            _ => Self::Other,
        }
    }
}
