//! What `--check-config` finds on a machine, each with its key and line.

use std::fs;

use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;

crate::tests!(
    what_another_daemon_claims_is_found,
    a_snapshot_that_is_a_directory_is_found,
    a_broadcast_address_is_found,
    a_start_beside_another_claim_is_told_and_serves,
);

/// Checks a file, and returns what was said.
fn check(setup: &Setup, config: &str) -> String {
    let file = setup.write("config.toml", config);
    let file = file.to_str().expect("a path of UTF-8");
    let finished = setup.run(&["--check-config", "-c", file]);
    let said = finished
        .stderr
        .replace(&format!("{}/", setup.directory().display()), "");
    assert_eq!(finished.status.success(), !said.contains("ERROR"), "{said}");
    said
}

fn assert_says(said: &str, expected: &str) {
    assert!(said.contains(expected), "{expected}\n{said}");
}

fn what_another_daemon_claims_is_found() {
    let setup = crate::setup();
    let snapshot = setup.path("swarm");
    let other = format!(
        "[network]\naddress = '127.0.0.1:7000'\n[snapshot]\npath = '{}'\n",
        snapshot.display()
    );
    setup.write("aquatic-udp.toml", other);
    let address = "[network]\naddress = '0.0.0.0:7000'\n";
    assert_says(
        &check(&setup, address),
        "config.toml:2:11: network.address: 0.0.0.0:7000 is claimed by aquatic-udp, too: \
         127.0.0.1:7000 in aquatic-udp.toml:2:11; two daemons cannot share a port",
    );
    let file = format!(
        "[network]\naddress = '127.0.0.1:7001'\n[snapshot]\npath = '{}'\n",
        snapshot.display()
    );
    assert_says(
        &check(&setup, &file),
        "config.toml:4:8: snapshot.path: swarm is written by aquatic-udp, too, as \
         aquatic-udp.toml:4:8 says",
    );
    let good = "[network]\naddress = '127.0.0.1:7001'\n";
    assert_says(&check(&setup, good), "the configuration is good");
}

fn a_snapshot_that_is_a_directory_is_found() {
    let setup = crate::setup();
    fs::create_dir(setup.path("state")).expect("a directory");
    let path = setup.path("state");
    let file = format!("[snapshot]\npath = '{}'\n", path.display());
    let said = check(&setup, &file);
    assert_says(&said, "config.toml:2:8: snapshot.path: ");
    assert_says(&said, "is a directory");
}

fn a_broadcast_address_is_found() {
    let setup = crate::setup();
    assert_says(
        &check(&setup, "[network]\naddress = '127.255.255.255:7000'\n"),
        "config.toml:2:11: network.address: 127.255.255.255:7000 is the broadcast address",
    );
    // TEST-NET-2 (RFC 5737).
    assert_says(
        &check(&setup, "[network]\naddress = '198.51.100.1:7000'\n"),
        "network.address: no network interface has 198.51.100.1 at present",
    );
}

fn a_start_beside_another_claim_is_told_and_serves() {
    let setup = crate::setup();
    let port = Port::reserve();
    let file = format!("[network]\naddress = '{}'\n", port.ipv4());
    setup.write("aquatic-udp.toml", &file);
    let daemon = setup.start(&file);
    let said = daemon.wait_for_log("is claimed by aquatic-udp, too");
    assert!(said.starts_with("ERROR "), "{said}");
    daemon.stop();
}
