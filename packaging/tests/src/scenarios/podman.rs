//! The container image, run by a user without privileges.

use crate::daemons::{self, Daemon, Transport};
use crate::environment::Environment;
use crate::http;
use crate::podman::{IMAGE, Podman};
use crate::scenarios::load::{assert_answered, assert_every_request_is_answered, under_load};
use crate::udp::{Client, Scraped, hash};
use crate::websocket;

/// Options for a container that may do nothing but serve.
const CONFINED: &str = "--network host --read-only --cap-drop all \
                        --security-opt no-new-privileges";

/// The check of the image's own configuration, which podman does not read.
const HEALTH_CHECK: &str = "--health-cmd 'CMD /proc/1/exe health' --health-interval disable";

/// Datagrams per second: a user's sockets hold some hundred, as long as the administrator has
/// not raised net.core.rmem_max.
const GENTLE_RATE: usize = 60;

/// Starts a container that is called after the daemon.
#[track_caller]
fn start(podman: &Podman, daemon: &Daemon, options: &str) {
    let name = &daemon.name;
    podman.succeed(&format!(
        "podman run --quiet --detach --name {name} {CONFINED} {HEALTH_CHECK} {options} {IMAGE} \
         {name} > /dev/null"
    ));
    podman.wait_until_healthy(name);
}

/// Announces a peer to a daemon, over both versions of IP.
#[track_caller]
fn announce(podman: &Podman, daemon: &Daemon, port: u16) {
    let (container, client) = (&podman.container, podman.container.client());
    for address in [
        container.address(daemon.port),
        container.address_ipv6(daemon.port),
    ] {
        if daemon.transport == Transport::Udp {
            let mut udp = Client::connect(client, address);
            udp.announce(hash(1), port).expect("it is served");
        } else if daemon.short_name() == "http" {
            let reply = http::get(client, address, &http::announce(1, port));
            let reply = reply.expect("an answer");
            assert!(reply.starts_with(b"d8:complete"), "{reply:?}");
        } else {
            let stream = client.run(|| http::connect(address)).expect("a connection");
            let mut client = websocket::Client::upgrade(stream);
            // Peers over IPv4 and IPv6 are kept apart.
            assert_eq!(client.announce('a', 'b'), 0);
        }
    }
}

pub(super) fn trackers_run_without_privileges(environment: &Environment) {
    let podman = Podman::start(environment);
    for daemon in daemons::all() {
        start(&podman, daemon, "");
        announce(&podman, daemon, 1001);

        let name = daemon.name.as_str();
        let status = podman.process_status(name);
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.expect("the field is there").split_whitespace();
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), ["0000000000000000"], "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), ["1"]);
        assert_eq!(field("Seccomp:"), ["2"]);
        assert_eq!(field("NSpid:").last().map(String::as_str), Some("1"));
        // The user's subordinate ids begin with 100,000, for the second user of the image.
        assert_eq!(field("Uid:"), [&*(100_000 + 65_532 - 1).to_string(); 4]);
        let said = podman.succeed(&format!("podman exec {name} {name} health"));
        assert_eq!(said, "ok");
        let version = podman.succeed(&format!("podman exec {name} {name}-load-test --version"));
        assert!(version.starts_with(name), "{version}");

        podman.succeed(&format!("podman kill --signal HUP {name}"));
        podman.wait_for_log(name, "reloaded");
        let logged = podman.run(&format!("podman logs {name}"));
        let logged = logged.stdout + &logged.stderr;
        assert!(!logged.contains("ERROR"), "{logged}");
    }
}

pub(super) fn a_stop_loses_no_peer(environment: &Environment) {
    let podman = Podman::start(environment);
    for daemon in daemons::all() {
        let name = daemon.name.as_str();
        start(
            &podman,
            daemon,
            &format!("--volume state-of-{name}:/var/lib/aquatic"),
        );
        announce(&podman, daemon, 1002);
        podman.succeed(&format!("podman stop --time 60 {name}"));
        assert_eq!(podman.inspect(name, ".State.ExitCode"), "0");

        // Another container, as after an update.
        podman.succeed(&format!("podman rm {name}"));
        start(
            &podman,
            daemon,
            &format!("--volume state-of-{name}:/var/lib/aquatic"),
        );
        let address = podman.container.address(daemon.port);
        let client = podman.container.client();
        match daemon.short_name() {
            "udp" => {
                let scraped = Client::connect(client, address).scrape(&[hash(1)]);
                let expected = Scraped {
                    seeders: 1,
                    leechers: 0,
                };
                assert_eq!(scraped, [expected]);
            }
            "http" => {
                let scraped = http::get(client, address, &http::scrape(1)).expect("an answer");
                let scraped = String::from_utf8_lossy(&scraped);
                assert!(scraped.contains("8:completei1e"), "{scraped}");
            }
            // Its peers are connections.
            _ => announce(&podman, daemon, 1003),
        }
    }
}

