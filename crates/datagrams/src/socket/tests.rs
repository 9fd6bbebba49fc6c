//! Batches over sockets of the loopback network.

use super::*;

const REQUEST: usize = 1_500;

type Batch = SocketIo<REQUEST, 1_472>;

fn exchange(local: &str) {
    let server = UdpSocket::bind(local).unwrap();
    let clients: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind(local).unwrap()).collect();
    let to = server.local_addr().unwrap();
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, 0);

    for round in 0u8..3 {
        for (number, client) in clients.iter().enumerate() {
            let bytes = vec![round; 100 * number];
            assert_eq!(client.send_to(&bytes, to).unwrap(), bytes.len());
        }
        assert_eq!(batch.receive(&server).unwrap().count, 3);
        let datagrams: Vec<_> = batch.datagrams().collect();
        assert_eq!(datagrams.len(), 3);
        for (number, datagram) in datagrams.into_iter().enumerate() {
            assert_eq!(datagram.source, clients[number].local_addr().unwrap());
            assert_eq!(datagram.bytes, vec![round; 100 * number]);
            assert_eq!(datagram.local, None);
            datagram.reply[..2].copy_from_slice(&[number as u8, round]);
        }
        // The second one is not answered.
        batch.queue_reply(0, 2);
        batch.queue_reply(2, 2);
        let report = batch.send_replies(&server);
        assert_eq!(report, SendReport { sent: 2, failed: 0 });
        for number in [0u8, 2] {
            let mut reply = [0; 9];
            assert_eq!(clients[usize::from(number)].recv(&mut reply).unwrap(), 2);
            assert_eq!(reply[..2], [number, round]);
        }
    }
}

#[test]
fn answers_whom_it_heard() {
    exchange("127.0.0.1:0");
    exchange("[::1]:0");
}

#[test]
fn cuts_off_what_is_too_long() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    for length in [REQUEST, REQUEST + 1] {
        client.send_to(&vec![7; length], to).unwrap();
    }
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, 2);
    for datagram in batch.datagrams() {
        assert_eq!(datagram.bytes.len(), REQUEST);
    }
}

#[test]
fn reads_more_than_a_batch_in_turns() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..BATCH + 1 {
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, BATCH);
    assert_eq!(batch.receive(&server).unwrap().count, 1);
    assert_eq!(batch.receive(&server).unwrap().count, 0);
}

#[test]
fn one_reply_that_cannot_be_sent_does_not_stop_the_others() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..2 {
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, 2);
    batch.queue_reply(0, 1);
    batch.queue_reply(1, 1);
    // Nothing can be sent to port 0. The port is at the same place in
    // both kinds of addresses.
    batch.buffers.sources[0].sin6_port = 0;
    let report = batch.send_replies(&server);
    assert_eq!(report, SendReport { sent: 1, failed: 1 });
}

/// A server on every address of a family, a client that receives replies only from the
/// address to which it sends, and the batch with the client's datagram.
fn asked_at(bound: &str, asked: &str) -> (UdpSocket, UdpSocket, Batch) {
    let server = UdpSocket::bind(bound).unwrap();
    tell_local_address(&server).unwrap();
    let client = UdpSocket::bind((asked.parse::<std::net::IpAddr>().unwrap(), 0)).unwrap();
    client
        .connect((asked, server.local_addr().unwrap().port()))
        .unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    client.send(b"x").unwrap();
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, 1);
    (server, client, batch)
}

