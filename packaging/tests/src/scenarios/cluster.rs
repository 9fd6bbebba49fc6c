//! One swarm over UDP and HTTP, as installed.

use aquatic_test_harness::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::container::Container;
use crate::environment::Environment;
use crate::http;
use crate::udp::Client;

pub(super) const UDP: &str = "aquatic-udp";
pub(super) const HTTP: &str = "aquatic-http";
const BOTH: [(&str, &str); 2] = [(UDP, HTTP), (HTTP, UDP)];

/// The status of a service that is linked with another one.
const LINKED: &str = "; linked with ";

pub(super) fn daemons_of_a_host_keep_one_swarm(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp aquatic-http");
    let mut torrents = Torrents::of(&container);
    wait_until_linked(&container);
    torrents.are_shared();
    let stat = "stat -c '%n %U %G %a' /run/aquatic /run/aquatic/*";
    assert_eq!(
        container.succeed(stat),
        "/run/aquatic aquatic aquatic 750\n\
         /run/aquatic/aquatic-http.sock aquatic aquatic 660\n\
         /run/aquatic/aquatic-udp.sock aquatic aquatic 660"
    );

    for (one, other) in BOTH {
        // Its state is kept over the restart, and the link is established again.
        let socket = of_socket(&container, other);
        container.succeed(&format!("systemctl restart {one}"));
        wait_until_linked(&container);
        torrents.are_shared();
        assert_eq!(of_socket(&container, other), socket, "{one} was restarted");

        kill_service(&container, one);
        wait_until_linked(&container);
        torrents.are_shared();
        assert_eq!(of_socket(&container, other), socket, "{one} was killed");

        container.succeed(&format!("systemctl stop {one}.socket {one}"));
        container.wait_for("the link has ended", || !is_linked(&container, other));
        assert_eq!(of_socket(&container, other), socket, "{one} was stopped");
        container.succeed(&format!("test ! -e /run/aquatic/{one}.sock"));

        // Now the other one starts first.
        container.succeed(&format!("systemctl start {one}"));
        wait_until_linked(&container);
        torrents.are_shared();
    }
    for (unit, _) in BOTH {
        let log = container.log(unit);
        let warning = log
            .lines()
            .find(|line| line.contains("read peers") || line.contains("/run/aquatic:"));
        assert_eq!(warning, None, "{unit}");
    }
    assert_eq!(container.failed_units(), "");
}

pub(super) fn a_daemon_can_be_left_out(environment: &Environment) {
    let container = Container::boot(environment);
    container.succeed("mkdir --parents /etc/aquatic");
    container.write(
        "/etc/aquatic/aquatic-http.toml",
        "[cluster]\nlocal = false\n",
    );
    container.apt("-o Dpkg::Options::=--force-confold install aquatic-udp aquatic-http");
    let mut torrents = Torrents::of(&container);
    // It has searched for the other one, which is not running.
    container.wait_for_log(UDP, "/run/aquatic/aquatic-udp.sock");
    let torrent = torrents.announce_over_udp();
    container.succeed("sleep 2");
    assert!(!torrents.is_known_over_http(torrent));
    container.succeed("test ! -e /run/aquatic/aquatic-http.sock");
    for (unit, _) in BOTH {
        assert!(!is_linked(&container, unit), "{unit}");
    }

    container.replace(
        "/etc/aquatic/aquatic-http.toml",
        "local = false",
        "local = true",
    );
    container.succeed("systemctl restart aquatic-http");
    wait_until_linked(&container);
    // Also what was announced before.
    container.wait_for("the peer is known", || torrents.is_known_over_http(torrent));
    torrents.are_shared();
}

pub(super) fn removing_one_leaves_the_other(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp aquatic-http");
    for (one, other) in BOTH {
        wait_until_linked(&container);
        let socket = of_socket(&container, other);
        let process = container.property(other, "MainPID");
        container.apt(&format!("purge {one}"));
        assert_eq!(of_socket(&container, other), socket, "without {one}");
        assert_eq!(container.property(other, "MainPID"), process);
        container.succeed(&format!("test ! -e /run/aquatic/{one}.sock"));
        container.apt(&format!("install {one}"));
    }
    wait_until_linked(&container);
    Torrents::of(&container).are_shared();

    // One whose file stays.
    container.succeed("systemctl stop aquatic-udp.socket");
    container.succeed("systemctl kill --signal=KILL aquatic-udp aquatic-http");
    container.apt("purge 'aquatic*'");
    assert_eq!(container.succeed("ls -d /run/aquatic* || true"), "");
}

