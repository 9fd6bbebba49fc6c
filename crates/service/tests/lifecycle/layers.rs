//! Drop-ins and environment variables, in each command that reads the configuration.

use std::fs;
use std::thread;
use std::time::Duration;

use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;

use crate::generator::{drop_in, generate_from};

crate::tests!(
    the_daemon_listens_where_the_last_file_says,
    variables_apply_over_all_files,
    a_directory_has_the_file_that_nobody_named,
    a_wrong_variable_is_told_and_ends_with_78,
    what_systemd_does_not_see_is_warned_of,
    a_new_drop_in_ends_the_waiting,
    the_sockets_are_those_of_all_files,
    drop_ins_of_others_count,
    drop_ins_are_never_written,
    only_the_file_itself_is_migrated,
);

const SOON: Duration = Duration::from_secs(20);

/// Writes a drop-in of `config.toml`.
fn write(setup: &Setup, name: &str, text: &str) {
    fs::create_dir_all(setup.path("config.toml.d")).expect("make a directory");
    setup.write(&format!("config.toml.d/{name}"), text);
}

/// The output of a command for `config.toml`, with the directory left out of paths.
fn said(setup: &Setup, option: &str, config: &str) -> String {
    let file = setup.write("config.toml", config);
    let finished = setup.run(&[option, "-c", file.to_str().expect("a path of UTF-8")]);
    let all = finished.stdout + &finished.stderr;
    all.replace(&format!("{}/", setup.directory().display()), "")
}

fn assert_says(said: &str, expected: &str) {
    assert!(said.contains(expected), "{expected}\n{said}");
}

/// Whether the daemon sends a datagram back.
fn answers(port: &Port) -> bool {
    let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.send_to(b"hello", port.ipv4()).expect("to be sent");
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    client.recv(&mut [0; 8]).is_ok()
}

fn the_daemon_listens_where_the_last_file_says() {
    let setup = crate::setup();
    let [first, second] = [Port::reserve(), Port::reserve()];
    let address = |port: &Port| format!("[network]\naddress = '{}'\n", port.ipv4());
    write(&setup, "10.toml", &address(&second));
    let daemon = setup.start(&address(&first));
    assert!(answers(&second));
    daemon.stop();
}

fn variables_apply_over_all_files() {
    let mut setup = crate::setup();
    let [first, second] = [Port::reserve(), Port::reserve()];
    let address = |port: &Port| format!("[network]\naddress = '{}'\n", port.ipv4());
    write(&setup, "10.toml", &address(&first));
    setup.set_environment("AQUATIC_NETWORK__ADDRESS", second.ipv4().to_string());
    let daemon = setup.start("");
    assert!(answers(&second));
    daemon.stop();

    // Variables also apply without a file.
    let finished = setup.run(&["--check-config"]);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
}

fn a_directory_has_the_file_that_nobody_named() {
    let mut setup = crate::setup();
    let port = Port::reserve();
    let directory = setup.path("configurations");
    fs::create_dir_all(directory.join("aquatic-test.toml.d")).expect("make a directory");
    setup.set_environment("CONFIGURATION_DIRECTORY", &directory);
    // A mistake in the name of the file does not start the daemon with other settings.
    let finished = setup.run(&["-P"]);
    assert_eq!(finished.status.code(), Some(78), "{}", finished.stderr);
    assert_says(&finished.stderr, "configurations/aquatic-test.toml");

    let address = format!("network.address = '{}'\n", port.ipv4());
    setup.write("configurations/aquatic-test.toml", address);
    setup.write(
        "configurations/aquatic-test.toml.d/10.toml",
        "network.workers = 7\n",
    );
    let printed = setup.run(&["-P"]).stdout;
    assert_says(&printed, &port.ipv4().to_string());
    assert_says(&printed, "workers = 7");
    let named = setup.write("named.toml", "network.workers = 6\n");
    let named = named.to_str().expect("a path of UTF-8");
    assert_says(&setup.run(&["-P", "-c", named]).stdout, "workers = 6");
}

fn a_wrong_variable_is_told_and_ends_with_78() {
    let mut setup = crate::setup();
    setup.set_environment("AQUATIC_NETWORK__WORKERS", "9");
    let expected = "AQUATIC_NETWORK__WORKERS: network.workers: 9 is out of range: it must be from \
                    1 to 8";
    assert_says(&said(&setup, "--check-config", ""), expected);
    let finished = setup.start_unready("").wait(SOON);
    assert_eq!(finished.status.code(), Some(78));
    assert_says(&finished.stderr, expected);
}