fn set_option(socket: &UdpSocket, level: libc::c_int, option: libc::c_int) {
    let on: libc::c_int = 1;
    // SAFETY: all options that are set here read one `c_int`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

const ONE: SendReport = SendReport { sent: 1, failed: 0 };

#[test]
fn replies_come_from_the_address_that_was_asked() {
    for (bound, asked) in [
        ("0.0.0.0:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.2"),
        ("[::]:0", "::1"),
    ] {
        let (server, client, mut batch) = asked_at(bound, asked);
        // Each call reads the control messages from the start.
        for length in 1..=3 {
            let local = batch.datagrams().next().unwrap().local;
            assert_eq!(local, Some(asked.parse().unwrap()));
            batch.queue_reply(0, length);
            assert_eq!(batch.send_replies(&server), ONE);
            let mut reply = [0; 9];
            assert_eq!(client.recv(&mut reply).unwrap(), length, "{asked}");
            client.send(b"x").unwrap();
            assert_eq!(batch.receive(&server).unwrap().count, 1);
        }
    }
}

#[test]
fn what_came_before_the_kernel_was_told_is_answered_from_there_too() {
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .connect(("127.0.0.3", server.local_addr().unwrap().port()))
        .unwrap();
    client.send(b"x").unwrap();
    tell_local_address(&server).unwrap();
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, 1);
    batch.queue_reply(0, 1);
    assert_eq!(batch.send_replies(&server), ONE);
    assert_eq!(client.recv(&mut [0; 9]).unwrap(), 1);
}

#[test]
fn a_socket_of_one_address_is_told_nothing() {
    for local in ["127.0.0.2:0", "[::1]:0"] {
        let server = UdpSocket::bind(local).unwrap();
        // A socket unit may have set this option.
        if server.local_addr().unwrap().is_ipv4() {
            set_option(&server, libc::IPPROTO_IP, libc::IP_PKTINFO);
        } else {
            set_option(&server, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO);
        }
        tell_local_address(&server).unwrap();
        let client = UdpSocket::bind(local).unwrap();
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&server).unwrap().count, 1);
        assert_eq!(batch.headers[0].msg_hdr.msg_controllen, 0);
        batch.queue_reply(0, 1);
        assert_eq!(batch.send_replies(&server), ONE);
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 1);
    }
}

#[test]
fn other_control_messages_do_not_hide_the_address() {
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    tell_local_address(&server).unwrap();
    for (level, option) in [
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
        (libc::IPPROTO_IP, libc::IP_RECVTOS),
        (libc::IPPROTO_IP, libc::IP_RECVTTL),
    ] {
        set_option(&server, level, option);
    }
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .connect(("127.0.0.2", server.local_addr().unwrap().port()))
        .unwrap();
    client.send(b"x").unwrap();
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, 1);
    assert_eq!(batch.headers[0].msg_hdr.msg_flags & libc::MSG_CTRUNC, 0);
    batch.queue_reply(0, 1);
    assert_eq!(batch.send_replies(&server), ONE);
    assert_eq!(client.recv(&mut [0; 9]).unwrap(), 1);
}

#[test]
fn without_room_for_the_address_the_kernel_chooses() {
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    tell_local_address(&server).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let mut batch = Batch::new();
    for room in [0, 8, size_of::<libc::cmsghdr>(), 20] {
        client.send_to(b"x", ("127.0.0.1", port)).unwrap();
        batch.headers[0].msg_hdr.msg_controllen = room as _;
        assert_eq!(batch.receive(&server).unwrap().count, 1);
        assert_ne!(batch.headers[0].msg_hdr.msg_flags & libc::MSG_CTRUNC, 0);
        batch.queue_reply(0, 1);
        assert_eq!(batch.send_replies(&server), ONE);
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 1);
        // Nothing is left to read; receiving restores the full space for control
        // messages.
        assert_eq!(batch.receive(&server).unwrap().count, 0);
    }
}

#[test]
fn an_address_that_has_gone_costs_its_own_reply_only() {
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    tell_local_address(&server).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    for host in ["127.0.0.1", "127.0.0.2", "127.0.0.1"] {
        client.send_to(b"x", (host, port)).unwrap();
    }
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap().count, 3);
    for index in 0..3 {
        batch.queue_reply(index, 1 + index);
    }
    // An address reserved for documentation, which no machine has (RFC 5737).
    let gone = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from_ne_bytes([192, 0, 2, 1]),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let header = &mut batch.reply_headers[1].msg_hdr;
    batch.buffers.controls[1].send_from(Some(packet_info::Asked::V4(gone)), header);
    let report = batch.send_replies(&server);
    assert_eq!(report, SendReport { sent: 2, failed: 1 });
    let mut reply = [0; 9];
    assert_eq!(client.recv(&mut reply).unwrap(), 1);
    assert_eq!(client.recv(&mut reply).unwrap(), 3);
}
