//! The RPM packages, installed by dnf. There is no root file system of an RPM distribution, so
//! one of Debian is used: a package without files provides what the packages require.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aquatic_test_harness::Process;
use tempfile::TempDir;

use crate::container::{Container, PATIENCE};
use crate::daemons;
use crate::environment::Environment;
use crate::http;
use crate::scenarios::cluster::{self, Torrents};
use crate::scenarios::engine::{self, Engine};
use crate::udp::{Client, Scraped, hash};

const CONFIGURATION: &str = "/etc/aquatic/aquatic-udp.toml";

pub(super) fn packages_are_installed_upgraded_and_removed(environment: &Environment) {
    let container = Container::boot_with(environment, &["--bind-ro=/:/srv/machine"]);
    let dnf = Dnf::new(&container, environment);

    dnf.run(&dnf.first, "install aquatic");
    container.take_all_keys();
    // Unlike Debian's, they do not start services.
    assert_eq!(container.property("aquatic-udp", "ActiveState"), "inactive");
    for daemon in daemons::all() {
        let name = daemon.name.as_str();
        container.succeed(&format!(
            "systemctl enable --now {name}.socket {name}.service"
        ));
    }
    assert_eq!(container.failed_units(), "");
    let mut client = Client::connect(container.client(), container.address(3000));
    client
        .announce(hash(1), 1001)
        .expect("an announce is served");
    let path = http::announce(1, 1001);
    let body = http::get(container.client(), container.address(3000), &path);
    assert!(body.expect("an answer").starts_with(b"d8:complete"));
    cluster::wait_until_linked(&container);
    Torrents::of(&container).are_shared();
    let user = container.succeed("ps --no-headers -o user= -C aquatic-udp");
    assert_eq!(user, "aquatic");

    // Over an engine, too.
    let engine = Engine::start(&container, environment.release, "");
    for file in [CONFIGURATION, "/etc/aquatic/aquatic-http.toml"] {
        let url = format!("url = \"{}\"", engine.socket_url());
        container.replace(file, "\nurl = \"\"", &format!("\n{url}"));
    }
    container.succeed(engine::APPLY);
    engine::wait_until_connected(&container, 1);
    Torrents::of(&container).are_shared();

    container.replace(
        CONFIGURATION,
        "max_response_peers = 30",
        "max_response_peers = 17",
    );
    let changed = fs::read_to_string(container.outside(CONFIGURATION)).expect("it can be read");
    let process = container.property("aquatic-udp", "MainPID");
    dnf.run(&dnf.next, "upgrade");
    container.wait_for("it is active", || {
        container.property("aquatic-udp", "ActiveState") == "active"
    });
    assert_ne!(container.property("aquatic-udp", "MainPID"), process);
    // The connection id and the peer from before are still valid.
    let [one] = [Scraped {
        seeders: 1,
        leechers: 0,
    }];
    assert_eq!(client.scrape(&[hash(1)]), [one]);
    let kept = fs::read_to_string(container.outside(CONFIGURATION)).expect("it can be read");
    assert_eq!(kept, changed);

    engine::wait_until_connected(&container, 1);

    dnf.run(&dnf.next, "remove \"aquatic*\"");
    assert_eq!(container.succeed("ls -d /run/aquatic* || true"), "");
    assert_eq!(container.succeed("pgrep aquatic || true"), "");
    let sockets = container.succeed("ss --udp --tcp --listening --numeric --no-header");
    assert!(!sockets.contains(":300"), "{sockets}");
    assert_eq!(container.failed_units(), "");
    let saved = container.outside(&format!("{CONFIGURATION}.rpmsave"));
    assert!(saved.exists(), "a changed configuration is kept aside");
    container.succeed("test -s /var/lib/aquatic-udp/aquatic-udp.snapshot");
    let left = container.succeed(
        "find /usr/bin /usr/lib/systemd /usr/lib/sysusers.d /usr/share/man \
         /usr/share/doc /usr/share/licenses -name 'aquatic*'",
    );
    assert_eq!(left, "");
}

/// This machine's dnf, which installs in a container.
struct Dnf<'c> {
    container: &'c Container,
    first: PathBuf,
    next: PathBuf,
    scratch: TempDir,
}

impl<'c> Dnf<'c> {
    /// Makes the package that provides what all others require.
    #[track_caller]
    fn new(container: &'c Container, environment: &Environment) -> Self {
        let [first, next] = environment.rpm_repositories();
        let dnf = Self {
            container,
            first,
            next,
            scratch: tempfile::tempdir().expect("a temporary directory"),
        };
        let mut query = Command::new("sh");
        query.args(["-c", r#"rpm --query --requires --package "$0"/*.rpm"#]);
        let required = output(query.arg(&dnf.first));
        let provides: String = required
            .lines()
            .filter(|it| !it.starts_with("aquatic") && !it.starts_with("rpmlib("))
            .map(|it| format!("Provides: {it}\n"))
            .collect();
        let spec = dnf.scratch.path().join("base.spec");
        let text = format!(
            "Name: base\nVersion: 1\nRelease: 1\nSummary: base\nLicense: None\n\
             BuildArch: noarch\n{provides}%description\nbase\n%files\n"
        );
        fs::write(&spec, text).expect("it can be written");
        let base = dnf.scratch.path().join("base");
        output(
            Command::new("rpmbuild")
                .arg("-bb")
                .args([
                    "--define",
                    &format!("_topdir {}", dnf.scratch.path().display()),
                ])
                .args(["--define", &format!("_rpmdir {}", base.display())])
                .arg(spec),
        );
        output(Command::new("createrepo_c").arg("--quiet").arg(&base));
        dnf.run(&base, "install base");
        dnf
    }

    /// Runs dnf with the packages of one repository: the container, as it is, in
    /// a directory of this machine's file system.
    #[track_caller]
    fn run(&self, repository: &Path, what: &str) {
        // No repositories or caches of this machine.
        self.container.succeed(&format!(
            "exec unshare --mount sh -ec '
             mount --rbind / /srv/machine/mnt
             TMPDIR=/mnt/tmp exec chroot /srv/machine dnf --installroot=/mnt --noplugins \\
                 --repofrompath=tested,{} --repo=tested --setopt=reposdir=/dev/null \\
                 --setopt=metadata_expire=0 --releasever=1 --nogpgcheck --assumeyes {what}'",
            repository.display()
        ));
    }
}

/// The output of a command, which must succeed.
#[track_caller]
fn output(command: &mut Command) -> String {
    let name = format!("{command:?}");
    let finished = Process::start(&name, command).wait(PATIENCE);
    assert!(
        finished.status.success(),
        "{name}: {}{}",
        finished.stdout,
        finished.stderr
    );
    finished.stdout
}
