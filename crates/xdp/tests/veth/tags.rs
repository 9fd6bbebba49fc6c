//! Frames that no socket of the kernel would send: with tags, with wrong checksums.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::network::{Cable, Host};
use aquatic_xdp::queue::Queue;
use aquatic_xdp::redirect::WantedMode;
use aquatic_xdp::{Interface, Sizes};

use crate::Test;
use crate::server::{FROM_XDP, MODES, PORT, Setup};

pub(crate) const TESTS: &[Test] = &[
    (
        "only frames with the configured tag are answered, with it",
        tags,
    ),
    ("damaged frames are not answered", damaged),
];

const SIZES: Sizes = Sizes::DEFAULT;

/// A request from the client's port [`PORT`] over IPv4, without a UDP checksum.
fn frame(cable: &Cable, macs: [[u8; 6]; 2], tag: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let [client, server] = macs;
    let mut frame = [server, client].concat();
    if let Some(tag) = tag {
        frame.extend([0x81, 0x00]);
        frame.extend(tag.to_be_bytes());
    }
    let udp_length = 8 + payload.len() as u16;
    let length = (20 + udp_length).to_be_bytes();
    let mut header = vec![
        8, 0, 0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 17, 0, 0,
    ];
    header.extend(cable.client.ipv4.octets());
    header.extend(cable.server.ipv4.octets());
    let words = header[2..].chunks(2);
    let sum: u32 = words
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[12..14].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(header);
    frame.extend(PORT.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend(udp_length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// Sends frames as they are.
struct Wire {
    socket: OwnedFd,
    interface: u32,
}

impl Wire {
    fn new(host: &Host) -> Self {
        host.run(|| {
            // SAFETY: no pointers.
            let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
            assert!(socket >= 0);
            Self {
                // SAFETY: it is new.
                socket: unsafe { OwnedFd::from_raw_fd(socket) },
                interface: Interface::find("eth0").unwrap().index,
            }
        })
    }

    fn send(&self, frame: &[u8]) {
        // SAFETY: a structure of integers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = self.interface as i32;
        // SAFETY: pointers to bytes and an address, with their lengths.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        };
        let error = std::io::Error::last_os_error();
        assert_eq!(sent, frame.len() as isize, "{error}");
    }
}

/// The payloads that arrive at a queue, until there are `count` or it is late.
fn receive(queue: &mut Queue, count: usize, patience: Duration) -> Vec<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut payloads = Vec::new();
    while payloads.len() < count && Instant::now() < deadline {
        queue.receive();
        payloads.extend(queue.datagrams().map(|datagram| datagram.bytes.to_vec()));
        thread::sleep(Duration::from_millis(1));
    }
    payloads
}

fn mac(host: &Host) -> [u8; 6] {
    host.run(|| Interface::find("eth0").unwrap().mac)
}

fn tags() {
    for mode in MODES {
        for configured in [None, Some(5)] {
            let cable = Cable::new(1);
            let address = |host: &Host| -> [std::net::IpAddr; 1] { [host.ipv4.into()] };
            let server = &cable.server;
            let setup = Setup::tagged(server, &address(server), configured, mode, 1, SIZES);
            let _consumers = setup.consumers();
            // The client sees only answers with the same tag.
            let client = &cable.client;
            let seen = Setup::tagged(client, &address(client), configured, mode, 1, SIZES);
            let (mut queue, _) = Queue::open(seen.sockets[0].try_clone().unwrap()).unwrap();
            let macs = [mac(client), mac(server)];
            let wire = Wire::new(client);
            // Priorities, in the highest bits, do not matter.
            for tag in [None, Some(5), Some(6), Some(0), Some(0xf005), Some(0x0105)] {
                wire.send(&frame(&cable, macs, tag, b"?tag"));
                let is_ours = tag.map(|tag| tag & 0x0fff) == configured;
                let patience = if is_ours { 5_000 } else { 200 };
                let answers = receive(&mut queue, 1, Duration::from_millis(patience));
                assert_eq!(
                    answers.len(),
                    usize::from(is_ours),
                    "{tag:x?} {configured:?}"
                );
                assert!(answers.iter().all(|answer| answer == b"Xtag"));
            }
        }
    }
}

fn damaged() {
    let cable = Cable::new(1);
    let setup = Setup::new(&cable, WantedMode::Fastest, 1, SIZES);
    let consumers = setup.consumers();
    let client = &cable.client;
    let seen = Setup::tagged(
        client,
        &[client.ipv4.into()],
        None,
        WantedMode::Fastest,
        1,
        SIZES,
    );
    let (mut queue, _) = Queue::open(seen.sockets[0].try_clone().unwrap()).unwrap();
    let macs = [mac(client), mac(&cable.server)];
    let wire = Wire::new(client);
    let good = frame(&cable, macs, None, b"?whole");
    let changes: [(usize, u8); 7] = [
        // A part of the IP header: its checksum.
        (14 + 1, 1),
        // The length of the packet, of the datagram, and its checksum.
        (14 + 2, 0x40),
        (14 + 20 + 4, 1),
        (14 + 20 + 5, 8),
        (14 + 20 + 6, 1),
        // The sender: a group, and an address of this network.
        (6, 1),
        (14 + 12, 10),
    ];
    for (place, bits) in changes {
        let mut frame = good.clone();
        frame[place] ^= bits;
        wire.send(&frame);
    }
    // A batch of nothing else, and more.
    for _ in 0..200 {
        let mut frame = good.clone();
        frame[14 + 20 + 7] = 1;
        wire.send(&frame);
    }
    wire.send(&good);
    let answers = receive(&mut queue, 2, Duration::from_millis(1000));
    assert_eq!(answers, [[&[FROM_XDP], &b"whole"[..]].concat()]);
    let counts: Vec<_> = consumers.into_iter().map(|it| it.stop()).collect();
    let faults = counts[0].malformed + counts[0].wrong_checksum + counts[0].wrong_source;
    assert_eq!((counts[0].frames, faults), (208, 207), "{counts:?}");
    assert!(
        counts[0].malformed >= 3 && counts[0].wrong_source >= 1,
        "{counts:?}"
    );
    assert_eq!(cable.client.ipv4, Ipv4Addr::new(10, 78, 0, 2));
}
