//! Requests as sent by real clients.
//!
//! Clients differ in which bytes they escape and how, in the order of parameters, and in
//! headers; trackers have to accept all of them.

use std::io::Write;
use std::num::NonZero;

use aquatic_bittorrent::{AnnounceEvent, InfoHash};

use super::config::ClientStyle;
use crate::population::Peer;

/// How a client formats requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    escapes: Escapes,
    /// The parameters of an announce, in order.
    parameters: &'static [Parameter],
    /// Header lines after `Host`.
    headers: &'static str,
}

/// The content of an announce.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announce {
    pub(crate) peer: Peer,
    /// Constant for a peer.
    pub(crate) key: u32,
    pub(crate) event: AnnounceEvent,
    pub(crate) peers_wanted: Option<NonZero<u32>>,
}

/// The parts that all requests have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) host: &'a str,
    pub(crate) keep_alive: bool,
}

impl Style {
    /// Appends an announce request.
    pub(crate) fn write_announce(
        &self,
        announce: &Announce,
        envelope: Envelope<'_>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"GET /announce");
        let mut separator = b'?';
        for parameter in self.parameters {
            let start = out.len();
            out.push(separator);
            if self.write_parameter(*parameter, announce, out) {
                separator = b'&';
            } else {
                out.truncate(start);
            }
        }
        self.write_head(envelope, out);
    }

    /// Appends a scrape request.
    pub(crate) fn write_scrape(
        &self,
        info_hashes: impl Iterator<Item = InfoHash>,
        envelope: Envelope<'_>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"GET /scrape");
        let mut separator = b'?';
        for info_hash in info_hashes {
            out.push(separator);
            out.extend_from_slice(b"info_hash=");
            self.escapes.write(&info_hash.0, out);
            separator = b'&';
        }
        self.write_head(envelope, out);
    }

    fn write_head(&self, envelope: Envelope<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(envelope.host.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.headers.as_bytes());
        if !envelope.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes a parameter; returns false if it has no value.
    fn write_parameter(
        &self,
        parameter: Parameter,
        announce: &Announce,
        out: &mut Vec<u8>,
    ) -> bool {
        let peer = &announce.peer;
        // Writing to memory cannot fail.
        match parameter {
            Parameter::InfoHash => {
                out.extend_from_slice(b"info_hash=");
                self.escapes.write(&peer.info_hash.0, out);
            }
            Parameter::PeerId => {
                out.extend_from_slice(b"peer_id=");
                self.escapes.write(&peer.peer_id.0, out);
            }
            Parameter::Port => {
                write!(out, "port={}", peer.port).ok();
            }
            Parameter::Left => {
                let left = if peer.seeder { 0 } else { LEECHER_LEFT_BYTES };
                write!(out, "left={left}").ok();
            }
            Parameter::Key => {
                write!(out, "key={:08X}", announce.key).ok();
            }
            Parameter::PeersWanted => match announce.peers_wanted {
                Some(number) => {
                    write!(out, "numwant={number}").ok();
                }
                None => return false,
            },
            Parameter::Event => {
                let name: &[u8] = match announce.event {
                    AnnounceEvent::Started => b"event=started",
                    AnnounceEvent::Completed => b"event=completed",
                    AnnounceEvent::Stopped => b"event=stopped",
                    _ => return false,
                };
                out.extend_from_slice(name);
            }
            Parameter::Fixed(text) => out.extend_from_slice(text.as_bytes()),
        }
        true
    }
}

/// The styles of requests, which are used in rotation.
pub(crate) fn styles(style: ClientStyle) -> &'static [Style] {
    let (first, last) = match style {
        ClientStyle::Libtorrent => (0, 1),
        ClientStyle::Transmission => (1, 2),
        ClientStyle::Rtorrent => (2, 3),
        ClientStyle::Aria2 => (3, 4),
        ClientStyle::Webtorrent => (4, 5),
        ClientStyle::Mixed => (0, 5),
    };
    &STYLES[first..last]
}

/// The number of bytes left of leechers. Trackers only check whether it is 0.
const LEECHER_LEFT_BYTES: u32 = 1 << 20;

