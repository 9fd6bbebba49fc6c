//! Daemons of one host, on real sockets.

mod daemon;

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_cluster::local::LocalLink;
use aquatic_cluster::{Outbox, PeerChange};
use aquatic_test_harness::waiting::eventually;
use daemon::{Daemon, Held, connect, listen, packet, settings, socket_path};

const UDP: &str = "aquatic-udp";
const HTTP: &str = "aquatic-http";

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn udp(directory: &Path) -> Daemon {
    Daemon::start(directory, UDP, &[HTTP])
}

fn http(directory: &Path) -> Daemon {
    Daemon::start(directory, HTTP, &[UDP])
}

/// Waits until both daemons read from each other.
fn wait_until_linked(one: &Daemon, other: &Daemon) {
    one.wait_for_readers(1);
    other.wait_for_readers(1);
    eventually("both are linked", || {
        (one.status.linked() + other.status.linked() == 2).then_some(())
    });
}

#[test]
fn either_can_be_first() {
    for is_udp_first in [true, false] {
        let directory = directory();
        let (first, second) = match is_udp_first {
            true => (UDP, HTTP),
            false => (HTTP, UDP),
        };
        let first = Daemon::start(directory.path(), first, &[second]);
        // Nobody is connected yet; the other daemon gets these peers later.
        first.change(0..10, PeerChange::Leecher);
        thread::sleep(Duration::from_millis(50));
        let name = if is_udp_first { HTTP } else { UDP };
        let second = Daemon::start(
            directory.path(),
            name,
            &[if is_udp_first { UDP } else { HTTP }],
        );
        second.change(10..15, PeerChange::Seeder);
        first.wait_for(15);
        second.wait_for(15);
        wait_until_linked(&first, &second);
        assert_eq!(*first.held.lock(), *second.held.lock());
    }
}

#[test]
fn what_changes_is_told_within_milliseconds() {
    let directory = directory();
    let (udp, http) = (udp(directory.path()), http(directory.path()));
    wait_until_linked(&udp, &http);
    let mut fastest = Duration::MAX;
    for number in 0..20 {
        let start = Instant::now();
        udp.change([number], PeerChange::Leecher);
        http.wait_for(number as usize + 1);
        fastest = fastest.min(start.elapsed());
    }
    // The machine may be busy at times.
    assert!(fastest < Duration::from_millis(40), "{fastest:?}");

    http.change(0..5, PeerChange::Completed);
    http.change(5..20, PeerChange::Stopped);
    udp.wait_for(5);
    assert_eq!(*udp.held.lock(), *http.held.lock());
    assert_eq!(
        udp.status.text().as_deref(),
        Some("linked with aquatic-http")
    );
    assert_eq!(
        (
            udp.status.counts().records_out(),
            http.status.counts().records_in()
        ),
        (40, 40)
    );
    assert_eq!(
        (
            http.status.counts().records_out(),
            udp.status.counts().records_in()
        ),
        (40, 40)
    );
    assert_eq!(
        (
            udp.status.counts().gaps(),
            udp.status.counts().repeats(),
            udp.status.counts().refused()
        ),
        (0, 0, 0)
    );
}

#[test]
fn one_that_is_restarted_gets_all() {
    let directory = directory();
    let (udp, http) = (udp(directory.path()), http(directory.path()));
    wait_until_linked(&udp, &http);
    udp.change(0..3_000, PeerChange::Leecher);
    http.wait_for(3_000);

    let start = Instant::now();
    http.stop();
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert!(!socket_path(directory.path(), HTTP).exists());
    udp.wait_for_readers(0);
    eventually("no outbox is kept", || {
        (!udp.outbox.is_open()).then_some(())
    });
    assert_eq!(udp.status.text(), None);
    // The other daemon continues to serve.
    udp.change(3_000..3_500, PeerChange::Leecher);

    let http = self::http(directory.path());
    http.wait_for(3_500);
    wait_until_linked(&udp, &http);
    http.change(3_500..3_600, PeerChange::Leecher);
    udp.wait_for(3_600);
    assert_eq!(udp.status.counts().reconnects(), 1);
}

