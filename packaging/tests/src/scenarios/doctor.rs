//! `doctor` of an installed tracker, with which one thing after the other is wrong.

use aquatic_test_harness::doctor::Examination;

use crate::container::Container;
use crate::environment::Environment;

const SERVICE: &str = "aquatic-udp.service";
const SOCKET: &str = "aquatic-udp.socket";

/// Overrides keys of the configuration.
const KEYS: &str = "/etc/aquatic/aquatic-udp.toml.d/test.toml";

fn examine(container: &Container) -> Examination {
    let finished = container.run(&format!(
        "aquatic-udp doctor --json --url udp://{}",
        container.address(3000)
    ));
    Examination::from(&finished)
}

fn installed(environment: &Environment) -> Container {
    let container = Container::with(environment, "aquatic-udp");
    // The container has the configuration with all keys, since it was installed.
    reopen(&container);
    let found = examine(&container);
    found.expect(
        "configuration",
        "ok",
        "/etc/aquatic/aquatic-udp.toml is valid",
    );
    found.expect("unit", "ok", "is running what was configured");
    found.expect("socket", "ok", "listens on 0.0.0.0:3000");
    found.expect("socket", "ok", "listens on [::]:3000");
    found.expect("receive buffer", "ok", "8000000 bytes");
    found.expect("firewall", "ok", "over IPv4 is open");
    found.expect("announce", "ok", "udp://127.0.0.1:3000/ has answered");
    found.expect("public announce", "ok", "which is right");
    // The clock of a container is nobody's business.
    assert_ne!(found.code, Some(2), "{found:?}");
    container.succeed("mkdir --parents /etc/aquatic/aquatic-udp.toml.d");
    container
}

/// Writes a drop-in of a unit.
fn drop_in(container: &Container, unit: &str, text: &str) {
    let directory = format!("/etc/systemd/system/{unit}.d");
    container.succeed(&format!("mkdir --parents {directory}"));
    container.write(&format!("{directory}/test.conf"), text);
}

/// Opens the sockets of the configuration, and waits until the service runs.
fn reopen(container: &Container) {
    container.succeed("systemctl daemon-reload && systemctl restart aquatic-udp.socket");
    container.wait_for("it runs", || {
        container.property(SERVICE, "ActiveState") == "active"
    });
}

pub(super) fn what_was_not_applied_is_named(environment: &Environment) {
    let container = installed(environment);

    // The times of units have no fractions of a second.
    container.succeed("sleep 2");
    drop_in(&container, SERVICE, "[Service]\nNice=1\n");
    let found = examine(&container);
    found.expect(
        "unit",
        "warning",
        "aquatic-udp.service was edited but not applied",
    );
    container.succeed("systemctl daemon-reload && systemctl restart aquatic-udp");

    container.succeed("sleep 2");
    container.write(
        KEYS,
        "network.address = [\"0.0.0.0:6969\", \"[::]:3000\"]\n",
    );
    let found = examine(&container);
    assert_eq!(found.code, Some(2));
    found.expect(
        "unit",
        "warning",
        "network.address was edited but not applied",
    );
    found.expect("unit", "warning", "test.toml was edited but not applied");
    found.expect("socket", "wrong", "nothing listens on 0.0.0.0:6969");
    reopen(&container);
    let found = examine(&container);
    found.expect("unit", "ok", "is running what was configured");
    found.expect("socket", "ok", "listens on 0.0.0.0:6969");
    found.expect("public announce", "wrong", "nothing listens");

    container.write(KEYS, "");
    reopen(&container);
    drop_in(
        &container,
        SOCKET,
        "[Socket]\nReceiveBuffer=\nReceiveBuffer=100K\n",
    );
    reopen(&container);
    let found = examine(&container);
    found.expect("receive buffer", "warning", "not of the configured 8000000");
}

pub(super) fn what_does_not_run_is_named(environment: &Environment) {
    let container = installed(environment);

    container.succeed("systemctl stop aquatic-udp.service");
    let found = examine(&container);
    found.expect(
        "unit",
        "warning",
        "the first request to its sockets starts it",
    );
    container.succeed("systemctl stop aquatic-udp.socket aquatic-udp.service");
    let found = examine(&container);
    assert_eq!(found.code, Some(2));
    found.expect("unit", "wrong", "aquatic-udp.service is inactive");
    found.expect("socket", "wrong", "nothing listens on 0.0.0.0:3000");

    container.succeed("systemctl disable --quiet aquatic-udp.service aquatic-udp.socket");
    let found = examine(&container);
    found.expect("unit", "warning", "aquatic-udp.service is disabled");
    container.succeed("systemctl enable --quiet aquatic-udp.service aquatic-udp.socket");

    container.write(KEYS, "protocol.max_response_peers = 0\n");
    container.succeed("systemctl daemon-reload");
    container.run("systemctl start aquatic-udp");
    container.wait_for("it fails", || {
        container.property(SERVICE, "ActiveState") == "failed"
    });
    let found = examine(&container);
    assert_eq!(found.code, Some(2));
    found.expect("configuration", "wrong", "max_response_peers");
    found.expect("unit", "wrong", "aquatic-udp.service has failed");
}

pub(super) fn what_the_machine_lacks_is_named(environment: &Environment) {
    let container = installed(environment);

    container.succeed(
        "nft add table inet house && nft 'add chain inet house entry { type filter hook input \
         priority 0; policy drop; }' && nft add rule inet house entry iifname lo accept",
    );
    let found = examine(&container);
    assert_eq!(found.code, Some(2));
    let text = "UDP port 3000 over IPv4 is closed by nftables, in the chain inet house entry";
    found.expect("firewall", "wrong", text);
    container.succeed("nft delete table inet house");

    container.disable_ipv6();
    let found = examine(&container);
    found.expect("IPv6", "warning", "this machine has no IPv6");
    found.expect("announce", "ok", "udp://127.0.0.1:3000/ has answered");

    // Who may see less says so.
    let finished = container
        .run("setpriv --reuid=nobody --regid=nogroup --clear-groups aquatic-udp doctor --json");
    let found = Examination::from(&finished);
    found.expect("socket", "unchecked", "only root can see");
    found.expect("firewall", "unchecked", "root can see all rules");
    assert_ne!(found.code, Some(2), "{found:?}");
}
