//! What `doctor` announces, and needs to know of the settings.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use aquatic_doctor::{
    Answer, Connection, Event, Particulars, Patient, Peer, Refusals, Scheme, Target, Trouble,
};
use aquatic_stream::doctor::is_about_address_header;
use aquatic_tracker::RejectReason;

use crate::HttpDaemon;
use crate::settings::Settings;

/// Maximum length of a reply.
const MAX_REPLY: usize = 1 << 20;

/// The part of a reply that is quoted if it is not understood.
const MAX_QUOTED: usize = 60;

/// How this tracker refuses announces.
const REFUSALS: Refusals = Refusals {
    forbidden: RejectReason::Forbidden.text(),
    needs_key: RejectReason::MissingKey.text(),
    rate_limit: RejectReason::RateLimit.text(),
};

impl Patient for HttpDaemon {
    const SCHEMES: &'static [Scheme] = &[Scheme::Http, Scheme::Https];

    fn particulars(settings: &Settings) -> Particulars {
        let particulars = aquatic_stream::doctor::particulars(&settings.connections);
        Particulars {
            tls: settings.tls.clone().map(|it| [it.certificate, it.key]),
            has_keys: settings.config.keys.file().is_some(),
            requests_at_once: settings.config.rates.at_once_from_here(),
            ..particulars
        }
    }

    fn announce(target: &Target) -> Result<Answer, Trouble> {
        aquatic_doctor::announce_both(target, REFUSALS, |peer, event| {
            announce(target, peer, event)
        })
    }
}

/// The peers of a reply, or the reason of a failure.
type Reply = Result<Vec<SocketAddr>, String>;

/// Announces over a connection of its own.
fn announce(target: &Target, peer: Peer, event: Event) -> Result<Reply, Trouble> {
    let event = match event {
        Event::Started => "started",
        Event::Stopped => "stopped",
    };
    let url = &target.url;
    let separator = if url.path.contains('?') { '&' } else { '?' };
    let request = format!(
        "GET {}{separator}info_hash={}&peer_id={}&port={}&uploaded=0&downloaded=0&left=1&compact=1\
         &event={event} HTTP/1.1\r\nHost: {}\r\nUser-Agent: aquatic-doctor\r\n\
         Connection: close\r\n\r\n",
        url.path,
        escaped(&target.info_hash),
        escaped(&peer.id),
        peer.port,
        url.authority(),
    );
    let mut connection = Connection::open(target)?;
    connection.send(request.as_bytes())?;
    let mut bytes = Vec::new();
    connection.read_until(&mut bytes, MAX_REPLY, |_| false)?;
    match parse(&bytes)? {
        Err(reason) if is_about_address_header(&reason) => {
            let reason = format!("it refused an announce: {reason}");
            Err(Trouble::ProxyHeader(reason))
        }
        reply => Ok(reply),
    }
}

/// Every byte as `%xx`.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

/// Parses the reply over HTTP.
fn parse(bytes: &[u8]) -> Result<Reply, String> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
    let end = end.ok_or_else(|| {
        if bytes.is_empty() {
            "it closed the connection without an answer".to_owned()
        } else {
            "the answer is not HTTP".to_owned()
        }
    })?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = &bytes[end + 4..];
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    let is_chunked = head
        .to_ascii_lowercase()
        .contains("\r\ntransfer-encoding: chunked");
    let joined = is_chunked.then(|| joined(body));
    let body = joined.as_deref().unwrap_or(body);
    if let Some(reason) = string_of(body, "failure reason") {
        return Ok(Err(String::from_utf8_lossy(reason).into_owned()));
    }
    let ipv4 = string_of(body, "peers");
    let ipv6 = string_of(body, "peers6");
    if body.first() != Some(&b'd') || (ipv4.is_none() && ipv6.is_none()) {
        let text = String::from_utf8_lossy(body).into_owned();
        let text: String = text.trim().chars().take(MAX_QUOTED).collect();
        return Err(format!(
            "the answer is not one of a tracker: status {status}, {text:?}"
        ));
    }
    let (ipv4, _) = ipv4.unwrap_or_default().as_chunks::<6>();
    let (ipv6, _) = ipv6.unwrap_or_default().as_chunks::<18>();
    let ipv4 = ipv4.iter().map(|peer| {
        let address = Ipv4Addr::new(peer[0], peer[1], peer[2], peer[3]);
        SocketAddr::new(address.into(), u16::from_be_bytes([peer[4], peer[5]]))
    });
    let ipv6 = ipv6.iter().map(|peer| {
        let mut address = [0; 16];
        address.copy_from_slice(&peer[..16]);
        let port = u16::from_be_bytes([peer[16], peer[17]]);
        SocketAddr::new(Ipv6Addr::from(address).into(), port)
    });
    Ok(Ok(ipv4.chain(ipv6).collect()))
}

