//! What clients are sent.
//!
//! Each function appends one whole reply to `out`, with an exact length and
//! nothing to spare.

use std::net::IpAddr;

use aquatic_bittorrent::InfoHash;

use crate::{Head, HttpFault, Version};

mod peers;
mod writer;

pub use peers::Peers;
use writer::Reply;

/// How a reply is framed: what depends on the request and not on the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Whether the body is left out, because only headers are wanted.
    pub is_head: bool,
    /// Whether the connection will be closed.
    pub closes: bool,
    /// Whether the client has to be told that the connection stays open.
    pub says_keep_alive: bool,
}

impl Framing {
    /// How to answer when nothing is known of the client, and nothing more
    /// wanted.
    pub const CLOSING: Self = Self {
        is_head: false,
        closes: true,
        says_keep_alive: false,
    };

    /// How to answer a request over a connection that stays open if `stays`
    /// and the client lets it.
    #[inline]
    #[must_use]
    pub fn of(head: &Head<'_>, stays: bool) -> Self {
        let closes = !(stays && head.keeps_alive);
        Self {
            is_head: head.is_head,
            closes,
            says_keep_alive: !closes && head.version == Version::Http10,
        }
    }
}

/// How a request was answered, of the codes of RFC 9110.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200: also when a tracker refuses, because clients read the reason then.
    Ok,
    /// 400: no HTTP.
    BadRequest,
    /// 404: no such path.
    NotFound,
    /// 405: neither GET nor HEAD.
    MethodNotAllowed,
    /// 408: the request did not become complete in time.
    RequestTimeout,
    /// 431: headers, or the whole request, beyond the bounds.
    HeadersTooLarge,
    /// 503: the tracker cannot answer now.
    Unavailable,
}

/// Appends a page of plain text.
pub fn write_text(out: &mut Vec<u8>, framing: Framing, status: Status, text: &str) {
    let reply = Reply::begin(out, framing, status);
    reply.out.extend_from_slice(text.as_bytes());
    reply.finish();
}

/// Appends the answer to what is no request. The connection is to be closed.
pub fn write_fault(out: &mut Vec<u8>, fault: HttpFault) {
    let status = match fault {
        HttpFault::NotHttp
        | HttpFault::Tls
        | HttpFault::Header
        | HttpFault::Host
        | HttpFault::Length => Status::BadRequest,
        HttpFault::TooManyHeaders | HttpFault::TooLong => Status::HeadersTooLarge,
    };
    write_text(out, Framing::CLOSING, status, &format!("{fault}\n"));
}

/// When to ask again (BEP 31, "retry in").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryIn {
    /// After so many minutes.
    Minutes(u32),
    /// Not at all.
    Never,
}

/// Appends a refusal that clients show to their users (BEP 3, "failure
/// reason").
pub fn write_failure(out: &mut Vec<u8>, framing: Framing, reason: &str, retry_in: Option<RetryIn>) {
    let mut reply = Reply::begin(out, framing, Status::Ok);
    reply.out.extend_from_slice(b"d14:failure reason");
    reply.text(reason.as_bytes());
    match retry_in {
        None => {}
        Some(RetryIn::Never) => reply.out.extend_from_slice(b"8:retry in5:never"),
        Some(RetryIn::Minutes(minutes)) => reply.integer(b"8:retry in", minutes),
    }
    reply.out.push(b'e');
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
    pub interval: u32,
    /// Seconds to wait at least.
    pub min_interval: u32,
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
        let mut reply = Reply::begin(out, framing, Status::Ok);
        // Sorted as bencode wants it.
        reply.integer(b"d8:complete", self.seeders);
        reply.integer(b"10:downloaded", self.completed);
        match self.external_ip {
            IpAddr::V4(address) => {
                reply.out.extend_from_slice(b"11:external ip4:");
                reply.out.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                reply.out.extend_from_slice(b"11:external ip16:");
                reply.out.extend_from_slice(&address.octets());
            }
        }
        reply.integer(b"10:incomplete", self.leechers);
        reply.integer(b"8:interval", self.interval);
        reply.integer(b"12:min interval", self.min_interval);
        self.peers.write(self.is_compact, &mut reply);
        reply.out.push(b'e');
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
        let reply = Reply::begin(out, framing, Status::Ok);
        reply.out.extend_from_slice(b"d5:filesd");
        Self { reply }
    }

    /// Appends a torrent. The caller sees to it that each one is there once,
    /// and that they are sorted, as bencode wants it.
    #[inline]
    pub fn append(&mut self, info_hash: &InfoHash, seeders: u32, completed: u32, leechers: u32) {
        let Self { reply } = self;
        reply.out.extend_from_slice(b"20:");
        reply.out.extend_from_slice(&info_hash.0);
        reply.integer(b"d8:complete", seeders);
        reply.integer(b"10:downloaded", completed);
        reply.integer(b"10:incomplete", leechers);
        reply.out.push(b'e');
    }

    /// Completes the reply.
    pub fn finish(self) {
        self.reply.out.extend_from_slice(b"ee");
        self.reply.finish();
    }
}

#[cfg(test)]
mod tests;
