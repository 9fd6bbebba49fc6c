//! A server that answers over AF_XDP, and beside it one with the kernel's sockets.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aquatic_test_harness::network::{Cable, Host};
use aquatic_xdp::program::Rules;
use aquatic_xdp::queue::{Counts, Queue};
use aquatic_xdp::redirect::{Mode, Redirect, WantedMode};
use aquatic_xdp::socket::Statistics;
use aquatic_xdp::{Interface, Sizes, Socket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::{AsFd as _, AsRawFd as _};

/// The port that is redirected.
pub(crate) const PORT: u16 = 3000;

/// A port that is not.
pub(crate) const OTHER_PORT: u16 = 3001;

/// What answers begin with, over AF_XDP and from the kernel's sockets.
pub(crate) const FROM_XDP: u8 = b'X';
pub(crate) const FROM_KERNEL: u8 = b'K';

/// Both modes, for tests that try each.
pub(crate) const MODES: [WantedMode; 2] = [WantedMode::Native, WantedMode::Generic];

/// How often threads look whether they are to stop.
const TURN: Duration = Duration::from_millis(50);

/// A program, and a socket for some queues, on the server's interface.
pub(crate) struct Setup {
    pub(crate) redirect: Redirect,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) interface: Interface,
}

impl Setup {
    /// Redirects the server's own addresses on the first `queues` queues.
    pub(crate) fn new(cable: &Cable, wanted: WantedMode, queues: u32, sizes: Sizes) -> Self {
        let addresses = [cable.server.ipv4.into(), cable.server.ipv6.into()];
        Self::tagged(&cable.server, &addresses, None, wanted, queues, sizes)
    }

    /// Redirects addresses of a host, in frames with this tag.
    pub(crate) fn tagged(
        host: &Host,
        addresses: &[IpAddr],
        tag: Option<u16>,
        wanted: WantedMode,
        queues: u32,
        sizes: Sizes,
    ) -> Self {
        let targets: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| SocketAddr::new(*address, PORT))
            .collect();
        host.run(|| {
            let interface = Interface::find("eth0").unwrap();
            let rules = Rules::new(interface.mac, tag, &targets).unwrap();
            let redirect = Redirect::attach(&interface, &rules, wanted).unwrap();
            let expected = if wanted == WantedMode::Generic {
                Mode::Generic
            } else {
                Mode::Native
            };
            assert_eq!(redirect.mode(), expected);
            let sockets = (0..queues)
                .map(|queue| {
                    let socket = Socket::new(sizes, interface.mtu).unwrap();
                    let mode = redirect.mode();
                    // veth has no zero copy, so this also tries to do without.
                    socket.bind(&interface, queue, mode, true).unwrap();
                    redirect.begin(queue, &socket.socket).unwrap();
                    socket
                })
                .collect();
            Self {
                redirect,
                sockets,
                interface,
            }
        })
    }

    /// A consumer for each socket.
    pub(crate) fn consumers(&self) -> Vec<Consumer> {
        let open = |socket: &Socket| Consumer::start(socket.try_clone().unwrap());
        self.sockets.iter().map(open).collect()
    }

    /// What the kernel has counted of each socket.
    pub(crate) fn statistics(&self) -> Vec<Statistics> {
        let sockets = self.sockets.iter();
        sockets.map(|socket| socket.statistics().unwrap()).collect()
    }
}

/// A thread that answers the requests of a queue.
pub(crate) struct Consumer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Counts>>,
}

impl Consumer {
    fn start(socket: Socket) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let (queue, _) = Queue::open(socket).unwrap();
        let thread = thread::spawn(move || serve(queue, &|| seen.load(Ordering::Relaxed)));
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Stops it; returns what it has counted.
    pub(crate) fn stop(mut self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().expect("it does not panic")
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Answers requests with what they contain, as an edge-triggered event loop.
pub(crate) fn serve(mut queue: Queue, is_stopping: &dyn Fn() -> bool) -> Counts {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let descriptor = queue.as_fd().as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE)
        .unwrap();
    let mut has_more = true;
    while !is_stopping() {
        let timeout = if has_more { Duration::ZERO } else { TURN };
        match poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.unwrap(),
        }
        has_more |= !events.is_empty();
        if has_more {
            has_more = answer(&mut queue);
        }
    }
    *queue.counts()
}

/// Answers a batch; returns whether there may be more.
pub(crate) fn answer(queue: &mut Queue) -> bool {
    let batch = queue.receive();
    let lengths: Vec<usize> = queue
        .datagrams()
        .map(|datagram| {
            let length = datagram.bytes.len().max(1);
            datagram.reply[..datagram.bytes.len()].copy_from_slice(datagram.bytes);
            datagram.reply[0] = FROM_XDP;
            length
        })
        .collect();
    assert_eq!(lengths.len(), batch.count);
    for (number, length) in lengths.into_iter().enumerate() {
        queue.queue_reply(number, length);
    }
    queue.send();
    batch.may_have_more
}

/// The kernel's sockets of a host, for both ports, with an answer to everything.
pub(crate) struct KernelServer {
    stop: Arc<AtomicBool>,
}

impl KernelServer {
    /// Answers at a host's own addresses.
    pub(crate) fn start(host: &Host) -> Self {
        Self::at(host, &[host.ipv4.into(), host.ipv6.into()])
    }

    /// Answers at these addresses of a host.
    pub(crate) fn at(host: &Host, addresses: &[IpAddr]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ports = addresses
            .iter()
            .flat_map(|address| [PORT, OTHER_PORT].map(|port| SocketAddr::new(*address, port)));
        for address in ports {
            let socket = host.run(|| UdpSocket::bind(address).unwrap());
            let seen = Arc::clone(&stop);
            thread::spawn(move || {
                socket.set_read_timeout(Some(TURN)).unwrap();
                let mut bytes = vec![0; 65_536];
                while !seen.load(Ordering::Relaxed) {
                    if let Ok((length, client)) = socket.recv_from(&mut bytes) {
                        bytes[0] = FROM_KERNEL;
                        let _ = socket.send_to(&bytes[..length.max(1)], client);
                    }
                }
            });
        }
        Self { stop }
    }
}

impl Drop for KernelServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
