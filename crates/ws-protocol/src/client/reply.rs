//! Messages from a tracker.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use aquatic_bittorrent::{InfoHash, PeerId};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use crate::reply::{AnnounceReply, RelayedAnswer, RelayedOffer};
use crate::request::{Action, OfferId, SessionDescription};
use crate::text;

/// What a tracker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The answer to an announce.
    Announce(AnnounceReply),
    /// The offer of another peer.
    Offer(RelayedOffer<'a>),
    /// The answer of another peer.
    Answer(RelayedAnswer<'a>),
    /// The answer to a scrape, sorted by info hash.
    Scrape(Vec<ScrapedTorrent>),
    /// A rejection.
    Failure {
        /// What was asked for, if it says so. A tracker may say again what was
        /// wrong, which counts as nothing.
        action: Option<Action>,
        /// Which torrent, if it says so, in the same way.
        info_hash: Option<InfoHash>,
        /// Why not.
        reason: Cow<'a, str>,
    },
}

/// What a scrape says of a torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapedTorrent {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Peers that have nothing left to download.
    pub seeders: u32,
    /// Downloads that were announced as completed.
    pub completed: u32,
    /// Peers that are still downloading.
    pub leechers: u32,
}

/// Why a message is none of a tracker.
#[derive(Debug, thiserror::Error)]
pub enum ReplyFault {
    /// No JSON, or values that are something else than they should be.
    #[error("the message is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A value that is not there.
    #[error("the message has no {0}")]
    Missing(&'static str),
}

/// All that a message may say.
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

/// A string that stands for 20 bytes.
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
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// It is not what a tracker says.
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
        let description = there("description", SessionDescription::from_raw(raw))?;
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
