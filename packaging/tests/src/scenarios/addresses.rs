//! The address is set in the configuration file, and nowhere else.

use std::time::Duration;

use crate::container::Container;
use crate::environment::Environment;
use crate::http;
use crate::udp::{Client, hash};

const FILE: &str = "/etc/aquatic/aquatic-udp.toml";
const ADDRESSES: &str = "address = [\"0.0.0.0:3000\", \"[::]:3000\"]";
const MEND: &str = "systemctl daemon-reload && systemctl restart aquatic-udp.socket";

/// Time after which there is considered to be no reply.
const SILENCE: Duration = Duration::from_millis(500);

fn serves(container: &Container, port: u16) -> bool {
    Client::try_connect(container.client(), container.address(port), SILENCE).is_some()
}

pub(super) fn they_change_where_the_file_says(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    assert!(serves(&container, 3000));
    container.replace(
        FILE,
        ADDRESSES,
        "address = [\"0.0.0.0:4000\", \"0.0.0.0:80\"]",
    );
    container.replace(FILE, "socket_workers = 0", "socket_workers = 3");
    container.succeed(MEND);
    // Also a port that the service itself may not bind.
    assert!(serves(&container, 4000) && serves(&container, 80));
    assert!(!serves(&container, 3000));
    let sockets = container.succeed("ss --udp --listening --numeric --no-header 'sport = :4000'");
    assert_eq!(sockets.lines().count(), 3, "{sockets}");
    let log = container.log("aquatic-udp");
    assert!(!log.contains("to apply the configuration"), "{log}");
}

pub(super) fn a_boot_serves_where_the_file_says(environment: &Environment) {
    let mut container = Container::with(environment, "aquatic-udp aquatic-http");
    let mut client = Client::connect(container.client(), container.address(3000));
    client.announce(hash(1), 1001).expect("it is served");
    // Only the socket of this one is enabled at boot, and it wants its service.
    container.succeed("systemctl --no-reload disable aquatic-http.service");
    for daemon in ["udp", "http"] {
        let file = format!("/etc/aquatic/aquatic-{daemon}.toml");
        container.replace(&file, ADDRESSES, "address = \"0.0.0.0:4000\"");
    }
    container.reboot();

    for unit in ["aquatic-udp", "aquatic-http"] {
        assert_eq!(container.property(unit, "ActiveState"), "active", "{unit}");
    }
    let mut client = Client::connect(container.client(), container.address(4000));
    let path = http::announce(1, 1001);
    let body = http::get(container.client(), container.address(4000), &path);
    assert!(body.expect("an answer").starts_with(b"d8:complete"));
    assert!(!serves(&container, 3000));
    assert!(http::get(container.client(), container.address(3000), &path).is_err());
    assert_eq!(container.failed_units(), "");
    let log = container.log("aquatic-udp");
    assert!(!log.contains("to apply the configuration"), "{log}");
    // Earlier peers still exist.
    assert_eq!(client.scrape(&[hash(1)])[0].seeders, 1);
}

pub(super) fn a_faulty_file_binds_nothing_and_is_explained(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    container.replace(FILE, ADDRESSES, "address = \"0.0.0.0\"");
    // The running service is left alone.
    container.succeed("systemctl daemon-reload");
    assert!(serves(&container, 3000));
    // As on a busy machine: the journal reads messages when their process has ended.
    container.succeed("systemctl kill --signal=STOP systemd-journald");
    container.fail("systemctl restart aquatic-udp.socket");
    container.succeed("systemctl kill --signal=CONT systemd-journald");
    assert!(!serves(&container, 3000));
    let sockets = container.succeed("ss --udp --listening --numeric --no-header");
    assert!(!sockets.contains(":3000"), "{sockets}");
    for said in ["aquatic-udp.toml:", "network.address: "] {
        container.wait_for_log("aquatic-udp.socket", said);
    }

    // Whatever unit is started.
    container.fail("systemctl start aquatic-udp");

    // Corrected, but not reloaded yet.
    container.replace(FILE, "address = \"0.0.0.0\"", ADDRESSES);
    container.fail("systemctl restart aquatic-udp.socket");
    container.wait_for_log("aquatic-udp.socket", "run systemctl daemon-reload");
    container.succeed(MEND);
    // The service comes with its socket.
    assert!(serves(&container, 3000));
    assert!(!container.outside("/run/aquatic-udp.unusable").exists());
}

pub(super) fn sockets_that_are_not_those_of_the_file_are_explained(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    container.replace(FILE, ADDRESSES, "address = \"0.0.0.0:4000\"");
    // The command for the other changes.
    container.succeed("systemctl restart aquatic-udp");
    assert!(serves(&container, 3000) && !serves(&container, 4000));
    container.wait_for_log(
        "aquatic-udp",
        &format!("`{MEND}` to apply the configuration"),
    );

    // Only half of the command, as when an upgrade of another package reloads units: the
    // service gets no sockets, and has them opened at the configured addresses.
    container.succeed("systemctl daemon-reload");
    container.fail("systemctl restart aquatic-udp");
    container.wait_for_log(
        "aquatic-udp",
        "no sockets were inherited from aquatic-udp.socket",
    );
    container.wait_for("the new address is served", || serves(&container, 4000));
    assert!(!serves(&container, 3000));
    container.wait_for("the service is active", || {
        container.property("aquatic-udp", "ActiveState") == "active"
    });
    assert_eq!(container.failed_units(), "");

    // The same without requests.
    container.replace(FILE, "0.0.0.0:4000", "0.0.0.0:5000");
    container.succeed("systemctl daemon-reload");
    container.succeed("systemctl kill --signal=KILL --kill-whom=main aquatic-udp");
    container.wait_for("the new address is served", || serves(&container, 5000));
    assert!(!serves(&container, 4000));

    container.replace(FILE, "0.0.0.0:5000", "0.0.0.0:6000");
    container.succeed(MEND);
    assert!(serves(&container, 6000) && !serves(&container, 5000));
}

pub(super) fn metrics_are_served(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    // A public address, so that the client can reach it.
    let metrics = "# cost\naddress = \"0.0.0.0:9000\"";
    let text = std::fs::read_to_string(container.outside(FILE)).expect("the file can be read");
    let section = text.find("[metrics]").expect("there are metrics");
    let (before, after) = text.split_at(section);
    container.write(
        FILE,
        before.to_owned() + &after.replacen("address = \"\"", metrics, 1),
    );
    container.succeed(MEND);
    container.succeed("systemctl start aquatic-udp");
    let ask = || http::get(container.client(), container.address(9000), "/health");
    container.wait_for("metrics are served", || ask().is_ok());
    assert!(serves(&container, 3000));

    // The address is removed where it was added.
    container.write(FILE, text);
    container.succeed(MEND);
    container.succeed("systemctl stop aquatic-udp-metrics.socket; systemctl start aquatic-udp");
    assert!(ask().is_err());
    assert!(serves(&container, 3000));
}
