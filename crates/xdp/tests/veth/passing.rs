//! What is not redirected reaches the kernel's socket, or nobody.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use aquatic_test_harness::network::Cable;
use aquatic_xdp::Sizes;
use aquatic_xdp::program::MAX_REDIRECTED_LENGTH;

use crate::Test;
use crate::answers::targets;
use crate::client::{ask, connect, is_silent};
use crate::server::{FROM_KERNEL, FROM_XDP, KernelServer, MODES, OTHER_PORT, PORT, Setup};

pub(crate) const TESTS: &[Test] = &[
    ("other ports and addresses are the kernel's", other_targets),
    ("options and fragments are the kernel's", odd_packets),
    ("frames to other stations are not answered", other_stations),
    ("long frames are the kernel's", long_frames),
];

fn other_targets() {
    for mode in MODES {
        let cable = Cable::new(1);
        cable.server.add_address("10.78.0.9/24");
        cable.server.add_address("fd78::9/64");
        let others = ["10.78.0.9", "fd78::9"].map(|other| other.parse().unwrap());
        let _kernel = KernelServer::start(&cable.server);
        let _other_kernel = KernelServer::at(&cable.server, &others);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let _consumers = setup.consumers();
        for target in targets(&cable) {
            let other_port = SocketAddr::new(target.ip(), OTHER_PORT);
            for (target, expected) in [(target, FROM_XDP), (other_port, FROM_KERNEL)] {
                let socket = connect(&cable.client, target);
                assert_eq!(ask(&socket, b"?x"), expected, "{target}");
            }
        }
        for other in others {
            let target = SocketAddr::new(other, PORT);
            let socket = connect(&cable.client, target);
            assert_eq!(ask(&socket, b"?x"), FROM_KERNEL, "{other}");
        }
    }
}

/// Sets an option of a socket that takes bytes.
fn set_option(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: &[u8]) {
    // SAFETY: a pointer to bytes and their length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    let error = std::io::Error::last_os_error();
    assert_eq!(result, 0, "{error}");
}

fn odd_packets() {
    for mode in MODES {
        let cable = Cable::new(1);
        let _kernel = KernelServer::start(&cable.server);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let _consumers = setup.consumers();
        for target in targets(&cable) {
            let socket = connect(&cable.client, target);
            assert_eq!(ask(&socket, b"?x"), FROM_XDP);
            // Two fragments, of which the first one has the ports.
            assert_eq!(ask(&socket, &[7; 2000]), FROM_KERNEL);
            if target.is_ipv4() {
                // "No operation", four times.
                set_option(&socket, libc::IPPROTO_IP, libc::IP_OPTIONS, &[1; 4]);
            } else {
                // A header of eight bytes that contains padding.
                let padding = [0, 0, 1, 4, 0, 0, 0, 0];
                set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, &padding);
            }
            assert_eq!(ask(&socket, b"?x"), FROM_KERNEL, "options to {target}");
        }
        let counts: Vec<_> = setup.statistics();
        assert!(counts.iter().all(|count| count.dropped == 0), "{counts:?}");
    }
}

fn other_stations() {
    for mode in MODES {
        let cable = Cable::new(1);
        let _kernel = KernelServer::start(&cable.server);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let _consumers = setup.consumers();
        for target in targets(&cable) {
            let socket = connect(&cable.client, target);
            let neighbour = |mac: &str| {
                let address = target.ip();
                let permanent = format!("lladdr {mac} dev eth0 nud permanent");
                cable
                    .client
                    .ip(format!("neigh replace {address} {permanent}"));
            };
            neighbour("02:00:00:00:00:77");
            socket.send(b"?x").unwrap();
            assert!(
                is_silent(&socket),
                "a frame to another station was answered"
            );
            // A packet to a host in a frame to all is read by the kernel, over IPv4.
            neighbour("ff:ff:ff:ff:ff:ff");
            if target.is_ipv4() {
                assert_eq!(ask(&socket, b"?x"), FROM_KERNEL);
            }
            let mac = setup.interface.mac.map(|byte| format!("{byte:02x}"));
            neighbour(&mac.join(":"));
            assert_eq!(ask(&socket, b"?x"), FROM_XDP);
        }
    }
}

fn long_frames() {
    for mode in MODES {
        let cable = Cable::new(1);
        for host in [&cable.server, &cable.client] {
            host.ip("link set eth0 mtu 3000");
        }
        let _kernel = KernelServer::start(&cable.server);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let _consumers = setup.consumers();
        for target in targets(&cable) {
            let socket = connect(&cable.client, target);
            let headers = if target.is_ipv4() { 42 } else { 62 };
            let longest = MAX_REDIRECTED_LENGTH - headers;
            for (length, expected) in [
                (longest - 1, FROM_XDP),
                (longest, FROM_XDP),
                (longest + 1, FROM_KERNEL),
                (2900, FROM_KERNEL),
            ] {
                assert_eq!(ask(&socket, &vec![7; length]), expected, "{length}");
            }
        }
        assert_eq!(setup.statistics()[0].dropped, 0);
    }
}
