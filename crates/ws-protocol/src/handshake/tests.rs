//! Requests and responses as bytes.

use aquatic_http1::{HeaderBuffer, HttpFault, Reading};

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

fn read(request: &str) -> Reading<'_> {
    // Leaks the buffer; there are few of them.
    Reading::of(request.as_bytes(), Box::leak(Box::new(HeaderBuffer::new())))
}

fn resource(request: &str) -> Resource<'_> {
    match read(request) {
        Reading::Complete { head, length } => {
            assert_eq!(length, request.len());
            Resource::of(&head)
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
    let mut out = Vec::new();
    write_upgrade(&mut out, upgrade.accept);
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(str::from_utf8(&out), Ok(expected));
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
    let with = |headers: &str| REQUEST.replace("Origin: ", &format!("{headers}\r\nOrigin: "));
    let request = with("Content-Length: 0");
    assert!(matches!(resource(&request), Resource::Upgrade(_)));
    // The length of these bodies is unknown.
    for headers in [
        "Content-Length: +0",
        "Content-Length: ",
        "Transfer-Encoding: gzip",
    ] {
        let request = with(headers);
        assert_eq!(
            read(&request),
            Reading::Fault(HttpFault::Length),
            "{headers}"
        );
    }
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
        for method in ["GET", "HEAD"] {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(resource(&request), Resource::Page(page), "{target}");
        }
    }
    for method in ["POST", "OPTIONS"] {
        let request = REQUEST.replace("GET", method);
        assert_eq!(resource(&request), Resource::Page(Page::OtherMethod));
    }
    let request = REQUEST.replace("WebSocket\r\n", "h2c\r\n");
    assert_eq!(resource(&request), Resource::Page(Page::Unknown));
}
