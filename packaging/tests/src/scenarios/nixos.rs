//! What the NixOS module makes of a configuration, run by a systemd that knows
//! nothing of NixOS.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use aquatic_test_harness::certificates::{
    EC_CERTIFICATE, EC_KEY_PKCS8, RSA_CERTIFICATE, RSA_KEY_PKCS8,
};
use aquatic_test_harness::nix_expressions;
use aquatic_test_harness::nixos_switch::{self, Units};

use crate::container::Container;
use crate::daemons::{self, Daemon};
use crate::environment::Environment;
use crate::http;
use crate::scenarios::cluster::{self, Torrents};
use crate::scenarios::engine::{self, Engine};
use crate::tls;
use crate::udp::{Client, Load, hash};

/// No answer in this time is none.
const SILENCE: Duration = Duration::from_millis(500);

/// States of nixpkgs, of which each has its packages elsewhere.
const GENERATIONS: [char; 2] = ['0', '1'];

/// Files and units of a host, by name.
#[derive(Default)]
struct Host {
    files: BTreeMap<String, String>,
    units: Units,
}

impl Host {
    /// With these definitions below `services.aquatic`, besides `enable`.
    #[track_caller]
    fn with(definitions: &str) -> Self {
        Self::of(GENERATIONS[0], definitions)
    }

    /// As [`Self::with`], with the packages of another nixpkgs.
    #[track_caller]
    fn of(generation: char, definitions: &str) -> Self {
        Self::evaluated(
            generation,
            &format!("{{ services.aquatic = {{ enable = true; {definitions} }}; }}"),
        )
    }

