//! The names of the fields of a message.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

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

impl<'de> Deserialize<'de> for Name {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    #[inline]
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match name {
            "action" => Name::Action,
            "info_hash" => Name::InfoHash,
            "peer_id" => Name::PeerId,
            "event" => Name::Event,
            "left" => Name::Left,
            "uploaded" => Name::Uploaded,
            "downloaded" => Name::Downloaded,
            "numwant" => Name::Wanted,
            "offers" => Name::Offers,
            "offer" => Name::Offer,
            "answer" => Name::Answer,
            "to_peer_id" => Name::ToPeerId,
            "offer_id" => Name::OfferId,
            _ => Name::Other,
        })
    }
}
