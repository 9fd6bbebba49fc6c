//! What the NixOS module makes of a configuration, run by a systemd that knows
//! nothing of NixOS.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aquatic_test_harness::certificates::{
    EC_CERTIFICATE, EC_KEY_PKCS8, RSA_CERTIFICATE, RSA_KEY_PKCS8,
};
use aquatic_test_harness::nix_expressions;

use crate::container::Container;
use crate::environment::Environment;
use crate::http;
use crate::tls;
use crate::udp::{Client, Load, hash};

/// Where programs are on NixOS, and where on Debian.
const PROGRAMS: &[(&str, &str)] = &[
    ("aquatic-http", "/usr/bin/aquatic-http"),
    ("aquatic-udp", "/usr/bin/aquatic-udp"),
    ("aquatic-ws", "/usr/bin/aquatic-ws"),
    ("bash", "/bin/sh"),
    ("coreutils", "/bin/true"),
    ("systemd", "/bin/systemctl"),
];

/// Files and units of a host, by name.
#[derive(Default)]
struct Host {
    files: BTreeMap<String, String>,
    units: BTreeMap<String, String>,
}

impl Host {
    /// With these definitions below `services.aquatic`, besides `enable`.
    #[track_caller]
    fn with(definitions: &str) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nixos-module/tests");
        let found = nix_expressions::evaluate(&format!(
            "let outcome = import {}/evaluate.nix {{ configuration = \
             {{ services.aquatic = {{ enable = true; {definitions} }}; }}; }}; \
             in {{ inherit (outcome) etc units; }}",
            tests.display()
        ));
        let found = found.unwrap_or_else(|error| panic!("{definitions}: {error}"));
        let texts = |name: &str| {
            let set = found[name].as_object().expect("a set");
            let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
            set.iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect()
        };
        Self {
            files: texts("etc"),
            units: texts("units"),
        }
    }
}

