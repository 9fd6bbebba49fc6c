//! Frames, byte by byte.

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::client;

const LONGEST: SizeLimits = SizeLimits::of_message(1000);

/// Reads a frame, which has to be the whole input.
fn read(bytes: &mut [u8], sender: Sender) -> Result<Option<Event<'_>>, FrameFault> {
    let whole = bytes.len();
    match MessageReader::new().read(bytes, sender, LONGEST)? {
        Received::Incomplete => Ok(None),
        Received::Frame { event, length } => {
            assert_eq!(length, whole);
            Ok(Some(event))
        }
    }
}

fn text(text: &str) -> Event<'_> {
    Event::Text(Cow::Borrowed(text))
}

/// The examples of RFC 6455, 5.7.
#[test]
fn reads_the_examples_of_the_specification() {
    let from_server = |bytes: &[u8]| format!("{:?}", read(&mut bytes.to_vec(), Sender::Server));
    let from_client = |bytes: &[u8]| format!("{:?}", read(&mut bytes.to_vec(), Sender::Client));
    let hello = format!("{:?}", Ok::<_, ()>(Some(text("Hello"))));
    assert_eq!(from_server(b"\x81\x05Hello"), hello);
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(from_client(masked), hello);
    assert_eq!(
        from_server(b"\x89\x05Hello"),
        format!("{:?}", Ok::<_, ()>(Some(Event::Ping(b"Hello"))))
    );
    let masked = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(
        from_client(masked),
        format!("{:?}", Ok::<_, ()>(Some(Event::Pong(b"Hello"))))
    );
}

#[test]
fn puts_fragments_together() {
    let mut reader = MessageReader::new();
    let mut bytes = b"\x01\x03Hel\x89\x01x\x00\x00\x80\x02lo\x81\x01!".to_vec();
    let mut rest = &mut bytes[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let Ok(Received::Frame { event, length }) = reader.read(rest, Sender::Server, LONGEST)
        else {
            panic!("no frame");
        };
        events.push(format!("{event:?}"));
        rest = &mut rest[length..];
    }
    let expected = [
        Event::Fragment,
        Event::Ping(b"x"),
        Event::Fragment,
        text("Hello"),
        text("!"),
    ];
    assert_eq!(events, expected.map(|event| format!("{event:?}")));
    assert!(!reader.is_within_message());
}

#[test]
fn characters_may_be_cut_by_fragments() {
    let mut reader = MessageReader::new();
    let mut first = b"\x01\x01\xc3".to_owned();
    assert!(
        reader
            .read(&mut first, Sender::Server, SizeLimits::of_message(2))
            .is_ok()
    );
    let mut last = b"\x80\x01\xa9".to_owned();
    let Ok(Received::Frame { event, .. }) =
        reader.read(&mut last, Sender::Server, SizeLimits::of_message(2))
    else {
        panic!("no frame");
    };
    assert_eq!(event, text("é"));
}

