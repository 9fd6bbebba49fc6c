//! The reply, part by part, compared with a model.

use std::collections::BTreeMap;

use aquatic_bittorrent::AnnounceEvent;
use aquatic_http_protocol::{HeaderBuffer, Reading};
use aquatic_service::access_list::{AccessList, InfoHashSet};
use aquatic_service::lists::Lists;
use aquatic_swarm::{Announce, Families, HashKey, SwarmLimits};

use super::*;

/// Maximum number of bytes that a step may write.
const MAX_PART_BYTES: usize = 64 << 10;

fn state(list: AccessList) -> State {
    State {
        swarms: Families::new(HashKey::new([1; 16]), SwarmLimits::default()),
        lists: Lists::of_torrents(list),
    }
}

fn info_hash(torrent: u32) -> InfoHash {
    // Spread over all values, in another order.
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&torrent.wrapping_mul(0x9e37_79b1).to_be_bytes());
    InfoHash(bytes)
}

fn announce(state: &State, torrent: u32, event: AnnounceEvent) {
    let announce = Announce {
        record: [1; 6],
        is_seeder: torrent.is_multiple_of(2),
        event,
        wanted: 0,
        now_seconds: 0,
        lifetime_seconds: 600,
    };
    let mut random = fastrand::Rng::with_seed(1);
    let mut locked = state.swarms.ipv4.lock(&info_hash(torrent));
    locked.announce(&announce, &mut random).unwrap();
}

fn streamed() -> Streamed {
    let mut headers = HeaderBuffer::new();
    // Without chunks, as they are tested elsewhere.
    let Reading::Complete { head, .. } = Reading::of(b"GET / HTTP/1.0\r\n\r\n", &mut headers)
    else {
        panic!("a request");
    };
    Streamed::of(&head, true)
}

/// The whole reply; `between` is called between two steps. Each step is short.
fn reply(state: &State, mut between: impl FnMut()) -> Vec<u8> {
    let all = Arc::default();
    let mut out = Vec::new();
    let mut scrape = FullScrape::begin(&all, true, streamed(), &mut out).unwrap();
    let mut steps = 0;
    loop {
        let before = out.len();
        let step = scrape.step(state, &mut out);
        assert!(out.len() - before <= MAX_PART_BYTES);
        if step == Step::End {
            break;
        }
        between();
        steps += 1;
        assert!(steps < 1_000_000, "it has no end");
    }
    drop(scrape);
    assert_eq!(all.0.load(Relaxed), 0);
    let body_at = out.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    out.split_off(body_at)
}

/// The torrents of a reply, which must be sorted, with seeders, downloads and leechers.
fn torrents(body: &[u8]) -> Vec<(InfoHash, [u32; 3])> {
    let mut rest = body.strip_prefix(b"d5:filesd").unwrap();
    let mut all: Vec<(InfoHash, [u32; 3])> = Vec::new();
    while let Some(entry) = rest.strip_prefix(b"20:") {
        let (hash, entry) = entry.split_first_chunk::<20>().unwrap();
        let end = entry.windows(2).position(|two| two == b"ee").unwrap() + 2;
        let text = str::from_utf8(&entry[..end]).unwrap();
        let numbers = text.split('i').filter_map(|part| {
            let digits = part.split('e').next()?;
            digits.parse::<u32>().ok()
        });
        let numbers: Vec<u32> = numbers.collect();
        let hash = InfoHash(*hash);
        assert!(all.last().is_none_or(|(last, _)| *last < hash), "{hash}");
        all.push((hash, numbers.try_into().unwrap()));
        rest = &entry[end..];
    }
    assert_eq!(rest, b"ee");
    all
}