#[derive(Debug, Clone, Copy)]
enum Parameter {
    InfoHash,
    PeerId,
    Port,
    Left,
    Key,
    PeersWanted,
    Event,
    Fixed(&'static str),
}

/// Percent-encoding of a client.
#[derive(Debug, Clone, Copy)]
struct Escapes {
    digits: &'static [u8; 16],
    /// Unescaped characters besides letters and digits.
    kept: &'static [u8],
}

impl Escapes {
    fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if byte.is_ascii_alphanumeric() || self.kept.contains(&byte) {
                out.push(byte);
            } else {
                let digit = |number: u8| self.digits[usize::from(number)];
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

const STYLES: [Style; 5] = {
    use Parameter::{Event, Fixed, InfoHash, Key, Left, PeerId, PeersWanted, Port};
    const NOTHING_TRANSFERRED: Parameter = Fixed("uploaded=0&downloaded=0");
    [
        // libtorrent
        Style {
            escapes: Escapes {
                digits: LOWER,
                kept: b"-_.!~*()",
            },
            parameters: &[
                InfoHash,
                PeerId,
                Port,
                NOTHING_TRANSFERRED,
                Left,
                Fixed("corrupt=0"),
                Key,
                Event,
                PeersWanted,
                Fixed("compact=1&no_peer_id=1&supportcrypto=1&redundant=0"),
            ],
            headers: "User-Agent: qBittorrent/5.0.4\r\nAccept-Encoding: gzip\r\n",
        },
        // Transmission
        Style {
            escapes: Escapes {
                digits: UPPER,
                kept: b"-._~",
            },
            parameters: &[
                InfoHash,
                PeerId,
                Port,
                NOTHING_TRANSFERRED,
                Left,
                PeersWanted,
                Key,
                Fixed("compact=1&supportcrypto=1"),
                Event,
            ],
            headers: "User-Agent: Transmission/4.0.6\r\nAccept: */*\r\n\
                      Accept-Encoding: deflate, gzip\r\n",
        },
        // rTorrent
        Style {
            escapes: Escapes {
                digits: UPPER,
                kept: b"-",
            },
            parameters: &[
                InfoHash,
                PeerId,
                Key,
                Fixed("compact=1"),
                PeersWanted,
                Port,
                NOTHING_TRANSFERRED,
                Left,
                Event,
            ],
            headers: "User-Agent: rtorrent/0.9.8/0.13.8\r\nAccept: */*\r\n\
                      Accept-Encoding: deflate, gzip\r\n",
        },
        // aria2
        Style {
            escapes: Escapes {
                digits: UPPER,
                kept: b"-._~",
            },
            parameters: &[
                InfoHash,
                PeerId,
                NOTHING_TRANSFERRED,
                Left,
                Fixed("compact=1"),
                Key,
                PeersWanted,
                Fixed("no_peer_id=1"),
                Port,
                Event,
                Fixed("supportcrypto=1"),
            ],
            headers: "User-Agent: aria2/1.37.0\r\nAccept: */*\r\nPragma: no-cache\r\n\
                      Cache-Control: no-cache\r\n",
        },
        // bittorrent-tracker
        Style {
            escapes: Escapes {
                digits: UPPER,
                kept: b"@*_+-./",
            },
            parameters: &[
                PeersWanted,
                NOTHING_TRANSFERRED,
                Left,
                Event,
                Fixed("compact=1"),
                PeerId,
                Port,
                InfoHash,
            ],
            headers: "User-Agent: WebTorrent/2\r\nAccept-Encoding: gzip, deflate\r\n",
        },
    ]
};

#[cfg(test)]
mod tests {
    use aquatic_bittorrent::PeerId;

    use super::*;

    fn announce() -> Announce {
        Announce {
            peer: Peer {
                info_hash: InfoHash(*b"\x00\xab-._~!*()@+/%&=? z9"),
                peer_id: PeerId(*b"-AQ1000-abcdefghijk\n"),
                port: 6881,
                seeder: true,
            },
            key: 0xbeef,
            event: AnnounceEvent::Started,
            peers_wanted: NonZero::new(30),
        }
    }

    fn written(style: ClientStyle, announce: &Announce, keep_alive: bool) -> String {
        let envelope = Envelope {
            host: "tracker:3000",
            keep_alive,
        };
        let mut out = Vec::new();
        styles(style)[0].write_announce(announce, envelope, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn libtorrent() {
        assert_eq!(
            written(ClientStyle::Libtorrent, &announce(), false),
            "GET /announce?info_hash=%00%ab-._~!*()%40%2b%2f%25%26%3d%3f%20z9\
             &peer_id=-AQ1000-abcdefghijk%0a&port=6881&uploaded=0&downloaded=0&left=0\
             &corrupt=0&key=0000BEEF&event=started&numwant=30&compact=1&no_peer_id=1\
             &supportcrypto=1&redundant=0 HTTP/1.1\r\nHost: tracker:3000\r\n\
             User-Agent: qBittorrent/5.0.4\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn styles_escape_in_their_own_ways() {
        let hash = |style| {
            let text = written(style, &announce(), true);
            let (_, rest) = text.split_once("info_hash=").unwrap();
            rest[..rest.find(['&', ' ']).unwrap()].to_owned()
        };
        assert_eq!(
            hash(ClientStyle::Transmission),
            "%00%AB-._~%21%2A%28%29%40%2B%2F%25%26%3D%3F%20z9"
        );
        assert_eq!(
            hash(ClientStyle::Rtorrent),
            "%00%AB-%2E%5F%7E%21%2A%28%29%40%2B%2F%25%26%3D%3F%20z9"
        );
        assert_eq!(
            hash(ClientStyle::Webtorrent),
            "%00%AB-._%7E%21*%28%29@+/%25%26%3D%3F%20z9"
        );
    }

    #[test]
    fn absent_values_are_not_sent() {
        let announce = Announce {
            event: AnnounceEvent::None,
            peers_wanted: None,
            ..announce()
        };
        for style in [
            ClientStyle::Libtorrent,
            ClientStyle::Transmission,
            ClientStyle::Rtorrent,
            ClientStyle::Aria2,
            ClientStyle::Webtorrent,
        ] {
            let text = written(style, &announce, true);
            let line = text.lines().next().unwrap();
            assert!(
                !line.contains("event") && !line.contains("numwant"),
                "{line}"
            );
            assert!(!line.contains("&&") && !line.contains("?&"), "{line}");
            assert!(text.ends_with("\r\n\r\n") && !text.contains("Connection"));
            for needed in ["info_hash=", "&left=0", "port=6881", "peer_id="] {
                assert!(line.contains(needed), "{line}");
            }
        }
    }

    #[test]
    fn scrapes_name_every_torrent() {
        let mut out = Vec::new();
        let envelope = Envelope {
            host: "h",
            keep_alive: true,
        };
        let hashes = [InfoHash([b'a'; 20]), InfoHash([0xff; 20])];
        styles(ClientStyle::Mixed)[0].write_scrape(hashes.into_iter(), envelope, &mut out);
        let text = String::from_utf8(out).unwrap();
        let line = text.lines().next().unwrap();
        let (a, ff) = ("a".repeat(20), "%ff".repeat(20));
        assert_eq!(
            line,
            format!("GET /scrape?info_hash={a}&info_hash={ff} HTTP/1.1")
        );
    }
}
