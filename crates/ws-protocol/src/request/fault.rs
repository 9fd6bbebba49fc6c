//! Why a request is rejected.

use std::fmt;

use super::{Action, Sent};

/// Why a message is rejected, with the fields to repeat in the reply. Displays the text for
/// the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFault {
    /// The reason.
    pub kind: RequestFaultKind,
    /// The action, if it is known.
    pub action: Option<Action>,
    /// The fields to repeat in the reply.
    pub sent: Sent,
}

/// Why a message is rejected. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFaultKind {
    /// It is not JSON, or not an object.
    #[error("the message is not an object of JSON")]
    NotJson,
    /// The action is missing or unknown.
    #[error("action must be \"announce\" or \"scrape\"")]
    Action,
    /// The info hash is missing or invalid.
    #[error("info_hash must be a string of 20 characters, one for each byte")]
    InfoHash,
    /// Info hashes of a scrape are invalid.
    #[error("info_hash must be a string of 20 characters, one for each byte, or a list of such")]
    ScrapeInfoHash,
    /// A scrape has no info hash.
    #[error("info_hash is missing; full scrapes are not answered")]
    FullScrape,
    /// The peer id is missing or invalid.
    #[error("peer_id must be a string of 20 characters, one for each byte")]
    PeerId,
    /// `left` is not a number.
    #[error("left must be a number")]
    Left,
    /// `numwant` is not a number.
    #[error("numwant must be a number")]
    Wanted,
    /// `offers` is not a list.
    #[error("offers must be a list")]
    Offers,
    /// The offer with this index, from 0, is invalid.
    #[error(
        "offers[{0}] must have an offer_id, which is a string of 20 characters, one for each \
         byte, and an offer, which is an object"
    )]
    Offer(usize),
    /// The answer is not an object.
    #[error("answer must be an object")]
    Answer,
    /// The receiver of an answer is missing or invalid.
    #[error("to_peer_id must be a string of 20 characters, one for each byte")]
    ToPeerId,
    /// The offer id of an answer is missing or invalid.
    #[error("offer_id must be a string of 20 characters, one for each byte")]
    OfferId,
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for RequestFault {}