#[test]
fn what_changed_last_is_told_by_one_that_stops() {
    let directory = directory();
    let (udp, http) = (udp(directory.path()), http(directory.path()));
    wait_until_linked(&udp, &http);
    udp.change(0..100, PeerChange::Seeder);
    udp.stop();
    http.wait_for(100);
}

#[test]
fn one_that_is_killed_is_found_again() {
    let directory = directory();
    let path = socket_path(directory.path(), UDP);
    let (udp, http) = (udp(directory.path()), http(directory.path()));
    wait_until_linked(&udp, &http);
    // A daemon that is killed leaves its socket file behind.
    let kept = directory.path().join("kept");
    fs::hard_link(&path, &kept).expect("link");
    udp.stop();
    fs::rename(&kept, &path).expect("rename");
    assert!(connect(&path).is_err());
    http.wait_for_readers(0);
    http.change(0..100, PeerChange::Leecher);

    let udp = self::udp(directory.path());
    udp.change(100..200, PeerChange::Leecher);
    udp.wait_for(200);
    http.wait_for(200);
    let mode = fs::metadata(&path)
        .expect("it listens")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_living_one_of_the_same_name_is_left_alone() {
    let directory = directory();
    let (first, http) = (udp(directory.path()), http(directory.path()));
    wait_until_linked(&first, &http);
    let second = udp(directory.path());
    thread::sleep(Duration::from_millis(2_500));
    first.change(0..10, PeerChange::Leecher);
    http.wait_for(10);
    second.change(10..20, PeerChange::Leecher);
    assert_eq!(http.held.lock().len(), 20);

    // When the first daemon ends, the second one is found.
    first.stop();
    http.wait_for(20);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = directory();
    let path = socket_path(directory.path(), UDP);
    fs::write(&path, "mine").expect("write");
    let (udp, http) = (udp(directory.path()), http(directory.path()));
    udp.wait_for_readers(0);
    thread::sleep(Duration::from_millis(1_200));
    assert_eq!(fs::read(&path).expect("read"), b"mine");
    fs::remove_file(&path).expect("remove");
    wait_until_linked(&udp, &http);
}

#[test]
fn a_directory_that_was_removed_is_used_again() {
    let parent = directory();
    let directory = parent.path().join("run");
    // The daemons start before the directory exists.
    let (udp, http) = (udp(&directory), http(&directory));
    thread::sleep(Duration::from_millis(100));
    fs::create_dir(&directory).expect("make it");
    wait_until_linked(&udp, &http);

    fs::remove_dir_all(&directory).expect("remove it");
    // Existing connections stay open.
    udp.change(0..10, PeerChange::Leecher);
    http.wait_for(10);
    thread::sleep(Duration::from_millis(1_200));
    fs::create_dir(&directory).expect("make it");
    let paths = [UDP, HTTP].map(|name| socket_path(&directory, name));
    eventually("both listen again", || {
        paths.iter().all(|it| it.exists()).then_some(())
    });
    http.stop();
    let http = self::http(&directory);
    http.wait_for(10);
    wait_until_linked(&udp, &http);
}

#[test]
fn a_file_that_was_replaced_is_not_removed() {
    let directory = directory();
    let udp = udp(directory.path());
    let path = socket_path(directory.path(), UDP);
    eventually("it listens", || connect(&path).ok());
    fs::remove_file(&path).expect("remove");
    let other = listen(&path).expect("listen");
    udp.stop();
    assert!(path.exists());
    drop(other);
}

#[test]
fn nothing_is_forwarded() {
    let directory = directory();
    let ws = "aquatic-ws";
    let middle = Daemon::start(directory.path(), HTTP, &[UDP, ws]);
    let (one, other) = (
        udp(directory.path()),
        Daemon::start(directory.path(), ws, &[HTTP]),
    );
    one.wait_for_readers(1);
    other.wait_for_readers(1);
    middle.wait_for_readers(2);
    eventually("all are linked", || {
        (middle.status.linked() == 2).then_some(())
    });
    let text = "linked with aquatic-udp and aquatic-ws";
    assert_eq!(middle.status.text().as_deref(), Some(text));
    one.change(0..10, PeerChange::Leecher);
    middle.wait_for(10);
    middle.change(10..20, PeerChange::Leecher);
    other.wait_for(10);
    thread::sleep(Duration::from_millis(100));
    assert!(other.held.lock().keys().all(|(_, number)| *number >= 10));
}

#[test]
fn a_million_records_get_through_in_order() {
    const COUNT: u32 = 300_000;
    let directory = directory();
    let (udp, http) = (udp(directory.path()), http(directory.path()));
    // Some peers are held before the daemons are linked, so that blocks and batches mix.
    udp.change(0..COUNT / 5, PeerChange::Leecher);
    wait_until_linked(&udp, &http);
    let told = AtomicU64::new(0);
    let tell = |numbers: Range<u32>, change| {
        for start in numbers.clone().step_by(10_000) {
            udp.change(start..numbers.end.min(start + 10_000), change);
            // A reader that is too slow is disconnected, and misses removals then.
            let told = told.fetch_add(20_000, Ordering::Relaxed);
            eventually("it is read", || {
                (http.status.counts().records_in() + 60_000 > told).then_some(())
            });
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            tell(0..COUNT, PeerChange::Leecher);
            tell(0..COUNT / 2, PeerChange::Completed);
            tell(0..COUNT / 4, PeerChange::Stopped);
        });
        scope.spawn(|| http.change(COUNT..COUNT + 30_000, PeerChange::Seeder));
    });
    let count = (COUNT - COUNT / 4 + 30_000) as usize;
    udp.wait_for(count);
    http.wait_for(count);
    eventually("all is the same", || {
        (*udp.held.lock() == *http.held.lock()).then_some(())
    });
    assert!(http.status.counts().records_in() >= 1_000_000);
    assert_eq!(
        (
            http.status.counts().reconnects(),
            udp.status.counts().reconnects()
        ),
        (0, 0)
    );
    assert_eq!(
        (http.status.counts().gaps(), udp.status.counts().gaps()),
        (0, 0)
    );
    assert_eq!(
        (
            http.status.counts().repeats(),
            udp.status.counts().repeats()
        ),
        (0, 0)
    );
    assert_eq!(
        (
            http.status.counts().refused(),
            udp.status.counts().refused()
        ),
        (0, 0)
    );
}

