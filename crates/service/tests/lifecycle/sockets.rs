//! Sockets bound and inherited, seen from outside.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::SocketKind;
use aquatic_test_harness::tools;

crate::tests!(
    a_second_daemon_is_refused,
    a_family_that_the_system_does_not_have_is_left_out,
    inherited_sockets_are_served,
    an_inherited_socket_of_the_wrong_kind_is_refused,
    public_metrics_are_warned_of,
);

fn echo(address: SocketAddr) {
    let client = UdpSocket::bind(("127.0.0.1", 0)).expect("a client socket");
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time limit");
    client.send_to(b"hello", address).expect("to be sent");
    let mut buffer = [0; 16];
    let length = client.recv(&mut buffer).expect("an answer");
    assert_eq!(&buffer[..length], b"hello");
}

fn a_second_daemon_is_refused() {
    let setup = crate::setup();
    let port = Port::reserve();
    let config = format!("[network]\naddress = '{}'\n", port.ipv4());
    let first = setup.start(&config);
    echo(port.ipv4());

    let other = crate::setup();
    let finished = other.start_unready(&config).wait(Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains(&port.ipv4().to_string())
            && finished
                .stderr
                .contains("another program uses this address"),
        "{}",
        finished.stderr
    );
    echo(port.ipv4());
    first.stop();
}

fn a_family_that_the_system_does_not_have_is_left_out() {
    let mut setup = crate::setup();
    setup.set_environment(crate::WITHOUT_IPV6, "1");
    let port = Port::reserve();
    let both = format!(
        "[network]\naddress = ['{}', '{}']\n",
        port.ipv4(),
        port.ipv6()
    );
    let daemon = setup.start(&both);
    echo(port.ipv4());
    let said = daemon.wait_for_log("ignoring");
    let expected = format!(
        "WARN  network.address: ignoring {}, because this system does not support IPv6; set \
         address = [\"{}\"] to avoid this warning",
        port.ipv6(),
        port.ipv4()
    );
    assert_eq!(said, expected);
    daemon.stop();

    let alone = format!("[network]\naddress = '{}'\n", port.ipv6());
    let finished = setup.start_unready(&alone).wait(Duration::from_secs(20));
    assert!(!finished.status.success());
    let said = &finished.stderr;
    assert!(
        said.contains(&format!(
            "{}: this system does not support IPv6",
            port.ipv6()
        )) && said.contains(&format!("such as 0.0.0.0:{}", port.number())),
        "{said}"
    );
}

fn inherited_sockets_are_served() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let setup = crate::setup();
    let port = Port::reserve();
    let config = format!("[network]\naddress = '{}'\nworkers = 2\n", port.ipv4());
    let mut daemon = setup.start_activated(SocketKind::Datagram, &[port.ipv4()], None, &config);
    echo(port.ipv4());
    daemon.wait_until_ready();
    daemon.wait_for_log("only 1 sockets were inherited");
    daemon.stop();
}

fn an_inherited_socket_of_the_wrong_kind_is_refused() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let setup = crate::setup();
    let inherited = Port::reserve();
    let port = Port::reserve();
    let config = format!("[network]\naddress = '{}'\n", port.ipv4());
    let daemon = setup.start_activated(
        SocketKind::Stream,
        &[inherited.ipv4()],
        Some("web"),
        &config,
    );
    let _connection = TcpStream::connect(inherited.ipv4()).expect("a connection");
    let finished = daemon.wait(Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished
            .stderr
            .contains("file descriptor 3 (\"web\"), a listening TCP socket"),
        "{}",
        finished.stderr
    );
}

fn public_metrics_are_warned_of() {
    let setup = crate::setup();
    let port = Port::reserve();
    let metrics = Port::reserve();
    let config = format!(
        "[network]\naddress = '{}'\n[metrics]\naddress = '0.0.0.0:{}'\n",
        port.ipv4(),
        metrics.ipv4().port()
    );
    let daemon = setup.start(&config);
    let logged = daemon.wait_for_log("metrics.address: anyone who can reach");
    assert!(logged.starts_with("WARN "), "{logged}");
    daemon.stop();
}
