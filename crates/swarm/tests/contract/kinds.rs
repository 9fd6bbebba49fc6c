//! Tests of one kind of peers, or of several together.

use super::*;

#[test]
fn ipv6_networks_share_a_cap() {
    let mut fixture = Fixture::<18, 18, 1>::with(SwarmLimits {
        max_peers_per_ip: NonZeroU32::new(1),
        ..SwarmLimits::default()
    });
    let mut announce = |last_of_network: u8, last_of_address: u8| {
        let mut record = [0x20; 18];
        record[7] = last_of_network;
        record[15] = last_of_address;
        let announce = Announce {
            record,
            is_seeder: false,
            event: AnnounceEvent::None,
            wanted: 0,
            now_seconds: 0,
            lifetime_seconds: LIFETIME,
        };
        let mut locked = fixture.swarm.lock(&info_hash(1));
        locked.announce(&announce, &mut fixture.random).is_ok()
    };
    assert!(announce(1, 1));
    assert!(!announce(1, 2));
    assert!(announce(2, 1));
}

#[test]
fn a_newer_connection_owns_the_peer() {
    let mut fixture = Fixture::<28, 20, 1>::new();
    fixture.leech(1, 1);
    let older = record::<28>(1);
    let mut newer = older;
    newer[27] = 2;
    let announce = Announce {
        record: newer,
        is_seeder: false,
        event: AnnounceEvent::None,
        wanted: 10,
        now_seconds: 0,
        lifetime_seconds: LIFETIME,
    };
    let mut locked = fixture.swarm.lock(&info_hash(1));
    let announced = locked.announce(&announce, &mut fixture.random).unwrap();
    assert_eq!(announced.leechers, 0);
    assert!(!locked.remove(&older));
    assert_eq!(locked.scrape().leechers, 1);
    assert!(locked.remove(&newer));
    assert_eq!(locked.scrape().leechers, 0);
}

#[test]
fn peers_can_be_removed_by_their_records() {
    let mut fixture = Fixture::<28, 20, 1>::new();
    const TORRENTS: u32 = 300;
    for torrent in 0..TORRENTS {
        for peer in 0..torrent % 80 {
            fixture.leech(torrent, peer);
        }
    }
    let mut sweep = Sweep::new();
    let is_even = |record: &[u8; 28]| record[..20].iter().sum::<u8>() % 2 == 0;
    let mut steps = 0;
    while !sweep.step_where(&fixture.swarm, 0, 10, |_| true, is_even) {
        steps += 1;
    }
    assert!(steps > 10, "{steps}");
    let mut left = 0;
    for torrent in 0..TORRENTS {
        let locked = fixture.swarm.lock(&info_hash(torrent));
        let expected = (0..torrent % 80).map(record::<28>).filter(is_even);
        let expected: Vec<_> = expected.collect();
        assert_eq!(locked.scrape().leechers as usize, expected.len());
        for record in &expected {
            assert_eq!(locked.record(record), Some(*record));
        }
        left += expected.len();
    }
    let totals = fixture.swarm.totals();
    assert_eq!((totals.peers, totals.seeders), (left, 0));
}

#[test]
fn swarms_share_the_cap_on_torrents() {
    let limits = SwarmLimits {
        max_torrents: NonZeroUsize::new(1),
        ..SwarmLimits::default()
    };
    let usage = Arc::new(Usage::default());
    let key = HashKey::new([1; 16]);
    let ipv4 = Ipv4Swarm::new(key, limits, usage.clone());
    let ipv6 = Ipv6Swarm::new(key, limits, usage.clone());
    let web = WebSwarm::new(key, limits, Arc::default());
    let mut random = fastrand::Rng::with_seed(1);
    macro_rules! is_ok {
        ($swarm:ident) => {
            $swarm
                .lock(&info_hash(1))
                .announce(
                    &Announce {
                        record: record(1),
                        is_seeder: true,
                        event: AnnounceEvent::None,
                        wanted: 1,
                        now_seconds: 0,
                        lifetime_seconds: 1,
                    },
                    &mut random,
                )
                .is_ok()
        };
    }
    assert!(is_ok!(ipv4));
    assert!(!is_ok!(ipv6));
    assert!(is_ok!(web));
    assert!(is_ok!(ipv4));
    assert_eq!(usage.live(), 1);
}
