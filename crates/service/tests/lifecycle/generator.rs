//! The daemon as a generator of systemd.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aquatic_test_harness::ports::Port;
use aquatic_test_harness::process::{Finished, Process};
use aquatic_test_harness::setup::{Setup, SocketKind};
use aquatic_test_harness::tools;

crate::tests!(
    the_addresses_of_the_file_become_lines_of_the_socket_unit,
    metrics_get_a_socket_unit_of_their_own,
    the_service_gets_access_to_the_configured_server,
    without_a_server_the_service_gets_no_access,
    access_to_another_server_is_warned_of,
    a_faulty_file_gets_no_addresses,
    a_mistake_elsewhere_costs_no_addresses,
    an_address_of_another_daemon_is_refused,
    a_family_that_the_system_does_not_have_is_left_out,
    a_missing_file_gets_no_addresses,
    wrong_arguments_are_refused,
    sockets_that_differ_from_the_file_are_warned_of,
    a_unit_that_passes_no_sockets_is_refused,
);

/// Runs the daemon under its name as a generator.
fn generate(setup: &Setup, arguments: &[&str]) -> Finished {
    let link = setup.path("aquatic-test-generator");
    if !link.exists() {
        let program = std::env::current_exe().expect("this program has a path");
        symlink(program, &link).expect("a link can be made");
    }
    let mut command = Command::new(link);
    command
        .args(arguments)
        .env(crate::DAEMON, "1")
        .envs(setup.environment())
        .current_dir(setup.directory());
    Process::start("generator", &mut command).wait(Duration::from_secs(20))
}

pub(crate) fn generate_from(setup: &Setup, config: &str) -> Finished {
    setup.write("config.toml", config);
    generate(setup, &["normal", "early", "late", "config.toml"])
}

pub(crate) fn drop_in(setup: &Setup) -> String {
    let path = setup.path("normal/aquatic-test.socket.d/50-addresses.conf");
    fs::read_to_string(path).expect("it was written")
}

fn the_addresses_of_the_file_become_lines_of_the_socket_unit() {
    let setup = crate::setup();
    let config = "[network]\naddress = ['127.0.0.1:3000', '[::1]:3000']\nworkers = 2\n";
    let finished = generate_from(&setup, config);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(finished.stderr, "");
    assert_eq!(
        drop_in(&setup),
        "# Made by aquatic-test-generator from the file below.\n\
         [Unit]\n\
         SourcePath=config.toml\n\
         Conflicts=aquatic-test-metrics.socket\n\
         \n\
         [Socket]\n\
         ListenDatagram=127.0.0.1:3000\n\
         ListenDatagram=127.0.0.1:3000\n\
         ListenDatagram=[::1]:3000\n\
         ListenDatagram=[::1]:3000\n"
    );
    for other in ["early", "late"] {
        assert!(!Path::new(&setup.path(other)).exists());
    }
}

fn metrics_get_a_socket_unit_of_their_own() {
    let setup = crate::setup();
    let config = "[network]\naddress = '127.0.0.1:3000'\n[metrics]\naddress = '[::1]:9000'\n";
    let finished = generate_from(&setup, config);
    assert!(finished.status.success(), "{}", finished.stderr);
    let read = |name: &str| fs::read_to_string(setup.path(name)).expect("it was written");
    let unit = read("normal/aquatic-test-metrics.socket");
    for line in [
        "PartOf=aquatic-test.socket",
        "FileDescriptorName=metrics",
        "Service=aquatic-test.service",
        "ListenStream=[::1]:9000",
    ] {
        assert!(unit.lines().any(|other| other == line), "{unit}");
    }
    assert!(!drop_in(&setup).contains("Conflicts="));
    // The metrics socket is not required: without it, the tracker still starts.
    let wish = read("normal/aquatic-test.service.d/50-metrics.conf");
    for line in [
        "Wants=aquatic-test-metrics.socket",
        "After=aquatic-test-metrics.socket",
    ] {
        assert!(wish.lines().any(|other| other == line), "{wish}");
    }
    assert!(!wish.contains("Requires="), "{wish}");
}

const ACCESS: &str = "normal/aquatic-test.service.d/50-destination.conf";