fn what_systemd_does_not_see_is_warned_of() {
    let mut setup = crate::setup();
    setup.set_environment("AQUATIC_NETWORK__ADDRESS", "127.0.0.1:7000");
    setup.set_environment("AQUATIC_LOG_LEVEL", "info");
    let warning = "WARN  AQUATIC_NETWORK__ADDRESS: network.address: systemd opens the sockets";
    let unaware = said(&setup, "--check-config", "");
    assert!(!unaware.contains("systemd"), "{unaware}");
    setup.set_environment("AQUATIC_SOCKET_UNIT", "aquatic-test.socket");
    let warned = said(&setup, "--check-config", "");
    assert_says(&warned, warning);
    assert_eq!(warned.matches("systemd").count(), 1, "{warned}");
}

/// A failed start is not tried again at once, unless something has changed.
fn a_new_drop_in_ends_the_waiting() {
    let mut setup = crate::setup();
    let port = Port::reserve();
    let runtime = setup.path("run");
    fs::create_dir(&runtime).expect("make a directory");
    setup.set_environment("RUNTIME_DIRECTORY", &runtime);
    let list = setup.write("list", "");
    setup.write(
        "own.toml",
        format!(
            "[network]\naddress = '{}'\n[access_list]\nmode = 'deny'\n",
            port.ipv4()
        ),
    );
    let start = || {
        // Uses its own file, not the one that the harness writes anew for each start.
        let wrapper = ["sh", "-c", "exec \"$0\" -c own.toml"];
        setup.start_unready_through(&wrapper, "")
    };
    assert_eq!(start().wait(SOON).status.code(), Some(78));
    let mut daemon = start();
    daemon.wait_for_message("STATUS=waiting ", 0);
    thread::sleep(Duration::from_millis(500));
    assert!(daemon.is_running());
    fs::create_dir(setup.path("own.toml.d")).expect("make a directory");
    let drop_in = format!("access_list.path = '{}'\n", list.display());
    setup.write("own.toml.d/50-list.toml", drop_in);
    daemon.wait_until_ready();
    daemon.stop();
}

fn the_sockets_are_those_of_all_files() {
    let setup = crate::setup();
    write(&setup, "10.toml", "network.workers = 1\n");
    write(&setup, "20.toml", "network.address = '127.0.0.1:3001'\n");
    let finished = generate_from(
        &setup,
        "[network]\naddress = '127.0.0.1:3000'\nworkers = 2\n",
    );
    assert!(finished.status.success(), "{}", finished.stderr);
    let text = drop_in(&setup);
    assert!(
        text.ends_with("[Socket]\nListenDatagram=127.0.0.1:3001\n"),
        "{text}"
    );

    // The generator does not see environment variables.
    write(&setup, "30.toml", "\nnetwork.address = 'x'\n");
    let finished = generate_from(&setup, "[network]\naddress = '127.0.0.1:3000'\n");
    assert_eq!(finished.status.code(), Some(1));
    assert_says(
        &finished.stderr,
        "config.toml.d/30.toml:2:19: network.address: ",
    );
    assert!(!drop_in(&setup).contains("ListenDatagram"));
}

fn drop_ins_of_others_count() {
    let setup = crate::setup();
    setup.write(
        "aquatic-udp.toml",
        "[network]\naddress = '127.0.0.1:7001'\n",
    );
    fs::create_dir(setup.path("aquatic-udp.toml.d")).expect("make a directory");
    setup.write(
        "aquatic-udp.toml.d/a.toml",
        "\n[network]\naddress = '127.0.0.1:7000'\n",
    );
    let ours = "[network]\naddress = '127.0.0.1:7000'\n";
    assert_says(
        &said(&setup, "--check-config", ours),
        "config.toml:2:11: network.address: 127.0.0.1:7000 is also used by aquatic-udp: \
         127.0.0.1:7000 in aquatic-udp.toml.d/a.toml:3:11; two daemons cannot share a port",
    );
    let other = "[network]\naddress = '127.0.0.1:7001'\n";
    assert_says(
        &said(&setup, "--check-config", other),
        "the configuration is valid",
    );
}

fn drop_ins_are_never_written() {
    let setup = crate::setup();
    let path = setup.path("config.toml.d/10.toml");
    let text = format!("snapshot.path = '{}'\n", path.display());
    write(&setup, "10.toml", &text);
    assert_says(
        &said(&setup, "--check-config", ""),
        "config.toml.d/10.toml:1:17: snapshot.path: config.toml.d/10.toml is the configuration \
         itself",
    );
}

fn only_the_file_itself_is_migrated() {
    let setup = crate::setup();
    write(&setup, "10.toml", "[network]\nport = 1\nworkers = 3\n");
    let file = "[network]\nworkers = 2 # two\n";
    let all = said(&setup, "--migrate-config", file);
    assert_says(&all, file);
    assert_says(
        &all,
        "WARN  config.toml.d/10.toml:2:1: network.port: ignored: it is part of the address",
    );
    assert_says(
        &all,
        "WARN  only the file of -c is converted: in config.toml.d/10.toml, rename the keys above",
    );
    assert_says(&said(&setup, "-P", file), "workers = 3");
}
