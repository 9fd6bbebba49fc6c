//! Machines with several addresses: a reply comes from the one that was asked. Clients
//! are connected sockets, which receive nothing from another address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use aquatic_test_harness::network::{Families, Host, PROGRAMS};
use aquatic_test_harness::setup::SocketKind;
use aquatic_test_harness::{Daemon, Network, PATIENCE, Setup, Signal, eventually, http, tools};

use crate::tracker::{PROGRAM, Tracker, new_place};
use crate::wire::{Announce, Client, connect_request, hash};

/// One worker, so that datagrams that arrive together are one batch.
const CONFIG: &str = r#"
socket_workers = 1
[network]
address = ["0.0.0.0:3000", "[::]:3000"]
socket_recv_buffer_size = 0
[metrics]
address = "127.0.0.1:9000"
"#;
const SECOND_IPV4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
const SECOND_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x101);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x101);

/// A tracker on every address of a host that has two of each family and one more
/// that is link-local, and another host.
struct Hosts {
    network: Network,
    tracker: Daemon,
    _setup: Setup,
}

impl Hosts {
    /// `None` where such hosts cannot be made.
    #[track_caller]
    fn start() -> Option<Self> {
        if !tools::needs_root() || !tools::needs(&PROGRAMS) {
            return None;
        }
        let network = Network::new(2, Families::Both);
        let host = network.host(0);
        host.ip(format!("addr add {SECOND_IPV4}/24 dev eth0"));
        host.ip(format!("addr add {SECOND_IPV6}/64 dev eth0 nodad"));
        host.ip(format!("addr add {LINK_LOCAL}/64 dev eth0 nodad"));
        let client = network.host(1);
        client.ip("addr add fe80::102/64 dev eth0 nodad");
        let setup = Setup::new(PROGRAM);
        let tracker = setup.start_on(host, CONFIG);
        Some(Self {
            network,
            tracker,
            _setup: setup,
        })
    }

    fn host(&self) -> &Host {
        self.network.host(0)
    }

    /// A client on the other host that has not asked for a connection id yet.
    #[track_caller]
    fn client(&self, asked: SocketAddr) -> Client {
        let own: IpAddr = match asked {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let client = self.network.host(1);
        client.run(|| Client::unconnected(own, asked))
    }

    /// Whether all threads of the tracker are stopped (proc(5): the state `T` after the
    /// name in parentheses), which takes a moment after the signal.
    fn has_stopped(&self) -> bool {
        let threads = format!("/proc/{}/task", self.tracker.id());
        std::fs::read_dir(threads).unwrap().all(|thread| {
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            stat.rsplit(')').next().unwrap().trim().starts_with('T')
        })
    }

    /// Whether a datagram waits in the IPv4 socket of the tracker (proc(5),
    /// /proc/net/udp: the bytes in the receive queue, in hexadecimal).
    fn has_waiting_datagrams(&self) -> bool {
        let sockets = format!("/proc/{}/net/udp", self.tracker.id());
        let sockets = std::fs::read_to_string(sockets).unwrap();
        let port = format!(":{:04X}", 3000);
        sockets.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.len() > 4 && fields[1].ends_with(&port) && !fields[4].ends_with(":00000000")
        })
    }

    fn send_failures(&self) -> String {
        let address = "127.0.0.1:9000".parse().unwrap();
        let page = self.host().run(|| http::get(address, "/metrics")).body;
        let name = "aquatic_udp_send_failures_total ";
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the metric").to_owned()
    }
}

/// Connects and announces twice.
#[track_caller]
fn is_served(client: &mut Client) {
    client.connect();
    client.announce(&Announce::seeder(hash(1), 1001));
    client.announce(&Announce::leecher(hash(1), 1002));
}

#[test]
fn any_address_of_the_loopback_network_answers_itself() {
    let mut place = new_place();
    let port = place.port.number();
    let everywhere = format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]");
    place.set("network.address", &everywhere);
    let tracker = place.start();
    for last in [1, 2, 3, 254] {
        let asked = (Ipv4Addr::new(127, 0, 0, last), tracker.ipv4().port()).into();
        is_served(&mut Client::unconnected(Ipv4Addr::LOCALHOST.into(), asked));
    }
    is_served(&mut Client::new(tracker.ipv6()));
}

#[test]
fn inherited_sockets_answer_from_the_address_that_was_asked() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let place = new_place();
    let sockets = [(Ipv4Addr::UNSPECIFIED, place.port.number()).into()];
    let config = place.config();
    let daemon = place
        .setup
        .start_activated(SocketKind::Datagram, &sockets, None, &config);
    let mut tracker = Tracker { place, daemon };
    // The first request waits in the socket until the daemon has started.
    for last in [2, 1, 3] {
        let asked = (Ipv4Addr::new(127, 0, 0, last), tracker.ipv4().port()).into();
        is_served(&mut Client::unconnected(Ipv4Addr::LOCALHOST.into(), asked));
    }
    tracker.daemon.wait_until_ready();
}

#[test]
fn each_address_of_an_interface_answers_itself() {
    let Some(hosts) = Hosts::start() else {
        return;
    };
    let scope = hosts.network.host(1).interface_number();
    let first = hosts.host();
    let asked: [SocketAddr; 5] = [
        (first.ipv4, 3000).into(),
        (SECOND_IPV4, 3000).into(),
        (first.ipv6, 3000).into(),
        (SECOND_IPV6, 3000).into(),
        SocketAddrV6::new(LINK_LOCAL, 3000, 0, scope).into(),
    ];
    for asked in asked {
        eprintln!("{asked}");
        is_served(&mut hosts.client(asked));
    }
    assert_eq!(hosts.send_failures(), "0");
}

#[test]
fn requests_by_broadcast_are_answered_from_an_address_of_the_tracker() {
    let Some(hosts) = Hosts::start() else {
        return;
    };
    let client = hosts.network.host(1).run(|| {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.set_broadcast(true).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    });
    for everybody in ["10.77.0.255:3000", "255.255.255.255:3000"] {
        client.send_to(&connect_request(1), everybody).unwrap();
        let (length, source) = client.recv_from(&mut [0; 99]).unwrap();
        assert_eq!(length, 16);
        assert_eq!(source, (hosts.host().ipv4, 3000).into(), "{everybody}");
    }
    assert_eq!(hosts.send_failures(), "0");
}

#[test]
fn a_removed_address_does_not_affect_other_replies() {
    let Some(hosts) = Hosts::start() else {
        return;
    };
    let mut clients = [
        hosts.client((hosts.host().ipv4, 3000).into()),
        hosts.client((SECOND_IPV4, 3000).into()),
        hosts.client((hosts.host().ipv4, 3000).into()),
    ];
    for client in &mut clients {
        client.connect();
    }
    // A request to the address waits in the socket, before two others, when the address
    // is removed.
    hosts.tracker.signal(Signal::SIGSTOP);
    eventually("a tracker that has stopped", || {
        hosts.has_stopped().then_some(())
    });
    let [first, second, third] = &mut clients;
    second.send(&connect_request(7));
    eventually("the request in the socket", || {
        hosts.has_waiting_datagrams().then_some(())
    });
    let host = hosts.host();
    host.ip(format!("addr del {SECOND_IPV4}/24 dev eth0"));
    for client in [&mut *first, &mut *third] {
        client.send(&connect_request(7));
    }
    hosts.tracker.signal(Signal::SIGCONT);
    for client in [first, third] {
        assert_eq!(client.receive().len(), 16);
        is_served(client);
    }
    eventually("a reply that was not sent", || {
        (hosts.send_failures() == "1").then_some(())
    });
}