#[test]
fn what_changes_does_not_wait_for_what_is_held() {
    let directory = directory();
    let held = Held {
        pause: Duration::from_millis(5),
        ..Held::default()
    };
    let udp = Daemon::start_with(directory.path(), UDP, &[HTTP], held, 1 << 20);
    // These peers fill 200 blocks, which take a second.
    udp.change(0..100_000, PeerChange::Leecher);
    let http = http(directory.path());
    eventually("some has come", || {
        (http.held.lock().len() > 1_000).then_some(())
    });
    for number in 200_000..200_010 {
        udp.change([number], PeerChange::Leecher);
        eventually("it is told", || {
            http.held.lock().contains_key(&(true, number)).then_some(())
        });
    }
    assert!(http.held.lock().len() < 200_000);
    http.wait_for(100_010);
}

#[test]
fn who_does_not_read_costs_others_nothing() {
    let directory = directory();
    let (udp, http) = (udp(directory.path()), http(directory.path()));
    udp.change(0..20_000, PeerChange::Leecher);
    wait_until_linked(&udp, &http);
    let path = socket_path(directory.path(), UDP);
    let idle: Vec<_> = (0..20).map(|_| connect(&path).expect("connect")).collect();
    // Connections beyond the limit are closed at once.
    udp.wait_for_readers(8);
    let mut number = 20_000;
    eventually("they are closed", || {
        udp.change(number..number + 5_000, PeerChange::Leecher);
        number += 5_000;
        http.wait_for(number as usize);
        (udp.status.readers() == 1).then_some(())
    });
    assert_eq!(http.status.counts().gaps(), 0);
    drop(idle);
}

