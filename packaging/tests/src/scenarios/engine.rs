//! One swarm over several hosts, through the Redis or Valkey of the release: the permissions of
//! packaged services, and their messages if these are not sufficient.

use aquatic_test_harness::certificates::{AUTHORITY, EC_CERTIFICATE, EC_KEY_PKCS8};

use crate::container::Container;
use crate::environment::Environment;
use crate::names::NameServer;
use crate::scenarios::cluster::{self, HTTP, Torrents, UDP};

/// Makes systemd and the daemons read their configuration.
pub(super) const APPLY: &str =
    "systemctl daemon-reload && systemctl restart aquatic-udp aquatic-http";

/// The permissions of a service without a drop-in.
pub(super) const CLOSED: Access<'_> = Access {
    private_network: "yes",
    families: "AF_UNIX",
    denied: "",
    allowed: "",
    groups: "",
};

/// Maximum exposure, according to systemd, of a service with access to the network, of ten.
const MAX_EXPOSURE: f32 = 1.3;

/// A server in a container.
pub(super) struct Engine<'c> {
    container: &'c Container,
    /// Its user, and the name of its directories.
    pub(super) name: &'static str,
}

/// The permissions of a service according to systemd.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Access<'a> {
    private_network: &'a str,
    families: &'a str,
    denied: &'a str,
    allowed: &'a str,
    groups: &'a str,
}

impl<'c> Engine<'c> {
    /// The name of its service in the release.
    pub(super) fn name(release: &str) -> &'static str {
        match release {
            "bookworm" => "redis",
            _ => "valkey",
        }
    }

    /// Starts the one of the release with these lines in its configuration, and without
    /// persistence.
    #[track_caller]
    pub(super) fn start(container: &'c Container, release: &str, lines: &str) -> Self {
        let name = Self::name(release);
        let engine = Self { container, name };
        let file = format!("/etc/{name}/{name}.conf");
        container.succeed(&format!("cp {file} {file}.distributed"));
        engine.configure(lines);
        engine
    }

    /// Restarts it with other lines, without its data.
    #[track_caller]
    fn configure(&self, lines: &str) {
        let name = self.name;
        let file = format!("/etc/{name}/{name}.conf");
        let socket = self.socket();
        self.container.succeed(&format!(
            "cat {file}.distributed - > {file} <<'END'
save \"\"
protected-mode no
unixsocket {socket}
unixsocketperm 770
{lines}
END
systemctl restart {}",
            self.service()
        ));
    }

    fn service(&self) -> String {
        format!("{}-server", self.name)
    }

    fn socket(&self) -> String {
        format!("/run/{0}/{0}-server.sock", self.name)
    }

    pub(super) fn socket_url(&self) -> String {
        format!("redis+unix://{}", self.socket())
    }
}

/// Writes the section for clusters of a daemon.
fn write(container: &Container, unit: &str, lines: &str) {
    container.write(
        &format!("/etc/aquatic/{unit}.toml"),
        format!("[cluster]\n{lines}\n"),
    );
}

/// Lets all daemons of a host share their peers in this way.
#[track_caller]
fn join(container: &Container, lines: &str) {
    for unit in [UDP, HTTP] {
        write(container, unit, lines);
    }
    container.succeed(APPLY);
}

#[track_caller]
fn wait_for_status(container: &Container, unit: &str, text: &str) {
    container.wait_for(&format!("{unit} says {text:?}"), || {
        container.property(unit, "StatusText").contains(text)
    });
}

#[track_caller]
pub(super) fn wait_until_connected(container: &Container, others: usize) {
    let text = match others {
        0 => "no other node in the cluster".to_owned(),
        1 => "one swarm with 1 other node".to_owned(),
        _ => format!("one swarm with {others} other nodes"),
    };
    for unit in [UDP, HTTP] {
        wait_for_status(container, unit, &text);
    }
}

#[track_caller]
pub(super) fn assert_access(container: &Container, unit: &str, expected: &Access<'_>) {
    // systemd has its own order.
    let of = |property: &str| {
        let shown = container.property(unit, property);
        let mut words: Vec<_> = shown.split_whitespace().collect();
        words.sort_unstable();
        words.join(" ")
    };
    let found = Access {
        private_network: &of("PrivateNetwork"),
        families: &of("RestrictAddressFamilies"),
        denied: &of("IPAddressDeny"),
        allowed: &of("IPAddressAllow"),
        groups: &of("SupplementaryGroups"),
    };
    assert_eq!(found, *expected, "{unit}");
}

