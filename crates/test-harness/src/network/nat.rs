//! A host behind a router that translates addresses (NAT), and one outside.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Host, INTERFACE, Namespace, ip};
use crate::tools;

/// Programs that a [`NatNetwork`] needs; for [`tools::needs`].
pub const PROGRAMS: [&str; 4] = ["ip", "nft", "nsenter", "unshare"];

/// The address of the router inside.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);

/// A host behind NAT, its router, and a host outside:
///
/// ```text
/// inside 192.168.0.2 --- 192.168.0.1 [router] 5.5.5.5 --- 5.5.5.9 outside
/// ```
///
/// The router forwards some ports of its own address to the host inside, to which there is
/// no other way: the host outside knows no route to it.
#[derive(Debug)]
pub struct NatNetwork {
    /// The host behind the router.
    pub inside: Host,
    /// The host on the other side.
    pub outside: Host,
    _router: Namespace,
}

impl NatNetwork {
    /// The address of the router outside. Nothing is sent to the real one: the hosts reach
    /// each other and nothing else.
    pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(5, 5, 5, 5);

    /// Makes the hosts and the router, which forwards these ports over TCP and UDP.
    ///
    /// # Panics
    /// When this machine does not allow that.
    #[must_use]
    #[track_caller]
    pub fn new(forwarded: &[u16]) -> Self {
        let router = Namespace::first();
        ip(&router, "link set lo up");
        let inside = host(&router, "lan", GATEWAY, Ipv4Addr::new(192, 168, 0, 2), 1);
        let outside = host(&router, "wan", Self::OUTSIDE, Ipv4Addr::new(5, 5, 5, 9), 2);
        ip(
            &inside.namespace,
            format!("route add default via {GATEWAY}"),
        );
        let ports: Vec<String> = forwarded.iter().map(u16::to_string).collect();
        let rules = format!(
            "table ip nat {{
                chain incoming {{
                    type nat hook prerouting priority dstnat;
                    iifname \"wan\" meta l4proto {{ tcp, udp }} th dport {{ {} }} dnat to {}
                }}
                chain outgoing {{
                    type nat hook postrouting priority srcnat;
                    oifname \"wan\" masquerade
                }}
            }}",
            ports.join(", "),
            inside.ipv4
        );
        let program = tools::find("nft").expect("the test has asked for PROGRAMS");
        let output = router
            .command("sh")
            .args([
                "-c",
                "echo 1 > /proc/sys/net/ipv4/ip_forward && exec \"$0\" \"$1\"",
            ])
            .arg(program)
            .arg(rules)
            .output()
            .unwrap_or_else(|error| panic!("nft: {error}"));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nft: {message}");
        Self {
            inside,
            outside,
            _router: router,
        }
    }
}

/// A host that is connected to `interface` of the router, which has the address `gateway`
/// there.
fn host(
    router: &Namespace,
    interface: &str,
    gateway: Ipv4Addr,
    address: Ipv4Addr,
    number: u16,
) -> Host {
    let namespace = Namespace::inside(router);
    let host = Host {
        ipv4: address,
        ipv6: Ipv6Addr::new(0xfd77, number, 0, 0, 0, 0, 0, 2),
        namespace,
    };
    let id = host.namespace.id();
    let pair = format!("link add {interface} type veth peer name {INTERFACE} netns {id}");
    ip(router, pair);
    ip(router, format!("addr add {gateway}/24 dev {interface}"));
    ip(router, format!("link set {interface} up"));
    let inside = &host.namespace;
    ip(inside, "link set lo up");
    ip(inside, format!("addr add {address}/24 dev {INTERFACE}"));
    ip(
        inside,
        format!("addr add {}/64 dev {INTERFACE} nodad", host.ipv6),
    );
    ip(inside, format!("link set {INTERFACE} up"));
    host
}
