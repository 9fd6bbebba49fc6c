//! Messages of the tracker.
//!
//! Each function appends one JSON message to `out`; [`write_text`](crate::write_text)
//! writes the frame around it. Every message has an action, without which npm's client
//! closes its connection.

use aquatic_bittorrent::{InfoHash, PeerId};

use crate::request::{Action, OfferId, Sent, SessionDescription};
use crate::text::{write_bytes, write_number, write_string};

/// The reply to an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceReply {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Number of peers that have nothing left to download.
    pub seeders: u32,
    /// Number of peers that are still downloading.
    pub leechers: u32,
    /// Seconds to wait before the next announce.
    pub interval_seconds: u32,
}

impl AnnounceReply {
    /// Appends the reply.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"action\":\"announce\",\"info_hash\":");
        write_bytes(out, &self.info_hash.0);
        write_field(out, b",\"complete\":", self.seeders);
        write_field(out, b",\"incomplete\":", self.leechers);
        write_field(out, b",\"interval\":", self.interval_seconds);
        out.push(b'}');
    }
}

/// An offer that is relayed to a peer, which may answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayedOffer<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer that sent the offer.
    pub from_peer_id: PeerId,
    /// The id of the offer.
    pub offer_id: OfferId,
    /// The session description.
    pub description: SessionDescription<'a>,
}

impl RelayedOffer<'_> {
    /// Appends the message.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let relayed = Relayed {
            info_hash: &self.info_hash,
            from: &self.from_peer_id,
            offer_id: &self.offer_id,
            name: b",\"offer\":",
            description: self.description,
        };
        relayed.write(out);
    }
}

/// An answer that is relayed to the peer that sent the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayedAnswer<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer that sent the answer.
    pub from_peer_id: PeerId,
    /// The id of the offer.
    pub offer_id: OfferId,
    /// The session description.
    pub description: SessionDescription<'a>,
}

impl RelayedAnswer<'_> {
    /// Appends the message.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let relayed = Relayed {
            info_hash: &self.info_hash,
            from: &self.from_peer_id,
            offer_id: &self.offer_id,
            name: b",\"answer\":",
            description: self.description,
        };
        relayed.write(out);
    }
}

/// The fields that offers and answers have in common.
struct Relayed<'a> {
    info_hash: &'a InfoHash,
    from: &'a PeerId,
    offer_id: &'a OfferId,
    name: &'static [u8],
    description: SessionDescription<'a>,
}

impl Relayed<'_> {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        let json = self.description.json();
        /// More than the length of everything except the description.
        const FRAME: usize = 512;
        out.reserve(FRAME + json.len());
        out.extend_from_slice(b"{\"action\":\"announce\",\"info_hash\":");
        write_bytes(out, &self.info_hash.0);
        out.extend_from_slice(b",\"peer_id\":");
        write_bytes(out, &self.from.0);
        out.extend_from_slice(b",\"offer_id\":");
        write_bytes(out, &self.offer_id.0);
        out.extend_from_slice(self.name);
        out.extend_from_slice(json.as_bytes());
        out.push(b'}');
    }
}

/// The reply to a scrape, to which torrents are appended one by one.
#[derive(Debug)]
pub struct ScrapeReply<'b> {
    out: &'b mut Vec<u8>,
    is_first: bool,
}

impl<'b> ScrapeReply<'b> {
    /// Begins a reply without torrents.
    pub fn begin(out: &'b mut Vec<u8>) -> Self {
        out.extend_from_slice(b"{\"action\":\"scrape\",\"files\":{");
        Self {
            out,
            is_first: true,
        }
    }

    /// Appends a torrent. Torrents must be unique.
    #[inline]
    pub fn append(&mut self, info_hash: &InfoHash, seeders: u32, completed: u32, leechers: u32) {
        let Self { out, is_first } = self;
        if !*is_first {
            out.push(b',');
        }
        *is_first = false;
        write_bytes(out, &info_hash.0);
        write_field(out, b":{\"complete\":", seeders);
        write_field(out, b",\"downloaded\":", completed);
        write_field(out, b",\"incomplete\":", leechers);
        out.push(b'}');
    }

    /// Completes the reply.
    pub fn finish(self) {
        self.out.extend_from_slice(b"}}");
    }
}

/// A rejection, which repeats fields of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Fields of the request.
    pub rejected: Rejected<'a>,
    /// The reason, which is shown to users.
    pub reason: &'a str,
}

/// Fields of the request, by which the client identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected<'a> {
    /// A request with a valid action and info hash.
    Torrent(Action, InfoHash),
    /// Another message.
    Message(&'a Sent),
}

impl Failure<'_> {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"action\":");
        match self.rejected {
            Rejected::Torrent(action, info_hash) => {
                out.extend_from_slice(match action {
                    Action::Announce => b"\"announce\"",
                    Action::Scrape => b"\"scrape\"",
                });
                out.extend_from_slice(b",\"info_hash\":");
                write_bytes(out, &info_hash.0);
            }
            Rejected::Message(sent) => {
                out.extend_from_slice(sent.action().as_bytes());
                if let Some(info_hash) = sent.info_hash() {
                    out.extend_from_slice(b",\"info_hash\":");
                    out.extend_from_slice(info_hash.as_bytes());
                }
            }
        }
        out.extend_from_slice(b",\"failure reason\":");
        write_string(out, self.reason);
        out.push(b'}');
    }
}

/// Appends `name`, which is already JSON, and a number.
#[inline]
fn write_field(out: &mut Vec<u8>, name: &[u8], number: u32) {
    out.extend_from_slice(name);
    write_number(out, number);
}

#[cfg(test)]
mod tests;
