//! The effects of an operator's mistakes, and of unusual machines, on a tracker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::container::Container;
use crate::daemons;
use crate::environment::Environment;
use crate::http;
use crate::udp::{Client, hash};

const FILE: &str = "/etc/aquatic/aquatic-udp.toml";

/// Time after which there is considered to be no reply.
const SILENCE: Duration = Duration::from_millis(500);

fn serves_udp(container: &Container) -> bool {
    Client::try_connect(container.client(), container.address(3000), SILENCE).is_some()
}

/// The ports over TCP that something listens on.
fn listening(container: &Container) -> String {
    container.succeed(
        "ss --tcp --listening --numeric --no-header | grep --only-matching ':[0-9]* ' || true",
    )
}

pub(super) fn two_trackers_on_one_port_are_refused(environment: &Environment) {
    let mut with_connections = daemons::with_connections();
    let [Some(first), Some(second)] = [with_connections.next(), with_connections.next()] else {
        panic!("too few daemons share ports");
    };
    let both = format!("{} {}", first.name, second.name);
    let container = Container::with(environment, &both);
    let addresses = |port: u16| format!("address = [\"0.0.0.0:{port}\", \"[::]:{port}\"]");
    for daemon in [first, second] {
        container.replace(&daemon.file(), &addresses(daemon.port), &addresses(443));
    }
    container.succeed("systemctl daemon-reload");
    for daemon in [first, second] {
        container.fail(&format!("systemctl restart {}.socket", daemon.name));
    }
    assert!(!listening(&container).contains(":443 "));
    for (daemon, other) in [(first, second), (second, first)] {
        container.wait_for_log(&format!("{}.socket", daemon.name), "network.address: ");
        let check = format!("{} --check-config -c {}", daemon.name, daemon.file());
        let said = container.fail(&check);
        assert!(said.contains(&other.file()), "{said}");
    }

    // One of the two files is corrected.
    container.replace(&second.file(), &addresses(443), &addresses(second.port));
    container.succeed("systemctl daemon-reload");
    for daemon in [first, second] {
        container.succeed(&format!("systemctl restart {}.socket", daemon.name));
    }
    for port in [443, second.port] {
        let ask = || http::get(container.client(), container.address(port), "/health");
        container.wait_for(&format!("{port} is served"), || ask().is_ok());
    }

    // Files of a removed package do not claim an address.
    container.apt(&format!("remove {}", first.name));
    container.replace(&second.file(), &addresses(second.port), &addresses(443));
    container.succeed(&format!(
        "systemctl daemon-reload && systemctl restart {}.socket",
        second.name
    ));
    let ask = || http::get(container.client(), container.address(443), "/health");
    container.wait_for("443 is served", || ask().is_ok());
}

pub(super) fn a_mistake_elsewhere_keeps_the_sockets(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    for (right, wrong) in [
        ("mode = \"off\"", "mode = \"of\""),
        ("mode = \"off\"", "mode = \"off"),
    ] {
        container.replace(FILE, right, wrong);
        container.succeed("systemctl daemon-reload");
        // The socket is opened again, too, at the configured address.
        container.succeed("systemctl restart aquatic-udp.socket");
        let sockets = container.succeed("ss --udp --listening --numeric --no-header");
        assert!(sockets.contains("0.0.0.0:3000"), "{sockets}");
        assert!(sockets.contains("[::]:3000"), "{sockets}");
        container.wait_for_log("aquatic-udp", "aquatic-udp.toml:");
        assert!(!serves_udp(&container), "with {wrong}");

        container.replace(FILE, wrong, right);
        container.succeed("systemctl restart aquatic-udp");
        Client::connect(container.client(), container.address(3000));
        assert_eq!(
            container.property("aquatic-udp.socket", "ActiveState"),
            "active"
        );
    }
}

pub(super) fn replies_come_from_the_address_that_was_asked(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let others = [
        IpAddr::V4(Ipv4Addr::new(10, 77, 0, 200)),
        IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x200)),
    ];
    for (address, prefix) in others.iter().zip([24, 64]) {
        container.add_address(&format!("{address}/{prefix}"));
        container.on_client(&format!("route replace {address} dev eth0"));
    }
    let first = [container.address(3000), container.address_ipv6(3000)];
    let others = others.map(|address| SocketAddr::new(address, 3000));
    for tracker in first.into_iter().chain(others) {
        // Its socket is connected, and takes nothing from another address.
        let mut client = Client::connect(container.client(), tracker);
        client.announce(hash(1), 1001).expect("it is served");
        assert_eq!(client.scrape(&[hash(1)])[0].seeders, 1, "{tracker}");
    }
}

pub(super) fn without_ipv6_the_rest_is_served(environment: &Environment) {
    let container = Container::boot(environment);
    container.disable_ipv6();
    container.apt("install aquatic-udp aquatic-http");
    Client::connect(container.client(), container.address(3000));
    let path = http::announce(1, 1001);
    let body = http::get(container.client(), container.address(3000), &path);
    assert!(body.expect("an answer").starts_with(b"d8:complete"));
    assert_eq!(container.failed_units(), "");
    for daemon in ["aquatic-udp", "aquatic-http"] {
        let log = container.log(daemon);
        assert!(!log.contains("to apply the configuration"), "{log}");
    }
}

pub(super) fn what_cannot_be_saved_is_served(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    container.succeed(
        "mkdir --parents /etc/systemd/system/aquatic-udp.service.d && \
         printf '[Service]\\nReadOnlyPaths=/var/lib/aquatic-udp\\n' \
         > /etc/systemd/system/aquatic-udp.service.d/test.conf && \
         systemctl daemon-reload && systemctl restart aquatic-udp",
    );
    Client::connect(container.client(), container.address(3000))
        .announce(hash(1), 1001)
        .expect("it is served");
    container.wait_for_log("aquatic-udp", "snapshots cannot be written: ");
    assert_eq!(container.property("aquatic-udp", "NRestarts"), "0");
}

pub(super) fn a_list_that_says_nothing_stops_nobody(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let list = "/etc/aquatic/access-list";
    container.write(list, "");
    container.replace(FILE, "mode = \"off\"", "mode = \"deny\"");
    let text = std::fs::read_to_string(container.outside(FILE)).expect("the file can be read");
    let (before, after) = text.split_once("[access_list]").expect("there is a list");
    let after = after.replacen("path = \"\"", &format!("path = \"{list}\""), 1);
    container.write(FILE, format!("{before}[access_list]{after}"));
    container.succeed("systemctl restart aquatic-udp");
    let before = container.property("aquatic-udp", "MainPID");

    // Opening it for reading blocks until there is a writer.
    container.succeed(&format!("rm {list} && mkfifo {list}"));
    container.fail("timeout 30 systemctl reload aquatic-udp");
    // Not even the signal alone.
    container.succeed("systemctl kill --signal=USR1 --kill-whom=main aquatic-udp");
    for _ in 0..3 {
        Client::connect(container.client(), container.address(3000));
        std::thread::sleep(SILENCE);
    }
    assert_eq!(container.property("aquatic-udp", "MainPID"), before);
    let stopping = std::time::Instant::now();
    container.succeed("systemctl stop aquatic-udp");
    assert!(stopping.elapsed() < Duration::from_secs(20));
    container.succeed("test -s /var/lib/aquatic-udp/aquatic-udp.snapshot");
}