pub(super) fn a_removed_directory_is_there_after_a_restart(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp aquatic-http");
    let mut torrents = Torrents::of(&container);
    wait_until_linked(&container);
    container.succeed("rm /run/aquatic/aquatic-udp.sock");
    container.wait_for("the socket is there again", || {
        container.outside("/run/aquatic/aquatic-udp.sock").exists()
    });

    container.succeed("rm -r /run/aquatic");
    for (unit, _) in BOTH {
        let said = format!("/run/aquatic/{unit}.sock");
        container.wait_for(&format!("{unit} says so"), || {
            let log = container.log(unit);
            log.lines()
                .any(|line| line.contains(&said) && line.contains("cannot"))
        });
    }
    // Each continues alone, and logs it once.
    torrents.announce_over_udp();
    container.succeed("sleep 3");
    for (unit, _) in BOTH {
        let log = container.log(unit);
        let count = log.matches("cannot").count();
        assert!(count <= 2, "{log}");
    }
    container.succeed("systemctl restart aquatic-udp aquatic-http");
    wait_until_linked(&container);
    torrents.are_shared();
}

/// Waits until each service reports that it is linked with the other.
#[track_caller]
pub(super) fn wait_until_linked(container: &Container) {
    for (unit, other) in BOTH {
        let status = format!("{LINKED}{other}");
        container.wait_for(&format!("{unit}: {status}"), || {
            container.property(unit, "StatusText").ends_with(&status)
        });
    }
}

#[track_caller]
pub(super) fn is_linked(container: &Container, unit: &str) -> bool {
    container.property(unit, "StatusText").contains(LINKED)
}

/// The identity of the socket at a path.
#[track_caller]
fn of_socket(container: &Container, daemon: &str) -> String {
    container.succeed(&format!("stat -c '%i %W' /run/aquatic/{daemon}.sock"))
}

/// Kills a service, and waits until systemd has started it again.
#[track_caller]
fn kill_service(container: &Container, unit: &str) {
    let process = container.main_process(unit);
    let process = i32::try_from(process).expect("process ids are small");
    let before = container.property(unit, "MainPID");
    kill(Pid::from_raw(process), Signal::SIGKILL).expect("it runs");
    container.wait_for("the service is active again", || {
        container.property(unit, "MainPID") != before
            && container.property(unit, "ActiveState") == "active"
    });
}

/// Torrents without announces so far.
pub(super) struct Torrents<'c> {
    /// The one that gets requests over HTTP.
    container: &'c Container,
    udp: Client,
    last: u16,
}

impl<'c> Torrents<'c> {
    #[track_caller]
    pub(super) fn of(container: &'c Container) -> Self {
        Self::of_two(container, container)
    }

    /// Two containers, one of which gets requests over UDP and the other over HTTP.
    #[track_caller]
    pub(super) fn of_two(over_udp: &Container, over_http: &'c Container) -> Self {
        Self {
            container: over_http,
            udp: Client::connect(over_udp.client(), over_udp.address(3000)),
            last: 0,
        }
    }

    /// A peer that announces over one of the protocols is soon returned over the other.
    #[track_caller]
    pub(super) fn are_shared(&mut self) {
        let torrent = self.announce_over_udp();
        self.container
            .wait_for("known over HTTP", || self.is_known_over_http(torrent));
        let torrent = self.announce_over_http();
        self.container.wait_for("known over UDP", || {
            self.udp.scrape(&[http::info_hash(torrent)])[0].seeders == 1
        });
    }

    #[track_caller]
    pub(super) fn announce_over_udp(&mut self) -> u16 {
        self.last += 1;
        self.udp
            .announce(http::info_hash(self.last), 1001)
            .expect("an announce is served");
        self.last
    }

    #[track_caller]
    fn announce_over_http(&mut self) -> u16 {
        self.last += 1;
        let answer = self.ask(&http::announce(self.last, 1002));
        assert!(answer.starts_with("d8:complete"), "{answer}");
        self.last
    }

    #[track_caller]
    pub(super) fn is_known_over_http(&self, torrent: u16) -> bool {
        let answer = self.ask(&http::scrape(torrent));
        assert!(answer.starts_with("d5:filesd"), "{answer}");
        answer.contains("8:completei1e")
    }

    #[track_caller]
    fn ask(&self, path: &str) -> String {
        let tracker = self.container.address(3000);
        let answer = http::get(self.container.client(), tracker, path);
        String::from_utf8_lossy(&answer.expect("an answer")).into_owned()
    }
}
