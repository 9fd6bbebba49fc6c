//! What clients are sent.
//!
//! Each function appends one whole reply to `out`, with an exact length and
//! nothing to spare.

use std::net::IpAddr;

use aquatic_bittorrent::InfoHash;
use aquatic_http1::{Framing, Reply, Status};

use crate::bencode::{write_integer, write_text};

mod peers;

pub use peers::Peers;

/// Begins a reply of a tracker, which has this status also when it refuses: clients
/// read the reason then. The type is what they know.
#[inline]
fn begin(out: &mut Vec<u8>, framing: Framing) -> Reply<'_> {
    Reply::begin(out, framing, Status::Ok, "Content-Type: text/plain\r\n")
}

/// Appends a refusal that clients show to their users (BEP 3, "failure reason"),
/// and in how many minutes to ask again (BEP 31, "retry in").
pub fn write_failure(
    out: &mut Vec<u8>,
    framing: Framing,
    reason: &str,
    retry_in_minutes: Option<u32>,
) {
    let mut reply = begin(out, framing);
    let body = reply.body();
    body.extend_from_slice(b"d14:failure reason");
    write_text(body, reason.as_bytes());
    if let Some(minutes) = retry_in_minutes {
        write_integer(body, b"8:retry in", minutes);
    }
    body.push(b'e');
    reply.finish();
}

/// The answer to an announce.
#[derive(Debug, Clone, Copy)]
pub struct AnnounceReply<'a> {
    /// Peers that have nothing left to download.
    pub seeders: u32,
    /// Downloads that were announced as completed.
    pub completed: u32,
    /// Peers that are still downloading.
    pub leechers: u32,
    /// Seconds to wait before the next announce.
    pub interval_seconds: u32,
    /// Seconds to wait at least.
    pub min_interval_seconds: u32,
    /// Where the tracker sees the client (BEP 24).
    pub external_ip: IpAddr,
    /// Other peers.
    pub peers: Peers<'a>,
    /// Whether they are sent as bytes (BEP 23), and not as a list.
    pub is_compact: bool,
}

impl AnnounceReply<'_> {
    /// Appends the reply.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, framing: Framing) {
        let mut reply = begin(out, framing);
        let body = reply.body();
        // Sorted as bencode wants it.
        write_integer(body, b"d8:complete", self.seeders);
        write_integer(body, b"10:downloaded", self.completed);
        match self.external_ip {
            IpAddr::V4(address) => {
                body.extend_from_slice(b"11:external ip4:");
                body.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                body.extend_from_slice(b"11:external ip16:");
                body.extend_from_slice(&address.octets());
            }
        }
        write_integer(body, b"10:incomplete", self.leechers);
        write_integer(body, b"8:interval", self.interval_seconds);
        write_integer(body, b"12:min interval", self.min_interval_seconds);
        self.peers.write(self.is_compact, body);
        body.push(b'e');
        reply.finish();
    }
}

/// The answer to a scrape, which is appended torrent by torrent.
#[derive(Debug)]
pub struct ScrapeReply<'b> {
    reply: Reply<'b>,
}

impl<'b> ScrapeReply<'b> {
    /// Begins a reply without torrents.
    pub fn begin(out: &'b mut Vec<u8>, framing: Framing) -> Self {
        let mut reply = begin(out, framing);
        reply.body().extend_from_slice(b"d5:filesd");
        Self { reply }
    }

    /// Appends a torrent. The caller sees to it that each one is there once,
    /// and that they are sorted, as bencode wants it.
    #[inline]
    pub fn append(&mut self, info_hash: &InfoHash, seeders: u32, completed: u32, leechers: u32) {
        let body = self.reply.body();
        body.extend_from_slice(b"20:");
        body.extend_from_slice(&info_hash.0);
        write_integer(body, b"d8:complete", seeders);
        write_integer(body, b"10:downloaded", completed);
        write_integer(body, b"10:incomplete", leechers);
        body.push(b'e');
    }

    /// Completes the reply.
    pub fn finish(mut self) {
        self.reply.body().extend_from_slice(b"ee");
        self.reply.finish();
    }
}

#[cfg(test)]
mod tests;