pub(super) fn hosts_keep_one_swarm(environment: &Environment) {
    let [first, second] = Container::boot_two(environment);
    for container in [&first, &second] {
        container.apt("install aquatic-udp aquatic-http");
    }
    // The rights that aquatic-cluster(7) lists.
    let engine = Engine::start(
        &first,
        environment.release,
        "bind * -::*
requirepass another
user aquatic on >secret ~{aquatic}:* &aquatic:* +xadd +xread +xtrim +xinfo +xlen +xrange +xrevrange \
         +hincrby +hmget +hscan +memory|usage +multi +exec +watch +unwatch +set +get +publish +subscribe +unsubscribe \
         +ping +info +time",
    );
    first.succeed("umask 077; echo secret > /root/password");
    first.succeed("install -m 640 -g aquatic /root/password /etc/aquatic/engine-password");
    join(
        &first,
        &format!(
            "url = \"{}\"\nusername = \"aquatic\"\npassword_file = \"/etc/aquatic/engine-password\"",
            engine.socket_url()
        ),
    );
    wait_until_connected(&first, 1);

    // The password as a credential, which only root can read outside.
    second.succeed("umask 077; echo secret > /root/password");
    let address = first.address(6379).ip();
    for unit in [UDP, HTTP] {
        second.succeed(&format!(
            "mkdir --parents /etc/systemd/system/{unit}.service.d"
        ));
        second.write(
            &format!("/etc/systemd/system/{unit}.service.d/override.conf"),
            "[Service]\nLoadCredential=engine:/root/password\n",
        );
        write(
            &second,
            unit,
            &format!(
                "url = \"redis://{address}\"\nusername = \"aquatic\"\n\
                 password_file = \"/run/credentials/{unit}.service/engine\""
            ),
        );
    }
    second.succeed(APPLY);
    for container in [&first, &second] {
        wait_until_connected(container, 3);
    }
    let are_shared = || {
        Torrents::of_two(&first, &second).are_shared();
        Torrents::of_two(&second, &first).are_shared();
    };
    let mut torrents = Torrents::of_two(&first, &second);
    torrents.are_shared();
    // Clients may connect from any address, whatever the service itself may connect to.
    second.succeed("systemctl reload aquatic-udp aquatic-http");

    // While it is stopped, each daemon continues alone, reports it, and sends the missing
    // changes later.
    first.succeed(&format!("systemctl stop {}", engine.service()));
    for container in [&first, &second] {
        wait_for_status(container, UDP, "cut off from other nodes: ");
    }
    let missed = torrents.announce_over_udp();
    assert!(!torrents.is_known_over_http(missed));
    first.succeed(&format!("systemctl start {}", engine.service()));
    for container in [&first, &second] {
        wait_until_connected(container, 3);
    }
    first.wait_for("what was missed is known", || {
        torrents.is_known_over_http(missed)
    });
    torrents.are_shared();

    // It restarts empty, and with another password.
    engine.configure("bind * -::*\nrequirepass another\nuser aquatic on >changed ~* &* +@all");
    wait_for_status(
        &second,
        UDP,
        "the engine refuses cluster.username and the password",
    );
    assert!(torrents.is_known_over_http(missed));
    second.fail("systemctl restart aquatic-udp");
    let shown = second.run("systemctl status --no-pager aquatic-udp").stdout;
    assert!(
        shown.contains("the engine refuses cluster.username"),
        "{shown}"
    );
    for (container, file) in [
        (&first, "/etc/aquatic/engine-password"),
        (&second, "/root/password"),
    ] {
        container.write(file, "changed\n");
        // Without the pause after the failure.
        container.succeed("rm -f /run/aquatic-*/failed-starts");
        container.succeed("systemctl restart aquatic-udp aquatic-http");
    }
    for container in [&first, &second] {
        wait_until_connected(container, 3);
    }
    assert!(torrents.is_known_over_http(missed));
    are_shared();
    for container in [&first, &second] {
        assert_eq!(container.failed_units(), "");
    }
}

