//! Valid messages of clients, and malformed ones.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::client::write_request;

const MAX: MaxItems = MaxItems {
    offers: 3,
    scrape_torrents: 3,
};

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";
const PEER: &str = "-WW0208-bbbbbbbbbbbb";

fn parse(message: &str) -> Result<Request<'_>, RequestFault> {
    Request::parse(message, MAX)
}

fn announce(message: &str) -> Announce<'_> {
    match parse(message) {
        Ok(Request::Announce(announce)) => announce,
        other => panic!("{message}: {other:?}"),
    }
}

/// An announce with these additional fields.
fn with(fields: &str) -> String {
    format!(r#"{{"action":"announce","info_hash":"{HASH}","peer_id":"{PEER}"{fields}}}"#)
}

fn offer(index: usize) -> String {
    let id = char::from(b'a' + index as u8).to_string().repeat(20);
    format!(r#"{{"offer":{{"type":"offer","sdp":"v=0\r\n{index}"}},"offer_id":"{id}"}}"#)
}

/// The first message of bittorrent-tracker 11, with bytes that are not ASCII.
#[test]
fn reads_an_announce_of_npm() {
    let message = "{\"numwant\":1,\"uploaded\":0,\"downloaded\":0,\"left\":3000001,\
        \"event\":\"started\",\"action\":\"announce\",\
        \"info_hash\":\"\u{d7}\u{1}\\u0002\\n\\\"\\\\\u{ff}\u{7f}abcdefghijkl\",\
        \"peer_id\":\"-WW0208-bbbbbbbbbbbb\",\"offers\":[{\"offer\":\
        {\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"},\"offer_id\":\"\u{80}bcdefghijklmnopqrst\"}]}";
    // A control character must be escaped.
    assert_eq!(parse(message).unwrap_err().kind, RequestFaultKind::NotJson);
    let message = message.replace('\u{1}', "\\u0001");
    let announce = announce(&message);
    let mut info_hash = *b"\xd7\x01\x02\n\"\\\xff\x7fabcdefghijkl";
    assert_eq!(announce.info_hash, InfoHash(info_hash));
    assert_eq!(announce.peer_id.0.as_slice(), PEER.as_bytes());
    assert_eq!(announce.event, AnnounceEvent::Started);
    assert_eq!(announce.left, Some(3_000_001));
    assert_eq!(announce.wanted, Some(1));
    assert!(!announce.is_seeder());
    info_hash[..20].copy_from_slice(b"\x80bcdefghijklmnopqrst");
    let [offer] = announce.offers[..] else {
        panic!("{:?}", announce.offers);
    };
    assert_eq!(offer.id, OfferId(info_hash));
    assert_eq!(
        offer.description.json(),
        r#"{"type":"offer","sdp":"v=0\r\n"}"#
    );
}

#[test]
fn what_is_missing_is_nothing() {
    let shortest = with("");
    let short = announce(&shortest);
    assert_eq!(short.event, AnnounceEvent::None);
    assert_eq!((short.left, short.wanted), (None, None));
    assert!(short.offers.is_empty());
    for fields in [
        r#","left":null,"event":null,"numwant":null,"offers":null,"answer":null"#,
        r#","to_peer_id":null,"offer_id":null,"uploaded":null"#,
        r#","offers":[]"#,
        r#","event":"","numwant":0"#,
        r#","event":"update","numwant":-1"#,
        r#","event":7,"left":-1"#,
        r#","trackerid":{"a":[1,{}]},"offer":3,"x":"\ud800","":[[]]"#,
        r#","answer":{},"answer":null"#,
    ] {
        let message = with(fields);
        assert_eq!(announce(&message), short, "{fields}");
    }
}

#[test]
fn numbers_are_read_in_all_their_forms() {
    for (left, expected) in [
        ("0", Some(0)),
        ("-0", Some(0)),
        ("0.0", Some(0)),
        ("0.25", Some(1)),
        ("1e3", Some(1000)),
        ("\"17\"", Some(17)),
        ("18446744073709551615", Some(i64::MAX as u64)),
        ("1e300", Some(i64::MAX as u64)),
        ("-1e300", None),
    ] {
        let message = with(&format!(r#","left":{left}"#));
        let announce = announce(&message);
        assert_eq!(announce.left, expected, "{left}");
        assert_eq!(announce.is_seeder(), expected == Some(0));
    }
    let message = with(r#","numwant":1e12"#);
    assert_eq!(announce(&message).wanted, Some(u32::MAX));
}

#[test]
fn events_are_known() {
    for (name, event) in [
        ("started", AnnounceEvent::Started),
        ("stopped", AnnounceEvent::Stopped),
        ("completed", AnnounceEvent::Completed),
        ("paused", AnnounceEvent::Paused),
        ("Started", AnnounceEvent::None),
    ] {
        let message = with(&format!(r#","event":"{name}""#));
        assert_eq!(announce(&message).event, event, "{name}");
    }
}

#[test]
fn offers_beyond_the_limit_are_read_over() {
    let mut offers: Vec<String> = (0..5).map(offer).collect();
    offers[4] = "{\"nonsense\":[]}".to_owned();
    let message = with(&format!(r#","offers":[{}]"#, offers.join(" , ")));
    let announce = announce(&message);
    assert_eq!(announce.offers.len(), MAX.offers);
    for (index, offer) in announce.offers.iter().enumerate() {
        assert_eq!(offer.id.0, [b'a' + index as u8; 20]);
        assert!(offer.description.json().contains(&format!(r"\r\n{index}")));
    }
}

#[test]
fn answers_are_no_announces() {
    let fields = format!(
        r#","to_peer_id":"{PEER}","offer_id":"{HASH}","answer": {{"sdp" : [1] }} ,"offers":3"#
    );
    let message = with(&fields);
    let Ok(Request::Answer(answer)) = parse(&message) else {
        panic!("no answer");
    };
    assert_eq!(answer.to_peer_id, answer.peer_id);
    assert_eq!(answer.offer_id.0, answer.info_hash.0);
    assert_eq!(answer.description.json(), r#"{"sdp" : [1] }"#);
}

#[test]
fn scrapes_name_one_torrent_or_several() {
    let hashes = |value: &str| {
        let message = format!(r#"{{"action":"scrape","info_hash":{value}}}"#);
        match parse(&message) {
            Ok(Request::Scrape(scrape)) => Ok(scrape.info_hashes.len()),
            Err(fault) => Err(fault.kind),
            other => panic!("{other:?}"),
        }
    };
    let quoted = format!("\"{HASH}\"");
    assert_eq!(hashes(&quoted), Ok(1));
    assert_eq!(hashes("[]"), Ok(0));
    assert_eq!(hashes(&format!("[{quoted},{quoted}]")), Ok(2));
    assert_eq!(
        hashes(&format!("[{quoted},{quoted},{quoted},{quoted},5]")),
        Ok(3)
    );
    assert_eq!(hashes("null"), Err(RequestFaultKind::FullScrape));
    for value in [
        "5",
        "{}",
        "true",
        "\"\"",
        &format!("[{quoted},5]"),
        &format!("[[{quoted}]]"),
        &format!("[{quoted},null,{quoted}]"),
    ] {
        assert_eq!(
            hashes(value),
            Err(RequestFaultKind::ScrapeInfoHash),
            "{value}"
        );
    }
    let fault = parse(r#"{"action":"scrape"}"#).unwrap_err();
    assert_eq!(fault.kind, RequestFaultKind::FullScrape);
    assert_eq!(fault.action, Some(Action::Scrape));
}

#[test]
fn faults_say_what_is_known() {
    use RequestFaultKind::*;

    let two = format!("{},{}", offer(0), offer(1));
    let answer = format!(r#","answer":{{}},"to_peer_id":"{PEER}""#);
    for (fields, kind) in [
        (r#","peer_id":"-WW0208-bbbbbbbbbbb""#, PeerId),
        (r#","peer_id":"-WW0208-bbbbbbbbbbbĀ""#, PeerId),
        (r#","peer_id":null"#, PeerId),
        (r#","peer_id":[]"#, PeerId),
        (r#","left":"much""#, Left),
        (r#","left":{"a":1}"#, Left),
        (r#","left":true"#, Left),
        (r#","numwant":[3]"#, Wanted),
        (r#","offers":{}"#, Offers),
        (r#","offers":"x""#, Offers),
        (r#","offers":[null]"#, Offer(0)),
        (&format!(r#","offers":[{two},{{"offer":{{}}}}]"#), Offer(2)),
        (
            &format!(r#","offers":[{two},{{"offer_id":"{HASH}"}}]"#),
            Offer(2),
        ),
        (
            &format!(r#","offers":[{{"offer":"x","offer_id":"{HASH}"}}]"#),
            Offer(0),
        ),
        (&format!(r#","offers":[[],{two}]"#), Offer(0)),
        (r#","answer":"x""#, Answer),
        (r#","answer":[]"#, Answer),
        (r#","answer":{}"#, ToPeerId),
        (&answer, OfferId),
    ] {
        let message = with(fields);
        let fault = parse(&message).unwrap_err();
        assert_eq!(fault.kind, kind, "{fields}");
        assert_eq!(fault.action, Some(super::Action::Announce));
        assert_eq!(fault.sent.info_hash(), Some(&*format!("\"{HASH}\"")));
    }
}

#[test]
fn faults_without_a_torrent() {
    use RequestFaultKind::*;

    let announce = Some(super::Action::Announce);
    for (message, kind, action) in [
        ("", NotJson, None),
        ("[]", NotJson, None),
        ("null", NotJson, None),
        ("\"announce\"", NotJson, None),
        ("{\"action\":\"announce\"", NotJson, None),
        ("{\"action\":\"announce\"}}", NotJson, None),
        ("{\"action\":\"announce\",}", NotJson, None),
        ("{}", Action, None),
        ("{\"action\":\"Announce\"}", Action, None),
        ("{\"action\":{}}", Action, None),
        ("{\"action\":\"announce\"}", InfoHash, announce),
        (
            "{\"action\":\"announce\",\"info_hash\":[]}",
            InfoHash,
            announce,
        ),
        (
            "{\"action\":\"announce\",\"info_hash\":\"x\"}",
            InfoHash,
            announce,
        ),
    ] {
        let fault = parse(message).unwrap_err();
        assert_eq!((fault.kind, fault.action), (kind, action), "{message}");
    }
}

#[test]
fn depth_is_limited() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        announce(&with(&format!(r#","x":{}"#, deep(100))));
        // What one peer sends must not be too deep for another one's parser.
        for name in ["x", "answer", "offers"] {
            let message = with(&format!(r#","{name}":{}"#, deep(100_000)));
            assert_eq!(parse(&message).unwrap_err().kind, RequestFaultKind::NotJson);
        }
    }
}

fn bytes() -> impl Strategy<Value = [u8; 20]> {
    any::<[u8; 20]>()
}

fn event() -> impl Strategy<Value = AnnounceEvent> {
    prop_oneof![
        Just(AnnounceEvent::None),
        Just(AnnounceEvent::Started),
        Just(AnnounceEvent::Stopped),
        Just(AnnounceEvent::Completed),
        Just(AnnounceEvent::Paused),
    ]
}

const DESCRIPTION: SessionDescription<'static> =
    SessionDescription(r#"{"type":"offer","sdp":"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"}"#);

fn request() -> impl Strategy<Value = Request<'static>> {
    let offer = bytes().prop_map(|id| Offer {
        id: OfferId(id),
        description: DESCRIPTION,
    });
    let left = option::of(0..=i64::MAX as u64);
    let wanted = option::of(1..=u32::MAX);
    let announce = (
        bytes(),
        bytes(),
        event(),
        left,
        wanted,
        vec(offer, 0..=MAX.offers),
    )
        .prop_map(
            |(info_hash, peer_id, event, left, wanted, offers)| Announce {
                info_hash: InfoHash(info_hash),
                peer_id: PeerId(peer_id),
                event,
                left,
                // The client of this crate does not send them.
                uploaded: None,
                downloaded: None,
                wanted,
                offers,
            },
        );
    let answer = (bytes(), bytes(), bytes(), bytes()).prop_map(|(a, b, c, d)| Answer {
        info_hash: InfoHash(a),
        peer_id: PeerId(b),
        to_peer_id: PeerId(c),
        offer_id: OfferId(d),
        description: DESCRIPTION,
    });
    let info_hashes = vec(bytes().prop_map(InfoHash), 0..=MAX.scrape_torrents);
    prop_oneof![
        announce.prop_map(Request::Announce),
        answer.prop_map(Request::Answer),
        info_hashes.prop_map(|info_hashes| Request::Scrape(Scrape { info_hashes })),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(request in request()) {
        let mut out = Vec::new();
        write_request(&mut out, &request);
        prop_assert_eq!(parse(str::from_utf8(&out).unwrap()), Ok(request));
    }

    #[test]
    fn a_byte_more_or_less_is_no_trouble(request in request(), at: usize, byte: Option<char>) {
        let mut out = Vec::new();
        write_request(&mut out, &request);
        let mut message: Vec<char> = String::from_utf8(out).unwrap().chars().collect();
        let at = at % message.len();
        match byte {
            Some(byte) => message[at] = byte,
            None => {
                message.remove(at);
            }
        }
        // A parsed request can be written and parsed again.
        let message: String = message.iter().collect();
        if let Ok(request) = parse(&message) {
            let mut out = Vec::new();
            write_request(&mut out, &request);
            prop_assert_eq!(parse(str::from_utf8(&out).unwrap()), Ok(request));
        }
    }
}