fn the_service_gets_access_to_the_configured_server() {
    let setup = crate::setup();
    let server = "[network]\naddress = '127.0.0.1:3000'\nurl = 'test://127.0.0.2'\n";
    // A mistake elsewhere changes nothing.
    for mistake in ["", "speed = 9\n"] {
        generate_from(&setup, &format!("{server}{mistake}"));
        assert_eq!(
            fs::read_to_string(setup.path(ACCESS)).expect("it was written"),
            "# Made by aquatic-test-generator from the file below.\n\
             [Unit]\n\
             SourcePath=config.toml\n\
             After=test.service\n\
             \n\
             [Service]\n\
             Environment=\"AQUATIC_CLUSTER_URL=test://127.0.0.2\"\n\
             PrivateNetwork=no\n\
             RestrictAddressFamilies=AF_INET\n\
             IPAddressDeny=any\n\
             IPAddressAllow=127.0.0.2\n"
        );
        fs::remove_file(setup.path(ACCESS)).expect("it was there");
    }
}

fn without_a_server_the_service_gets_no_access() {
    let setup = crate::setup();
    for config in [
        "[network]\naddress = '127.0.0.1:3000'\n",
        // Not a server that the daemon could connect to.
        "[network]\naddress = '127.0.0.1:3000'\nurl = '127.0.0.2'\n",
        "[network]\naddress = '127.0.0.1:3000'\nurl = 7\n",
        // With these mistakes, there are neither sockets nor access.
        "[network]\naddress = '127.0.0.1'\nurl = 'test://127.0.0.2'\n",
        "[network]\naddress = '127.0.0.1:3000'\n[network]\nurl = 'test://127.0.0.2'\n",
    ] {
        generate_from(&setup, config);
        assert!(!setup.path(ACCESS).exists(), "{config}");
    }
}

fn access_to_another_server_is_warned_of() {
    let command = "`systemctl daemon-reload && systemctl restart aquatic-test`";
    for (permitted, configured, expected) in [
        ("", "test://b", "the service has no access to test://b"),
        ("test://a", "", "the service still has access to test://a"),
        (
            "test://a",
            "test://b",
            "access to test://a instead of test://b",
        ),
    ] {
        let mut setup = crate::setup();
        setup.set_environment("AQUATIC_CLUSTER_URL", permitted);
        let port = Port::reserve();
        let config = format!(
            "[network]\naddress = '{}'\nurl = '{configured}'\n",
            port.ipv4()
        );
        let mut daemon = setup.start_unready(&config);
        daemon.wait_until_ready();
        let logged = daemon.wait_for_log(expected);
        assert!(logged.starts_with("WARN "), "{logged}");
        assert!(logged.contains(command), "{logged}");
        daemon.stop();
    }
}

fn a_faulty_file_gets_no_addresses() {
    let setup = crate::setup();
    let finished = generate_from(&setup, "[network]\naddress = '127.0.0.1'\n");
    assert_eq!(finished.status.code(), Some(1));
    let begin = "aquatic-test-generator: aquatic-test.socket gets no addresses and will not start: \
                 config.toml:2:11: network.address: ";
    assert!(finished.stderr.starts_with(begin), "{}", finished.stderr);

    // Starting the socket unit reports the error, and always fails.
    let text = drop_in(&setup);
    assert!(!text.contains("ListenDatagram"), "{text}");
    let starts: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStartPre="))
        .collect();
    assert!(
        starts[0].ends_with(" --check-config -c \"config.toml\""),
        "{text}"
    );
    assert!(starts[1].ends_with("exit 1'"), "{text}");
}

fn a_mistake_elsewhere_costs_no_addresses() {
    let setup = crate::setup();
    let right = "[network]\naddress = '127.0.0.1:3000'\nworkers = 1\n";
    for mistake in [
        "badge_path = 7\n",
        "speed = 9\n",
        "[metrics]\naddress = '127.0.0.1'\n",
        "[metrics]\naddress = 127.0.0.1:9000\n",
        "[metrics\n",
        "log_level = \"info\n",
    ] {
        let finished = generate_from(&setup, &format!("{right}{mistake}"));
        assert!(finished.status.success(), "{}", finished.stderr);
        let begin = "aquatic-test-generator: aquatic-test.socket has its addresses, but the \
                     service will not start until this is corrected: config.toml:";
        assert!(finished.stderr.starts_with(begin), "{}", finished.stderr);
        let text = drop_in(&setup);
        assert!(
            text.ends_with("[Socket]\nListenDatagram=127.0.0.1:3000\n"),
            "{text}"
        );
    }
    // A comment in another encoding than UTF-8 does not matter.
    setup.write(
        "config.toml",
        [b"# f\xfcr alle\n", right.as_bytes()].concat(),
    );
    let finished = generate(&setup, &["normal", "early", "late", "config.toml"]);
    assert!(finished.status.success(), "{}", finished.stderr);
}

