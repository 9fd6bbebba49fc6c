//! Replies, compared with the bytes that BEP 3, 7, 23, 24, 31 and 48 specify.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const OPEN: Framing = Framing {
    is_head: false,
    closes: false,
    says_keep_alive: false,
};

/// Splits off the headers, and checks the length.
fn body(reply: &[u8]) -> (String, &[u8]) {
    let end = reply
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    let length = format!("Content-Length: {}\r\n", reply.len() - end);
    assert!(head.contains(&length), "{head}");
    (head, &reply[end..])
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    // Bytes that are already in the buffer are kept.
    let mut out = b"before".to_vec();
    write(&mut out);
    assert_eq!(&out[..6], b"before");
    out.split_off(6)
}

fn announce<'a>(peers: Peers<'a>, is_compact: bool) -> AnnounceReply<'a> {
    AnnounceReply {
        seeders: 1,
        completed: 23,
        leechers: 456,
        interval_seconds: 900,
        min_interval_seconds: 300,
        external_ip: IpAddr::from([192, 0, 2, 1]),
        peers,
        is_compact,
    }
}

#[test]
fn writes_an_announce_reply() {
    let one = [[192, 0, 2, 2, 0x1a, 0xe1]];
    let two = [[192, 0, 2, 3, 0x1a, 0xe2], [192, 0, 2, 4, 0, 1]];
    let slices = [&one[..], &two[..]];
    let reply = announce(Peers::Ipv4(&slices), true);
    let out = written(|out| reply.write(out, OPEN));
    let expected = b"HTTP/1.1 200 OK\r\n\
        Content-Type: text/plain\r\n\
        Content-Length: 133\r\n\r\n\
        d8:completei1e10:downloadedi23e11:external ip4:\xc0\x00\x02\x01\
        10:incompletei456e8:intervali900e12:min intervali300e\
        5:peers18:\xc0\x00\x02\x02\x1a\xe1\xc0\x00\x02\x03\x1a\xe2\xc0\x00\x02\x04\x00\x01e";
    assert_eq!(
        out.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

#[test]
fn ipv6_peers_have_a_key_of_their_own() {
    let mut record = [0; 18];
    record[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    record[15..].copy_from_slice(&[1, 0x1a, 0xe1]);
    let one = [record];
    let slices = [&one[..]];
    let reply = AnnounceReply {
        external_ip: "2001:db8::2".parse().unwrap(),
        ..announce(Peers::Ipv6(&slices), true)
    };
    let out = written(|out| reply.write(out, OPEN));
    let (_, body) = body(&out);
    let expected = [
        &b"d8:completei1e10:downloadedi23e11:external ip16:"[..],
        b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02",
        b"10:incompletei456e8:intervali900e12:min intervali300e5:peers0:6:peers618:",
        &record,
        b"e",
    ]
    .concat();
    assert_eq!(
        body.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

#[test]
fn a_list_for_those_who_want_one() {
    let one = [[192, 0, 2, 2, 0x1a, 0xe1], [1, 2, 3, 4, 0, 80]];
    let slices = [&one[..]];
    let out = written(|out| announce(Peers::Ipv4(&slices), false).write(out, OPEN));
    let (_, list) = body(&out);
    let expected = b"5:peersld2:ip9:192.0.2.24:porti6881eed2:ip7:1.2.3.44:porti80eeee";
    assert!(list.ends_with(expected), "{}", list.escape_ascii());

    let mut record = [0xff; 18];
    record[16..].copy_from_slice(&[0, 80]);
    let one = [record];
    let slices = [&one[..]];
    let out = written(|out| announce(Peers::Ipv6(&slices), false).write(out, OPEN));
    let (_, list) = body(&out);
    let expected = b"5:peersld2:ip39:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff4:porti80eeee";
    assert!(list.ends_with(expected), "{}", list.escape_ascii());
}

#[test]
fn writes_a_scrape_reply() {
    let out = written(|out| {
        let mut reply = ScrapeReply::begin(out, OPEN);
        reply.append(&InfoHash([b'a'; 20]), 1, 2, 3);
        reply.append(&InfoHash([b'b'; 20]), 0, 0, 0);
        reply.finish();
    });
    let (_, body) = body(&out);
    let expected = "d5:filesd\
        20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi2e10:incompletei3ee\
        20:bbbbbbbbbbbbbbbbbbbbd8:completei0e10:downloadedi0e10:incompletei0eeee";
    assert_eq!(str::from_utf8(body), Ok(expected));
}

#[test]
fn writes_failures() {
    let failure = |retry_in| {
        let out = written(|out| write_failure(out, OPEN, "no", retry_in));
        let (head, body) = body(&out);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        String::from_utf8(body.to_vec()).unwrap()
    };
    assert_eq!(failure(None), "d14:failure reason2:noe");
    let minutes = Some(RetryIn::Minutes(15));
    assert_eq!(failure(minutes), "d14:failure reason2:no8:retry ini15ee");
    let never = Some(RetryIn::Never);
    assert_eq!(failure(never), "d14:failure reason2:no8:retry in5:nevere");
}

/// A value in bencode, parsed strictly.
#[derive(Debug, PartialEq)]
enum Value {
    Integer(i64),
    Text(Vec<u8>),
    List(Vec<Value>),
    Dictionary(BTreeMap<Vec<u8>, Value>),
}

fn decode(bytes: &mut &[u8]) -> Value {
    let (first, rest) = bytes.split_first().unwrap();
    match first {
        b'i' => {
            *bytes = rest;
            Value::Integer(digits(bytes, b'e'))
        }
        b'l' => {
            *bytes = rest;
            let mut list = Vec::new();
            while bytes[0] != b'e' {
                list.push(decode(bytes));
            }
            *bytes = &bytes[1..];
            Value::List(list)
        }
        b'd' => {
            *bytes = rest;
            let mut dictionary = BTreeMap::new();
            while bytes[0] != b'e' {
                let Value::Text(key) = decode(bytes) else {
                    panic!("a key that is no text");
                };
                let last = dictionary.keys().next_back();
                assert!(last.is_none_or(|last| *last < key), "keys are not sorted");
                dictionary.insert(key, decode(bytes));
            }
            *bytes = &bytes[1..];
            Value::Dictionary(dictionary)
        }
        _ => {
            let length = usize::try_from(digits(bytes, b':')).unwrap();
            let (text, rest) = bytes.split_at(length);
            *bytes = rest;
            Value::Text(text.to_vec())
        }
    }
}

fn digits(bytes: &mut &[u8], end: u8) -> i64 {
    let length = bytes.iter().position(|&byte| byte == end).unwrap();
    let number = str::from_utf8(&bytes[..length]).unwrap();
    *bytes = &bytes[length + 1..];
    let value = number.parse::<i64>().unwrap();
    assert_eq!(value.to_string(), number, "a number with leading zeros");
    value
}

fn decode_all(mut bytes: &[u8]) -> BTreeMap<Vec<u8>, Value> {
    let Value::Dictionary(dictionary) = decode(&mut bytes) else {
        panic!("no dictionary");
    };
    assert!(bytes.is_empty(), "more after the end");
    dictionary
}

proptest! {
    #[test]
    fn any_announce_reply_is_sorted_bencode(
        numbers: [u32; 5],
        external_ip: IpAddr,
        runs: Vec<Vec<[u8; 6]>>,
        is_compact: bool,
        is_head: bool,
    ) {
        let slices: Vec<&[[u8; 6]]> = runs.iter().map(Vec::as_slice).collect();
        let reply = AnnounceReply {
            seeders: numbers[0],
            completed: numbers[1],
            leechers: numbers[2],
            interval_seconds: numbers[3],
            min_interval_seconds: numbers[4],
            external_ip,
            peers: Peers::Ipv4(&slices),
            is_compact,
        };
        let out = written(|out| reply.write(out, Framing { is_head, ..OPEN }));
        if is_head {
            let whole = written(|out| reply.write(out, OPEN));
            let end = whole.len() - body(&whole).1.len();
            prop_assert_eq!(&out, &whole[..end]);
            return Ok(());
        }
        let (_, body) = body(&out);
        let dictionary = decode_all(body);
        let number = |index: usize| Value::Integer(numbers[index].into());
        prop_assert_eq!(&dictionary[&b"complete"[..]], &number(0));
        prop_assert_eq!(&dictionary[&b"min interval"[..]], &number(4));
        let count: usize = runs.iter().map(Vec::len).sum();
        match &dictionary[&b"peers"[..]] {
            Value::Text(peers) => prop_assert!(is_compact && *peers == runs.concat().concat()),
            Value::List(peers) => prop_assert!(!is_compact && peers.len() == count),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_failure_is_bencode(reason: String, minutes: Option<u32>) {
        let out = written(|out| {
            write_failure(out, OPEN, &reason, minutes.map(RetryIn::Minutes));
        });
        let dictionary = decode_all(body(&out).1);
        let expected = Value::Text(reason.into_bytes());
        prop_assert_eq!(&dictionary[&b"failure reason"[..]], &expected);
        let expected = minutes.map(|minutes| Value::Integer(minutes.into()));
        prop_assert_eq!(dictionary.get(&b"retry in"[..]), expected.as_ref());
    }
}
