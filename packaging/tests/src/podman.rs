//! A user without privileges who runs the container image with the podman of a release.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use aquatic_test_harness::process::Finished;

use crate::container::{Container, output_of};
use crate::environment::Environment;

/// The image, as the archive names it.
pub(crate) const IMAGE: &str = concat!("localhost/aquatic:", env!("CARGO_PKG_VERSION"));

/// The name of the user.
const USER: &str = "tracker";

/// For machines whose cgroups do not all have the second version, and for systemd-nspawn
/// around all of it, with its filter of system calls and a read-only `/proc/sys`.
const CONFIGURATION: &str = "[containers]\npids_limit = 0\nkeyring = false\ndefault_sysctls = []\n";

/// Makes the user and starts the user's systemd. Networks of the user's own need a device. A
/// container may mount `/proc` only where
/// there is one that is not covered in parts.
const PREPARE: &str = "set -e
mkdir --parents /dev/net
umount --quiet /dev/net/tun || true
rm --force /dev/net/tun
mknod --mode=666 /dev/net/tun c 10 200
mkdir /srv/proc
mount -t proc proc /srv/proc
useradd --create-home --uid 1000 --shell /bin/sh tracker
systemctl start user@1000
for _ in $(seq 200); do [ -S /run/user/1000/bus ] && break; sleep 0.1; done
test -S /run/user/1000/bus";

/// Runs a script as the user, in the session of the user's systemd.
const AS_USER: &str = "systemd-run --quiet --pipe --wait --collect --uid=tracker --gid=tracker \
    --property=KillMode=process --working-directory=/home/tracker \
    --setenv=HOME=/home/tracker --setenv=XDG_RUNTIME_DIR=/run/user/1000 \
    --setenv=DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus sh";

/// The user, in a release of Debian with a systemd of its own.
pub(crate) struct Podman {
    pub(crate) container: Container,
    scripts: AtomicU32,
}

impl Podman {
    /// Boots the release, and loads the image as the user. The examples are in
    /// `/srv/examples`.
    #[track_caller]
    pub(crate) fn start(environment: &Environment) -> Self {
        let bind = |from: &Path, to: &str| format!("--bind-ro={}:{to}", from.display());
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../container");
        let examples = examples.canonicalize().expect("there are examples");
        let container = Container::boot_with(
            environment,
            &[
                &bind(&environment.image(), "/srv/image.tar"),
                &bind(&examples, "/srv/examples"),
                // The storage of podman cannot be on an overlay.
                "--tmpfs=/home:mode=755",
            ],
        );
        container.succeed("mkdir --parents /etc/containers");
        container.write("/etc/containers/containers.conf", CONFIGURATION);
        container.succeed(PREPARE);
        let podman = Self {
            container,
            scripts: AtomicU32::new(0),
        };
        podman.succeed("podman load --quiet --input /srv/image.tar");
        podman
    }

    /// Runs a shell script as the user.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Finished {
        let number = self.scripts.fetch_add(1, Ordering::Relaxed);
        let path = format!("/srv/script-{number}");
        self.container.write(&path, script);
        self.container.run(&format!("{AS_USER} -e {path}"))
    }

    /// Runs a shell script as the user, which must succeed; returns what it prints.
    #[track_caller]
    pub(crate) fn succeed(&self, script: &str) -> String {
        output_of(script, self.run(script), || self.log())
    }

    /// The last messages of all units, and of all containers.
    fn log(&self) -> String {
        let units = self
            .container
            .run("journalctl --no-pager --lines=60")
            .stdout;
        let containers = self.run(
            "for name in $(podman ps --all --format '{{.Names}}'); do
            echo \"$name:\"; podman logs --tail 20 $name 2>&1; done",
        );
        units + &containers.stdout
    }

    /// A property of a container, as a template of podman names it.
    #[track_caller]
    pub(crate) fn inspect(&self, name: &str, property: &str) -> String {
        self.succeed(&format!(
            "podman inspect --format '{{{{{property}}}}}' {name}"
        ))
    }

    /// Waits until the health check of a container says that it is well.
    #[track_caller]
    pub(crate) fn wait_until_healthy(&self, name: &str) {
        self.container.wait_for(&format!("{name} is healthy"), || {
            let checked = self.run(&format!("podman healthcheck run {name}"));
            checked.status.success()
        });
    }

    /// Waits until a container has logged this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, name: &str, text: &str) {
        self.container
            .wait_for(&format!("{name} logs {text:?}"), || {
                let logged = self.run(&format!("podman logs {name}"));
                (logged.stdout + &logged.stderr).contains(text)
            });
    }

    /// The status of the first process of a container, as the kernel shows it.
    #[track_caller]
    pub(crate) fn process_status(&self, name: &str) -> String {
        let process = self.inspect(name, ".State.Pid");
        self.container
            .succeed(&format!("cat /proc/{process}/status"))
    }

    /// Installs a file for the user.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, text: &str) {
        self.container.write(&format!("/home/{USER}/{path}"), text);
    }
}