/// Installs the Quadlet units of a daemon, and starts its sockets.
#[track_caller]
fn install_units(podman: &Podman, daemon: &Daemon) {
    let name = &daemon.name;
    let made = podman.succeed(&format!(
        "install -D --mode=644 --target-directory ~/.config/containers/systemd \
             /srv/examples/quadlet/{name}.container
         install -D --mode=644 --target-directory ~/.config/systemd/user \
             /srv/examples/quadlet/{name}.socket
         /usr/lib/systemd/system-generators/podman-system-generator --user --dryrun 2>&1
         systemctl --user daemon-reload
         systemctl --user enable --quiet --now {name}.socket"
    ));
    assert!(made.contains(&format!("---{name}.service---")), "{made}");
    assert!(!made.contains("unsupported"), "{made}");
}

pub(super) fn sockets_of_systemd_lose_nothing(environment: &Environment) {
    let podman = Podman::start(environment);
    for daemon in daemons::all() {
        install_units(&podman, daemon);
        // The first request starts it.
        announce(&podman, daemon, 1004);
        let name = daemon.name.as_str();
        podman.wait_until_healthy(name);
        assert_eq!(podman.inspect(name, ".HostConfig.NetworkMode"), "none");
        podman.succeed(&format!("systemctl --user reload {name}"));
        podman.wait_for_log(name, "reloaded");
    }
    let restart = |name: &str| {
        for _ in 0..2 {
            podman.succeed(&format!("systemctl --user restart {name}"));
        }
    };
    let report = under_load(&podman.container, GENTLE_RATE, || restart("aquatic-udp"));
    assert_answered(&report);
    assert_every_request_is_answered(&podman.container, 2, || restart("aquatic-http"));

    // A mistake is told, and interrupts nothing.
    podman.write("bad.toml", "no_such_key = 1\n");
    podman.succeed("podman exec aquatic-udp aquatic-udp --check-config");
    let wrong = podman.run(
        "podman run --rm --volume ~/bad.toml:/etc/aquatic/aquatic-udp.toml:ro \
         localhost/aquatic:1.0.0 2>&1",
    );
    assert_eq!(wrong.status.code(), Some(78), "{}", wrong.stdout);
    assert!(
        wrong
            .stdout
            .contains("/etc/aquatic/aquatic-udp.toml:1:1: no_such_key"),
        "{}",
        wrong.stdout
    );
}

pub(super) fn compose_runs_all_with_one_swarm(environment: &Environment) {
    let podman = Podman::start(environment);
    podman.succeed(
        "mkdir compose
         cp /srv/examples/compose.yaml compose
         cd compose
         podman-compose up --detach 2>&1",
    );
    for daemon in daemons::all() {
        let name = &daemon.name;
        let container = format!("aquatic_{}_1", daemon.short_name());
        podman
            .container
            .wait_for(&format!("{container} is healthy"), || {
                let health = format!("podman exec {container} {name} health");
                podman.run(&health).status.success()
            });
        announce(&podman, daemon, 1005);
    }
    // Announced over UDP, found over HTTP.
    let container = &podman.container;
    let mut udp = Client::connect(container.client(), container.address(3000));
    udp.announce(http::info_hash(7), 1006)
        .expect("it is served");
    container.wait_for("the swarm is one", || {
        let path = http::scrape(7);
        let scraped = http::get(container.client(), container.address(3000), &path);
        let scraped = scraped.expect("an answer");
        String::from_utf8_lossy(&scraped).contains("8:completei1e")
    });
    podman.succeed("cd compose && podman-compose down 2>&1");
}

pub(super) fn manifests_of_kubernetes_run(environment: &Environment) {
    let podman = Podman::start(environment);
    for daemon in daemons::all() {
        let name = &daemon.name;
        // Without limits of memory, for machines that do not let users set any.
        podman.succeed(&format!(
            "sed '/resources:/,/limits:/d' /srv/examples/kubernetes/{name}.yaml |
             podman kube play --quiet --network pasta - 2>&1"
        ));
        announce(&podman, daemon, 1007);
        let pod = format!("{name}-pod-tracker");
        podman.wait_until_healthy(&pod);
        // There is no such server here, which stops nobody.
        podman.wait_for_log(&pod, "valkey");
        let health = podman.succeed(&format!("podman exec {pod} {name} health"));
        assert!(health.starts_with("ok"), "{health}");
    }
}
