//! Sockets, bound and inherited.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::*;
use crate::resource_limits;

const LOOPBACK: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

fn request(addresses: &[SocketAddr], workers: usize) -> UdpRequest<'_> {
    UdpRequest {
        addresses,
        workers: NonZeroUsize::new(workers),
        receive_buffer_bytes: None,
    }
}

#[test]
fn each_worker_has_each_address() {
    let workers = udp(request(&LOOPBACK, 3), &mut Inherited::default()).unwrap();
    assert_eq!(workers.len(), 3);
    let addresses =
        |worker: &[BoundUdp]| -> Vec<_> { worker.iter().map(|bound| bound.address).collect() };
    for worker in &workers {
        assert_eq!(addresses(worker), addresses(&workers[0]));
        for bound in worker {
            assert_eq!(bound.socket.local_addr().unwrap(), bound.address);
            assert_ne!(bound.address.port(), 0);
        }
    }
}

#[test]
fn flows_spread_over_the_sockets_of_an_address() {
    let workers = udp(request(&LOOPBACK[..1], 4), &mut Inherited::default()).unwrap();
    let address = workers[0][0].address;
    for _ in 0..200 {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", address).unwrap();
    }
    let mut total = 0;
    for worker in &workers {
        let mut buffer = [0; 8];
        let mut count = 0;
        while worker[0].socket.recv(&mut buffer).is_ok() {
            count += 1;
        }
        // 50 are expected; fewer than 10 come once in 10^13 runs.
        assert!(count >= 10, "{count} datagrams");
        total += count;
    }
    assert_eq!(total, 200);
}

#[test]
fn a_second_daemon_is_refused() {
    for address in LOOPBACK {
        let first = udp(request(&[address], 2), &mut Inherited::default()).unwrap();
        let taken = first[0][0].address;
        let error = udp(request(&[taken], 2), &mut Inherited::default()).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(&taken.to_string()), "{text}");
        assert!(text.contains("another program uses this address"), "{text}");

        drop(first);
        udp(request(&[taken], 2), &mut Inherited::default()).unwrap();
    }
}

#[test]
fn addresses_that_cover_each_other_are_named() {
    let free = udp(request(&LOOPBACK[..1], 1), &mut Inherited::default()).unwrap();
    let port = free[0][0].address.port();
    drop(free);
    let list = [
        SocketAddr::from(([0, 0, 0, 0], port)),
        SocketAddr::from(([127, 0, 0, 1], port)),
    ];
    let text = format!(
        "{:#}",
        udp(request(&list, 1), &mut Inherited::default()).unwrap_err()
    );
    assert!(text.contains("is also covered by 0.0.0.0:"), "{text}");
}

#[test]
fn ipv6_sockets_leave_ipv4_alone() {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let workers = udp(request(&[any], 1), &mut Inherited::default()).unwrap();
    let port = workers[0][0].address.port();
    UdpSocket::bind(("0.0.0.0", port)).unwrap();
}

#[test]
fn remedies_are_named() {
    let text = |error: i32, address: &str| {
        let error = io::Error::from_raw_os_error(error);
        format!("{:#}", bind_error(error, "UDP", address.parse().unwrap()))
    };
    assert!(text(libc::EACCES, "0.0.0.0:80").contains("CAP_NET_BIND_SERVICE"));
    assert!(text(libc::EADDRNOTAVAIL, "192.0.2.1:3000").contains("no network interface"));
    assert!(text(libc::EAFNOSUPPORT, "[::]:3000").contains("does not support IPv6; use"));
}

#[test]
fn receive_buffer_is_set_or_reported() {
    let mut asked = request(&LOOPBACK[..1], 1);
    asked.receive_buffer_bytes = NonZeroUsize::new(64 * 1024);
    let workers = udp(asked, &mut Inherited::default()).unwrap();
    let socket = Socket::from(workers[0][0].socket.try_clone().unwrap());
    // Twice as many: see set_receive_buffer. The default is larger already.
    assert!(socket.recv_buffer_size().unwrap() >= 2 * 64 * 1024);
}

#[test]
fn a_small_receive_buffer_is_told_with_what_makes_it_larger() {
    let text = small_buffer(1, 2, None);
    assert!(text.contains("sysctl -w net.core.rmem_max=2"), "{text}");
    let text = small_buffer(1, 2, Some(&SocketUnit::Written));
    assert!(text.contains("ReceiveBuffer=2 in"), "{text}");
    let unit = SocketUnit::Generated("aquatic-udp.socket".to_owned());
    let text = small_buffer(1, 2, Some(&unit));
    assert!(text.contains(&mend("aquatic-udp.socket")), "{text}");
    assert!(!text.contains("ReceiveBuffer="), "{text}");
}

