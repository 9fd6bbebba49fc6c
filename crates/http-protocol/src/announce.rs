//! Announce requests.

use std::num::NonZeroU32;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};

use crate::query::{Parameter, Parameters, QueryFault, Short, is_escaped_name, unescape_20};

/// Adds a peer and requests others (BEP 3, "trackers").
///
/// Other parameters are ignored. So is `ip`, because it would allow to announce somebody
/// else's address, and `no_peer_id`, because peer ids are never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The id of the peer.
    pub peer_id: PeerId,
    /// The port of the peer. It may be 0, which the caller has to reject. Vuze and related
    /// clients announce 0, and their port as `cryptoport`, if they only accept encrypted
    /// connections.
    pub port: u16,
    /// Number of bytes that the peer has not downloaded; 0 makes it a seeder. `None` if the
    /// parameter is missing or not a number of bytes, such as -1 while it is unknown.
    pub left: Option<u64>,
    /// The event of the announce.
    pub event: AnnounceEvent,
    /// Maximum number of peers to send; `None` for the tracker's default.
    pub peers_wanted: Option<NonZeroU32>,
    /// Whether peers may be sent as bytes (BEP 23); true unless the client requests a list.
    pub is_compact: bool,
}

/// What a client says of its transfers, which only trackers with accounting need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transferred {
    /// Bytes uploaded since it has announced `started`; `None` if the parameter is missing or
    /// not a number of bytes.
    pub uploaded: Option<u64>,
    /// Bytes downloaded since then.
    pub downloaded: Option<u64>,
}

impl Transferred {
    /// Parses these parameters of the query of an announce. If one occurs several times, the
    /// last one is used.
    #[must_use]
    pub fn parse(query: &[u8]) -> Self {
        let mut transferred = Self::default();
        for Parameter { name, value } in Parameters::of(query) {
            match name {
                b"uploaded" => transferred.uploaded = number(value),
                b"downloaded" => transferred.downloaded = number(value),
                name if !name.contains(&b'%') => {}
                name if is_escaped_name(name, b"uploaded") => {
                    transferred.uploaded = number(value);
                }
                name if is_escaped_name(name, b"downloaded") => {
                    transferred.downloaded = number(value);
                }
                _ => {}
            }
        }
        transferred
    }
}

/// The parameters that are used, with their values as in the query.
#[derive(Default)]
struct Raw<'a> {
    info_hash: &'a [u8],
    peer_id: &'a [u8],
    port: Option<&'a [u8]>,
    crypto_port: &'a [u8],
    left: &'a [u8],
    event: &'a [u8],
    numwant: &'a [u8],
    compact: &'a [u8],
}

impl AnnounceRequest {
    /// Parses the query of a URL. If a parameter occurs several times, the last one is
    /// used.
    ///
    /// # Errors
    ///
    /// If an info hash, peer id or port is missing or invalid.
    #[inline]
    pub fn parse(query: &[u8]) -> Result<Self, QueryFault> {
        let raw = Raw::collect(query);
        let info_hash = unescape_20("info_hash", raw.info_hash)?;
        let peer_id = unescape_20("peer_id", raw.peer_id)?;
        let port = raw.port.ok_or(QueryFault::Missing("port"))?;
        let mut port = number_16(port);
        if port == Some(0) && !raw.crypto_port.is_empty() {
            port = number_16(raw.crypto_port);
        }
        Ok(Self {
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
            port: port.ok_or(QueryFault::Port)?,
            left: number(raw.left),
            event: event(raw.event),
            peers_wanted: number(raw.numwant)
                .and_then(|wanted| NonZeroU32::new(u32::try_from(wanted).unwrap_or(u32::MAX))),
            is_compact: number(raw.compact) != Some(0),
        })
    }

    /// Whether nothing is left to download.
    #[inline]
    #[must_use]
    pub fn is_seeder(&self) -> bool {
        self.left == Some(0)
    }
}

impl<'a> Raw<'a> {
    #[inline]
    fn collect(query: &'a [u8]) -> Self {
        let mut raw = Self::default();
        for parameter in Parameters::of(query) {
            raw.set(parameter.name, parameter.value);
        }
        raw
    }

    #[inline]
    fn set(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b"info_hash" => self.info_hash = value,
            b"peer_id" => self.peer_id = value,
            b"port" => self.port = Some(value),
            b"cryptoport" => self.crypto_port = value,
            b"left" => self.left = value,
            b"event" => self.event = value,
            b"numwant" => self.numwant = value,
            b"compact" => self.compact = value,
            name if name.contains(&b'%') => self.set_escaped(name, value),
            _ => {}
        }
    }

    #[cold]
    fn set_escaped(&mut self, name: &[u8], value: &'a [u8]) {
        let names: [&[u8]; 8] = [
            b"info_hash",
            b"peer_id",
            b"port",
            b"cryptoport",
            b"left",
            b"event",
            b"numwant",
            b"compact",
        ];
        if let Some(plain) = names.iter().find(|plain| is_escaped_name(name, plain)) {
            self.set(plain, value);
        }
    }
}