#[test]
fn who_talks_is_not_listened_to() {
    let directory = directory();
    let udp = udp(directory.path());
    let path = socket_path(directory.path(), UDP);
    let reader = eventually("it listens", || connect(&path).ok());
    for length in [1, 100, 10_000] {
        reader.send(&vec![b'x'; length]).expect("send");
    }
    assert!(packet(&reader).starts_with(b"aquatic\0\x01"));
    assert_eq!(packet(&reader), b"E");
    udp.change(0..1, PeerChange::Leecher);
    assert!(packet(&reader).starts_with(b"B\x01\x01\x04\xb0"));
    assert!(packet(&reader).starts_with(b"B\x01\x02\x04\xb0"));
}

#[test]
fn foreign_bytes_are_refused_and_counted() {
    let directory = directory();
    let path = socket_path(directory.path(), UDP);
    let hello = |name: &str, version: u8| {
        let mut bytes = b"aquatic\0".to_vec();
        bytes.push(version);
        bytes.extend([200; 8]);
        bytes.extend(1200u16.to_be_bytes());
        bytes.extend(name.bytes());
        bytes
    };
    let good = hello(UDP, 1);
    let batch_of_other = [b"B\x01\x01\x04\xb0".to_vec(), vec![1; 24]].concat();
    let scripts: [&[&[u8]]; 9] = [
        &[b"HTTP/1.1 200 OK\r\n\r\n"],
        &[&hello(UDP, 2)],
        &[&hello("aquatic-ws", 1)],
        &[&good[..12]],
        &[&good, b"X"],
        &[&good, b"Sno block"],
        &[&good, b"Bno batch"],
        &[&good, &batch_of_other],
        &[&good, &[b'S'; 100_000]],
    ];
    let fake = listen(&path).expect("listen");
    let http = http(directory.path());
    for (index, script) in scripts.iter().enumerate() {
        let (connection, _) = fake.accept().expect("it comes again");
        for packet in *script {
            connection.send(packet).expect("send");
        }
        assert_eq!(packet(&connection), b"", "it says nothing");
        let count = index as u64 + 1;
        eventually("it is counted", || {
            (http.status.counts().refused() == count).then_some(())
        });
        assert_eq!(http.status.linked(), 0);
    }
    assert!(http.held.lock().is_empty());
    drop(fake);
    // The real daemon is found afterwards.
    let udp = udp(directory.path());
    wait_until_linked(&udp, &http);
}

#[test]
fn other_types_of_sockets_are_no_daemons() {
    let directory = directory();
    let path = socket_path(directory.path(), UDP);
    let stream = std::os::unix::net::UnixListener::bind(&path).expect("listen");
    let http = http(directory.path());
    thread::sleep(Duration::from_millis(1_200));
    assert_eq!(
        (http.status.linked(), http.status.counts().refused()),
        (0, 0)
    );
    drop(stream);
    let udp = udp(directory.path());
    wait_until_linked(&udp, &http);
}

#[test]
fn what_did_not_fit_is_read_again() {
    let directory = directory();
    let held = Held::default();
    let udp = Daemon::start_with(directory.path(), UDP, &[HTTP], held, 0);
    let http = http(directory.path());
    wait_until_linked(&udp, &http);
    let mut count = 0;
    while udp.outbox.dropped() == 0 {
        udp.change(count..count + 10_000, PeerChange::Leecher);
        count += 10_000;
    }
    http.wait_for(count as usize);
    wait_until_linked(&udp, &http);
    assert!(udp.status.counts().dropped() > 0);
    assert_eq!(http.status.counts().gaps(), 0);
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let directory = directory();
    let start = |path: &Path, linked: &[&str]| {
        let settings = settings(path, UDP, linked);
        let link = LocalLink::new(settings, Outbox::new(0).into(), Held::default());
        link.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(start(directory.path(), &[HTTP; 8]), Ok(()));
    let error = start(directory.path(), &[HTTP; 9]).unwrap_err();
    assert_eq!(error, "cannot be linked with more than 8 daemons");
    let long = directory.path().join("x".repeat(100));
    let error = start(&long, &[HTTP]).unwrap_err();
    assert!(error.contains("aquatic-udp.sock: path"), "{error}");
}
