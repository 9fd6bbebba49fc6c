//! Invariants for any bytes on a connection of the WebSocket tracker: the handshake, then
//! frames.

use aquatic_ws_protocol::client::{UpgradeReading, write_text};
use aquatic_ws_protocol::{
    Event, FrameFault, HeaderBuffer, MAX_CONTROL_PAYLOAD, MAX_FRAME_HEADER, MessageReader, Reading,
    Received, Resource, Sender, SizeLimits, write_close, write_pong, write_upgrade,
    write_upgrade_fault,
};

/// Longer than most inputs of the fuzzer, but not all.
const MAX_MESSAGE_BYTES: usize = 1024;
const MAX_FRAME_BYTES: usize = 900;

const LIMITS: SizeLimits = SizeLimits {
    frame: MAX_FRAME_BYTES,
    message: MAX_MESSAGE_BYTES,
};

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let mut headers = HeaderBuffer::new();
    if let Reading::Complete { head, length } = Reading::of(bytes, &mut headers) {
        let mut out = Vec::new();
        match Resource::of(&head) {
            Resource::Upgrade(upgrade) => {
                assert!(!head.has_body);
                write_upgrade(&mut out, upgrade.accept);
            }
            Resource::BadUpgrade(fault) => write_upgrade_fault(&mut out, fault),
            Resource::Page(_) => {}
        }
        check_frames(&bytes[length..], Sender::Client);
    }
    // Most inputs begin with frames.
    check_frames(bytes, Sender::Client);
    check_frames(bytes, Sender::Server);
    let _ = UpgradeReading::of(bytes, [0; 16]);
}

/// Reads one frame after the other, whole and byte by byte.
fn check_frames(bytes: &[u8], sender: Sender) {
    let mut reader = MessageReader::new();
    let mut in_pieces = MessageReader::new();
    let mut rest = bytes;
    loop {
        let mut whole = rest.to_vec();
        let read = reader.read(&mut whole, sender, LIMITS);
        check_pieces(&mut in_pieces, rest, sender, &read);
        match read {
            Ok(Received::Frame { event, length }) => {
                assert!(0 < length && length <= rest.len());
                assert!(length <= MAX_FRAME_BYTES + MAX_FRAME_HEADER);
                check_event(&event);
                rest = &rest[length..];
            }
            Ok(Received::Incomplete) => {
                assert!(rest.len() < MAX_FRAME_BYTES + MAX_FRAME_HEADER);
                assert_eq!(whole, rest);
                return;
            }
            Err(fault) => {
                let mut out = Vec::new();
                write_close(&mut out, fault.close_code(), &fault.to_string());
                let close = MessageReader::new().read(&mut out, Sender::Server, LIMITS);
                assert!(matches!(
                    close,
                    Ok(Received::Frame {
                        event: Event::Close(Some(_)),
                        ..
                    })
                ));
                return;
            }
        }
    }
}

/// A frame that arrives in pieces gives the same result as a whole one.
fn check_pieces(
    reader: &mut MessageReader,
    bytes: &[u8],
    sender: Sender,
    whole: &Result<Received<'_>, FrameFault>,
) {
    let end = match whole {
        Ok(Received::Frame { length, .. }) => *length,
        _ => bytes.len(),
    };
    let mut arrived = bytes[..end].to_vec();
    for count in 0..end {
        match reader.read(&mut arrived[..count], sender, LIMITS) {
            Ok(Received::Incomplete) => assert_eq!(arrived, bytes[..end]),
            // An error may be found before the frame is complete.
            Err(fault) => {
                assert_eq!(whole, &Err(fault));
                return;
            }
            Ok(Received::Frame { .. }) => panic!("a frame before its end"),
        }
    }
    assert_eq!(&reader.read(&mut arrived, sender, LIMITS), whole);
}

/// The payload of a frame can be sent in a frame.
fn check_event(event: &Event<'_>) {
    let mut out = Vec::new();
    match event {
        Event::Text(text) => {
            assert!(text.len() <= MAX_MESSAGE_BYTES);
            write_text(&mut out, *b"mask", |out| {
                out.extend_from_slice(text.as_bytes());
            });
            let limits = SizeLimits::of_message(MAX_MESSAGE_BYTES);
            let mut reader = MessageReader::new();
            let read = reader.read(&mut out, Sender::Client, limits);
            let Ok(Received::Frame {
                event: Event::Text(again),
                ..
            }) = read
            else {
                panic!("{read:?}");
            };
            assert_eq!(&again, text);
        }
        Event::Ping(payload) => {
            assert!(payload.len() <= MAX_CONTROL_PAYLOAD);
            write_pong(&mut out, payload);
            let read = MessageReader::new()
                .read(&mut out, Sender::Server, LIMITS)
                .is_ok();
            assert!(read);
        }
        Event::Binary(bytes) => assert!(bytes.len() <= MAX_MESSAGE_BYTES),
        Event::Fragment | Event::Pong(_) | Event::Close(_) => {}
    }
}