    /// Of a whole configuration.
    #[track_caller]
    fn evaluated(generation: char, configuration: &str) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nixos-module/tests");
        let found = nix_expressions::evaluate(&format!(
            "let outcome = import {}/evaluate.nix {{ generation = \"{generation}\"; \
             configuration = {configuration}; }}; \
             in {{ inherit (outcome) etc units; }}",
            tests.display()
        ));
        let found = found.unwrap_or_else(|error| panic!("{configuration}: {error}"));
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
    let names = daemons::names(daemons::all());
    let container = Container::with(environment, &names);
    container.succeed(&format!(
        "mkdir --parents /etc/systemd/system-generators
         for name in {names}; do
             systemctl --quiet disable --now $name.socket $name
             ln -s /dev/null /etc/systemd/system-generators/$name-generator
             rm -rf /var/lib/$name
         done
         rm /etc/aquatic/*.toml",
    ));
    let mut programs = vec![("bash", "/bin/sh".to_owned())];
    for Daemon { name, .. } in daemons::all() {
        programs.push((name, format!("/usr/bin/{name}")));
    }
    for (package, program) in programs {
        for generation in GENERATIONS {
            let hash = String::from(generation).repeat(32);
            let directory = format!("/nix/store/{hash}-{package}/bin");
            let links = format!("mkdir --parents {directory} && ln -s {program} {directory}/");
            container.succeed(&links);
        }
    }
    container.succeed(
        "mkdir --parents /run/current-system/sw/bin && cd /run/current-system/sw/bin && \
         ln -s /bin/cat /bin/rm /bin/sh /bin/systemctl .",
    );
    container
}

/// Makes a host of another one, as NixOS does when it switches to another
/// configuration.
#[track_caller]
fn switch(container: &Container, from: &Host, to: &Host) {
    let plan = nixos_switch::plan(&from.units, &to.units);
    let all = |verb: &str, units: &[String]| {
        for unit in units {
            container.succeed(&format!("systemctl {verb} {unit}"));
        }
    };
    all("stop", &plan.stop);
    for path in from
        .files
        .keys()
        .filter(|path| !to.files.contains_key(*path))
    {
        container.succeed(&format!("rm /etc/{path}"));
    }
    for (path, text) in &to.files {
        container.write(&format!("/etc/{path}"), text);
    }
    let directory = "/etc/systemd/system";
    for name in from.units.keys() {
        container.succeed(&format!(
            "rm {directory}/{name} {directory}/*.wants/{name} || true"
        ));
    }
    let mut targets = vec!["sockets.target", "multi-user.target"];
    for (name, text) in &to.units {
        container.write(&format!("{directory}/{name}"), text);
        let wanted = text.lines().find_map(|line| line.strip_prefix("WantedBy="));
        if let Some(target) = wanted {
            assert!(targets.contains(&target), "{target}");
            container.succeed(&format!(
                "mkdir --parents {directory}/{target}.wants && \
                 ln -s ../{name} {directory}/{target}.wants/"
            ));
        }
    }
    container.succeed("systemctl daemon-reload");
    all("reload", &plan.reload);
    all("restart", &plan.restart);
    // They start all that they want. What else was stopped is wanted by one of them.
    targets.extend(
        plan.stop
            .iter()
            .map(String::as_str)
            .filter(|it| plan.start.iter().any(|other| other == it)),
    );
    container.succeed(&format!("systemctl start {}", targets.join(" ")));
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
    for daemon in daemons::all() {
        let unit = daemon.name.as_str();
        let status = fs::read_to_string(format!("/proc/{}/status", container.main_process(unit)));
        let status = status.expect("it has a status");
        assert!(
            status.contains("\nCapEff:\t0000000000000000\n"),
            "{unit}: {status}"
        );
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{unit}: {status}");
        assert_eq!(container.property(unit, "User"), "aquatic");
        let log = container.log(unit);
        assert!(!log.contains("to apply the configuration"), "{log}");
    }
}

pub(super) fn a_switch_ends_and_begins_the_shared_swarm(environment: &Environment) {
    if !nix_expressions::can_be_evaluated() {
        return;
    }
    let container = container(environment);
    let linked = Host::with("http.enable = true;");
    let apart = Host::with("http = { enable = true; settings.cluster.local = false; };");
    let process = || container.property("aquatic-udp", "MainPID");
    switch(&container, &Host::default(), &linked);
    cluster::wait_until_linked(&container);
    let mut torrents = Torrents::of(&container);
    torrents.are_shared();
    let before = process();

    switch(&container, &linked, &apart);
    container.wait_for("the link has ended", || {
        !cluster::is_linked(&container, "aquatic-udp")
    });
    assert!(!cluster::is_linked(&container, "aquatic-http"));

    switch(&container, &apart, &linked);
    cluster::wait_until_linked(&container);
    torrents.are_shared();
    // Only the other one was concerned.
    assert_eq!(process(), before);
}

pub(super) fn a_cluster_has_an_engine(environment: &Environment) {
    if !nix_expressions::can_be_evaluated() {
        return;
    }
    let container = container(environment);
    // As services.redis runs it.
    let name = Engine::name(environment.release);
    container.succeed(&format!(
        "useradd --system --user-group redis-aquatic && \
         systemd-run --quiet --unit=redis-aquatic --uid=redis-aquatic --gid=redis-aquatic \
         --property=RuntimeDirectory=redis-aquatic --property=RuntimeDirectoryMode=0750 \
         {name}-server --port 0 --save '' --unixsocket /run/redis-aquatic/redis.sock \
         --unixsocketperm 660",
    ));
    let by_socket = Host::with("http.enable = true; cluster.engine.enable = true;");
    switch(&container, &Host::default(), &by_socket);
    engine::wait_until_connected(&container, 1);
    Torrents::of(&container).are_shared();

    // Over the network, with a password that only root can read.
    let _engine = Engine::start(&container, environment.release, "requirepass secret");
    container.succeed("umask 077; echo secret > /root/password");
    let over_network = Host::with(
        "http.enable = true; \
         cluster = { url = \"redis://127.0.0.1\"; passwordFile = \"/root/password\"; };",
    );
    switch(&container, &by_socket, &over_network);
    engine::wait_until_connected(&container, 1);
    Torrents::of(&container).are_shared();

    let alone = Host::with("http.enable = true;");
    switch(&container, &over_network, &alone);
    cluster::wait_until_linked(&container);
    for unit in [cluster::UDP, cluster::HTTP] {
        engine::assert_access(&container, unit, &engine::CLOSED);
        let log = container.log(unit);
        assert!(!log.contains("to apply the configuration"), "{log}");
    }
    assert_eq!(container.failed_units(), "");
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
    let host = Host::evaluated(
        GENERATIONS[0],
        "{ services.aquatic = { enable = true; udp.enable = false; \
         http = { enable = true; useACMEHost = \"tracker.example.org\"; \
         settings.network.address = \"0.0.0.0:443\"; }; }; \
         security.acme.certs.\"tracker.example.org\".listenHTTP = \":80\"; }",
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

    // Settings that can be reloaded: the process stays, too.
    let settings = "udp.settings.protocol.max_response_peers = 40;";
    let third = Host::with(&(denied(&[607, 608]) + settings));
    switch(&container, &second, &third);
    let journal = container.succeed("journalctl --unit=aquatic-udp --no-pager");
    assert!(
        journal.contains("reloaded: protocol.max_response_peers changed"),
        "{journal}"
    );
    assert_eq!(process(), before);

    // Settings that need a restart: another process, and nothing is lost meanwhile.
    let settings = format!("{settings} udp.settings.cluster.local = false;");
    let fourth = Host::with(&(denied(&[607, 608]) + &settings));
    let load = Load::start(container.client(), container.address(3000), 5_000);
    switch(&container, &third, &fourth);
    let report = load.stop();
    assert_ne!(process(), before);
    assert!(report.sent > 100 && report.ran_to_the_end, "{report:?}");
    assert_eq!(report.answered, report.sent, "{report:?}");
    assert_eq!(report.errors, 0, "{report:?}");
    assert_eq!(client.scrape(&[hash(500)])[0].seeders, 1);

    // Another nixpkgs: the same.
    let before = process();
    let updated = Host::of(GENERATIONS[1], &(denied(&[607, 608]) + &settings));
    let load = Load::start(container.client(), container.address(3000), 5_000);
    switch(&container, &fourth, &updated);
    let report = load.stop();
    assert_ne!(process(), before);
    assert!(report.sent > 100 && report.ran_to_the_end, "{report:?}");
    assert_eq!(report.answered, report.sent, "{report:?}");
    // Another address and another number of workers: other sockets.
    let address = "udp.settings = { network.address = \"0.0.0.0:4000\"; socket_workers = 2; };";
    let moved = Host::with(&(denied(&[607, 608]) + address));
    switch(&container, &updated, &moved);
    let mut client = Client::connect(container.client(), container.address(4000));
    assert_eq!(client.scrape(&[hash(500)])[0].seeders, 1);
    let sockets = container.succeed("ss --udp --listening --numeric --no-header");
    assert_eq!(sockets.matches(":4000").count(), 2, "{sockets}");
    assert!(!sockets.contains(":3000"), "{sockets}");
}

/// Whether the tracker answers on this port and nowhere else.
fn serves_on(container: &Container, port: u16) -> bool {
    let sockets = container.succeed("ss --udp --listening --numeric --no-header");
    let ports: Vec<_> = sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3)?.rsplit_once(':'))
        .map(|(_, port)| port)
        .collect();
    ports == [port.to_string()]
        && Client::try_connect(container.client(), container.address(port), SILENCE).is_some()
}

pub(super) fn sockets_are_opened_again_whatever_else_changes(environment: &Environment) {
    if !nix_expressions::can_be_evaluated() {
        return;
    }
    let container = container(environment);
    let address = |port: u16| format!("udp.settings.network.address = \"0.0.0.0:{port}\";");
    let metrics = |port: u16| format!("udp.settings.metrics.address = \"0.0.0.0:{port}\";");
    let [old, new] = GENERATIONS;
    let hosts = [
        (3000, None, Host::of(old, &address(3000))),
        // Another address and another nixpkgs at once.
        (3001, None, Host::of(new, &address(3001))),
        // And with metrics, or without them again.
        (
            3002,
            Some(9000),
            Host::of(new, &(address(3002) + &metrics(9000))),
        ),
        (3003, None, Host::of(new, &address(3003))),
        // Metrics alone: on, elsewhere with another nixpkgs, off.
        (
            3003,
            Some(9000),
            Host::of(new, &(address(3003) + &metrics(9000))),
        ),
        (
            3003,
            Some(9001),
            Host::of(old, &(address(3003) + &metrics(9001))),
        ),
        (3003, None, Host::of(old, &address(3003))),
    ];
    let none = Host::default();
    let mut before = &none;
    let mut opened = String::new();
    let mut last_port = 0;
    for (port, metrics, host) in &hosts {
        switch(&container, before, host);
        before = host;
        assert!(serves_on(&container, *port), "not on {port}");
        for candidate in [9000, 9001] {
            let answer = http::get(container.client(), container.address(candidate), "/health");
            assert_eq!(answer.is_ok(), *metrics == Some(candidate), "{candidate}");
        }
        assert_eq!(container.failed_units(), "");
        // The tracker's own sockets are the same where its address is.
        let sockets = container.succeed(
            "ss --udp --listening --numeric --no-header --extended | grep --only-matching 'ino:[0-9]*'",
        );
        assert_eq!(sockets == opened, *port == last_port, "{port} {metrics:?}");
        (opened, last_port) = (sockets, *port);
    }
    // What is opened at boot is right.
    let helper = "aquatic-udp-sockets.service";
    container.succeed(&format!("systemctl restart {helper}"));
    assert!(serves_on(&container, 3003));
}
