//! One server for a queue of an interface and a socket of the same address, in one event
//! loop, as a worker has them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use aquatic_datagrams::{BATCH, DatagramIo, Received, SocketIo, XdpIo};
use aquatic_test_harness::network::{self, Cable};
use aquatic_test_harness::tools;
use aquatic_xdp::program::Rules;
use aquatic_xdp::redirect::{Mode, Redirect, WantedMode};
use aquatic_xdp::{Interface, Queue, Sizes, Socket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

const PORT: u16 = 3000;
const TURN: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);

/// What an answer begins with.
const FROM_QUEUE: u8 = b'Q';
const FROM_SOCKET: u8 = b'S';

/// Answers a batch, of any kind, with what it contains; returns whether there may be more.
/// What begins with "-" gets no answer.
fn answer<I: DatagramIo>(io: &mut I, port: &I::Port, mark: u8) -> bool {
    let Received {
        count,
        may_have_more,
    } = io.receive(port).unwrap();
    assert!(count <= BATCH);
    let mut lengths = Vec::new();
    for datagram in io.datagrams() {
        let length = datagram.bytes.len();
        assert!(datagram.local.is_none_or(|local| !local.is_unspecified()));
        datagram.reply[..length].copy_from_slice(datagram.bytes);
        datagram.reply[0] = mark;
        lengths.push((datagram.bytes[0] != b'-').then_some(length));
    }
    assert_eq!(lengths.len(), count);
    let queued = lengths.iter().flatten().count();
    for (number, length) in lengths.into_iter().enumerate() {
        if let Some(length) = length {
            io.queue_reply(number, length);
        }
    }
    let report = io.send_replies(port);
    assert_eq!((report.sent, report.failed), (queued, 0));
    may_have_more
}

/// Answers until it is stopped.
fn serve(mut queue: XdpIo, socket: &UdpSocket, stop: &AtomicBool) {
    let mut io = SocketIo::<4096, 4096>::new();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    for (token, descriptor) in [queue.as_fd(), socket.as_fd()].into_iter().enumerate() {
        let mut source = SourceFd(&descriptor.as_raw_fd());
        let registry = poll.registry();
        registry
            .register(&mut source, Token(token), Interest::READABLE)
            .unwrap();
    }
    let mut ready = [true; 2];
    while !stop.load(Ordering::Relaxed) {
        let timeout = if ready.contains(&true) {
            Duration::ZERO
        } else {
            TURN
        };
        match poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.unwrap(),
        }
        for event in &events {
            ready[event.token().0] = true;
        }
        if ready[0] {
            ready[0] = answer(&mut queue, &(), FROM_QUEUE);
        }
        if ready[1] {
            ready[1] = answer(&mut io, socket, FROM_SOCKET);
        }
    }
}

/// Redirects what comes for an address to a queue.
fn set_up(address: SocketAddr) -> (Redirect, XdpIo) {
    let interface = Interface::find("eth0").unwrap();
    let rules = Rules::new(interface.mac, None, &[address]).unwrap();
    let redirect = Redirect::attach(&interface, &rules, WantedMode::Fastest).unwrap();
    assert_eq!(redirect.mode(), Mode::Native);
    let socket = Socket::new(Sizes::DEFAULT, interface.mtu).unwrap();
    socket.bind(&interface, 0, Mode::Native, true).unwrap();
    redirect.begin(0, &socket.socket).unwrap();
    let (queue, _) = Queue::open(socket).unwrap();
    (redirect, XdpIo::new(queue))
}

/// Sends `count` requests at once, of which some get no answer; returns what the answers
/// begin with. As many fit into a receive buffer.
fn ask(client: &UdpSocket, count: u16, length: usize) -> Vec<u8> {
    let mut marks = Vec::new();
    let is_silent = |number: u16| number % 3 == 1;
    for number in 0..count {
        let mut request = vec![0; length];
        request[0] = if is_silent(number) { b'-' } else { b'?' };
        request[1..3].copy_from_slice(&number.to_be_bytes());
        client.send(&request).unwrap();
    }
    for number in (0..count).filter(|number| !is_silent(*number)) {
        let mut answer = [0; 4096];
        assert_eq!(client.recv(&mut answer).unwrap(), length);
        // In their order.
        assert_eq!(answer[1..3], number.to_be_bytes());
        marks.push(answer[0]);
    }
    marks.dedup();
    marks
}

/// Stops the server also if the test fails.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_queue_and_a_socket_share_an_address() {
    if !tools::needs_root() || !tools::needs(&network::PROGRAMS) {
        return;
    }
    let cable = Cable::new(1);
    let addresses: [(IpAddr, IpAddr); 2] = [
        (cable.server.ipv4.into(), cable.client.ipv4.into()),
        (cable.server.ipv6.into(), cable.client.ipv6.into()),
    ];
    for (server, local) in addresses {
        let address = SocketAddr::new(server, PORT);
        let (redirect, io) = cable.server.run(|| set_up(address));
        let socket = cable.server.run(|| UdpSocket::bind(address).unwrap());
        let client = cable.client.run(|| UdpSocket::bind((local, 0)).unwrap());
        client.connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let server = scope.spawn(|| serve(io, &socket, &stop));
            let stop = StopWhenDropped(&stop);
            // Only a few datagrams may wait until a neighbour is known: one of each kind
            // goes first. The second kind is too long for a frame.
            for count in [1, 30] {
                assert_eq!(ask(&client, count * 4, 98), [FROM_QUEUE]);
                assert_eq!(ask(&client, count, 2000), [FROM_SOCKET]);
            }
            // From now on, the kernel's socket gets all.
            redirect.end(0).unwrap();
            assert_eq!(ask(&client, 120, 98), [FROM_SOCKET]);
            drop(stop);
            server.join().unwrap();
        });
    }
}
