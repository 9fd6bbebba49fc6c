//! Replies as bytes.

use super::*;
use crate::{HeaderBuffer, Reading};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    // Bytes that are already in the buffer are kept.
    let mut out = b"before".to_vec();
    write(&mut out);
    assert_eq!(&out[..6], b"before");
    String::from_utf8(out.split_off(6)).unwrap()
}

#[test]
fn framing_follows_the_request() {
    let framed = |request: &str, stays| {
        let mut headers = HeaderBuffer::new();
        let Reading::Complete { head, .. } = Reading::of(request.as_bytes(), &mut headers) else {
            panic!();
        };
        let framing = Framing::of(&head, stays);
        written(|out| write_page(out, framing, Status::Ok, "hello"))
    };
    let common = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    let new = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(
        framed(new, true),
        format!("{common}Content-Length: 5\r\n\r\nhello")
    );
    assert_eq!(
        framed(new, false),
        format!("{common}Connection: close\r\nContent-Length: 5\r\n\r\nhello")
    );
    assert_eq!(
        framed("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", true),
        format!("{common}Content-Length: 5\r\n\r\n")
    );
    assert_eq!(
        framed("GET / HTTP/1.0\r\n\r\n", true),
        format!("{common}Connection: close\r\nContent-Length: 5\r\n\r\nhello")
    );
    let old = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert_eq!(
        framed(old, true),
        format!("{common}Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
    );
}

#[test]
fn faults_have_a_status() {
    let line = |fault| {
        let reply = written(|out| write_fault(out, fault));
        assert!(reply.contains("\r\nConnection: close\r\n"), "{reply}");
        assert!(reply.ends_with(&format!("\r\n\r\n{fault}\n")), "{reply}");
        reply.lines().next().unwrap().to_owned()
    };
    assert_eq!(line(HttpFault::NotHttp), "HTTP/1.1 400 Bad Request");
    assert_eq!(line(HttpFault::Tls), "HTTP/1.1 400 Bad Request");
    assert_eq!(line(HttpFault::TooSlow), "HTTP/1.1 408 Request Timeout");
    let too_large = "HTTP/1.1 431 Request Header Fields Too Large";
    assert_eq!(line(HttpFault::TooLong), too_large);
}

#[test]
fn says_what_would_be_right() {
    let page = |status| written(|out| write_page(out, Framing::CLOSING, status, "no\n"));
    assert_eq!(
        page(Status::MethodNotAllowed),
        "HTTP/1.1 405 Method Not Allowed\r\n\
         Content-Type: text/plain\r\n\
         Connection: close\r\n\
         Allow: GET, HEAD\r\n\
         Content-Length: 3\r\n\r\nno\n"
    );
    assert_eq!(
        page(Status::UpgradeRequired),
        "HTTP/1.1 426 Upgrade Required\r\n\
         Content-Type: text/plain\r\n\
         Connection: close\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Content-Length: 3\r\n\r\nno\n"
    );
}

#[test]
fn a_length_of_any_number_of_digits() {
    for length in [0, 9, 10, 999, 1000, 100_000] {
        let text = "x".repeat(length);
        let reply = written(|out| write_page(out, Framing::CLOSING, Status::Ok, &text));
        let end = format!("\r\nContent-Length: {length}\r\n\r\n{text}");
        assert!(reply.ends_with(&end));
    }
}
