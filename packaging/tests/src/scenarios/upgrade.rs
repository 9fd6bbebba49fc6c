//! Upgrades of packages with changes by an operator.

use std::fs;
use std::time::{Duration, Instant};

use crate::container::Container;
use crate::daemons;
use crate::environment::Environment;
use crate::udp::{Client, hash};

const FILE: &str = "/etc/aquatic/aquatic-udp.toml";

/// Where an operator overrides keys.
const DROP_IN: &str = "/etc/aquatic/aquatic-udp.toml.d/50-own.toml";

/// What is installed.
const PACKAGES: [&str; 2] = ["aquatic-common", "aquatic-udp"];

/// Has apt install the next version, which ships other configuration files.
const UPGRADE: &str = "install /next/*.deb";

/// As someone does who is asked nothing, and could answer nothing.
const UPGRADE_ATTENDED: &str = "unset DEBIAN_FRONTEND; apt-get update --quiet=2 && \
                                apt-get --yes install /next/*.deb < /dev/null 2>&1";

/// How long a tracker that cannot start may delay an upgrade: the longest pause between
/// starts, and some time for apt.
const LONGEST_UPGRADE: Duration = Duration::from_secs(90);

/// The configuration file.
fn configuration(container: &Container) -> String {
    fs::read_to_string(container.outside(FILE)).expect("it can be read")
}

/// What the tracker makes of it, without comments.
fn effective(container: &Container) -> String {
    container.succeed(&format!("aquatic-udp -P -c {FILE} | grep -v '^#'"))
}

/// Nothing is left that dpkg would have asked about.
fn assert_nothing_was_asked(container: &Container, said: &str) {
    assert!(!said.contains("Configuration file"), "{said}");
    assert_eq!(container.succeed("find /etc/aquatic -name '*.dpkg-*'"), "");
}

pub(super) fn a_changed_configuration_is_kept(environment: &Environment) {
    let container = Container::boot(environment);
    container.apt("install aquatic-udp");
    let installed = configuration(&container);
    assert!(installed.lines().count() < 30, "{installed}");
    container.write(FILE, installed + "\n[protocol]\nmax_response_peers = 17\n");
    container.write(DROP_IN, "[protocol]\nmax_scrape_torrents = 7\n");
    let changed = configuration(&container);

    container.copy_next(environment, &PACKAGES);
    let said = container.succeed(UPGRADE_ATTENDED);
    assert_nothing_was_asked(&container, &said);
    assert_eq!(configuration(&container), changed);
    let effective = effective(&container);
    assert!(effective.contains("max_response_peers = 17"), "{effective}");
    assert!(effective.contains("max_scrape_torrents = 7"), "{effective}");
    Client::connect(container.client(), container.address(3000));

    container.apt("purge aquatic-udp");
    assert!(!container.outside(FILE).exists());
    // It is not the package's.
    assert!(container.outside(DROP_IN).exists());
}

/// From release 1.0, whose packages had all keys in a conffile.
pub(super) fn nobody_is_asked_about_the_first_configuration(environment: &Environment) {
    for is_edited in [true, false] {
        let container = Container::boot(environment);
        container.copy("/first", &environment.first_packages(&PACKAGES));
        container.apt("install /first/*.deb");
        if is_edited {
            container.replace(FILE, "max_response_peers = 30", "max_response_peers = 17");
            container.succeed("systemctl restart aquatic-udp");
        }
        let before = configuration(&container);
        let in_effect = effective(&container);
        assert!(before.contains("max_response_peers"), "{before}");

        container.copy_next(environment, &PACKAGES);
        let said = container.succeed(UPGRADE_ATTENDED);
        assert_nothing_was_asked(&container, &said);
        assert_eq!(effective(&container), in_effect);
        let after = configuration(&container);
        if is_edited {
            assert_eq!(after, before);
        } else {
            assert!(after.lines().count() < 30, "{after}");
            assert!(after.contains("/usr/share/doc/aquatic-udp/aquatic-udp.toml"));
        }
        container.succeed("test -s /usr/share/doc/aquatic-udp/aquatic-udp.toml");
        Client::connect(container.client(), container.address(3000));

        container.apt("purge aquatic-udp aquatic-common");
        assert_eq!(container.succeed("ls -d /etc/aquatic || true"), "");
    }
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
    container.copy_next(environment, &PACKAGES);
    let begun = Instant::now();
    container.apt(UPGRADE);
    assert!(begun.elapsed() < LONGEST_UPGRADE, "{:?}", begun.elapsed());
    container.write(FILE, good);
    container.succeed("systemctl daemon-reload && systemctl restart aquatic-udp.socket");
    let mut client = Client::connect(container.client(), container.address(3000));
    client.announce(hash(1), 1001).expect("it is served");
}
