//! The fields of a message, by name.

use aquatic_bittorrent::AnnounceEvent;

use super::loose::Loose;
use super::meaning::{self, Hashes, OfferList};
use super::name::Name;
use super::{Action, MaxItems, SessionDescription};
use crate::json::{Begun, Malformed, Reader};

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
    pub(super) offers: Loose<OfferList<'a>>,
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
    pub(super) fn parse(message: &'a str, max: MaxItems) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message);
        if reader.begin()? != Begun::Object {
            return Err(Malformed);
        }
        let mut fields = Self {
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
        let mut is_first = true;
        // If a name occurs several times, the last value is used, as in browsers.
        while let Some(name) = reader.member(is_first)? {
            is_first = false;
            fields.read(Name::of(name), &mut reader, max)?;
        }
        reader.end()?;
        Ok(fields)
    }

    /// Reads the value of a field.
    #[inline]
    fn read(
        &mut self,
        name: Name,
        reader: &mut Reader<'a>,
        max: MaxItems,
    ) -> Result<(), Malformed> {
        match name {
            Name::Action => self.action = meaning::action(reader)?,
            Name::InfoHash => self.info_hash = meaning::hashes(reader, max.scrape_torrents)?,
            Name::PeerId => self.peer_id = meaning::bytes(reader)?,
            Name::Event => self.event = meaning::event(reader)?,
            Name::Left => self.left = meaning::number(reader)?,
            Name::Uploaded => self.uploaded = meaning::number(reader)?,
            Name::Downloaded => self.downloaded = meaning::number(reader)?,
            Name::Wanted => self.wanted = meaning::number(reader)?,
            Name::Offers => self.offers = meaning::offers(reader, max.offers)?,
            Name::Answer => self.answer = meaning::description(reader)?,
            Name::ToPeerId => self.to_peer_id = meaning::bytes(reader)?,
            Name::OfferId => self.offer_id = meaning::bytes(reader)?,
            Name::Offer | Name::Other => {
                reader.raw()?;
            }
        }
        Ok(())
    }
}
