//! The fields of a message, by name.

use std::fmt;

use aquatic_bittorrent::AnnounceEvent;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::loose::{Any, Loose};
use super::meaning::{
    ActionName, Bytes, EventName, HashOrList, Hashes, Number, Offers, WrongOffer, description,
};
use super::name::Name;
use super::{Action, MaxItems, Offer, SessionDescription};

/// The fields of a message of any kind.
pub(super) struct Fields<'a> {
    pub(super) action: Loose<Action>,
    pub(super) info_hash: Loose<Hashes>,
    pub(super) peer_id: Loose<[u8; 20]>,
    pub(super) event: Loose<AnnounceEvent>,
    pub(super) left: Loose<i64>,
    pub(super) uploaded: Loose<i64>,
    pub(super) downloaded: Loose<i64>,
    pub(super) wanted: Loose<i64>,
    pub(super) offers: Loose<Result<Vec<Offer<'a>>, WrongOffer>>,
    pub(super) answer: Loose<SessionDescription<'a>>,
    pub(super) to_peer_id: Loose<[u8; 20]>,
    pub(super) offer_id: Loose<[u8; 20]>,
}

impl<'a> Fields<'a> {
    /// Parses all fields.
    ///
    /// # Errors
    ///
    /// If the message is not a JSON object.
    #[inline]
    pub(super) fn parse(message: &'a str, max: MaxItems) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(message);
        let fields = deserializer.deserialize_map(FieldsVisitor { max })?;
        deserializer.end()?;
        Ok(fields)
    }
}

struct FieldsVisitor {
    max: MaxItems,
}

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let MaxItems {
            offers,
            scrape_torrents,
        } = self.max;
        let mut fields = Fields {
            action: Loose::Absent,
            info_hash: Loose::Absent,
            peer_id: Loose::Absent,
            event: Loose::Absent,
            left: Loose::Absent,
            uploaded: Loose::Absent,
            downloaded: Loose::Absent,
            wanted: Loose::Absent,
            offers: Loose::Absent,
            answer: Loose::Absent,
            to_peer_id: Loose::Absent,
            offer_id: Loose::Absent,
        };
        // If a name occurs several times, the last value is used, as in browsers.
        while let Some(name) = map.next_key()? {
            match name {
                Name::Action => fields.action = map.next_value_seed(Any(ActionName))?,
                Name::InfoHash => {
                    let limit = scrape_torrents;
                    fields.info_hash = map.next_value_seed(Any(HashOrList { limit }))?;
                }
                Name::PeerId => fields.peer_id = map.next_value_seed(Any(Bytes))?,
                Name::Event => fields.event = map.next_value_seed(Any(EventName))?,
                Name::Left => fields.left = map.next_value_seed(Any(Number))?,
                Name::Uploaded => fields.uploaded = map.next_value_seed(Any(Number))?,
                Name::Downloaded => fields.downloaded = map.next_value_seed(Any(Number))?,
                Name::Wanted => fields.wanted = map.next_value_seed(Any(Number))?,
                Name::Offers => {
                    let limit = offers;
                    fields.offers = map.next_value_seed(Any(Offers { limit }))?;
                }
                Name::Answer => fields.answer = description(map.next_value()?),
                Name::ToPeerId => fields.to_peer_id = map.next_value_seed(Any(Bytes))?,
                Name::OfferId => fields.offer_id = map.next_value_seed(Any(Bytes))?,
                Name::Offer | Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}