fn an_address_of_another_daemon_is_refused() {
    let setup = crate::setup();
    setup.write("aquatic-udp.toml", "[network]\naddress = '0.0.0.0:3000'\n");
    let finished = generate_from(&setup, "[network]\naddress = '127.0.0.1:3000'\n");
    assert_eq!(finished.status.code(), Some(1));
    let said = &finished.stderr;
    assert!(
        said.contains(
            "config.toml:2:11: network.address: 127.0.0.1:3000 is also used by aquatic-udp"
        ),
        "{said}"
    );
    assert!(said.contains("aquatic-udp.toml:2:11;"), "{said}");
    assert!(!drop_in(&setup).contains("ListenDatagram"));

    // A conflict of the metrics address must not keep the tracker from starting.
    let http = "[network]\naddress = '0.0.0.0:9000'\n";
    setup.write("aquatic-http.toml", http);
    let metrics = "[network]\naddress = '127.0.0.1:1'\n[metrics]\naddress = '127.0.0.1:9000'\n";
    let finished = generate_from(&setup, metrics);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("metrics.address: "),
        "{}",
        finished.stderr
    );
    let text = drop_in(&setup);
    assert!(
        text.contains("Conflicts=aquatic-test-metrics.socket"),
        "{text}"
    );
    assert!(!setup.path("normal/aquatic-test-metrics.socket").exists());
}

fn a_family_that_the_system_does_not_have_is_left_out() {
    let mut setup = crate::setup();
    let config = "[network]\naddress = ['127.0.0.1:3000', '[::1]:3000']\nworkers = 1\n";
    setup.write("config.toml", config);
    setup.set_environment(crate::WITHOUT_IPV6, "1");
    let finished = generate(&setup, &["normal", "early", "late", "config.toml"]);
    assert!(finished.status.success(), "{}", finished.stderr);
    let text = drop_in(&setup);
    assert!(
        text.ends_with("[Socket]\nListenDatagram=127.0.0.1:3000\n"),
        "{text}"
    );
}

fn a_missing_file_gets_no_addresses() {
    let setup = crate::setup();
    let finished = generate(&setup, &["normal", "early", "late", "missing.toml"]);
    assert_eq!(finished.status.code(), Some(1));
    let reason = "cannot read the configuration file missing.toml";
    assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    assert!(!drop_in(&setup).contains("ListenDatagram"));
}

fn wrong_arguments_are_refused() {
    let setup = crate::setup();
    for arguments in [&[][..], &["a", "b"], &["a", "b", "c", "d", "e"]] {
        let finished = generate(&setup, arguments);
        assert_eq!(finished.status.code(), Some(2), "{arguments:?}");
        assert!(finished.stderr.contains("usage: "), "{}", finished.stderr);
    }
}

fn sockets_that_differ_from_the_file_are_warned_of() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let mut setup = crate::setup();
    setup.set_environment("AQUATIC_SOCKET_UNIT", "aquatic-test.socket");
    let command = "`systemctl daemon-reload && systemctl restart aquatic-test.socket`";
    let inherited = Port::reserve();
    let other = Port::reserve();
    for (address, workers, expected) in [
        (other.ipv4(), 1, "not the configured addresses"),
        (inherited.ipv4(), 3, "3 socket workers are configured"),
    ] {
        let config = format!("[network]\naddress = '{address}'\nworkers = {workers}\n");
        let sockets = [inherited.ipv4()];
        let names = Some("aquatic-test.socket");
        let mut daemon = setup.start_activated(SocketKind::Datagram, &sockets, names, &config);
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client
            .send_to(b"hello", inherited.ipv4())
            .expect("to be sent");
        daemon.wait_until_ready();
        let logged = daemon.wait_for_log(expected);
        assert!(logged.starts_with("WARN "), "{logged}");
        assert!(logged.contains(command), "{logged}");
        daemon.stop();
    }
}

fn a_unit_that_passes_no_sockets_is_refused() {
    let mut setup = crate::setup();
    setup.set_environment("AQUATIC_SOCKET_UNIT", "aquatic-test.socket");
    let port = Port::reserve();
    let daemon = setup.start_unready(&format!("[network]\naddress = '{}'\n", port.ipv4()));
    let finished = daemon.wait(Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(75));
    let said = &finished.stderr;
    assert!(
        said.contains("no sockets were inherited from aquatic-test.socket"),
        "{said}"
    );
    assert!(
        said.contains("systemctl restart aquatic-test.socket"),
        "{said}"
    );
}