/// A container in which nothing of the packages runs, but their programs are
/// where NixOS has them.
fn container(environment: &Environment) -> Container {
    let container = Container::with(environment, "aquatic-udp aquatic-http aquatic-ws");
    container.succeed(
        "mkdir --parents /etc/systemd/system-generators
         for name in udp http ws; do
             systemctl stop aquatic-$name.socket aquatic-$name
             ln -s /dev/null /etc/systemd/system-generators/aquatic-$name-generator
             rm -rf /var/lib/aquatic-$name
         done
         rm /etc/aquatic/*.toml",
    );
    for (package, program) in PROGRAMS {
        let directory = format!("/nix/store/{}-{package}/bin", "0".repeat(32));
        let links = format!("mkdir --parents {directory} && ln -s {program} {directory}/");
        container.succeed(&links);
    }
    container
}

/// Makes a host of another one, as NixOS does when it switches to another
/// configuration: a service of which anything differs is restarted, unless
/// nothing but its triggers of a reload do. Sockets that run are left alone.
fn switch(container: &Container, from: &Host, to: &Host) {
    for (path, text) in &to.files {
        container.write(&format!("/etc/{path}"), text);
    }
    for (name, text) in &to.units {
        container.write(&format!("/etc/systemd/system/{name}"), text);
    }
    container.succeed("systemctl daemon-reload");
    let mut verbs: Vec<(&str, &str)> = Vec::new();
    for (name, text) in to
        .units
        .iter()
        .filter(|(name, _)| name.ends_with(".service"))
    {
        let Some(before) = from.units.get(name) else {
            continue;
        };
        let without_triggers = |text: &str| -> Vec<String> {
            let lines = text
                .lines()
                .filter(|line| !line.starts_with("X-Reload-Triggers="));
            lines.map(str::to_owned).collect()
        };
        if without_triggers(before) != without_triggers(text) {
            assert!(
                text.contains("X-StopIfChanged=false"),
                "{name} would be stopped"
            );
            verbs.push(("restart", name));
        } else if before != text {
            verbs.push(("reload", name));
        }
    }
    verbs.sort_unstable();
    for (verb, name) in verbs {
        container.succeed(&format!("systemctl {verb} {name}"));
    }
    // As the targets do that want them, at boot and after a switch.
    for (name, text) in &to.units {
        if text.contains("\nWantedBy=") {
            container.succeed(&format!("systemctl start {name}"));
        }
    }
}

pub(super) fn trackers_run_as_rendered(environment: &Environment) {
    if !nix_expressions::can_be_evaluated() {
        return;
    }
    let container = container(environment);
    let host = Host::with(
        "udp.settings = { socket_workers = 3; network.address = \"0.0.0.0:6969\"; \
         metrics.address = \"0.0.0.0:9000\"; };
         http = { enable = true; settings.network.address = [ \"0.0.0.0:80\" \"[::]:80\" ]; }; \
         ws.enable = true;",
    );
    switch(&container, &Host::default(), &host);
    let mut client = Client::connect(container.client(), container.address(6969));
    client.announce(hash(1), 1001).expect("it is served");
    let sockets = container.succeed("ss --udp --listening --numeric --no-header 'sport = :6969'");
    assert_eq!(sockets.lines().count(), 3, "{sockets}");
    for tracker in [container.address(80), container.address_ipv6(80)] {
        http::get(container.client(), tracker, &http::announce(1, 1001)).expect("it is served");
    }
    for port in [3001, 9000] {
        http::get(container.client(), container.address(port), "/health").expect("an answer");
    }
    for unit in ["aquatic-udp", "aquatic-http", "aquatic-ws"] {
        let status = fs::read_to_string(format!("/proc/{}/status", container.main_process(unit)));
        let status = status.expect("it has a status");
        assert!(
            status.contains("\nCapEff:\t0000000000000000\n"),
            "{unit}: {status}"
        );
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{unit}: {status}");
        assert_eq!(container.property(unit, "User"), "aquatic");
        let log = container.log(unit);
        assert!(!log.contains("makes them agree"), "{log}");
    }
}

pub(super) fn certificates_of_acme_are_taken_and_rotate(environment: &Environment) {
    if !nix_expressions::can_be_evaluated() {
        return;
    }
    let container = container(environment);
    // As security.acme keeps them, for a group of which the service's user is no
    // member.
    let directory = "/var/lib/acme/tracker.example.org";
    container.succeed(&format!(
        "groupadd --system acme && install --directory --mode=750 --group=acme {directory}"
    ));
    let put = |certificate: &str, key: &str| {
        for (name, text) in [("fullchain.pem", certificate), ("key.pem", key)] {
            let path = format!("{directory}/{name}");
            container.write(&path, text);
            container.succeed(&format!("chgrp acme {path} && chmod 640 {path}"));
        }
    };
    put(EC_CERTIFICATE, EC_KEY_PKCS8);
    let host = Host::with(
        "udp.enable = false; http = { enable = true; useACMEHost = \"tracker.example.org\"; \
         settings.network.address = \"0.0.0.0:443\"; };",
    );
    switch(&container, &Host::default(), &host);
    let shown = || tls::certificate(container.client(), container.address(443));
    let first = shown();
    let before = container.property("aquatic-http", "MainPID");

    // What a renewal does with the units of reloadServices.
    put(RSA_CERTIFICATE, RSA_KEY_PKCS8);
    container.succeed("systemctl --no-block try-reload-or-restart aquatic-http.service");
    container.wait_for("the new certificate is shown", || shown() != first);
    assert_eq!(container.property("aquatic-http", "MainPID"), before);
}

pub(super) fn a_switch_does_as_much_as_it_must(environment: &Environment) {
    if !nix_expressions::can_be_evaluated() {
        return;
    }
    let container = container(environment);
    let process = || container.property("aquatic-udp", "MainPID");
    let denied = |torrents: &[u16]| {
        let hashes = torrents.iter().map(|torrent| {
            let digits: String = hash(*torrent)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("\"{digits}\"")
        });
        format!(
            "udp.accessList = {{ mode = \"deny\"; infoHashes = [ {} ]; }};",
            hashes.collect::<Vec<_>>().join(" ")
        )
    };
    let first = Host::with(&denied(&[607]));
    switch(&container, &Host::default(), &first);
    let mut client = Client::connect(container.client(), container.address(3000));
    client.announce(hash(500), 1001).expect("it is served");
    client.announce(hash(607), 1001).expect_err("it is denied");

    // Another list: the process stays.
    let before = process();
    let second = Host::with(&denied(&[607, 608]));
    switch(&container, &first, &second);
    container.wait_for("the torrent is denied", || {
        let client = Client::connect(container.client(), container.address(3000));
        { client }.announce(hash(608), 1001).is_err()
    });
    assert_eq!(process(), before);

    // Other settings: another process, and nothing is lost meanwhile.
    let settings = "udp.settings.protocol.max_response_peers = 40;";
    let third = Host::with(&(denied(&[607, 608]) + settings));
    let load = Load::start(container.client(), container.address(3000), 5_000);
    switch(&container, &second, &third);
    let report = load.stop();
    assert_ne!(process(), before);
    assert!(report.sent > 100 && report.ran_to_the_end, "{report:?}");
    assert_eq!(report.answered, report.sent, "{report:?}");
    assert_eq!(report.errors, 0, "{report:?}");
    assert_eq!(client.scrape(&[hash(500)])[0].seeders, 1);

    // Another address and another number of workers: other sockets.
    let address = "udp.settings = { network.address = \"0.0.0.0:4000\"; socket_workers = 2; };";
    let fourth = Host::with(&(denied(&[607, 608]) + address));
    switch(&container, &third, &fourth);
    let mut client = Client::connect(container.client(), container.address(4000));
    assert_eq!(client.scrape(&[hash(500)])[0].seeders, 1);
    let sockets = container.succeed("ss --udp --listening --numeric --no-header");
    assert_eq!(sockets.matches(":4000").count(), 2, "{sockets}");
    assert!(!sockets.contains(":3000"), "{sockets}");
}