pub(super) fn access_is_that_of_the_url(environment: &Environment) {
    let [first, second] = Container::boot_two(environment);
    for container in [&first, &second] {
        container.apt("install aquatic-udp");
    }
    let engine = Engine::start(&first, environment.release, "bind * -::*");
    first.add_address("10.77.0.9/24");
    let [address, another] = ["10.77.0.1", "10.77.0.9"];
    assert_eq!(first.address(0).ip().to_string(), address);
    let address_ipv6 = first.address_ipv6(0).ip();
    let _names = NameServer::start(second.client(), address.parse().expect("an address"));
    second.write(
        "/etc/resolv.conf",
        format!("nameserver {}\n", second.client().ipv4),
    );
    write(&first, UDP, &format!("url = \"{}\"", engine.socket_url()));
    first.succeed("systemctl daemon-reload && systemctl restart aquatic-udp");
    wait_for_status(&first, UDP, "no other node in the cluster");

    assert_access(&second, UDP, &CLOSED);
    let apply = "systemctl daemon-reload && systemctl restart aquatic-udp";
    let only = |families, allowed| Access {
        private_network: "no",
        families,
        denied: "0.0.0.0/0 ::/0",
        allowed,
        groups: "",
    };
    let any = Access {
        denied: "",
        ..only("AF_INET AF_INET6 AF_UNIX", "")
    };
    let ipv6 = format!("{address_ipv6}/128");
    for (host, access) in [
        (address.to_owned(), only("AF_INET AF_UNIX", "10.77.0.1/32")),
        (another.to_owned(), only("AF_INET AF_UNIX", "10.77.0.9/32")),
        (format!("[{address_ipv6}]"), only("AF_INET6 AF_UNIX", &ipv6)),
        ("engine.example".to_owned(), any),
    ] {
        write(&second, UDP, &format!("url = \"redis://{host}\""));
        // The operator has done only half of what is necessary.
        second.succeed("systemctl restart aquatic-udp");
        wait_for_status(&second, UDP, &format!("before `{apply}`"));
        second.wait_for_log(UDP, &format!("run `{apply}` to apply the configuration"));

        second.succeed(apply);
        wait_for_status(&second, UDP, "one swarm with 1 other node");
        assert_access(&second, UDP, &access);
        let rating = second.succeed("systemd-analyze security --no-pager aquatic-udp | tail -n 1");
        let exposure = rating.split_whitespace().find_map(|word| word.parse().ok());
        let exposure: f32 = exposure.expect("a number");
        assert!(exposure <= MAX_EXPOSURE, "{rating}");
    }

    // Without a cluster again.
    write(&second, UDP, "");
    second.succeed("systemctl restart aquatic-udp");
    second.wait_for_log(
        UDP,
        "the service still has access to redis://engine.example",
    );
    second.succeed(apply);
    assert_access(&second, UDP, &CLOSED);
    let process = second.property(UDP, "MainPID");
    let interfaces = second.succeed(&format!(
        "nsenter --target={process} --net ip -oneline link"
    ));
    assert_eq!(interfaces.lines().count(), 1, "{interfaces}");
    assert_eq!(second.failed_units(), "");
}

pub(super) fn an_engine_of_the_host_is_started_before(environment: &Environment) {
    let mut container = Container::with(environment, "aquatic-udp aquatic-http");
    // In the form that Debian's installer writes.
    container.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
    let (service, socket_url, name) = {
        let engine = Engine::start(&container, environment.release, "unixsocketperm 700");
        (engine.service(), engine.socket_url(), engine.name)
    };
    write(&container, UDP, &format!("url = \"{socket_url}\""));
    write(&container, HTTP, "url = \"redis://localhost\"");
    container.succeed(APPLY);
    wait_for_status(
        &container,
        UDP,
        "permission denied: this user has to be in the group",
    );
    wait_for_status(&container, HTTP, "no other node in the cluster");
    let by_socket = Access {
        groups: name,
        ..CLOSED
    };
    assert_access(&container, UDP, &by_socket);
    let local = Access {
        private_network: "no",
        families: "AF_INET AF_INET6 AF_UNIX",
        denied: "0.0.0.0/0 ::/0",
        allowed: "127.0.0.0/8 ::1/128",
        groups: "",
    };
    assert_access(&container, HTTP, &local);

    // With TLS, too.
    let directory = format!("/etc/{name}");
    for (file, text) in [
        ("engine.pem", EC_CERTIFICATE),
        ("engine.key", EC_KEY_PKCS8),
        ("authority.pem", AUTHORITY),
    ] {
        container.write(&format!("{directory}/{file}"), text);
    }
    container.write("/etc/aquatic/authority.pem", AUTHORITY);
    write(
        &container,
        HTTP,
        "url = \"rediss://127.0.0.1:6380\"\ntls_ca_path = \"/etc/aquatic/authority.pem\"",
    );
    let engine = Engine {
        container: &container,
        name,
    };
    engine.configure(&format!(
        "tls-port 6380
tls-auth-clients no
tls-cert-file {directory}/engine.pem
tls-key-file {directory}/engine.key
tls-ca-cert-file {directory}/authority.pem"
    ));
    container.succeed(APPLY);
    wait_until_connected(&container, 1);
    Torrents::of(&container).are_shared();

    // At boot, no message about an engine that has not started yet.
    container.succeed(&format!("systemctl --quiet enable {service}"));
    container.reboot();
    wait_until_connected(&container, 1);
    Torrents::of(&container).are_shared();
    let log = container.succeed("journalctl --no-pager --quiet --boot --unit='aquatic-*'");
    assert!(!log.contains("can be used"), "{log}");
    assert_eq!(container.failed_units(), "");

    // An engine that is no longer used.
    write(&container, UDP, "");
    write(&container, HTTP, "");
    container.succeed(APPLY);
    cluster::wait_until_linked(&container);
    for unit in [UDP, HTTP] {
        assert_access(&container, unit, &CLOSED);
    }
}
