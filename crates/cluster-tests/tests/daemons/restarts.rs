//! Linked daemons that start later, stop, or are killed.

use aquatic_test_harness::Signal;
use aquatic_test_harness::tracker::{Place, Tracker};

use crate::client::{Event, Url, leecher, seeder};
use crate::pair::{Pair, Site, await_counts, await_linked};

#[test]
fn who_comes_later_gets_everything() {
    let site = Site::new();
    let udp = site.udp().start();
    for url in [Url::Udp(udp.ipv4()), Url::Udp(udp.ipv6())] {
        url.announce(leecher('a', 1001));
        url.announce(seeder('a', 1001).with(Event::Completed));
        url.announce(leecher('a', 1002));
    }
    let http = site.http().start();
    await_linked(&http);
    for url in [Url::Http(http.ipv4()), Url::Http(http.ipv6())] {
        assert_eq!(url.announce(leecher('a', 1003)).ports, [1001, 1002]);
        await_counts(url, 'a', [1, 2, 1]);
    }
    for url in [Url::Udp(udp.ipv4()), Url::Udp(udp.ipv6())] {
        await_counts(url, 'a', [1, 2, 1]);
    }
}

fn with_snapshot(mut place: Place) -> Place {
    place.set_path("snapshot.path", "snapshot");
    place
}

#[test]
fn who_restarts_gets_what_it_missed() {
    let site = Site::new();
    for is_kept in [true, false] {
        let place = |place: Place| if is_kept { with_snapshot(place) } else { place };
        let pair = [place(site.udp()), place(site.http())].map(Place::start);
        pair.iter().for_each(await_linked);
        let [udp, http] = pair;
        let [udp_url, http_url] = [Url::Udp(udp.ipv4()), Url::Http(http.ipv4())];
        udp_url.announce(seeder('a', 1001));
        http_url.announce(seeder('b', 1002));
        await_counts(http_url, 'a', [1, 0, 0]);

        let stopped = http.place;
        http.daemon.stop();
        udp.await_metric("cluster_nodes", &[], 0.0);
        udp.await_metric("cluster_readers", &[], 0.0);
        udp_url.announce(leecher('a', 1003));
        udp_url.announce(leecher('c', 1003));
        let http = stopped.start();
        await_linked(&http);
        await_counts(http_url, 'a', [1, 1, 0]);
        await_counts(http_url, 'b', [1, 0, 0]);
        await_counts(http_url, 'c', [0, 1, 0]);
        udp.await_metric("cluster_reconnects_total", &[], 1.0);
        udp.await_metric("cluster_nodes", &[], 1.0);
    }
}

#[test]
fn who_was_killed_is_linked_again() {
    let mut pair = Pair::start();
    let [udp, http] = pair.ipv4();
    udp.announce(seeder('a', 1001));
    http.announce(seeder('b', 1002));
    await_counts(http, 'a', [1, 0, 0]);
    await_counts(udp, 'b', [1, 0, 0]);
    let is_udp = [true, false, true, false];
    for (round, is_udp) in is_udp.into_iter().enumerate() {
        let (killed, other) = if is_udp {
            (&mut pair.udp, &pair.http)
        } else {
            (&mut pair.http, &pair.udp)
        };
        killed.daemon.signal(Signal::SIGKILL);
        // A client announces to the other daemon meanwhile, and the killed one's socket
        // file is still there.
        let url = if is_udp { http } else { udp };
        url.announce(leecher('c', 1003 + round as u16));
        restart_killed(killed);
        await_linked(killed);
        other.await_metric("cluster_nodes", &[], 1.0);
        let leechers = round as u32 + 1;
        for url in [udp, http] {
            await_counts(url, 'a', [1, 0, 0]);
            await_counts(url, 'b', [1, 0, 0]);
            await_counts(url, 'c', [0, leechers, 0]);
        }
    }
}

#[track_caller]
fn restart_killed(tracker: &mut Tracker) {
    aquatic_test_harness::eventually("the killed one ends", || {
        (!tracker.daemon.is_running()).then_some(())
    });
    tracker.daemon = tracker.place.setup.start(&tracker.place.config());
}
