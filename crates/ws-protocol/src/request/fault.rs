//! What is wrong with a request.

use std::fmt;

use super::{Action, Sent};

/// Why a message is rejected, and what is known of it for the reply. Displays the text
/// for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFault {
    /// What is wrong.
    pub kind: RequestFaultKind,
    /// What was asked for, if that is known.
    pub action: Option<Action>,
    /// What the reply is to repeat.
    pub sent: Sent,
}

/// What is wrong with a message. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFaultKind {
    /// No JSON, or something else than an object.
    #[error("the message is not an object of JSON")]
    NotJson,
    /// No action, or an unknown one.
    #[error("action must be \"announce\" or \"scrape\"")]
    Action,
    /// No info hash, or a wrong one.
    #[error("info_hash must be a string of 20 characters, one for each byte")]
    InfoHash,
    /// Wrong info hashes in a scrape.
    #[error("info_hash must be a string of 20 characters, one for each byte, or a list of such")]
    ScrapeInfoHash,
    /// A scrape of everything.
    #[error("info_hash is missing; full scrapes are not answered")]
    FullScrape,
    /// No peer id, or a wrong one.
    #[error("peer_id must be a string of 20 characters, one for each byte")]
    PeerId,
    /// `left` is no number.
    #[error("left must be a number")]
    Left,
    /// `numwant` is no number.
    #[error("numwant must be a number")]
    Wanted,
    /// `offers` is no list.
    #[error("offers must be a list")]
    Offers,
    /// An offer, counted from 0, that is none.
    #[error(
        "offers[{0}] must have an offer_id, which is a string of 20 characters, one for each \
         byte, and an offer, which is an object"
    )]
    Offer(usize),
    /// An answer that is none.
    #[error("answer must be an object")]
    Answer,
    /// An answer to nobody.
    #[error("to_peer_id must be a string of 20 characters, one for each byte")]
    ToPeerId,
    /// An answer to nothing.
    #[error("offer_id must be a string of 20 characters, one for each byte")]
    OfferId,
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for RequestFault {}