#[test]
fn rejects_what_is_not_allowed() {
    use FrameFault::*;

    for (bytes, fault) in [
        (&b"\xc1\x80"[..], ReservedBits),
        (b"\xa1\x80", ReservedBits),
        (b"\x91\x80", ReservedBits),
        (b"\x83\x80", Opcode(3)),
        (b"\x87\x80", Opcode(7)),
        (b"\x8b\x80", Opcode(11)),
        (b"\x8f\x80", Opcode(15)),
        (b"\x81\x00", NotMasked),
        (b"\x08\x80", FragmentedControl),
        (b"\x09\x80", FragmentedControl),
        (b"\x89\xfe", ControlTooLong),
        (b"\x88\xff", ControlTooLong),
        (b"\x81\xfe\0\x7d", Length),
        (b"\x81\xff\0\0\0\0\0\0\xff\xff", Length),
        (b"\x81\xff\x80\0\0\0\0\x01\0\0", Length),
        (b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff", MessageTooLong),
        (b"\x81\xfe\x03\xe9", MessageTooLong),
        (b"\x80\x80\0\0\0\0", NothingToContinue),
        (b"\x00\x80\0\0\0\0", NothingToContinue),
        (b"\x88\x81\0\0\0\0\x03", CloseCode),
        (b"\x88\x82\0\0\0\0\x03\xe7", CloseCode),
        (b"\x88\x82\0\0\0\0\x03\xec", CloseCode),
        (b"\x88\x82\0\0\0\0\x03\xee", CloseCode),
        (b"\x88\x82\0\0\0\0\x03\xf7", CloseCode),
        (b"\x88\x82\0\0\0\0\x0b\xb7", CloseCode),
        (b"\x88\x82\0\0\0\0\x13\x88", CloseCode),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", NotUtf8),
        (b"\x81\x81\0\0\0\0\xff", NotUtf8),
    ] {
        // Some cases lack the mask, as the length alone is invalid; this adds one.
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().max(14), 0);
        let shown = format!("{bytes:x?}");
        let result = MessageReader::new().read(&mut bytes, Sender::Client, LONGEST);
        assert_eq!(result, Err(fault), "{shown}");
    }
    let masked = read(&mut b"\x81\x80\0\0\0\0".to_owned(), Sender::Server).map(|_| ());
    assert_eq!(masked, Err(Masked));
}

#[test]
fn a_message_must_end_before_the_next_one() {
    for next in [b"\x81\x00", b"\x02\x00"] {
        let mut reader = MessageReader::new();
        assert!(
            reader
                .read(&mut b"\x01\x00".to_owned(), Sender::Server, LONGEST)
                .is_ok()
        );
        let result = reader
            .read(&mut next.to_owned(), Sender::Server, LONGEST)
            .map(|_| ());
        assert_eq!(result, Err(FrameFault::Interrupted));
    }
}

#[test]
fn fragments_have_a_bound_together() {
    let mut reader = MessageReader::new();
    for _ in 0..2 {
        let fragment = &mut b"\x00\x02ab".to_owned();
        fragment[0] = u8::from(!reader.is_within_message());
        assert!(
            reader
                .read(fragment, Sender::Server, SizeLimits::of_message(5))
                .is_ok()
        );
    }
    let result = reader
        .read(
            &mut b"\x80\x02ab".to_owned(),
            Sender::Server,
            SizeLimits::of_message(5),
        )
        .map(|_| ());
    assert_eq!(result, Err(FrameFault::MessageTooLong));
    assert_eq!(FrameFault::MessageTooLong.close_code().number(), 1009);
}

#[test]
fn codes_of_faults() {
    assert_eq!(FrameFault::NotUtf8.close_code(), CloseCode::INVALID_TEXT);
    assert_eq!(
        FrameFault::Opcode(3).close_code(),
        CloseCode::PROTOCOL_ERROR
    );
}

#[test]
fn close_frames_say_what_fits() {
    let mut out = Vec::new();
    write_close(&mut out, CloseCode::GOING_AWAY, "é".repeat(100).as_str());
    assert_eq!(out[..4], [0x88, 2 + 122, 0x03, 0xe9]);
    let event = read(&mut out, Sender::Server);
    assert_eq!(event, Ok(Some(Event::Close(Some(CloseCode::GOING_AWAY)))));
    assert_eq!(
        read(&mut b"\x88\x00".to_owned(), Sender::Server),
        Ok(Some(Event::Close(None)))
    );
}

#[test]
fn an_idle_connection_keeps_a_pointer() {
    assert_eq!(size_of::<MessageReader>(), size_of::<usize>());
}

/// The start of a frame is not processed again for each byte that arrives: that would
/// take half a minute in this test.
#[test]
fn the_start_of_a_long_frame_costs_little() {
    const LENGTH: usize = 16 << 20;
    const READS: usize = 10_000;
    let mut bytes = vec![0x81, 0xff];
    bytes.extend_from_slice(&(LENGTH as u64).to_be_bytes());
    bytes.resize(bytes.len() + LENGTH, 0);
    let mut reader = MessageReader::new();
    let start = Instant::now();
    for _ in 0..READS {
        let received = reader.read(&mut bytes, Sender::Client, SizeLimits::of_message(LENGTH));
        assert_eq!(received, Ok(Received::Incomplete));
    }
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
}

