//! `doctor`, for healthy trackers and for those with a problem.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use aquatic_test_harness::doctor::Examination;
use aquatic_test_harness::network::{self, Families, Network};
use aquatic_test_harness::{PATIENCE, Port, Process, Setup, Signal, tools};

use crate::tracker::{PROGRAM, Place, Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, hash};

fn examine(place: &Place, more: &[&str]) -> Examination {
    Examination::of(&place.setup, &place.config(), more)
}

fn url(place: &Place) -> String {
    format!("udp://{}/announce", place.port.ipv4())
}

#[test]
fn a_tracker_that_is_well_has_nothing_wrong() {
    let tracker = Tracker::start();
    let found = examine(&tracker.place, &["--url", &url(&tracker.place)]);
    // Other checks may give warnings about the machine, which is not under test.
    assert_ne!(found.code, Some(2), "{found:?}");
    found.expect("configuration", "ok", "is valid");
    found.expect("socket", "ok", &tracker.place.port.ipv4().to_string());
    found.expect("socket", "ok", &tracker.place.port.ipv6().to_string());
    found.expect("health", "ok", "ok");
    found.expect("announce", "ok", "has answered whole announces");
    found.expect("public announce", "ok", "has answered whole announces");
    found.expect("public announce", "ok", "which is right");
    // Two peers announced and stopped at each of the two addresses, and through the URL.
    let announces = tracker.metric("requests_total", &[("kind", "announce")]);
    assert_eq!(announces, 12.0);
    assert_eq!(tracker.metric("peers", &[]), 0.0);
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
}

#[test]
fn health_is_an_exit_code() {
    Tracker::start().examine_health();
}

#[test]
fn what_was_edited_but_not_applied_is_found_without_a_unit() {
    let mut tracker = Tracker::start();
    let file = tracker.place.setup.path("config.toml");
    let file = file.to_str().unwrap().to_owned();
    let examine = |tracker: &Tracker| {
        let setup = &tracker.place.setup;
        Examination::from(&setup.run(&["doctor", "--json", "-c", &file]))
    };
    examine(&tracker).expect("unit", "ok", "has read its files since");
    // Times of reloads have no fractions of a second.
    thread::sleep(Duration::from_millis(2_100));
    tracker.place.set("protocol.max_response_peers", "7");
    tracker.place.set("socket_workers", "3");
    let setup = &tracker.place.setup;
    setup.write("config.toml", tracker.place.config());
    examine(&tracker).expect("unit", "warning", "config.toml was edited but not applied");
    tracker.daemon.reload(Signal::SIGHUP);
    let found = examine(&tracker);
    found.expect("unit", "warning", "1 of the keys need a restart");
    tracker.daemon.stop();
}

#[test]
fn a_tracker_elsewhere_is_examined_through_its_url() {
    let tracker = Tracker::start();
    let url = url(&tracker.place);
    let setup = &tracker.place.setup;
    let found = Examination::from(&setup.run(&["doctor", "--json", "--url", &url]));
    assert_eq!(found.code, Some(0), "{found:?}");
    found.expect("configuration", "unchecked", "only the URL is examined");
    found.expect("DNS", "ok", "needs no DNS");
    found.expect("public announce", "ok", "has answered whole announces");
}

/// `doctor` runs in a shell in which systemctl shows the service, but without the
/// service's environment variables.
#[test]
fn variables_of_the_service_override_its_file() {
    let mut place = new_place();
    let overriding = Port::reserve().ipv4();
    let variable = "AQUATIC_UDP__NETWORK__ADDRESS";
    place
        .setup
        .set_environment(variable, overriding.to_string());
    let tracker = place.start();

    let mut shell = Setup::new(PROGRAM);
    let unit = format!(
        "#!/bin/sh\ncat <<'END'\nId=aquatic-udp.service\nLoadState=loaded\nActiveState=active\n\
         SubState=running\nMainPID={}\nExecStart={{ path={PROGRAM} ; argv[]={PROGRAM} -c {} ; \
         ignore_errors=no }}\nEND\n",
        tracker.daemon.id(),
        tracker.place.setup.path("config.toml").display(),
    );
    let systemctl = shell.write("systemctl", unit);
    fs::set_permissions(systemctl, Permissions::from_mode(0o755)).unwrap();
    let mut path = shell.directory().as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    shell.set_environment("PATH", path);
    let found = Examination::from(&shell.run(&["doctor", "--json"]));
    assert_eq!(found.wrong(), BTreeSet::new(), "{found:?}");
    found.expect("configuration", "ok", variable);
    found.expect("socket", "ok", &format!("listens on {overriding}"));
    found.expect("announce", "ok", &format!("udp://{overriding}"));
}

