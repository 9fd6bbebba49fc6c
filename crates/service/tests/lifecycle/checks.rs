//! What `--check-config` finds on a machine, each with its key and line.

use std::env;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use aquatic_test_harness::ports::Port;
use aquatic_test_harness::process::Process;
use aquatic_test_harness::setup::Setup;
use aquatic_test_harness::tools;
use aquatic_test_harness::waiting::PATIENCE;

crate::tests!(
    what_another_daemon_claims_is_found,
    a_snapshot_that_is_a_directory_is_found,
    a_broadcast_address_is_found,
    a_start_beside_another_claim_is_told_and_serves,
    root_sees_what_the_service_will_see,
    addresses_that_somebody_has_are_found,
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

/// A packaged service has its user from its unit. Here, `/etc` has the configuration
/// and that user.
fn root_sees_what_the_service_will_see() {
    const IN_ANOTHER_ETC: &str = "mount --bind etc /etc; \
         exec \"$0\" --check-config -c /etc/aquatic/aquatic-test.toml";
    const USER: u32 = 4711;

    if !tools::needs_root() || !tools::needs(&["unshare", "mount"]) {
        return;
    }
    let setup = crate::setup();
    let port = Port::reserve();
    fs::create_dir_all(setup.path("etc/aquatic")).expect("a directory");
    setup.write(
        "etc/passwd",
        format!("root:x:0:0::/:/bin/sh\naquatic:x:{USER}:{USER}::/:/bin/false\n"),
    );
    setup.write("etc/group", format!("root:x:0:\naquatic:x:{USER}:\n"));
    setup.write("etc/nsswitch.conf", "passwd: files\ngroup: files\n");
    let config = format!(
        "[network]\naddress = '{}'\n[access_list]\nmode = 'deny'\npath = '/etc/aquatic/list'\n",
        port.ipv4()
    );
    let config = setup.write("etc/aquatic/aquatic-test.toml", config);
    let list = setup.write("etc/aquatic/list", "11".repeat(20));
    let let_read = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode changes");
    };
    let check = || {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-e", "-c", IN_ANOTHER_ETC])
            .arg(env::current_exe().expect("this program has a path"))
            .env(crate::DAEMON, "1")
            .env_remove("JOURNAL_STREAM")
            .current_dir(setup.directory());
        Process::start("check", &mut command).wait(PATIENCE)
    };

    let_read(&list, 0o600);
    let finished = check();
    let said = &finished.stderr;
    assert_eq!(finished.status.code(), Some(78), "{said}");
    assert_says(said, "looking at files as the user aquatic");
    assert_says(said, "aquatic-test.toml:5:8: access_list.path: ");
    assert_says(said, "Permission denied");

    let_read(&list, 0o640);
    chown(&list, None, Some(USER)).expect("its group changes");
    let finished = check();
    assert!(finished.status.success(), "{}", finished.stderr);

    let_read(&config, 0o600);
    let finished = check();
    assert!(!finished.status.success());
    assert_says(
        &finished.stderr,
        "the service cannot read /etc/aquatic/aquatic-test.toml: Permission denied",
    );
}

/// As socket units look before they open their own, which would share the port.
fn addresses_that_somebody_has_are_found() {
    let setup = crate::setup();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let taken = socket.local_addr().expect("its address").to_string();
    let free = Port::reserve().ipv4().to_string();
    let finished = setup.run(&["--check-addresses", &free, &taken]);
    assert_eq!(finished.status.code(), Some(1));
    let expected = format!("{taken}: another program has this address");
    assert_says(&finished.stderr, &expected);
    drop(socket);
    let finished = setup.run(&["--check-addresses", &free, &taken]);
    assert!(finished.status.success(), "{}", finished.stderr);
}