#[test]
fn frames_that_are_too_long_are_rejected_at_once() {
    let limits = SizeLimits {
        frame: 300,
        message: 500,
    };
    let read = |bytes: &[u8]| {
        let mut bytes = [bytes, b"mask"].concat();
        MessageReader::new()
            .read(&mut bytes, Sender::Client, limits)
            .map(|received| received == Received::Incomplete)
    };
    assert_eq!(read(b"\x81\xfe\x01\x2c"), Ok(true));
    assert_eq!(read(b"\x81\xfe\x01\x2d"), Err(FrameFault::MessageTooLong));
    let huge = b"\x81\xff\0\0\0\0\0\x01\0\0";
    assert_eq!(read(huge), Err(FrameFault::MessageTooLong));

    // All fragments together may be longer than the limit of one frame.
    let mut reader = MessageReader::new();
    let mut fragments = [
        [&b"\x01\x7e\x01\x2c"[..], &[b'a'; 300]].concat(),
        [&b"\x00\x7e\x00\xc8"[..], &[b'a'; 200]].concat(),
        b"\x80\x01a".to_vec(),
    ];
    let mut read = |number: usize| {
        let received = reader.read(&mut fragments[number], Sender::Server, limits);
        received.map(drop)
    };
    assert_eq!(read(0), Ok(()));
    assert_eq!(read(1), Ok(()));
    assert_eq!(read(2), Err(FrameFault::MessageTooLong));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        length in prop_oneof![0usize..300, 65_500usize..65_600],
        mask: Option<[u8; 4]>,
        before in vec(any::<u8>(), 0..5),
    ) {
        let message = "m".repeat(length);
        let mut out = before.clone();
        let write = |out: &mut Vec<u8>| out.extend_from_slice(message.as_bytes());
        let sender = match mask {
            Some(mask) => {
                client::write_text(&mut out, mask, write);
                Sender::Client
            }
            None => {
                write_text(&mut out, write);
                Sender::Server
            }
        };
        prop_assert_eq!(&out[..before.len()], &before);
        let frame = &mut out[before.len()..];
        let frame_length = frame.len();
        // Without its end, a frame is incomplete, and its bytes are not changed.
        let mut reader = MessageReader::new();
        for missing in [1, length / 2 + 1, length + 1, frame_length] {
            let cut = &mut frame[..frame_length - missing];
            let received = reader.read(cut, sender, SizeLimits::of_message(message.len()));
            prop_assert_eq!(received, Ok(Received::Incomplete));
        }
        let received = reader.read(frame, sender, SizeLimits::of_message(message.len()));
        let event = text(&message);
        prop_assert_eq!(received, Ok(Received::Frame { event, length: frame_length }));
    }

    #[test]
    fn control_frames_carry_what_fits(payload in vec(any::<u8>(), 0..200), mask: [u8; 4]) {
        let carried = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
        let mut out = Vec::new();
        write_ping(&mut out, &payload);
        prop_assert_eq!(read(&mut out, Sender::Server), Ok(Some(Event::Ping(carried))));
        out.clear();
        client::write_pong(&mut out, mask, &payload);
        prop_assert_eq!(read(&mut out, Sender::Client), Ok(Some(Event::Pong(carried))));
    }

    #[test]
    fn no_bytes_are_trouble(mut bytes in vec(any::<u8>(), 0..200), of_client: bool) {
        let sender = if of_client { Sender::Client } else { Sender::Server };
        let mut reader = MessageReader::new();
        let mut rest = &mut bytes[..];
        while let Ok(Received::Frame { length, .. }) = reader.read(rest, sender, SizeLimits::of_message(64)) {
            rest = &mut rest[length..];
        }
    }
}