#[test]
fn the_receive_buffer_of_an_inherited_socket_is_not_made_smaller() {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    let most = resource_limits::largest_receive_buffer_bytes().unwrap() as usize;
    // With root's rights, the buffer may be larger than the limit.
    let _ = setsockopt(&socket, RcvBufForce, &(2 * most));
    let before = socket.recv_buffer_size().unwrap();
    let wanted = NonZeroUsize::new(1 << 40);
    raise_receive_buffer(&socket, wanted).unwrap();
    assert_eq!(socket.recv_buffer_size().unwrap(), before);
}

#[test]
fn kernel_drops_are_counted() {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.bind(&LOOPBACK[0].into()).unwrap();
    let socket: UdpSocket = socket.into();
    let drops = KernelDrops::watch([&socket]).unwrap();
    assert_eq!(drops.total(), 0);

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        client
            .send_to(&[0; 1024], socket.local_addr().unwrap())
            .unwrap();
    }
    let mut received = 0;
    socket
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    while socket.recv(&mut [0; 1024]).is_ok() {
        received += 1;
    }
    assert!(received < 100);
    assert_eq!(drops.total(), 100 - received);
}

#[test]
fn an_address_that_is_about_to_be_free_is_waited_for() {
    let former = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [former.local_addr().unwrap()];
    let ends = thread::spawn(move || {
        thread::sleep(Duration::from_millis(60));
        drop(former);
    });
    let request = TcpRequest {
        addresses: &addresses,
        workers: NonZeroUsize::new(1),
        backlog: NonZeroUsize::MIN,
    };
    let workers = tcp(request, &mut Inherited::default());
    ends.join().unwrap();
    assert_eq!(workers.unwrap()[0][0].address, addresses[0]);
}

mod inherited_sockets {
    use super::*;

    fn udp_socket() -> Socket {
        UdpSocket::bind("127.0.0.1:0").unwrap().into()
    }

    fn group(address: SocketAddr, count: usize) -> Vec<Socket> {
        let workers = udp(request(&[address], count), &mut Inherited::default()).unwrap();
        workers
            .into_iter()
            .flatten()
            .map(|bound| bound.socket.into())
            .collect()
    }

    fn inherited(sockets: Vec<Socket>) -> Inherited {
        Inherited::from_sockets(sockets.into_iter().map(|socket| ("udp", socket)).collect())
    }

    #[test]
    fn workers_are_cut_to_the_sockets() {
        let mut inherited = inherited(group(LOOPBACK[0], 2));
        let workers = udp(request(&LOOPBACK, 8), &mut inherited).unwrap();
        assert_eq!(workers.len(), 2);
        assert!(workers.iter().all(|sockets| sockets.len() == 1));
        inherited.finish().unwrap();
    }

    #[test]
    fn every_inherited_socket_is_served() {
        let mut sockets = group(LOOPBACK[0], 3);
        sockets.extend(group(LOOPBACK[1], 1));
        let all: HashSet<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let workers = udp(request(&LOOPBACK, 2), &mut inherited(sockets)).unwrap();
        assert_eq!(workers.len(), 2);
        let served: HashSet<_> = workers
            .iter()
            .flatten()
            .map(|bound| bound.socket.as_raw_fd())
            .collect();
        assert_eq!(served, all);
    }

    #[test]
    fn each_worker_gets_each_address_when_there_are_enough() {
        let mut sockets = group(LOOPBACK[0], 2);
        sockets.extend(group(LOOPBACK[1], 2));
        let workers = udp(request(&LOOPBACK, 2), &mut inherited(sockets)).unwrap();
        for worker in &workers {
            assert!(worker[0].address.is_ipv4() && worker[1].address.is_ipv6());
        }

        let lone = vec![udp_socket(), udp_socket()];
        let workers = udp(request(&LOOPBACK, 1), &mut inherited(lone)).unwrap();
        assert_eq!(workers[0].len(), 2);
    }

    #[test]
    fn inherited_sockets_say_how_many_workers_there_are_when_nobody_else_does() {
        for count in [1, thread::available_parallelism().unwrap().get() + 1] {
            let mut sockets = group(LOOPBACK[0], count);
            sockets.extend(group(LOOPBACK[1], count));
            let mut any = request(&LOOPBACK, 1);
            any.workers = None;
            let workers = udp(any, &mut inherited(sockets)).unwrap();
            assert_eq!(workers.len(), count);
            assert!(workers.iter().all(|sockets| sockets.len() == 2));
        }
    }

    #[test]
    fn what_nobody_takes_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut inherited =
            Inherited::from_sockets(vec![("a", udp_socket()), ("web", listener.into())]);
        assert_eq!(udp(request(&LOOPBACK, 1), &mut inherited).unwrap().len(), 1);
        let text = inherited.finish().unwrap_err().to_string();
        assert!(
            text.contains("file descriptor 4 (\"web\")")
                && text.contains(&format!("a listening TCP socket on {address}")),
            "{text}"
        );

        let (unix, _) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
        let mut inherited = Inherited::from_sockets(vec![("log", unix)]);
        assert!(inherited.take_udp().unwrap().is_empty());
        let text = inherited.finish().unwrap_err().to_string();
        assert!(text.contains("a datagram socket that is not UDP"), "{text}");
    }
}
