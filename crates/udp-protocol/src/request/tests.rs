//! Requests, compared with the byte layouts of BEP 15.

use proptest::prelude::*;

use super::*;

/// The fields in the order of the table in BEP 15.
const ANNOUNCE: &[u8; 98] = b"\
    CONN-ID!\
    \x00\x00\x00\x01\
    \x12\x34\x56\x78\
    \x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\
    -XX1234-abcdefghijkl\
    \x00\x00\x00\x00\x00\x00\x01\x00\
    \x00\x00\x00\x00\x00\x00\x02\x00\
    \x00\x00\x00\x00\x00\x00\x03\x00\
    \x00\x00\x00\x02\
    \xc0\x00\x02\x07\
    \xde\xad\xbe\xef\
    \x00\x00\x00\x32\
    \x1a\xe1";

const CONNECT: &[u8; 16] = b"\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00\xab\xcd\xef\x01";

fn announce(bytes: &[u8]) -> AnnounceRequest<'_> {
    match Request::parse(bytes) {
        Ok(Request::Announce(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn fault(bytes: &[u8]) -> RequestFault {
    match Request::parse(bytes) {
        Err(RequestError::Answerable {
            connection_id: ConnectionId(connection_id),
            transaction_id: TransactionId(transaction_id),
            fault,
        }) => {
            assert_eq!(connection_id, bytes[..8]);
            assert_eq!(transaction_id, bytes[12..16]);
            fault
        }
        other => panic!("{other:?}"),
    }
}

fn scrape_bytes(info_hash_bytes: &[u8]) -> Vec<u8> {
    [b"CONN-ID!\x00\x00\x00\x02\x12\x34\x56\x78", info_hash_bytes].concat()
}

#[test]
fn reads_a_connect_request() {
    let expected = ConnectRequest {
        transaction_id: TransactionId::from(0xabcd_ef01),
    };
    assert_eq!(Request::parse(CONNECT), Ok(Request::Connect(expected)));
    assert_eq!(expected.to_bytes(), *CONNECT);

    let longer = [CONNECT, &b"more"[..]].concat();
    assert_eq!(Request::parse(&longer), Ok(Request::Connect(expected)));
}

#[test]
fn a_connect_request_needs_the_protocol_id() {
    let mut bytes = *CONNECT;
    bytes[7] = 0x81;
    assert_eq!(
        Request::parse(&bytes),
        Err(RequestError::ProtocolId(PROTOCOL_ID + 1))
    );
}

#[test]
fn reads_an_announce() {
    let expected = AnnounceRequest {
        connection_id: ConnectionId(*b"CONN-ID!"),
        transaction_id: TransactionId::from(0x1234_5678),
        info_hash: InfoHash(std::array::from_fn(|index| index as u8)),
        peer_id: PeerId(*b"-XX1234-abcdefghijkl"),
        downloaded: 0x100,
        left: 0x200,
        uploaded: 0x300,
        event: AnnounceEvent::Started,
        claimed_address: Some(Ipv4Addr::new(192, 0, 2, 7)),
        key: 0xdead_beef,
        peers_wanted: NonZeroU32::new(50),
        port: 6881,
        url_data: UrlData::default(),
    };
    assert_eq!(announce(ANNOUNCE), expected);
    assert!(!expected.is_seeder());

    let mut out = [0; MIN_ANNOUNCE_LENGTH];
    assert_eq!(expected.write(&mut out), Ok(MIN_ANNOUNCE_LENGTH));
    assert_eq!(out, *ANNOUNCE);
    let mut without_address = *ANNOUNCE;
    without_address[84..88].fill(0);
    assert_eq!(announce(&without_address).claimed_address, None);
}

#[test]
fn reads_the_options_after_an_announce() {
    let bytes = [&ANNOUNCE[..], b"\x02\x09/announce\x00"].concat();
    let request = announce(&bytes);
    assert_eq!(request.port, 6881);
    assert_eq!(
        request.url_data.pieces().collect::<Vec<_>>(),
        [b"/announce"]
    );
}

#[test]
fn knows_the_events() {
    let event = |number: u32| {
        let mut bytes = *ANNOUNCE;
        bytes[80..84].copy_from_slice(&number.to_be_bytes());
        announce(&bytes).event
    };
    assert_eq!(event(0), AnnounceEvent::None);
    assert_eq!(event(1), AnnounceEvent::Completed);
    assert_eq!(event(2), AnnounceEvent::Started);
    assert_eq!(event(3), AnnounceEvent::Stopped);
    assert_eq!(event(4), AnnounceEvent::Paused);
    assert_eq!(event(5), AnnounceEvent::None);
    assert_eq!(event(u32::MAX), AnnounceEvent::None);
}

#[test]
fn leaves_the_number_of_peers_to_the_tracker() {
    let peers_wanted = |number: i32| {
        let mut bytes = *ANNOUNCE;
        bytes[92..96].copy_from_slice(&number.to_be_bytes());
        announce(&bytes).peers_wanted.map(NonZeroU32::get)
    };
    assert_eq!(peers_wanted(-1), None);
    assert_eq!(peers_wanted(i32::MIN), None);
    assert_eq!(peers_wanted(0), None);
    assert_eq!(peers_wanted(1), Some(1));
    assert_eq!(peers_wanted(i32::MAX), Some(0x7fff_ffff));
}

#[test]
fn refuses_announces_that_are_cut_off() {
    for length in 16..MIN_ANNOUNCE_LENGTH {
        assert_eq!(fault(&ANNOUNCE[..length]), RequestFault::AnnounceTooShort);
    }
}

#[test]
fn reads_a_scrape() {
    let bytes = scrape_bytes(&[[1; 20], [2; 20]].concat());
    let Ok(Request::Scrape(request)) = Request::parse(&bytes) else {
        panic!("a scrape of two info hashes");
    };
    assert_eq!(request.connection_id, ConnectionId(*b"CONN-ID!"));
    assert_eq!(request.transaction_id, TransactionId::from(0x1234_5678));
    assert!(
        request
            .info_hashes()
            .eq([InfoHash([1; 20]), InfoHash([2; 20])])
    );

    let mut out = [0; 56];
    assert_eq!(request.write(&mut out), Ok(56));
    assert_eq!(out[..], bytes);
    assert_eq!(request.write(&mut out[..55]), Err(BufferTooSmall));
}

#[test]
fn refuses_scrapes_of_nothing_and_of_parts() {
    assert_eq!(
        fault(&scrape_bytes(b"")),
        RequestFault::ScrapeWithoutInfoHash
    );
    for length in [1, 19, 21, 39, 59] {
        assert_eq!(
            fault(&scrape_bytes(&vec![0; length])),
            RequestFault::ScrapePartialInfoHash
        );
    }
}

#[test]
fn answers_unknown_actions_but_not_fragments() {
    let mut bytes = *ANNOUNCE;
    bytes[11] = 3;
    assert_eq!(fault(&bytes), RequestFault::UnknownAction(3));
    bytes[8] = 0xff;
    assert_eq!(
        fault(&bytes[..16]),
        RequestFault::UnknownAction(0xff00_0003)
    );

    for length in 0..16 {
        assert_eq!(
            Request::parse(&ANNOUNCE[..length]),
            Err(RequestError::TooShort { length })
        );
    }
}

fn any_event() -> impl Strategy<Value = AnnounceEvent> {
    prop_oneof![
        Just(AnnounceEvent::None),
        Just(AnnounceEvent::Started),
        Just(AnnounceEvent::Stopped),
        Just(AnnounceEvent::Completed),
        Just(AnnounceEvent::Paused),
    ]
}

prop_compose! {
    fn any_announce()(
        ids: ([u8; 8], u32, [u8; 20], [u8; 20]),
        bytes: (i64, i64, i64),
        event in any_event(),
        claimed in prop::option::of(1_u32..),
        key: u32,
        peers_wanted in prop::option::of(1..=i32::MAX as u32),
        port: u16,
    ) -> AnnounceRequest<'static> {
        AnnounceRequest {
            connection_id: ConnectionId(ids.0),
            transaction_id: TransactionId::from(ids.1),
            info_hash: InfoHash(ids.2),
            peer_id: PeerId(ids.3),
            downloaded: bytes.0,
            left: bytes.1,
            uploaded: bytes.2,
            event,
            claimed_address: claimed.map(Ipv4Addr::from_bits),
            key,
            peers_wanted: peers_wanted.and_then(NonZeroU32::new),
            port,
            url_data: UrlData::default(),
        }
    }
}

proptest! {
    #[test]
    fn announces_come_back(request in any_announce(), options: Vec<u8>) {
        let request = AnnounceRequest { url_data: UrlData::from_options(&options), ..request };
        let mut out = vec![0; MIN_ANNOUNCE_LENGTH + options.len()];
        prop_assert_eq!(request.write(&mut out), Ok(out.len()));
        prop_assert_eq!(Request::parse(&out), Ok(Request::Announce(request)));

        let too_small = out.len() - 1;
        prop_assert_eq!(request.write(&mut out[..too_small]), Err(BufferTooSmall));
    }

    #[test]
    fn any_bytes_after_an_announce_are_accepted(request in any_announce(), options: Vec<u8>) {
        let mut bytes = [0; MIN_ANNOUNCE_LENGTH];
        request.write(&mut bytes).unwrap();
        let longer = [&bytes[..], &options].concat();
        let parsed = AnnounceRequest { url_data: UrlData::default(), ..announce(&longer) };
        prop_assert_eq!(parsed, request);
    }

    #[test]
    fn scrapes_come_back(
        connection_id: [u8; 8],
        transaction_id: u32,
        info_hashes in prop::collection::vec(any::<[u8; 20]>(), 1..80),
    ) {
        let request = ScrapeRequest {
            connection_id: ConnectionId(connection_id),
            transaction_id: TransactionId::from(transaction_id),
            info_hashes: &info_hashes,
        };
        let mut out = vec![0; SCRAPE_REQUEST_HEADER_LENGTH + info_hashes.len() * INFO_HASH_LENGTH];
        prop_assert_eq!(request.write(&mut out), Ok(out.len()));
        prop_assert_eq!(Request::parse(&out), Ok(Request::Scrape(request)));
    }

    /// Random bytes rarely have a valid action, so the test sets one.
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, action in 0_u8..5) {
        if let Some(field) = bytes.get_mut(8..12) {
            field.copy_from_slice(&[0, 0, 0, action]);
        }
        let parsed = Request::parse(&bytes);
        if bytes.len() < 16 {
            prop_assert_eq!(parsed, Err(RequestError::TooShort { length: bytes.len() }));
        }
    }
}
