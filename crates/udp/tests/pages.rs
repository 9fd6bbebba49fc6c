//! The status page in a browser.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

use std::net::{SocketAddr, UdpSocket};

use aquatic_test_harness::browser::{self, Updates};
use aquatic_test_harness::tracker::Place;
use aquatic_test_harness::{PATIENCE, Signal, eventually, http};

/// A text that must not become part of the page's markup.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

#[test]
fn the_status_page_is_fine_in_a_browser() {
    let mut place = Place::new(env!("CARGO_BIN_EXE_aquatic-udp")).with(&[
        ("network.socket_recv_buffer_size", "0"),
        ("metrics.peer_clients", "true"),
        ("metrics.largest_torrents", "10"),
        ("access_list.mode", "\"deny\""),
        ("snapshot.interval_seconds", "1"),
    ]);
    place.setup.write(HOSTILE, "");
    place.set_path("access_list.path", HOSTILE);
    place.set_path("snapshot.path", "snapshot");
    let tracker = place.start();
    for peer in 0..20 {
        announce(tracker.ipv4(), peer);
    }
    // Torrents are counted at the start, and once a minute.
    let mut tracker = tracker.restart();
    tracker.place.setup.write(HOSTILE, "no info hash");
    tracker.daemon.reload(Signal::SIGHUP);
    announce(tracker.ipv4(), 0);
    let address = tracker.place.metrics.ipv4();
    eventually("all that can be on the page", || {
        let page = http::get(address, "/").body;
        let parts = ["onerror", "Transmission", "<td>20</td>", "Written in"];
        parts.iter().all(|part| page.contains(part)).then_some(())
    });
    browser::inspect("status-udp", &format!("http://{address}/"), Updates::Live);
}

/// A leecher announces a torrent.
#[track_caller]
fn announce(tracker: SocketAddr, peer: u8) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(tracker).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reply = [0; 100];
    let connect = [&0x417_2710_1980_u64.to_be_bytes()[..], &[0; 8]].concat();
    socket.send(&connect).unwrap();
    assert_eq!(socket.recv(&mut reply).unwrap(), 16);
    let mut request = reply[8..16].to_vec();
    request.extend_from_slice(&1_u32.to_be_bytes());
    request.extend_from_slice(&[0; 4]);
    request.extend_from_slice(&[0xab; 20]);
    request.extend_from_slice(b"-TR4060-abcdefghijkl");
    // Downloaded, left, uploaded; event, address, key; peers wanted; port.
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(&9_u64.to_be_bytes());
    request.extend_from_slice(&[0; 8 + 12 + 4]);
    request.extend_from_slice(&[100, peer]);
    socket.send(&request).unwrap();
    assert!(socket.recv(&mut reply).unwrap() >= 20);
}
