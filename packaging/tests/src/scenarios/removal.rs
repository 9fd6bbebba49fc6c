//! Removals and purges, as required by Debian's policy.

use std::fs;

use crate::container::Container;
use crate::daemons::{self, Daemon};
use crate::environment::Environment;
use crate::http;
use crate::udp::{Client, hash};

pub(super) fn what_remains_is_what_policy_wants(environment: &Environment) {
    let container = Container::boot(environment);
    container.succeed("apt-get update --quiet=2");
    let files = "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /srv -o -path /tmp \
                 -o -path /var/lib/apt -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/log \\) -prune \
                 -o -print | sort";
    let before = container.succeed(files);
    container.apt("install aquatic");
    let mut client = Client::connect(container.client(), container.address(3000));
    client
        .announce(hash(1), 1001)
        .expect("an announce is served");
    container.succeed(&format!(
        "systemctl restart {}",
        daemons::names(daemons::all())
    ));
    container.succeed("test -s /var/lib/aquatic-udp/aquatic-udp.snapshot");

    container.apt("remove --autoremove 'aquatic*'");
    assert_eq!(container.succeed("pgrep aquatic || true"), "");
    let sockets = container.succeed("ss --udp --tcp --listening --numeric --no-header");
    assert!(!sockets.contains(":300"), "{sockets}");
    assert_eq!(container.failed_units(), "");
    // A removal keeps what an operator or the service has written.
    let snapshot = "/var/lib/aquatic-udp/aquatic-udp.snapshot".to_owned();
    for file in daemons::all().iter().map(Daemon::file).chain([snapshot]) {
        assert!(container.outside(&file).exists(), "{file}");
    }

    container.apt("purge --autoremove 'aquatic*'");
    let after = container.succeed(files);
    let new: Vec<_> = after
        .lines()
        .filter(|line| !before.lines().any(|other| other == *line))
        // From adding the user, which remains, so that its id is not reused.
        .filter(|line| {
            !matches!(
                *line,
                "/etc/passwd-" | "/etc/group-" | "/etc/shadow-" | "/etc/gshadow-"
            )
        })
        .collect();
    assert_eq!(new, Vec::<&str>::new());
    container.succeed("systemctl daemon-reload && id aquatic");
    let units = container.succeed("systemctl list-units --all --plain --no-legend 'aquatic*'");
    assert_eq!(units, "");
}

pub(super) fn failed_trackers_leave_nothing_behind(environment: &Environment) {
    for verb in ["remove", "purge"] {
        let container = Container::with(environment, "aquatic-udp aquatic-http");
        // One fails because of its configuration, and one because of its socket.
        container.write("/etc/aquatic/aquatic-udp.toml", "nonsense");
        container.fail("systemctl restart aquatic-udp");
        container.replace(
            "/etc/aquatic/aquatic-http.toml",
            "address = [\"0.0.0.0:3000\", \"[::]:3000\"]",
            "address = \"0.0.0.0\"",
        );
        container.succeed("systemctl daemon-reload");
        container.fail("systemctl restart aquatic-http.socket");
        assert_ne!(container.failed_units(), "");
        container.apt(&format!("{verb} --autoremove 'aquatic*'"));
        assert_eq!(container.failed_units(), "", "{verb}");
        assert_eq!(
            container.succeed("ls -d /run/aquatic* || true"),
            "",
            "{verb}"
        );
    }
}

pub(super) fn a_directory_that_cannot_be_removed_stops_no_purge(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp aquatic-http");
    // Separate file systems, one of which is read-only.
    container.succeed(
        "systemctl stop aquatic-udp.socket aquatic-udp aquatic-http.socket aquatic-http
         mount -t tmpfs tmpfs /var/lib/aquatic-udp
         mount -t tmpfs tmpfs /var/lib/aquatic-http
         touch /var/lib/aquatic-udp/aquatic-udp.snapshot /var/lib/aquatic-http/kept
         mount -o remount,ro /var/lib/aquatic-http",
    );
    container.apt("purge --autoremove 'aquatic*'");
    let left = container.succeed(
        "dpkg --list 'aquatic*' | grep ^.[^n] || true; ls /var/lib/aquatic-udp /var/lib/aquatic-http",
    );
    assert_eq!(
        left,
        "/var/lib/aquatic-http:\nkept\n\n/var/lib/aquatic-udp:"
    );
}

pub(super) fn an_operators_files_survive_every_purge(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp aquatic-http");
    let list = "/etc/aquatic/access-list";
    let text = "# of the operator\n";
    container.write(list, text);
    let purged = |packages: &str| {
        container.apt(&format!("purge --autoremove {packages}"));
        let left = fs::read_to_string(container.outside(list));
        assert_eq!(left.ok().as_deref(), Some(text), "purged: {packages}");
    };
    purged("aquatic-udp");
    for path in ["/etc/aquatic/aquatic-udp.toml", "/var/lib/aquatic-udp"] {
        assert!(!container.outside(path).exists(), "{path}");
    }
    // The other one is not affected, and starts again.
    container.succeed("systemctl restart aquatic-http");
    let path = http::announce(1, 1001);
    let body = http::get(container.client(), container.address(3000), &path);
    assert!(body.expect("an answer").starts_with(b"d8:complete"));

    // The user does not belong to a package if none is left.
    purged("'aquatic*'");
    let left = container
        .succeed("find /etc/aquatic -mindepth 1; dpkg --list 'aquatic*' | grep ^.[^n] || true");
    assert_eq!(left, list);
}
