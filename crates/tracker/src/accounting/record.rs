//! Announces that are accounted, and their form as JSON.

use std::net::IpAddr;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_policy::keys::MAX_LABEL_BYTES;

/// The version of the format, which is increased when a field changes its meaning.
const VERSION: u32 = 1;

/// More than the length of a line: the longest label, in which each byte may be escaped, and
/// some 540 bytes for everything else.
pub(super) const MAX_LINE_BYTES: usize = 2 * MAX_LABEL_BYTES + 576;

/// A served announce of a client with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When it was served, in seconds since 1970.
    pub epoch_seconds: u32,
    /// The label of the key.
    pub label: LabelText,
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer.
    pub peer_id: PeerId,
    /// What the client claims to have transferred.
    pub traffic: Traffic,
    /// The event of the announce.
    pub event: AnnounceEvent,
    /// The address from which it came.
    pub source: IpAddr,
    /// The port at which the peer can be reached; `None` if it has none (WebTorrent).
    pub port: Option<u16>,
}

/// Numbers of bytes, as the client claims; `None` if it did not send a valid number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Uploaded since it has announced `started`.
    pub uploaded: Option<u64>,
    /// Downloaded since it has announced `started`.
    pub downloaded: Option<u64>,
    /// Not downloaded yet.
    pub left: Option<u64>,
}

/// Distinguishes a record from all others, where one could be written twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    /// Identifies the run of the process.
    pub(super) run: u64,
    /// The number of the record in that run, from 1 on.
    pub(super) sequence: u64,
}

/// A label, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LabelText {
    bytes: [u8; MAX_LABEL_BYTES],
    length: u8,
}

impl LabelText {
    /// Copies a label.
    #[inline]
    pub fn new(label: &str) -> Self {
        let mut bytes = [0; MAX_LABEL_BYTES];
        // Longer ones are no labels.
        let length = label.len().min(MAX_LABEL_BYTES);
        bytes[..length].copy_from_slice(&label.as_bytes()[..length]);
        Self {
            bytes,
            length: length as u8,
        }
    }

    /// The text; empty without a label.
    pub fn as_str(&self) -> &str {
        // Only whole labels are copied.
        str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for LabelText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Record {
    /// Appends the line.
    pub(super) fn write(&self, number: Option<Number>, out: &mut Vec<u8>) {
        let Self {
            epoch_seconds,
            label,
            info_hash,
            peer_id,
            traffic,
            event,
            source,
            port,
        } = self;
        let text = format!("{{\"version\":{VERSION},\"time\":{epoch_seconds},\"key_label\":");
        out.extend_from_slice(text.as_bytes());
        write_label(out, label.as_str());
        out.extend_from_slice(b",\"info_hash\":");
        write_hex(out, &info_hash.0);
        out.extend_from_slice(b",\"peer_id\":");
        write_hex(out, &peer_id.0);
        out.extend_from_slice(b",\"event\":");
        out.extend_from_slice(match event {
            AnnounceEvent::None => b"null",
            AnnounceEvent::Started => b"\"started\"",
            AnnounceEvent::Stopped => b"\"stopped\"",
            AnnounceEvent::Completed => b"\"completed\"",
            AnnounceEvent::Paused => b"\"paused\"",
        });
        for (name, number) in [
            ("uploaded", traffic.uploaded),
            ("downloaded", traffic.downloaded),
            ("left", traffic.left),
            ("port", port.map(u64::from)),
        ] {
            let text = match number {
                Some(number) => format!(",\"{name}\":{number}"),
                None => format!(",\"{name}\":null"),
            };
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(format!(",\"address\":\"{source}\"").as_bytes());
        if let Some(Number { run, sequence }) = number {
            let text = format!(",\"run\":\"{run:016x}\",\"sequence\":{sequence}");
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Labels have no control characters, so nothing else has to be escaped.
fn write_label(out: &mut Vec<u8>, label: &str) {
    if label.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'"');
    for byte in label.bytes() {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const LONGEST: Number = Number {
        run: u64::MAX,
        sequence: u64::MAX,
    };

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        record.write(Some(LONGEST), &mut out);
        let longest = out.len();
        assert!(longest <= MAX_LINE_BYTES, "{longest}");
        out.clear();
        record.write(None, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn record() -> Record {
        Record {
            epoch_seconds: 1_801_353_600,
            label: LabelText::new("alice"),
            info_hash: InfoHash([0xab; 20]),
            peer_id: PeerId(*b"-XX1234-abcdefghijkl"),
            traffic: Traffic {
                uploaded: Some(1),
                downloaded: Some(u64::MAX),
                left: None,
            },
            event: AnnounceEvent::Completed,
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            port: Some(6881),
        }
    }

    #[test]
    fn a_record_is_a_line_of_json() {
        let expected = format!(
            "{{\"version\":1,\"time\":1801353600,\"key_label\":\"alice\",\"info_hash\":\"{}\",\
             \"peer_id\":\"2d5858313233342d6162636465666768696a6b6c\",\"event\":\"completed\",\
             \"uploaded\":1,\"downloaded\":18446744073709551615,\"left\":null,\"port\":6881,\
             \"address\":\"192.0.2.1\"}}\n",
            "ab".repeat(20)
        );
        assert_eq!(line(&record()), expected);
        let other = Record {
            label: LabelText::new(""),
            event: AnnounceEvent::None,
            source: Ipv6Addr::LOCALHOST.into(),
            port: None,
            ..record()
        };
        let text = line(&other);
        assert!(text.contains("\"key_label\":null,"), "{text}");
        assert!(text.contains("\"event\":null,"), "{text}");
        assert!(
            text.ends_with("\"port\":null,\"address\":\"::1\"}\n"),
            "{text}"
        );
    }

    #[test]
    fn a_number_is_at_the_end() {
        let mut out = Vec::new();
        let number = Number {
            run: 0xab,
            sequence: 7,
        };
        record().write(Some(number), &mut out);
        let text = String::from_utf8(out).unwrap();
        let end = ",\"address\":\"192.0.2.1\",\"run\":\"00000000000000ab\",\"sequence\":7}\n";
        assert!(text.ends_with(end), "{text}");
        let without = line(&record());
        assert_eq!(
            text.strip_suffix(end),
            without.strip_suffix(",\"address\":\"192.0.2.1\"}\n")
        );
    }

    #[test]
    fn the_longest_record_fits() {
        for label in [
            "\\".repeat(64),
            "\"".repeat(64),
            "é".repeat(32),
            "a\\".repeat(32),
        ] {
            let longest = Record {
                epoch_seconds: u32::MAX,
                label: LabelText::new(&label),
                traffic: Traffic {
                    uploaded: Some(u64::MAX),
                    downloaded: Some(u64::MAX),
                    left: Some(u64::MAX),
                },
                source: Ipv6Addr::from([0xffff; 8]).into(),
                port: Some(u16::MAX),
                ..record()
            };
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"");
            let text = line(&longest);
            assert!(text.contains(&format!("\"{escaped}\"")), "{text}");
        }
    }
}