#[test]
fn nothing_listens() {
    let place = new_place();
    let found = examine(&place, &["--url", &url(&place)]);
    assert_eq!(found.code, Some(2));
    found.expect("socket", "wrong", "nothing listens on 127.0.0.1");
    found.expect("announce", "wrong", "nothing listens");
    found.expect("public announce", "wrong", "nothing listens");
}

#[test]
fn somebody_else_listens() {
    let place = new_place();
    let other = UdpSocket::bind(place.port.ipv4()).unwrap();
    let found = examine(&place, &["--url", &url(&place)]);
    assert_eq!(found.code, Some(2));
    found.expect("socket", "wrong", "is served by black_box");
    found.expect("announce", "wrong", "no answer");
    found.expect("public announce", "wrong", "no answer");
    // Each announce has sent three connect requests; no peer has to stop.
    other.set_nonblocking(true).unwrap();
    let mut request = [0; 100];
    let requests = std::iter::from_fn(|| other.recv(&mut request).ok());
    assert_eq!(requests.collect::<Vec<_>>(), [16; 6]);
}

#[test]
fn the_configuration_is_faulty() {
    let place = new_place().with(&[("protocol.max_response_peers", "0")]);
    let found = examine(&place, &[]);
    assert_eq!(found.code, Some(2));
    found.expect("configuration", "wrong", "max_response_peers");
}

#[test]
fn the_receive_buffer_is_smaller_than_configured() {
    if !tools::needs(&["setpriv", "ss"]) {
        return;
    }
    let place = new_place().with(&[("network.socket_recv_buffer_size", "2000000000")]);
    let unprivileged = [
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
    ];
    let mut daemon = place
        .setup
        .start_unready_through(&unprivileged, &place.config());
    daemon.wait_until_ready();
    let found = examine(&place, &[]);
    found.expect(
        "receive buffer",
        "warning",
        "not of the configured 2000000000",
    );
    assert_eq!(found.code, Some(1), "{found:?}");
}

#[test]
fn an_allow_list_may_refuse() {
    let mut place = new_place();
    place.setup.write("list", "");
    place.set_path("access_list.path", "list");
    place.set("access_list.mode", "\"allow\"");
    let tracker = place.start();
    let found = examine(&tracker.place, &[]);
    found.expect("announce", "ok", "as its allow list says");
    // The doctor warns about an empty list.
    found.expect("configuration", "warning", "the access list is empty");
    assert_eq!(found.code, Some(1), "{found:?}");
}

