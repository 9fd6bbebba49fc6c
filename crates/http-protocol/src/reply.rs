//! Replies to clients.
//!
//! Each function appends one complete reply, with its exact length, to `out`.

use std::net::IpAddr;

use aquatic_bittorrent::InfoHash;
use aquatic_http1::{Framing, Reply, Status, Streamed};

use crate::bencode::{write_integer, write_text};

mod peers;

pub use peers::Peers;

/// Begins a tracker's reply. Failures also have the status 200, because clients only read
/// their reason then. The content type is the one that clients know.
#[inline]
fn begin(out: &mut Vec<u8>, framing: Framing) -> Reply<'_> {
    Reply::begin(out, framing, Status::Ok, "Content-Type: text/plain\r\n")
}

/// When to retry after a failure (BEP 31, "retry in").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryIn {
    /// After so many minutes.
    Minutes(u32),
    /// Not before a person has changed something.
    Never,
}

/// Appends a failure, whose reason clients show to their users (BEP 3, "failure reason"),
/// and when to retry, if it is known.
pub fn write_failure(out: &mut Vec<u8>, framing: Framing, reason: &str, retry_in: Option<RetryIn>) {
    let mut reply = begin(out, framing);
    let body = reply.body();
    body.extend_from_slice(b"d14:failure reason");
    write_text(body, reason.as_bytes());
    match retry_in {
        Some(RetryIn::Minutes(minutes)) => write_integer(body, b"8:retry in", minutes),
        Some(RetryIn::Never) => body.extend_from_slice(b"8:retry in5:never"),
        None => {}
    }
    body.push(b'e');
    reply.finish();
}

/// A reply to an announce.
#[derive(Debug, Clone, Copy)]
pub struct AnnounceReply<'a> {
    /// Number of peers that have nothing left to download.
    pub seeders: u32,
    /// Number of downloads that were announced as completed.
    pub completed: u32,
    /// Number of peers that are still downloading.
    pub leechers: u32,
    /// Seconds to wait before the next announce.
    pub interval_seconds: u32,
    /// Minimum number of seconds until the next announce.
    pub min_interval_seconds: u32,
    /// The address of the client as seen by the tracker (BEP 24).
    pub external_ip: IpAddr,
    /// Other peers.
    pub peers: Peers<'a>,
    /// Whether they are sent as bytes (BEP 23) instead of as a list.
    pub is_compact: bool,
}

impl AnnounceReply<'_> {
    /// Appends the reply.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, framing: Framing) {
        let mut reply = begin(out, framing);
        let body = reply.body();
        // Keys are sorted, as bencode requires.
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

/// A reply to a scrape, to which torrents are appended one by one.
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

    /// Appends a torrent. Torrents must be unique and sorted by info hash, as bencode
    /// requires.
    #[inline]
    pub fn append(&mut self, info_hash: &InfoHash, seeders: u32, completed: u32, leechers: u32) {
        write_torrent(self.reply.body(), info_hash, [seeders, completed, leechers]);
    }

    /// Completes the reply.
    pub fn finish(mut self) {
        self.reply.body().extend_from_slice(b"ee");
        self.reply.finish();
    }
}

/// Appends a torrent, with its seeders, downloads and leechers.
#[inline]
fn write_torrent(body: &mut Vec<u8>, info_hash: &InfoHash, counts: [u32; 3]) {
    let [seeders, completed, leechers] = counts;
    body.extend_from_slice(b"20:");
    body.extend_from_slice(&info_hash.0);
    write_integer(body, b"d8:complete", seeders);
    write_integer(body, b"10:downloaded", completed);
    write_integer(body, b"10:incomplete", leechers);
    body.push(b'e');
}

/// A reply to a scrape of all torrents, which is written in parts.
#[derive(Debug, Clone, Copy)]
pub struct FullScrapeWriter {
    streamed: Streamed,
}

impl FullScrapeWriter {
    /// Appends the beginning of a reply.
    pub fn begin(streamed: Streamed, out: &mut Vec<u8>) -> Self {
        streamed.begin(out, Status::Ok, "Content-Type: text/plain\r\n");
        streamed.append(out, |body| body.extend_from_slice(b"d5:filesd"));
        Self { streamed }
    }

    /// How the reply is framed.
    pub fn streamed(&self) -> Streamed {
        self.streamed
    }

    /// Appends torrents, each with its seeders, downloads and leechers. Torrents of all calls
    /// must be unique and sorted by info hash, as bencode requires.
    pub fn append<'a>(
        &self,
        out: &mut Vec<u8>,
        torrents: impl Iterator<Item = (&'a InfoHash, [u32; 3])>,
    ) {
        self.streamed.append(out, |body| {
            for (info_hash, counts) in torrents {
                write_torrent(body, info_hash, counts);
            }
        });
    }

    /// Completes the reply.
    pub fn finish(&self, out: &mut Vec<u8>) {
        self.streamed
            .append(out, |body| body.extend_from_slice(b"ee"));
        self.streamed.finish(out);
    }
}

#[cfg(test)]
mod tests;
