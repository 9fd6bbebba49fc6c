//! Each daemon applies its own access list and limits to the peers that others have.

use std::thread;
use std::time::Duration;

use aquatic_test_harness::Signal;

use crate::client::{leecher, seeder};
use crate::pair::{Pair, Site, await_counts, await_linked};

const FORBIDDEN: char = 'f';

fn line(torrent: char) -> String {
    format!("{:02x}", torrent as u8).repeat(20) + "\n"
}

#[test]
fn a_peer_whose_address_is_banned_at_one_is_not_taken_over_there() {
    let site = Site::new();
    let udp = site.udp().start();
    let mut http = site.http();
    http.setup.write("bans", "127.0.0.0/8\n");
    http.set_paths("bans.paths", &["bans"]);
    let mut pair = Pair {
        http: http.start(),
        udp,
        site,
    };
    pair.await_linked();
    let [udp, http] = pair.ipv4();
    udp.announce(seeder('a', 1001));
    let reason = [("reason", "forbidden")];
    pair.http
        .await_metric("cluster_rejected_peers_total", &reason, 1.0);
    assert_eq!(pair.http.metric("torrents", &[]), 0.0);
    http.try_announce(leecher('a', 1002)).unwrap_err();

    // When nobody is banned any more, the next one is taken over.
    pair.http.place.setup.write("bans", "");
    pair.http.daemon.reload(Signal::SIGHUP);
    udp.announce(seeder('a', 1003));
    await_counts(http, 'a', [1, 0, 0]);
}

#[test]
fn a_torrent_that_is_forbidden_at_one_is_unknown_there() {
    let site = Site::new();
    let udp = site.udp().start();
    let mut http = site.http();
    http.set("access_list.mode", "\"deny\"");
    http.set_path("access_list.path", "list");
    let list = http.setup.write("list", line(FORBIDDEN));
    let mut pair = Pair {
        http: http.start(),
        udp,
        site,
    };
    pair.await_linked();
    let [udp, http] = pair.ipv4();
    udp.announce(seeder(FORBIDDEN, 1001));
    udp.announce(seeder('a', 1001));
    await_counts(http, 'a', [1, 0, 0]);
    http.try_announce(leecher(FORBIDDEN, 1002)).unwrap_err();
    http.try_scrape(FORBIDDEN).unwrap_err();
    let reason = [("reason", "forbidden")];
    pair.http
        .await_metric("cluster_rejected_peers_total", &reason, 1.0);
    assert_eq!(pair.http.metric("torrents", &[]), 1.0);
    assert_eq!(udp.scrape(FORBIDDEN).seeders, 1);

    // A torrent that is forbidden later is removed, and does not come back over the link.
    std::fs::write(&list, line('a')).unwrap();
    pair.http.daemon.reload(Signal::SIGHUP);
    http.try_scrape('a').unwrap_err();
    pair.http.await_metric("torrents", &[], 0.0);
    udp.announce(leecher('a', 1003));
    udp.announce(leecher(FORBIDDEN, 1003));
    await_counts(http, FORBIDDEN, [0, 1, 0]);
    http.try_announce(leecher('a', 1002)).unwrap_err();
    assert_eq!(udp.scrape('a').seeders, 1);

    // A daemon that restarts gets the peers of the torrent that is allowed now.
    let Pair { udp, http, site } = pair;
    let pair = Pair {
        http: http.restart(),
        udp,
        site,
    };
    await_linked(&pair.http);
    await_counts(pair.ipv4()[1], FORBIDDEN, [1, 1, 0]);
    assert_eq!(pair.http.metric("torrents", &[]), 1.0);
}

#[test]
fn limits_hold_for_the_peers_of_others() {
    let limits = [
        ("limits.max_peers_per_torrent", "2"),
        ("limits.max_torrents", "2"),
    ];
    let pair = Pair::with(&[], &limits);
    let [udp, http] = pair.ipv4();
    for port in 1001..=1004 {
        udp.announce(seeder('a', port));
    }
    let reason = [("reason", "limit")];
    pair.http
        .await_metric("cluster_rejected_peers_total", &reason, 2.0);
    await_counts(http, 'a', [2, 0, 0]);
    for torrent in ['b', 'c'] {
        udp.announce(seeder(torrent, 1001));
    }
    pair.http
        .await_metric("cluster_rejected_peers_total", &reason, 3.0);
    assert_eq!(pair.http.metric("torrents", &[]), 2.0);
    http.try_announce(leecher('d', 1001)).unwrap_err();

    let Pair { udp, http, site } = pair;
    let pair = Pair {
        http: http.restart(),
        udp,
        site,
    };
    await_linked(&pair.http);
    assert_eq!(pair.http.metric("torrents", &[]), 2.0);
    let rejected = pair.http.metric("cluster_rejected_peers_total", &reason);
    // The four peers of `a` are rejected, or two of them and the peer of `b` or `c`.
    assert!([3.0, 4.0].contains(&rejected), "{rejected}");
}

#[test]
fn a_reload_changes_how_long_others_keep_peers() {
    const SHORT: [(&str, &str); 3] = [
        ("cleaning.max_peer_age", "2"),
        ("cleaning.torrent_cleaning_interval", "1"),
        ("protocol.peer_announce_interval", "1"),
    ];
    let mut pair = Pair::with(&SHORT, &[("cleaning.torrent_cleaning_interval", "1")]);
    let [udp, http] = pair.ipv4();
    udp.announce(seeder('a', 1001));
    await_counts(http, 'a', [1, 0, 0]);
    await_counts(http, 'a', [0, 0, 0]);

    pair.udp.reload_with(&[("cleaning.max_peer_age", "600")]);
    udp.announce(seeder('b', 1001));
    await_counts(http, 'b', [1, 0, 0]);
    thread::sleep(Duration::from_secs(5));
    assert_eq!(http.scrape('b').seeders, 1);
}
