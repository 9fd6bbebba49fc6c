//! Conversion of the fields of a message.

use aquatic_bittorrent::{AnnounceEvent, InfoHash};

use super::loose::Loose;
use super::name::Name;
use super::{Action, Offer, OfferId, SessionDescription};
use crate::json::{Begun, Malformed, Reader};

/// Reads a string that encodes 20 bytes.
#[inline]
pub(super) fn bytes(reader: &mut Reader<'_>) -> Result<Loose<[u8; 20]>, Malformed> {
    Loose::of_text(reader, |text| text.bytes())
}

/// Reads the action of a request.
#[inline]
pub(super) fn action(reader: &mut Reader<'_>) -> Result<Loose<Action>, Malformed> {
    Loose::of_text(reader, |text| match &*text.decoded()? {
        "announce" => Some(Action::Announce),
        "scrape" => Some(Action::Scrape),
        _ => None,
    })
}

/// Reads the event of an announce.
#[inline]
pub(super) fn event(reader: &mut Reader<'_>) -> Result<Loose<AnnounceEvent>, Malformed> {
    Loose::of_text(reader, |text| match &*text.decoded()? {
        "started" => Some(AnnounceEvent::Started),
        "stopped" => Some(AnnounceEvent::Stopped),
        "completed" => Some(AnnounceEvent::Completed),
        "paused" => Some(AnnounceEvent::Paused),
        _ => None,
    })
}

/// Reads a number, or a string with a number.
#[inline]
pub(super) fn number(reader: &mut Reader<'_>) -> Result<Loose<i64>, Malformed> {
    let begun = reader.begin()?;
    match begun {
        Begun::Number(number) => Ok(Loose::Given(number)),
        Begun::Text(text) => {
            let number = text.decoded().and_then(|text| text.parse().ok());
            Ok(Loose::given_or_wrong(number))
        }
        _ => Loose::of_another_type(reader, begun),
    }
}

/// The info hashes of a message.
pub(super) enum Hashes {
    One(InfoHash),
    List(Vec<InfoHash>),
}

/// Reads one info hash, or a list of which only the first ones are used.
#[inline]
pub(super) fn hashes(reader: &mut Reader<'_>, limit: usize) -> Result<Loose<Hashes>, Malformed> {
    let begun = reader.begin()?;
    match begun {
        Begun::Text(text) => {
            let info_hash = text.bytes().map(InfoHash);
            Ok(Loose::given_or_wrong(info_hash.map(Hashes::One)))
        }
        Begun::List => {
            let mut hashes = Vec::new();
            let are_valid = read_list(reader, limit, |reader| {
                let hash = bytes(reader)?.given();
                hashes.extend(hash.map(InfoHash));
                Ok(hash.is_some())
            })?;
            let hashes = are_valid.then_some(Hashes::List(hashes));
            Ok(Loose::given_or_wrong(hashes))
        }
        _ => Loose::of_another_type(reader, begun),
    }
}

/// The index, from 0, of an invalid offer in the list.
pub(super) struct WrongOffer(pub(super) usize);

/// The valid offers of a list, or the first one that is invalid.
pub(super) type OfferList<'a> = Result<Vec<Offer<'a>>, WrongOffer>;

/// Reads a list of offers of which only the first ones are used.
#[inline]
pub(super) fn offers<'a>(
    reader: &mut Reader<'a>,
    limit: usize,
) -> Result<Loose<OfferList<'a>>, Malformed> {
    let begun = reader.begin()?;
    if begun != Begun::List {
        return Loose::of_another_type(reader, begun);
    }
    let mut offers = Vec::new();
    let are_valid = read_list(reader, limit, |reader| {
        let offer = offer(reader)?.given();
        offers.extend(offer);
        Ok(offer.is_some())
    })?;
    Ok(Loose::Given(if are_valid {
        Ok(offers)
    } else {
        Err(WrongOffer(offers.len()))
    }))
}

/// Reads a list to its end, and its elements until one is invalid, at most so many. Returns
/// whether they were valid.
#[inline]
fn read_list<'a>(
    reader: &mut Reader<'a>,
    limit: usize,
    mut is_valid: impl FnMut(&mut Reader<'a>) -> Result<bool, Malformed>,
) -> Result<bool, Malformed> {
    let mut are_valid = true;
    let mut count = 0;
    while reader.has_element(count == 0)? {
        if are_valid && count < limit {
            are_valid = is_valid(reader)?;
        } else {
            reader.raw()?;
        }
        count += 1;
    }
    Ok(are_valid)
}

#[inline]
fn offer<'a>(reader: &mut Reader<'a>) -> Result<Loose<Offer<'a>>, Malformed> {
    let begun = reader.begin()?;
    if begun != Begun::Object {
        return Loose::of_another_type(reader, begun);
    }
    let mut id = Loose::Absent;
    let mut offer = Loose::Absent;
    let mut is_first = true;
    while let Some(name) = reader.member(is_first)? {
        is_first = false;
        match Name::of(name) {
            Name::OfferId => id = bytes(reader)?,
            Name::Offer => offer = description(reader)?,
            _ => {
                reader.raw()?;
            }
        }
    }
    let both = id.given().zip(offer.given());
    Ok(Loose::given_or_wrong(both.map(|(id, description)| Offer {
        id: OfferId(id),
        description,
    })))
}

/// Reads a session description, which is kept as it was sent.
#[inline]
pub(super) fn description<'a>(
    reader: &mut Reader<'a>,
) -> Result<Loose<SessionDescription<'a>>, Malformed> {
    Ok(match reader.raw()? {
        "null" => Loose::Absent,
        raw => Loose::given_or_wrong(SessionDescription::from_raw(raw)),
    })
}
