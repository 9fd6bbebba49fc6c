//! Messages to clients: their text, and what clients parse from it.

use proptest::prelude::*;

use super::*;
use crate::client::{Reply, ScrapedTorrent};

const DESCRIPTION: &str = r#"{"type":"answer","sdp":"v=0\r\n"}"#;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn description() -> SessionDescription<'static> {
    SessionDescription::new(DESCRIPTION).unwrap()
}

#[test]
fn an_announce_is_answered() {
    let reply = AnnounceReply {
        info_hash: InfoHash(*b"\0a\"\\\x7f\x80\xff\n0123456789ab"),
        seeders: 1,
        leechers: 20,
        interval_seconds: 120,
    };
    assert_eq!(
        written(|out| reply.write(out)),
        "{\"action\":\"announce\",\"info_hash\":\"\\u0000a\\\"\\\\\u{7f}\u{80}\u{ff}\\u000a\
         0123456789ab\",\"complete\":1,\"incomplete\":20,\"interval\":120}"
    );
}

#[test]
fn offers_and_answers_are_relayed_as_they_were() {
    let offer = RelayedOffer {
        info_hash: InfoHash([b'a'; 20]),
        from_peer_id: PeerId([b'b'; 20]),
        offer_id: OfferId([b'c'; 20]),
        description: description(),
    };
    let (a, b, c) = ("a".repeat(20), "b".repeat(20), "c".repeat(20));
    let start =
        format!(r#"{{"action":"announce","info_hash":"{a}","peer_id":"{b}","offer_id":"{c}""#);
    assert_eq!(
        written(|out| offer.write(out)),
        format!(r#"{start},"offer":{DESCRIPTION}}}"#)
    );
    let answer = RelayedAnswer {
        info_hash: offer.info_hash,
        from_peer_id: offer.from_peer_id,
        offer_id: offer.offer_id,
        description: offer.description,
    };
    assert_eq!(
        written(|out| answer.write(out)),
        format!(r#"{start},"answer":{DESCRIPTION}}}"#)
    );
}

#[test]
fn scrapes_are_answered() {
    assert_eq!(
        written(|out| ScrapeReply::begin(out).finish()),
        r#"{"action":"scrape","files":{}}"#
    );
    let two = written(|out| {
        let mut reply = ScrapeReply::begin(out);
        reply.append(&InfoHash([b'a'; 20]), 1, 2, 3);
        reply.append(&InfoHash([b'b'; 20]), 0, 0, 0);
        reply.finish();
    });
    let (a, b) = ("a".repeat(20), "b".repeat(20));
    assert_eq!(
        two,
        format!(
            r#"{{"action":"scrape","files":{{"{a}":{{"complete":1,"downloaded":2,"incomplete":3}},"{b}":{{"complete":0,"downloaded":0,"incomplete":0}}}}}}"#
        )
    );
}

#[test]
fn failures_say_again_what_was_asked_for() {
    let failure = Failure {
        rejected: Rejected::Torrent(Action::Announce, InfoHash([b'a'; 20])),
        reason: "action must be \"announce\"",
    };
    let a = "a".repeat(20);
    let reason = r#""failure reason":"action must be \"announce\"""#;
    assert_eq!(
        written(|out| failure.write(out)),
        format!(r#"{{"action":"announce","info_hash":"{a}",{reason}}}"#)
    );
    let failure = Failure {
        rejected: Rejected::Torrent(Action::Scrape, InfoHash([b'a'; 20])),
        ..failure
    };
    assert_eq!(
        written(|out| failure.write(out)),
        format!(r#"{{"action":"scrape","info_hash":"{a}",{reason}}}"#)
    );
    for (message, expected) in [
        (r#"{"action":"scrape"}"#, r#""action":"scrape""#),
        (
            r#"{"action":"announce","info_hash":"x"}"#,
            r#""action":"announce","info_hash":"x""#,
        ),
        (
            r#"{"action":"dance","info_hash":[7]}"#,
            r#""action":"dance","info_hash":[7]"#,
        ),
        ("no json", r#""action":"announce","info_hash":"""#),
    ] {
        let sent = Sent::of(message);
        let failure = Failure {
            rejected: Rejected::Message(&sent),
            ..failure
        };
        let written = written(|out| failure.write(out));
        assert_eq!(written, format!("{{{expected},{reason}}}"));
        let reply = Reply::parse(&written);
        assert!(
            matches!(
                reply,
                Ok(Reply::Failure {
                    info_hash: None,
                    ..
                })
            ),
            "{reply:?}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        (hash, peer, id, other) in any::<([u8; 20], [u8; 20], [u8; 20], [u8; 20])>(),
        (seeders, leechers, number) in any::<(u32, u32, u32)>(),
        reason in any::<String>(),
    ) {
        let info_hash = InfoHash(hash);
        let announce = AnnounceReply { info_hash, seeders, leechers, interval_seconds: number };
        let text = written(|out| announce.write(out));
        prop_assert_eq!(Reply::parse(&text).unwrap(), Reply::Announce(announce));

        let from_peer_id = PeerId(peer);
        let offer_id = OfferId(id);
        let description = description();
        let offer = RelayedOffer { info_hash, from_peer_id, offer_id, description };
        let text = written(|out| offer.write(out));
        prop_assert_eq!(Reply::parse(&text).unwrap(), Reply::Offer(offer));
        let answer = RelayedAnswer { info_hash, from_peer_id, offer_id, description };
        let text = written(|out| answer.write(out));
        prop_assert_eq!(Reply::parse(&text).unwrap(), Reply::Answer(answer));

        let torrent = |info_hash| ScrapedTorrent { info_hash, seeders, completed: number, leechers };
        let mut torrents = vec![torrent(info_hash), torrent(InfoHash(other))];
        torrents.sort_by_key(|torrent| torrent.info_hash);
        torrents.dedup();
        let text = written(|out| {
            let mut reply = ScrapeReply::begin(out);
            for torrent in &torrents {
                reply.append(&torrent.info_hash, seeders, number, leechers);
            }
            reply.finish();
        });
        prop_assert_eq!(Reply::parse(&text).unwrap(), Reply::Scrape(torrents));

        let rejected = Rejected::Torrent(Action::Scrape, info_hash);
        let failure = Failure { rejected, reason: &reason };
        let text = written(|out| failure.write(out));
        let (action, info_hash) = (Some(Action::Scrape), Some(info_hash));
        let reason = reason.as_str().into();
        let expected = Reply::Failure { action, info_hash, reason };
        prop_assert_eq!(Reply::parse(&text).unwrap(), expected);
    }
}
