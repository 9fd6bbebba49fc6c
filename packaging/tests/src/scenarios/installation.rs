//! The state after `apt install`.

use std::fs;
use std::time::{Duration, Instant};

use crate::container::{Container, limit_in};
use crate::daemons;
use crate::environment::Environment;
use crate::http;
use crate::udp::{Client, Scraped, hash};

/// From the start of `apt-get install` to the first reply.
const LONGEST: Duration = Duration::from_secs(3);

pub(super) fn an_installed_tracker_serves_within_three_seconds(environment: &Environment) {
    let container = Container::boot(environment);
    container.succeed("apt-get update --quiet=2");
    let begin = Instant::now();
    container.succeed("apt-get install --yes --quiet=2 aquatic-udp");
    let mut client = Client::connect(container.client(), container.address(3000));
    let took = begin.elapsed();
    println!(
        "from apt install to the first answer: {} ms",
        took.as_millis()
    );
    client
        .announce(hash(1), 1001)
        .expect("an announce is served");
    assert_eq!(container.property("aquatic-udp", "ActiveState"), "active");
    assert_eq!(
        container.property("aquatic-udp", "UnitFileState"),
        "enabled"
    );
    assert!(took < LONGEST, "it took {} ms", took.as_millis());
}

pub(super) fn all_trackers_run_side_by_side(environment: &Environment) {
    let container = Container::with(environment, "aquatic");
    assert_eq!(container.failed_units(), "");

    for tracker in [container.address(3000), container.address_ipv6(3000)] {
        let mut client = Client::connect(container.client(), tracker);
        client
            .announce(hash(1), 1001)
            .expect("an announce is served");
        // The families are apart.
        let [one] = [Scraped {
            seeders: 1,
            leechers: 0,
        }];
        assert_eq!(client.scrape(&[hash(1)]), [one]);
        let body = http::get(container.client(), tracker, &http::announce(1, 1001));
        assert!(body.expect("an answer").starts_with(b"d8:complete"));
    }
    for daemon in daemons::with_connections() {
        let address = container.address(daemon.port);
        let address_ipv6 = container.address_ipv6(daemon.port);
        for tracker in [address, address_ipv6] {
            let page = http::get(container.client(), tracker, "/health");
            assert!(page.is_ok(), "{page:?}");
        }
    }
    for daemon in daemons::all() {
        let name = daemon.name.as_str();
        let underscored = name.replace('-', "_");
        let version = container.succeed(&format!("{underscored} --version"));
        assert_eq!(version, container.succeed(&format!("{name} --version")));
        assert!(version.starts_with(name), "{version}");
        container.succeed(&format!("{name}-load-test --help"));
    }
}

pub(super) fn the_service_is_confined_as_promised(environment: &Environment) {
    let container = Container::with(environment, &daemons::names(daemons::all()));
    for daemon in daemons::all() {
        let daemon = daemon.name.as_str();
        let process = container.main_process(daemon);
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{process}/{name}")).expect("the process is there")
        };
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.expect("the field is there").split_whitespace();
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let user = container.succeed("id -u aquatic");
        let group = container.succeed("id -g aquatic");
        assert_eq!(field("Uid:"), [&*user; 4]);
        assert_eq!(field("Gid:"), [&*group; 4]);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), ["0000000000000000"], "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), ["1"]);
        assert_eq!(field("Seccomp:"), ["2"]);

        for (name, directive, wanted) in [
            ("Max locked memory", "LimitMEMLOCK", 64 << 20),
            ("Max open files", "LimitNOFILE", 1 << 20),
        ] {
            assert_eq!(container.property(daemon, directive), wanted.to_string());
            // A container cannot have more than its machine.
            let most = container.limit(name).1;
            let soft = limit_in(&read("limits"), name).0;
            assert_eq!(soft, wanted.min(most), "{name}");
        }
        let state = container.succeed(&format!("stat -c '%U %G %a' /var/lib/{daemon}"));
        assert_eq!(state, "aquatic aquatic 750");
        let log = container.log(daemon);
        assert!(!log.contains("the kernel grants"), "{log}");
    }
}

pub(super) fn units_are_in_order(environment: &Environment) {
    let container = Container::with(environment, &daemons::names(daemons::all()));
    for daemon in daemons::all() {
        let daemon = daemon.name.as_str();
        container.succeed(&format!(
            "systemd-analyze verify --generators=yes --man=no --recursive-errors=yes \
             {daemon}.service {daemon}.socket"
        ));
        // Of 100, so 1.0 of 10.
        container.succeed(&format!(
            "systemd-analyze security --threshold=10 {daemon}.service"
        ));
        // systemd logs unknown directives when it reads a unit.
        let said = container.succeed("journalctl --no-pager --quiet --output=cat _PID=1");
        let about = |line: &&str| line.contains("/aquatic-") || line.contains("nknown");
        assert_eq!(said.lines().find(about), None);
    }
}

pub(super) fn the_journal_keeps_fields(environment: &Environment) {
    let container = Container::with(environment, &daemons::names(daemons::all()));
    for daemon in daemons::all() {
        let daemon = daemon.name.as_str();
        let record = container.succeed(&format!(
            "journalctl --no-pager --quiet --output=verbose --unit={daemon} MESSAGE=ready"
        ));
        for field in [
            &format!("SYSLOG_IDENTIFIER={daemon}")[..],
            "PRIORITY=5",
            "WORKERS=",
            "VERSION=",
            "MILLISECONDS=",
        ] {
            let is_there = |line: &str| line.trim().starts_with(field);
            assert!(record.lines().any(is_there), "no {field} in {record}");
        }
        let status = container.property(daemon, "StatusText");
        assert!(status.contains(":300"), "{status}");
    }
}
