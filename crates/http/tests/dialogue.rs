//! Whole connections: the fuzzer's corpus, and random inputs from fixed seeds.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/http_dialogue.rs"]
mod http_dialogue;

/// Number of random connections, and of the parts of each.
const CONNECTIONS: u64 = 2_000;
const PARTS: usize = 30;

#[test]
fn what_was_found() {
    replay("http_dialogue", http_dialogue::check);
}

#[test]
fn what_chance_finds() {
    const ANNOUNCE: &str = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX1234-abcdefghijkl";
    for seed in 0..CONNECTIONS {
        // Shown if the check fails.
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut input = vec![random.u8(..), random.u8(..)];
        for _ in 0..PARTS {
            let part = match random.u8(..14) {
                0..=3 => {
                    let (port, left) = (random.u8(..), random.u8(..2));
                    format!(
                        "GET {ANNOUNCE}&port={port}&left={left} HTTP/1.1\r\nHost: x\r\n\
                         X-Forwarded-For: 192.0.2.{port}\r\n\r\n"
                    )
                }
                4 => "HEAD /scrape?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: x\r\n\r\n"
                    .to_owned(),
                5 => "GET /KEY/announce HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
                6 => "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
                7 => "\r\n".to_owned(),
                8 => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_owned(),
                9 => "GET / HTTP/1.1\nHost: x\n\n".to_owned(),
                12 => {
                    let method = ["GET", "HEAD"][random.usize(..2)];
                    format!(
                        "{method} /scrape HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
                    )
                }
                13 if random.u8(..10) == 0 => {
                    "GET /scrape?x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned()
                }
                10 if random.u8(..10) == 0 => "GET / HTTP/1.1\r\n\r\n".to_owned(),
                11 if random.u8(..10) == 0 => "GET / HTTP/1.1\r\nHost: x\r\n".to_owned(),
                _ => continue,
            };
            input.extend(part.into_bytes());
        }
        if random.u8(..4) == 0 {
            let place = random.usize(2..input.len().max(3));
            input.truncate(place);
        }
        http_dialogue::check(&input);
    }
}