#[test]
fn urls_of_others_are_refused() {
    let place = new_place();
    place.setup.write("config.toml", place.config());
    for url in [
        "https://localhost/announce",
        "udp://localhost",
        "localhost:1",
    ] {
        let finished = place
            .setup
            .run(&["doctor", "-c", "config.toml", "--url", url]);
        assert_eq!(finished.status.code(), Some(2));
        assert!(
            finished.stderr.contains("announce URL"),
            "{}",
            finished.stderr
        );
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn the_table_says_what_to_do() {
    let place = new_place();
    place.setup.write("config.toml", place.config());
    let finished = place.setup.run(&["doctor", "-c", "config.toml"]);
    assert_eq!(finished.status.code(), Some(2));
    let text = finished.stdout;
    assert!(text.contains("wrong      socket "), "{text}");
    assert!(text.contains("-> start aquatic-udp"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

/// A tracker on a machine of its own, which it serves at all addresses.
fn on_a_machine(examine: impl FnOnce(&dyn Fn(&str), &dyn Fn() -> Examination)) {
    if !tools::needs_root() || !tools::needs(&network::PROGRAMS) {
        return;
    }
    let network = Network::new(1, Families::Both);
    let host = network.host(0);
    let mut place = new_place();
    let port = place.port.number();
    let both = format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]");
    place.set("network.address", &both);
    let _daemon = place.setup.start_on(host, &place.config());
    let url = format!("udp://{}:{port}", host.ipv4);
    let shell = |script: &str| {
        let mut command: Command = host.command("sh");
        command.args(["-c", &script.replace("PORT", &port.to_string())]);
        let finished = Process::start("sh", &mut command).wait(PATIENCE);
        assert!(finished.status.success(), "{}", finished.stderr);
    };
    examine(&shell, &|| {
        let config = place.config();
        Examination::on(host, PROGRAM, &place.setup, &config, &["--url", &url])
    });
}

#[test]
fn a_firewall_closes_the_port() {
    if !tools::needs(&["nft"]) {
        return;
    }
    on_a_machine(|shell, examine| {
        let found = examine();
        found.expect("firewall", "ok", "over IPv4 is open");
        found.expect("DNS", "ok", "needs no DNS");
        found.expect("public announce", "ok", "which is right");

        shell(
            "nft add table inet house && nft 'add chain inet house entry { type filter hook \
             input priority 0; policy drop; }' && nft add rule inet house entry iifname lo \
             accept && nft add rule inet house entry tcp dport PORT accept",
        );
        let found = examine();
        assert_eq!(found.code, Some(2));
        for version in ["IPv4", "IPv6"] {
            let text =
                format!("over {version} is closed by nftables, in the chain inet house entry");
            found.expect("firewall", "wrong", &text);
        }

        shell("nft add rule inet house entry ip saddr 10.0.0.0/8 udp dport PORT accept");
        let found = examine();
        found.expect("firewall", "warning", "over IPv4 may be closed by nftables");
        found.expect("firewall", "wrong", "over IPv6 is closed by nftables");

        shell("nft add rule inet house entry udp dport '{ 53, PORT }' accept");
        let found = examine();
        found.expect("firewall", "ok", "over IPv4 is open");
        found.expect("firewall", "ok", "over IPv6 is open");
    });
}

/// iptables-save does not show such a table, or shows one that accepts everything.
#[test]
fn nftables_closes_the_port_in_a_table_of_iptables() {
    if !tools::needs(&["nft", "iptables-save"]) {
        return;
    }
    on_a_machine(|shell, examine| {
        for (chain, hook) in [
            ("input", "input"),
            ("INPUT", "input"),
            ("early", "prerouting"),
        ] {
            for rule in ["iifname lo accept", "meta mark set 0 iifname lo accept"] {
                shell(&format!(
                    "nft add table ip filter && nft 'add chain ip filter {chain} {{ type filter \
                     hook {hook} priority 0; policy drop; }}' && nft add rule ip filter {chain} \
                     {rule}",
                ));
                let found = examine();
                assert_eq!(found.code, Some(2), "{chain}, {rule}: {found:?}");
                found.expect("firewall", "wrong", "over IPv4 is closed by");
                found.expect("firewall", "ok", "over IPv6 is open");
                shell(&format!(
                    "nft add rule ip filter {chain} udp dport PORT accept"
                ));
                let found = examine();
                found.expect("firewall", "ok", "over IPv4 is open");
                shell("nft delete table ip filter");
            }
        }
    });
}

#[test]
fn the_machine_has_no_ipv6() {
    on_a_machine(|shell, examine| {
        shell("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
        let found = examine();
        found.expect("IPv6", "warning", "this machine has no IPv6");
        found.expect("announce", "ok", "udp://127.0.0.1");
        assert_eq!(found.code, Some(1), "{found:?}");
    });
}

#[test]
fn a_limit_of_rates_is_said_and_nothing_is_wrong() {
    let place = new_place().with(&[
        ("rates.requests_per_second", "1"),
        ("rates.burst_seconds", "1"),
    ]);
    let tracker = place.start();
    let found = examine(&tracker.place, &[]);
    // What was dropped is sent again, and answered then, or a warning says why not.
    assert!(!found.wrong().contains("announce"), "{found:?}");
}