#[test]
fn every_torrent_is_there_once_and_in_order() {
    for count in [0, 1, 1_000, MIN_PASS as u32, MIN_PASS as u32 + 1, 70_000] {
        let state = state(AccessList::Off);
        for torrent in 0..count {
            announce(&state, torrent, AnnounceEvent::None);
        }
        let mut expected: Vec<_> = (0..count)
            .map(|torrent| {
                let is_seeder = u32::from(torrent.is_multiple_of(2));
                (info_hash(torrent), [is_seeder, 0, 1 - is_seeder])
            })
            .collect();
        expected.sort_unstable();
        let found = torrents(&reply(&state, || ()));
        assert_eq!(found.len(), expected.len());
        assert!(found == expected, "{count}");
    }
}

#[test]
fn torrents_without_peers_have_their_downloads_and_forbidden_ones_are_left_out() {
    let list = InfoHashSet::parse(format!("{}\n", info_hash(2)).as_bytes()).unwrap();
    let state = state(AccessList::Deny(list));
    for torrent in [4, 2, 6] {
        announce(&state, torrent, AnnounceEvent::Completed);
    }
    announce(&state, 6, AnnounceEvent::Stopped);
    let found: BTreeMap<_, _> = torrents(&reply(&state, || ())).into_iter().collect();
    let expected = [(info_hash(4), [1, 1, 0]), (info_hash(6), [0, 1, 0])];
    assert_eq!(found, expected.into_iter().collect());
    // The other family has none.
    let all = Arc::default();
    let mut out = Vec::new();
    let mut scrape = FullScrape::begin(&all, false, streamed(), &mut out).unwrap();
    while scrape.step(&state, &mut out) == Step::More {}
    assert!(out.ends_with(b"\r\n\r\nd5:filesdee"));
}

#[test]
fn torrents_that_stay_are_there_whatever_else_changes() {
    const STABLE: u32 = 50_000;
    const CHANGING: u32 = 20_000;
    let state = state(AccessList::Off);
    for torrent in 0..STABLE {
        announce(&state, torrent, AnnounceEvent::None);
    }
    let mut random = fastrand::Rng::with_seed(3);
    let body = reply(&state, || {
        for _ in 0..50 {
            let torrent = STABLE + random.u32(..CHANGING);
            let events = [AnnounceEvent::None, AnnounceEvent::Stopped];
            announce(&state, torrent, events[random.usize(..2)]);
        }
    });
    // They are sorted and unique.
    let found: BTreeMap<_, _> = torrents(&body).into_iter().collect();
    for torrent in 0..STABLE {
        assert!(found.contains_key(&info_hash(torrent)), "{torrent}");
    }
    assert!(found.len() < (STABLE + CHANGING) as usize);
}

#[test]
fn only_some_are_answered_at_a_time() {
    let all = Arc::default();
    let begin = || FullScrape::begin(&all, true, streamed(), &mut Vec::new());
    let mut begun: Vec<FullScrape> = (0..MAX_FULL_SCRAPES).filter_map(|_| begin()).collect();
    assert_eq!(begun.len(), MAX_FULL_SCRAPES);
    assert!(begin().is_none());
    begun.pop();
    assert!(begin().is_some());
}

/// Many torrents are gone over as often as few, and not more often.
#[test]
fn the_number_of_passes_is_bounded() {
    let state = state(AccessList::Off);
    for torrent in 0..(MIN_PASS * PASSES + MIN_PASS) as u32 {
        announce(&state, torrent, AnnounceEvent::None);
    }
    let all = Arc::default();
    let mut out = Vec::new();
    let mut scrape = FullScrape::begin(&all, true, streamed(), &mut out).unwrap();
    let mut passes = 0;
    let mut was_collecting = false;
    loop {
        let is_collecting = matches!(scrape.phase, Phase::Collecting(..));
        passes += usize::from(is_collecting && !was_collecting);
        was_collecting = is_collecting;
        out.clear();
        if scrape.step(&state, &mut out) == Step::End {
            break;
        }
    }
    assert!((PASSES..=PASSES + 1).contains(&passes), "{passes}");
}
