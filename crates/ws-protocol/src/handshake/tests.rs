//! Requests and answers, as they stand on the wire.

use super::*;

/// The request of RFC 6455, 1.3, with other headers of a browser.
const REQUEST: &str = "GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: WebSocket\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn resource(request: &str) -> Resource<'_> {
    match Reading::of(request.as_bytes(), None) {
        Reading::Complete { resource, length } => {
            assert_eq!(length, request.len());
            resource
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_the_example_of_the_specification() {
    let Resource::Upgrade(upgrade) = resource(REQUEST) else {
        panic!("no upgrade");
    };
    assert_eq!(upgrade.origin, Some(&b"http://example.com"[..]));
    assert_eq!(upgrade.target, "/chat");
    let mut out = Vec::new();
    write_upgrade(&mut out, upgrade.accept);
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(str::from_utf8(&out), Ok(expected));
}

#[test]
fn pieces_are_waited_for() {
    for end in 0..REQUEST.len() {
        assert_eq!(
            Reading::of(&REQUEST.as_bytes()[..end], None),
            Reading::Incomplete
        );
    }
    let more = format!("{REQUEST}\u{81}");
    let Reading::Complete { length, .. } = Reading::of(more.as_bytes(), None) else {
        panic!("no request");
    };
    assert_eq!(length, REQUEST.len());
}

#[test]
fn upgrades_that_cannot_be() {
    for (from, to, fault) in [
        ("HTTP/1.1", "HTTP/1.0", UpgradeFault::Version10),
        ("keep-alive, Upgrade", "close", UpgradeFault::Connection),
        ("Version: 13", "Version: 8", UpgradeFault::Version),
        ("Version: 13", "Thing: 13", UpgradeFault::Version),
        ("-Key: ", "-Thing: ", UpgradeFault::Key),
        (
            "Origin: ",
            "Content-Length: 5\r\nOrigin: ",
            UpgradeFault::Body,
        ),
        (
            "Origin: ",
            "Content-Length: +0\r\nOrigin: ",
            UpgradeFault::Body,
        ),
        (
            "Origin: ",
            "Content-Length: \r\nOrigin: ",
            UpgradeFault::Body,
        ),
        (
            "Origin: ",
            "Transfer-Encoding: chunked\r\nOrigin: ",
            UpgradeFault::Body,
        ),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", UpgradeFault::Key),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ",
            UpgradeFault::Key,
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25j",
            UpgradeFault::Key,
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZWVl",
            UpgradeFault::Key,
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "%%hlIHNhbXBsZSBub25jZQ==",
            UpgradeFault::Key,
        ),
    ] {
        let request = REQUEST.replace(from, to);
        assert_ne!(request, REQUEST);
        assert_eq!(resource(&request), Resource::BadUpgrade(fault), "{to}");
        let mut out = Vec::new();
        write_upgrade_fault(&mut out, fault);
        let answer = str::from_utf8(&out).unwrap();
        let status = if fault == UpgradeFault::Version {
            426
        } else {
            400
        };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.ends_with(&format!("{fault}\n")), "{answer}");
        let names_version = answer.contains("\r\nSec-WebSocket-Version: 13\r\n");
        assert_eq!(names_version, status == 426, "{answer}");
    }
}

#[test]
fn an_empty_body_is_none() {
    let request = REQUEST.replace("Origin: ", "Content-Length: 0\r\nOrigin: ");
    assert!(matches!(resource(&request), Resource::Upgrade(_)));
}

#[test]
fn other_requests_are_for_pages() {
    for (target, page) in [
        ("/", Page::Index),
        ("/?x", Page::Index),
        ("http://tracker.test", Page::Index),
        ("/health", Page::Health),
        ("WSS://tracker.test:3000/health?x", Page::Health),
        ("/announce?info_hash=x", Page::Tracker),
        ("/scrape", Page::Tracker),
        ("/favicon.ico", Page::Unknown),
        ("*", Page::Unknown),
    ] {
        for is_head in [false, true] {
            let method = if is_head { "HEAD" } else { "GET" };
            let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(
                resource(&request),
                Resource::Page { page, is_head },
                "{target}"
            );
        }
    }
    let page = Page::OtherMethod;
    let is_head = false;
    for method in ["POST", "OPTIONS"] {
        let request = REQUEST.replace("GET", method);
        assert_eq!(resource(&request), Resource::Page { page, is_head });
    }
    let request = REQUEST.replace("WebSocket\r\n", "h2c\r\n");
    let page = Page::Unknown;
    assert_eq!(resource(&request), Resource::Page { page, is_head });
}

#[test]
fn no_requests() {
    let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
    let long = "b".repeat(MAX_REQUEST_LENGTH);
    for (request, fault, status) in [
        ("\x16\x03\x01", HttpFault::Tls, 400),
        ("SSH-2.0-OpenSSH_9.2\r\n", HttpFault::NotHttp, 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpFault::NotHttp, 400),
        ("GET /\r\n\r\n", HttpFault::NotHttp, 400),
        ("GET / HTTP/1.1\r\nA b\r\n\r\n", HttpFault::Header, 400),
        ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", HttpFault::Header, 400),
        ("GET / HTTP/1.1\r\n\r\n", HttpFault::Host, 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
            HttpFault::Host,
            400,
        ),
        (&REQUEST.replace("Host", "Ghost"), HttpFault::Host, 400),
        (
            &format!("GET / HTTP/1.1\r\n{many}\r\n"),
            HttpFault::TooManyHeaders,
            431,
        ),
        (
            &format!("GET / HTTP/1.1\r\nA: {long}"),
            HttpFault::TooLong,
            431,
        ),
    ] {
        assert_eq!(Reading::of(request.as_bytes(), None), Reading::Fault(fault));
        let mut out = Vec::new();
        write_fault(&mut out, fault);
        assert!(out.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
    }
}

#[test]
fn pages_have_their_length() {
    let mut out = Vec::new();
    write_page(&mut out, Status::MethodNotAllowed, "no\n", false);
    let expected = "HTTP/1.1 405 Method Not Allowed\r\n\
        Content-Type: text/plain\r\n\
        Connection: close\r\n\
        Allow: GET, HEAD\r\n\
        Content-Length: 3\r\n\r\nno\n";
    assert_eq!(str::from_utf8(&out), Ok(expected));
    let mut head = Vec::new();
    write_page(&mut head, Status::MethodNotAllowed, "no\n", true);
    assert_eq!(head, out[..out.len() - 3]);
}
