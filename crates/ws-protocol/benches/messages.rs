//! What it costs to read and write messages: `cargo bench -p aquatic_ws_protocol`, on a machine
//! that does nothing else. Each line has the median of many parts.

use std::hint::black_box;
use std::time::Instant;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_ws_protocol::client::write_request;
use aquatic_ws_protocol::{
    Announce, Answer, MaxItems, Offer, OfferId, RelayedOffer, Request, SessionDescription,
};

/// Different messages, as branches depend on the bytes of hashes: more than are learnt.
const MESSAGES: usize = 256;

const PARTS: usize = 201;

const MAX: MaxItems = MaxItems {
    offers: 10,
    scrape_torrents: 10,
};

fn main() {
    let mut random = fastrand::Rng::with_seed(7);
    let description = description();
    let description = SessionDescription::new(&description).expect("an object");
    let mut bytes = || std::array::from_fn(|_| random.u8(..));
    for offers in [0, 10] {
        let announces = (0..MESSAGES).map(|_| {
            Request::Announce(Announce {
                info_hash: InfoHash(bytes()),
                peer_id: PeerId(bytes()),
                event: AnnounceEvent::None,
                left: Some(1_000_000),
                uploaded: Some(0),
                downloaded: Some(0),
                wanted: Some(10),
                offers: (0..offers)
                    .map(|_| Offer {
                        id: OfferId(bytes()),
                        description,
                    })
                    .collect(),
            })
        });
        read(&format!("an announce with {offers} offers"), announces);
    }
    let answers: Vec<_> = (0..MESSAGES)
        .map(|_| Answer {
            info_hash: InfoHash(bytes()),
            peer_id: PeerId(bytes()),
            to_peer_id: PeerId(bytes()),
            offer_id: OfferId(bytes()),
            description,
        })
        .collect();
    read("an answer", answers.iter().copied().map(Request::Answer));
    let mut out = Vec::new();
    report("write an offer", &answers, |answer| {
        out.clear();
        let offer = RelayedOffer {
            info_hash: answer.info_hash,
            from_peer_id: answer.peer_id,
            offer_id: answer.offer_id,
            description,
        };
        offer.write(black_box(&mut out));
    });
}

/// A description of 700 bytes with lines like those of a browser.
fn description() -> String {
    let mut lines = String::from(r"v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\n");
    while lines.len() < 660 {
        lines += r"a=candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host\r\n";
        lines += r"a=ice-ufrag:4ZcD\r\na=mid:0\r\n";
    }
    lines.truncate(660);
    let lines = lines.trim_end_matches(['\\', 'r', 'n']);
    format!(r#"{{"type":"offer","sdp":"{lines}\r\n"}}"#)
}

fn read<'a>(what: &str, requests: impl Iterator<Item = Request<'a>>) {
    let messages: Vec<String> = requests
        .map(|request| {
            let mut message = Vec::new();
            write_request(&mut message, &request);
            String::from_utf8(message).expect("JSON")
        })
        .collect();
    let length = messages[0].len();
    report(&format!("check {what}, {length} bytes"), &messages, |it| {
        black_box(simdutf8::basic::from_utf8(it.as_bytes()).is_ok());
    });
    report(&format!("read {what}"), &messages, |it| {
        black_box(Request::parse(it, MAX).is_ok());
    });
}

fn report<T>(what: &str, messages: &[T], mut work: impl FnMut(&T)) {
    let mut parts: Vec<f64> = (0..PARTS)
        .map(|_| {
            let started = Instant::now();
            messages.iter().for_each(|it| work(black_box(it)));
            started.elapsed().as_nanos() as f64 / messages.len() as f64
        })
        .collect();
    parts.sort_by(f64::total_cmp);
    println!("{what}: {:.0} ns", parts[PARTS / 2]);
}
