//! Upgrades, of whatever an operator has made of the packages.

use std::fs;
use std::time::{Duration, Instant};

use crate::container::Container;
use crate::daemons;
use crate::environment::Environment;
use crate::udp::{Client, hash};

const FILE: &str = "/etc/aquatic/aquatic-udp.toml";

/// Has apt install the next version, which ships other configuration files, about
/// which dpkg would ask.
const UPGRADE: &str = "-o Dpkg::Options::=--force-confold install /next/*.deb";

/// How long a tracker that cannot start may hold an upgrade up: the longest pause
/// between its starts, and some time for apt.
const LONGEST_UPGRADE: Duration = Duration::from_secs(90);

pub(super) fn a_changed_configuration_is_kept(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    container.replace(FILE, "max_response_peers = 30", "max_response_peers = 17");
    let changed = fs::read_to_string(container.outside(FILE)).expect("it can be read");

    container.copy_next(environment, &["aquatic-common", "aquatic-udp"]);
    container.apt(UPGRADE);
    let kept = fs::read_to_string(container.outside(FILE)).expect("it can be read");
    assert_eq!(kept, changed);
    assert!(container.outside(&format!("{FILE}.dpkg-dist")).exists());
    let effective = container.succeed(&format!("aquatic-udp -P -c {FILE}"));
    assert!(effective.contains("max_response_peers = 17"), "{effective}");
    Client::connect(container.client(), container.address(3000));
}

pub(super) fn what_an_operator_has_stopped_stays_stopped(environment: &Environment) {
    let mut container = Container::with(environment, &daemons::names(daemons::all()));
    container.succeed(
        "systemctl disable --now aquatic-udp.socket aquatic-udp
         systemctl mask --now aquatic-http.socket aquatic-http.service",
    );
    let is_silent = |container: &Container| {
        let sockets = container.succeed("ss --udp --tcp --listening --numeric --no-header");
        assert!(!sockets.contains(":3000"), "{sockets}");
        for daemon in daemons::all() {
            let is_stopped = ["aquatic-udp", "aquatic-http"].contains(&daemon.name.as_str());
            let expected = if is_stopped { "inactive" } else { "active" };
            for kind in ["service", "socket"] {
                let unit = format!("{}.{kind}", daemon.name);
                assert_eq!(container.property(&unit, "ActiveState"), expected, "{unit}");
            }
        }
        assert_eq!(container.failed_units(), "");
    };
    is_silent(&container);
    let mut packages = vec!["aquatic-common"];
    packages.extend(daemons::all().iter().map(|daemon| daemon.name.as_str()));
    container.copy_next(environment, &packages);
    container.apt(UPGRADE);
    is_silent(&container);
    container.reboot();
    is_silent(&container);
}

pub(super) fn a_faulty_configuration_stops_no_upgrade(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let good = fs::read(container.outside(FILE)).expect("it can be read");
    container.write(FILE, "nonsense");
    container.fail("systemctl restart aquatic-udp");
    container.copy_next(environment, &["aquatic-common", "aquatic-udp"]);
    let begun = Instant::now();
    container.apt(UPGRADE);
    assert!(begun.elapsed() < LONGEST_UPGRADE, "{:?}", begun.elapsed());
    container.write(FILE, good);
    container.succeed("systemctl daemon-reload && systemctl restart aquatic-udp.socket");
    let mut client = Client::connect(container.client(), container.address(3000));
    client.announce(hash(1), 1001).expect("it is served");
}
