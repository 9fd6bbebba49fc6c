//! Both sides of a handshake, and malformed replies.

use super::*;
use crate::{Framing, HeaderBuffer, Reading, Resource, Status, write_page, write_upgrade};

const NONCE: [u8; 16] = *b"the sample nonce";

#[test]
fn shakes_hands_with_the_server() {
    let mut request = Vec::new();
    write_upgrade_request(&mut request, "127.0.0.1:3000", "/announce", NONCE);
    let mut headers = HeaderBuffer::new();
    let Reading::Complete { head, length } = Reading::of(&request, &mut headers) else {
        panic!("no request");
    };
    assert_eq!(length, request.len());
    assert_eq!(head.target.path, b"/announce");
    let resource = Resource::of(&head);
    let Resource::Upgrade(upgrade) = resource else {
        panic!("{resource:?}");
    };
    let mut answer = Vec::new();
    write_upgrade(&mut answer, upgrade.accept);
    let length = answer.len();
    for end in 0..length {
        let reading = UpgradeReading::of(&answer[..end], NONCE);
        assert_eq!(reading, UpgradeReading::Incomplete);
    }
    answer.extend_from_slice(b"\x81\x00");
    let upgraded = UpgradeReading::Upgraded { length };
    assert_eq!(UpgradeReading::of(&answer, NONCE), upgraded);
    let of_other = UpgradeReading::of(&answer, *b"another nonce...");
    assert_eq!(of_other, UpgradeReading::Malformed);
}

#[test]
fn rejections_have_their_status() {
    let mut answer = Vec::new();
    write_page(&mut answer, Framing::CLOSING, Status::Forbidden, "no\n");
    assert_eq!(
        UpgradeReading::of(&answer, NONCE),
        UpgradeReading::Rejected(403)
    );
    assert_eq!(
        UpgradeReading::of(b"SSH-2.0\r\n", NONCE),
        UpgradeReading::Malformed
    );
}

#[test]
fn replies_must_be_whole() {
    let missing = |message: &str| match Reply::parse(message) {
        Err(ReplyFault::Missing(what)) => Some(what),
        _ => None,
    };
    let a = "a".repeat(20);
    assert_eq!(missing("{}"), Some("info_hash"));
    assert_eq!(
        missing(&format!(r#"{{"info_hash":"{a}"}}"#)),
        Some("complete")
    );
    let offer = format!(r#"{{"info_hash":"{a}","offer":{{}}}}"#);
    assert_eq!(missing(&offer), Some("peer_id"));
    let offer = format!(r#"{{"info_hash":"{a}","peer_id":"{a}","offer_id":"{a}","offer":3}}"#);
    assert_eq!(missing(&offer), Some("description"));
    for message in ["", "[", r#"{"info_hash":"a"}"#, r#"{"action":"other"}"#] {
        assert!(matches!(
            Reply::parse(message),
            Err(ReplyFault::Malformed(_))
        ));
    }
}
