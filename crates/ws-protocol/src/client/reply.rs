//! Messages of a tracker, as parsed by clients.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use aquatic_bittorrent::{InfoHash, PeerId};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use crate::reply::{AnnounceReply, RelayedAnswer, RelayedOffer};
use crate::request::{Action, OfferId, SessionDescription};
use crate::text;

/// A message of a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The reply to an announce.
    Announce(AnnounceReply),
    /// An offer of another peer.
    Offer(RelayedOffer<'a>),
    /// An answer of another peer.
    Answer(RelayedAnswer<'a>),
    /// The reply to a scrape, sorted by info hash.
    Scrape(Vec<ScrapedTorrent>),
    /// A rejection.
    Failure {
        /// The action of the request, if the message contains a valid one. A tracker may
        /// repeat an invalid one, which is ignored.
        action: Option<Action>,
        /// The info hash of the request, likewise.
        info_hash: Option<InfoHash>,
        /// The reason.
        reason: Cow<'a, str>,
    },
}

/// The counts of a torrent in a scrape reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapedTorrent {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Number of peers that have nothing left to download.
    pub seeders: u32,
    /// Number of downloads that were announced as completed.
    pub completed: u32,
    /// Number of peers that are still downloading.
    pub leechers: u32,
}

/// Why a message is not valid.
#[derive(Debug, thiserror::Error)]
pub enum ReplyFault {
    /// It is not JSON, or a value has the wrong type.
    #[error("the message is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A value is missing.
    #[error("the message has no {0}")]
    Missing(&'static str),
}

/// All fields that a message may have.
#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    info_hash: Option<&'a RawValue>,
    peer_id: Option<Bytes>,
    offer_id: Option<Bytes>,
    #[serde(borrow)]
    offer: Option<&'a RawValue>,
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
    complete: Option<u32>,
    incomplete: Option<u32>,
    interval: Option<u32>,
    files: Option<BTreeMap<Bytes, Counts>>,
    #[serde(borrow, rename = "failure reason")]
    failure_reason: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionName {
    Announce,
    Scrape,
}

#[derive(serde::Deserialize)]
struct Counts {
    complete: u32,
    incomplete: u32,
    downloaded: u32,
}

/// A string that encodes 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes([u8; 20]);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string of 20 characters, one for each byte")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                let bytes = text::bytes_of(text).map(Bytes);
                bytes.ok_or_else(|| E::invalid_length(text.chars().count(), &self))
            }
        }

        deserializer.deserialize_str(BytesVisitor)
    }
}

impl<'a> Reply<'a> {
    /// Parses a message.
    ///
    /// # Errors
    ///
    /// If it is not a message of a tracker.
    pub fn parse(message: &'a str) -> Result<Self, ReplyFault> {
        let fields: Fields<'a> = serde_json::from_str(message)?;
        let action = value::<ActionName>(fields.action);
        let info_hash = value::<Bytes>(fields.info_hash);
        if let Some(reason) = fields.failure_reason {
            return Ok(Self::Failure {
                action: action.ok().flatten().map(Action::from),
                info_hash: info_hash.ok().flatten().map(InfoHash::from),
                reason,
            });
        }
        let info_hash = info_hash?.map(InfoHash::from);
        action?;
        if let Some(files) = fields.files {
            return Ok(Self::Scrape(files.into_iter().map(scraped).collect()));
        }
        let info_hash = there("info_hash", info_hash)?;
        let Some(raw) = fields.offer.or(fields.answer) else {
            return Ok(Self::Announce(AnnounceReply {
                info_hash,
                seeders: there("complete", fields.complete)?,
                leechers: there("incomplete", fields.incomplete)?,
                interval_seconds: there("interval", fields.interval)?,
            }));
        };
        let from_peer_id = PeerId(there("peer_id", fields.peer_id)?.0);
        let offer_id = OfferId(there("offer_id", fields.offer_id)?.0);
        let description = there("description", SessionDescription::from_raw(raw.get()))?;
        Ok(if fields.offer.is_some() {
            Self::Offer(RelayedOffer {
                info_hash,
                from_peer_id,
                offer_id,
                description,
            })
        } else {
            Self::Answer(RelayedAnswer {
                info_hash,
                from_peer_id,
                offer_id,
                description,
            })
        })
    }
}

fn value<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<Option<T>, ReplyFault> {
    Ok(raw.map(|raw| serde_json::from_str(raw.get())).transpose()?)
}

impl From<ActionName> for Action {
    fn from(name: ActionName) -> Self {
        match name {
            ActionName::Announce => Self::Announce,
            ActionName::Scrape => Self::Scrape,
        }
    }
}

impl From<Bytes> for InfoHash {
    fn from(bytes: Bytes) -> Self {
        Self(bytes.0)
    }
}

fn scraped((info_hash, counts): (Bytes, Counts)) -> ScrapedTorrent {
    ScrapedTorrent {
        info_hash: InfoHash(info_hash.0),
        seeders: counts.complete,
        completed: counts.downloaded,
        leechers: counts.incomplete,
    }
}

fn there<T>(name: &'static str, value: Option<T>) -> Result<T, ReplyFault> {
    value.ok_or(ReplyFault::Missing(name))
}
