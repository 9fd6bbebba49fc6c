//! Two hosts that are connected directly, through interfaces with several queues.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Host, INTERFACE, Namespace, ip};

/// Two hosts at the ends of a cable. Nothing is between their interfaces, `eth0`.
#[derive(Debug)]
pub struct Cable {
    /// One end, 10.78.0.1 and fd78::1.
    pub server: Host,
    /// The other end, 10.78.0.2 and fd78::2.
    pub client: Host,
}

impl Cable {
    /// Makes the hosts, with so many queues for each interface.
    ///
    /// # Panics
    /// When this machine does not allow that.
    #[must_use]
    #[track_caller]
    pub fn new(queues: u32) -> Self {
        let server = host(Namespace::first(), 1);
        let client = host(Namespace::inside(&server.namespace), 2);
        let queues = format!("numrxqueues {queues} numtxqueues {queues}");
        let peer = format!("name {INTERFACE} {queues} netns {}", client.namespace.id());
        let pair = format!("link add {INTERFACE} {queues} type veth peer {peer}");
        ip(&server.namespace, pair);
        for host in [&server, &client] {
            host.ip("link set lo up");
            host.add_address(&format!("{}/24", host.ipv4));
            host.add_address(&format!("{}/64", host.ipv6));
            host.ip(format!("link set {INTERFACE} up"));
        }
        Self { server, client }
    }
}

fn host(namespace: Namespace, number: u8) -> Host {
    Host {
        ipv4: Ipv4Addr::new(10, 78, 0, number),
        ipv6: Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, number.into()),
        namespace,
    }
}