#[inline]
fn number(value: &[u8]) -> Option<u64> {
    Short::unescape(value)?.number()
}

#[inline]
fn number_16(value: &[u8]) -> Option<u16> {
    u16::try_from(number(value)?).ok()
}

/// BEP 3, `event`: "If not present, this is one of the announcements done at regular
/// intervals". Empty and unknown events mean the same.
#[inline]
fn event(value: &[u8]) -> AnnounceEvent {
    let short = Short::unescape(value);
    match short.as_ref().map_or(&[][..], Short::as_bytes) {
        b"started" => AnnounceEvent::Started,
        b"stopped" => AnnounceEvent::Stopped,
        b"completed" => AnnounceEvent::Completed,
        b"paused" => AnnounceEvent::Paused,
        _ => AnnounceEvent::None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::write_escaped;

    const NEEDED: &str = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX1234-abcdefghijkl&port=6881";

    fn with(more: &str) -> AnnounceRequest {
        AnnounceRequest::parse(format!("{NEEDED}&{more}").as_bytes()).unwrap()
    }

    fn fault(query: &str) -> String {
        AnnounceRequest::parse(query.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn only_three_parameters_are_needed() {
        let expected = AnnounceRequest {
            info_hash: InfoHash([b'a'; 20]),
            peer_id: PeerId(*b"-XX1234-abcdefghijkl"),
            port: 6881,
            left: None,
            event: AnnounceEvent::None,
            peers_wanted: None,
            is_compact: true,
        };
        assert_eq!(with(""), expected);
        assert!(!expected.is_seeder());
        assert_eq!(
            with("foo=bar&&left&=&ip=10.0.0.1&no_peer_id=1&event=&numwant=&compact"),
            expected
        );
    }

    #[test]
    fn reads_what_clients_send() {
        // As sent by libtorrent, Transmission and aria2.
        let libtorrent = "info_hash=%d8%cf%86%18q7%b9%9a%c1b%3ct%b6%88%97%eci%f1%a9%a6\
            &peer_id=-LT20B0-g6hcnX!dvwY5&port=6881&uploaded=0&downloaded=0&left=16384&corrupt=0\
            &key=6DE2B1E3&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1\
            &redundant=0";
        let announce = AnnounceRequest::parse(libtorrent.as_bytes()).unwrap();
        assert_eq!(
            announce.info_hash.to_string(),
            "d8cf86187137b99ac1623c74b68897ec69f1a9a6"
        );
        assert_eq!(announce.peer_id, PeerId(*b"-LT20B0-g6hcnX!dvwY5"));
        assert_eq!(announce.left, Some(16_384));
        assert_eq!(announce.event, AnnounceEvent::Started);
        assert_eq!(announce.peers_wanted, NonZeroU32::new(200));

        let transmission = "info_hash=%D8%CF%86%18q7%B9%9A%C1b%3Ct%B6%88%97%ECi%F1%A9%A6\
            &peer_id=-TR4060-abcdefghijkl&port=51413&uploaded=0&downloaded=0&left=0&numwant=0\
            &key=5E5D7DB0&compact=1&supportcrypto=1&requirecrypto=1&corrupt=0&event=stopped";
        let announce = AnnounceRequest::parse(transmission.as_bytes()).unwrap();
        assert!(announce.is_seeder());
        assert_eq!(announce.event, AnnounceEvent::Stopped);
        assert_eq!(announce.peers_wanted, None);
    }

    #[test]
    fn events() {
        for (text, event) in [
            ("started", AnnounceEvent::Started),
            ("stopped", AnnounceEvent::Stopped),
            ("completed", AnnounceEvent::Completed),
            ("paused", AnnounceEvent::Paused),
            ("%73tarted", AnnounceEvent::Started),
            ("", AnnounceEvent::None),
            ("empty", AnnounceEvent::None),
            (
                "an event that nobody has ever heard of",
                AnnounceEvent::None,
            ),
        ] {
            assert_eq!(with(&format!("event={text}")).event, event, "{text}");
        }
    }

    #[test]
    fn numwant_and_compact() {
        let wanted = |text: &str| with(&format!("numwant={text}")).peers_wanted;
        assert_eq!(wanted("1"), NonZeroU32::new(1));
        assert_eq!(wanted("0"), None);
        assert_eq!(wanted("-1"), None);
        assert_eq!(wanted("many"), None);
        assert_eq!(wanted("99999999999999"), Some(NonZeroU32::MAX));
        assert!(!with("compact=0").is_compact);
        assert!(with("compact=1").is_compact);
        assert!(with("compact=yes").is_compact);
    }

    #[test]
    fn left() {
        for (text, left) in [
            ("0", Some(0)),
            ("00", Some(0)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-1", None),
            ("none", None),
        ] {
            assert_eq!(with(&format!("left={text}")).left, left, "{text}");
        }
    }

    #[test]
    fn transfers() {
        let parse = |query: &str| {
            let Transferred {
                uploaded,
                downloaded,
            } = Transferred::parse(query.as_bytes());
            (uploaded, downloaded)
        };
        assert_eq!(parse("uploaded=1&x=2&downloaded=3"), (Some(1), Some(3)));
        assert_eq!(
            parse("upload%65d=%31&downloaded=18446744073709551615"),
            (Some(1), Some(u64::MAX))
        );
        assert_eq!(parse("uploaded=1&uploaded=-1&downloaded"), (None, None));
        assert_eq!(parse("%"), (None, None));
    }

    #[test]
    fn says_what_is_missing_or_wrong() {
        assert_eq!(fault(""), "info_hash is missing");
        assert_eq!(fault("info_hash=&port=1"), "info_hash is missing");
        assert_eq!(
            fault("info_hash=aaaaaaaaaaaaaaaaaaaa&port=1"),
            "peer_id is missing"
        );
        let hash_and_id = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=aaaaaaaaaaaaaaaaaaaa";
        assert_eq!(fault(hash_and_id), "port is missing");
        for port in ["", "65536", "-1", "http", "6881.0"] {
            assert_eq!(
                fault(&format!("{hash_and_id}&port={port}")),
                "port is not a number from 1 to 65535",
                "{port}"
            );
        }
        assert_eq!(
            fault("peer_id=short&info_hash=aaaaaaaaaaaaaaaaaaaa&port=1"),
            "peer_id has 5 bytes instead of 20"
        );
    }

    #[test]
    fn the_port_of_who_requires_encryption() {
        let announce = |ports: &str| {
            let query = NEEDED.replace("port=6881", ports);
            AnnounceRequest::parse(query.as_bytes()).map(|announce| announce.port)
        };
        // As sent by Vuze.
        let vuze = "requirecrypto=1&port=0&cryptoport=51413&azudp=51413";
        assert_eq!(announce(vuze), Ok(51413));
        assert_eq!(announce("crypto%70ort=51413&port=0"), Ok(51413));
        assert_eq!(announce("port=6881&cryptoport=51413"), Ok(6881));
        assert_eq!(announce("port=0&cryptoport="), Ok(0));
        assert_eq!(announce("port=0&cryptoport=0"), Ok(0));
        for port in ["65536", "-1", "x"] {
            let fault = announce(&format!("port=0&cryptoport={port}"));
            assert_eq!(fault, Err(QueryFault::Port), "{port}");
        }
        assert_eq!(
            announce("cryptoport=51413"),
            Err(QueryFault::Missing("port"))
        );
    }

    #[test]
    fn names_may_be_escaped_and_the_last_one_counts() {
        assert_eq!(with("p%6Frt=1").port, 1);
        assert_eq!(with("port=1&port=2").port, 2);
        assert_eq!(with("PORT=1").port, 6881);
    }

    proptest! {
        #[test]
        fn any_bytes_end(query: Vec<u8>) {
            let _ = AnnounceRequest::parse(&query);
        }

        #[test]
        fn any_announce_in_any_order(
            info_hash: [u8; 20],
            peer_id: [u8; 20],
            port: u16,
            left: Option<u64>,
            parameters in Just(vec![0, 1, 2, 3, 4]).prop_shuffle(),
        ) {
            let mut query = Vec::new();
            for parameter in parameters {
                match parameter {
                    0 => {
                        query.extend(b"info_hash=");
                        write_escaped(&mut query, &info_hash);
                    }
                    1 => {
                        query.extend(b"peer_id=");
                        write_escaped(&mut query, &peer_id);
                    }
                    2 => query.extend(format!("port={port}").into_bytes()),
                    3 => query.extend(left.map_or_else(String::new, |left| format!("left={left}")).into_bytes()),
                    _ => query.extend(b"x=1&y"),
                }
                query.push(b'&');
            }
            let announce = AnnounceRequest::parse(&query).unwrap();
            prop_assert_eq!(announce.info_hash.0, info_hash);
            prop_assert_eq!(announce.peer_id.0, peer_id);
            prop_assert_eq!(announce.port, port);
            prop_assert_eq!(announce.left, left);
        }
    }
}
