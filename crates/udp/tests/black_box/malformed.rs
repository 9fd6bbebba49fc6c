//! Malformed datagrams: the tracker goes on, and does not reply without a valid
//! connection id.

use std::process::Command;

use aquatic_test_harness::{Process, eventually, tools};

use crate::tracker::{Tracker, UdpTracker as _};
use crate::wire::{self, ANNOUNCE, Announce, SCRAPE, connect_request, hash, header};

#[test]
fn bytes_after_an_announce_are_options_and_never_in_the_way() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let options: [&[u8]; 12] = [
        // The option that libtorrent appends for udp://host/announce (BEP 41).
        b"\x02\x09/announce",
        b"\x02\x09/announce\x00",
        b"\x01\x01\x01\x02\x01/\x00",
        // One path in two options, and bytes after the end.
        b"\x02\x03/an\x02\x06nounce\x00\xff\xff\xff",
        b"\x00",
        // Malformed: too short, unknown, only a type, endless padding.
        b"\x02",
        b"\x02\xff/",
        b"\x02\x00",
        b"\x7f\x02ab",
        b"\xff",
        &[1; 400],
        &[0xff; 1000],
    ];
    for (port, options) in (1001..).zip(options) {
        let mut announce = Announce::seeder(hash(1), port);
        announce.options = options.to_vec();
        let reply = client.try_announce(&announce);
        assert!(reply.is_ok(), "{options:?} gave {reply:?}");
    }
    assert_eq!(client.scrape(&[hash(1)])[0].seeders, 12);
}

#[test]
fn a_bad_connection_id_gets_no_reply() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let valid = client.connection_id;
    let announce = Announce::seeder(hash(1), 1001);
    let mut bad: Vec<u64> = (0..64).map(|bit| valid ^ (1 << bit)).collect();
    bad.extend([0, u64::MAX, 0x0417_2710_1980]);
    for id in &bad {
        client.expect_silence(&announce.bytes(*id, 7));
    }
    let mut scrape = header(0, SCRAPE, 7);
    scrape.extend(hash(1));
    client.expect_silence(&scrape);
    // Requests that would get an error with a valid id get no reply either.
    client.expect_silence(&Announce::seeder(hash(1), 0).bytes(0, 7));
    client.expect_silence(&header(0, SCRAPE, 7));
    client.expect_silence(&header(0, ANNOUNCE, 7));
    client.expect_silence(&header(0, 9, 7));

    assert_eq!(client.scrape(&[hash(1)])[0].seeders, 0);
    let counted = tracker.rejected("bad_connection_id");
    assert!(counted >= bad.len() as f64 + 2.0, "{counted}");
}

#[test]
fn a_connection_id_belongs_to_an_address_but_not_to_a_port() {
    let tracker = Tracker::start();
    let (mut owner, mut neighbour) = (tracker.client(), tracker.client());
    neighbour.connection_id = owner.connection_id;
    neighbour.announce(&Announce::seeder(hash(1), 1001));
    let mut stranger = tracker.client_at(9);
    stranger.expect_silence(&Announce::seeder(hash(1), 1002).bytes(owner.connection_id, 7));
    let mut six = tracker.client_ipv6();
    six.expect_silence(&Announce::seeder(hash(1), 1002).bytes(owner.connection_id, 7));
    assert_eq!(owner.scrape(&[hash(1)])[0].seeders, 1);
}

#[test]
fn a_connection_id_ends() {
    let tracker = Tracker::with(&[("cleaning.max_connection_age", "1")]);
    let mut old = tracker.client();
    old.scrape(&[hash(1)]);
    let announce = Announce::leecher(hash(1), 1001);
    eventually("the connection id is refused", || {
        old.send(&announce.bytes(old.connection_id, 7));
        old.send(&connect_request(8));
        let first = old.receive();
        if first[7] == 8 {
            return Some(());
        }
        assert_eq!(old.receive()[7], 8);
        None
    });
    // A new connection id is accepted.
    old.connect();
    old.announce(&announce);
}

#[test]
fn errors_have_the_transaction_id_and_a_reason() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let id = client.connection_id;
    let whole = Announce::seeder(hash(1), 1001).bytes(id, 0xdead_beef);
    let mut requests: Vec<Vec<u8>> = (16..98).map(|length| whole[..length].to_vec()).collect();
    requests.push(header(id, SCRAPE, 0xdead_beef));
    requests.push(header(id, 9, 0xdead_beef));
    for request in requests {
        let reply = client.ask(&request);
        let error = wire::checked(&reply, ANNOUNCE, 0xdead_beef);
        let text = error.expect_err("such a request is not served");
        assert!(text.len() > 5, "{text}");
        assert!(reply.len() <= 128, "an error is short: {text}");
    }
    assert_eq!(client.scrape(&[hash(1)])[0].seeders, 0);
}

#[test]
fn garbage_of_every_length_is_not_answered() {
    let tracker = Tracker::start();
    for mut client in [tracker.client(), tracker.client_ipv6()] {
        for length in 0..200 {
            let ones = vec![0xff; length];
            client.expect_silence(&ones);
            client.expect_silence(&vec![0; length]);
            let mixed: Vec<u8> = (0..length)
                .map(|at| (at * 167 + length * 13) as u8)
                .collect();
            client.expect_silence(&mixed);
        }
        for length in [500, 1472, 1473, 2048, 8192, 65_000] {
            client.expect_silence(&vec![0xa5; length]);
        }
        // Truncated connect requests.
        let connect = connect_request(1);
        for length in 0..connect.len() {
            client.expect_silence(&connect[..length]);
        }
        client.announce(&Announce::seeder(hash(1), 1001));
    }
    // Some of the datagrams look like a request with a bad connection id.
    let rejected = tracker.metric("rejected_requests_total", &[]);
    assert_eq!(rejected, 2.0 * (200.0 * 3.0 + 6.0 + 16.0));
    assert!(tracker.rejected("malformed") > 0.0);
}

#[test]
fn a_datagram_longer_than_any_request_is_answered_all_the_same() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let mut announce = Announce::seeder(hash(1), 1001);
    announce.options = vec![1; 60_000];
    client.announce(&announce);
    let reply = client.announce(&Announce::leecher(hash(1), 1002));
    assert_eq!(reply.seeders, 1);
}

#[test]
fn source_port_zero_is_ignored() {
    if !tools::needs_root() || !tools::needs(&["python3"]) {
        return;
    }
    let tracker = Tracker::start();
    // A UDP header with source port 0 and no checksum, then a connect request.
    let script = "
import socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
connect = struct.pack('>QII', 0x41727101980, 0, 1)
header = struct.pack('>HHHH', 0, int(sys.argv[1]), 8 + len(connect), 0)
raw.sendto(header + connect, ('127.0.0.1', 0))
";
    let mut send = Command::new("python3");
    send.args(["-c", script, &tracker.place.port.number().to_string()]);
    let sent = Process::start("sender", &mut send).wait(aquatic_test_harness::PATIENCE);
    assert!(sent.status.success(), "{}", sent.stderr);
    eventually("the datagram is counted", || {
        (tracker.rejected("source_port_zero") == 1.0).then_some(())
    });
    assert_eq!(tracker.metric("replies_total", &[]), 0.0);
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
}

#[test]
fn a_connect_request_may_be_longer_but_its_reply_never_is() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let mut request = connect_request(0xdead_beef);
    request.extend([0; 100]);
    assert_eq!(client.ask(&request).len(), 16);
    // The same transaction id can be used again: the tracker does not remember it.
    for _ in 0..3 {
        assert_eq!(client.ask(&connect_request(7)).len(), 16);
    }
}