/// The content of chunks (RFC 9112, 7.1), up to the first that is damaged.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    while let Some(end) = body.windows(2).position(|it| it == b"\r\n") {
        let line = String::from_utf8_lossy(&body[..end]);
        let size = line.split(';').next().unwrap_or_default().trim();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else {
            break;
        };
        let Some(chunk) = body.get(end + 2..).and_then(|rest| rest.get(..size)) else {
            break;
        };
        joined.extend_from_slice(chunk);
        body = body.get(end + 2 + size + 2..).unwrap_or_default();
    }
    joined
}

/// The string of a key in the dictionary of a tracker. What it contains otherwise is
/// numbers and strings, so the key is searched for as it is written.
fn string_of<'a>(body: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let key = format!("{}:{key}", key.len()).into_bytes();
    let begin = body.windows(key.len()).position(|it| it == key)? + key.len();
    let value = &body[begin..];
    let colon = value.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&value[..colon]).ok()?.parse().ok()?;
    value[colon + 1..].get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(head: &str, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), body].concat()
    }

    #[test]
    fn replies_are_parsed() {
        let body = b"d8:completei0e10:incompletei2e8:intervali1800e5:peers6:\x7f\0\0\x01\x0b\xb8e";
        let expected = Ok(vec!["127.0.0.1:3000".parse().unwrap()]);
        assert_eq!(parse(&reply("", body)).unwrap(), expected);
        let middle = body.len() / 2;
        let mut chunked = format!("{middle:x}\r\n").into_bytes();
        chunked.extend_from_slice(&body[..middle]);
        chunked.extend_from_slice(format!("\r\n{:X};a=b\r\n", body.len() - middle).as_bytes());
        chunked.extend_from_slice(&body[middle..]);
        chunked.extend_from_slice(b"\r\n0\r\n\r\n");
        let chunked = reply("Transfer-Encoding: chunked\r\n", &chunked);
        assert_eq!(parse(&chunked).unwrap(), expected);
        let ipv6 = b"d6:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x0b\xb8e";
        let expected = Ok(vec!["[::1]:3000".parse().unwrap()]);
        assert_eq!(parse(&reply("", ipv6)).unwrap(), expected);
        let failure = reply("", b"d14:failure reason2:noe");
        assert_eq!(parse(&failure).unwrap(), Err("no".to_owned()));
    }

    #[test]
    fn answers_of_others_are_quoted() {
        let text = parse(&reply("", b"<html>It works!</html>")).unwrap_err();
        assert!(text.contains("status 200, \"<html>It works"), "{text}");
        assert!(parse(b"").unwrap_err().contains("without an answer"));
        assert!(parse(b"SSH-2.0-x\r\n").unwrap_err().contains("not HTTP"));
        for damaged in [&b"d5:peers99:"[..], b"d5:peers", b"d5:peersx:"] {
            assert!(parse(&reply("", damaged)).is_err());
        }
    }
}
