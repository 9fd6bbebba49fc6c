//! A release of Debian with its own systemd as its first process, and a client
//! on another host.
//!
//! The root file system is shared, with an overlay in memory. All mounts and the hosts'
//! network namespaces belong to a namespace of the container, so the kernel removes everything
//! when a test ends in any way.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aquatic_test_harness::network::{Families, Host, Network};
use aquatic_test_harness::notify::NotifySocket;
use aquatic_test_harness::process::{Finished, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::environment::Environment;

/// Maximum time of a step on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Mounts the root file system, unless it is mounted, and becomes the container. The
/// arguments are a directory, the file system to read, and the arguments of systemd-nspawn;
/// the cgroups to join are in the environment.
const BOOT: &str = r#"
set -e
place=$1 lower=$2
shift 2
for group in $GROUPS_TO_JOIN; do
    mkdir "$group"
    echo $$ > "$group/cgroup.procs"
done
if [ ! -d "$place/root" ]; then
    mount -t tmpfs -o mode=755 tmpfs "$place"
    mkdir "$place/upper" "$place/work" "$place/root"
    mount -t overlay -o "lowerdir=$lower,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
fi
exec systemd-nspawn --directory="$place/root" "$@"
"#;

/// The number of the client's host in a network.
const CLIENT: usize = 1;

/// What a script has printed, which must have succeeded. `log` explains why it has not.
#[track_caller]
pub(crate) fn output_of(script: &str, finished: Finished, log: impl FnOnce() -> String) -> String {
    assert!(
        finished.status.success(),
        "{script}: {}\n{}{}\n{}",
        finished.status,
        finished.stdout,
        finished.stderr,
        log()
    );
    finished.stdout.trim().to_owned()
}

/// A booted container. Dropping it ends everything in it.
pub(crate) struct Container {
    /// Its first process, as seen from outside.
    leader: u32,
    name: String,
    groups: Vec<PathBuf>,
    nspawn: Option<Process>,
    network: Arc<Network>,
    /// The number of the host in its network.
    host: usize,
    /// The arguments of systemd-nspawn.
    arguments: Vec<String>,
    /// The root file system of its release.
    lower: PathBuf,
    release: &'static str,
    place: TempDir,
}

impl Container {
    /// Boots a release, with the repository at `/srv/repository`, which is the only one of apt.
    #[track_caller]
    pub(crate) fn boot(environment: &Environment) -> Self {
        Self::boot_with(environment, &[])
    }

    /// As [`Self::boot`], with more arguments for systemd-nspawn.
    #[track_caller]
    pub(crate) fn boot_with(environment: &Environment, arguments: &[&str]) -> Self {
        let network = Arc::new(Network::new(2, Families::Both));
        Self::boot_at(environment, network, 0, arguments)
    }

    /// Boots two that can reach each other, and share a client.
    #[track_caller]
    pub(crate) fn boot_two(environment: &Environment) -> [Self; 2] {
        let network = Arc::new(Network::new(3, Families::Both));
        [0, 2].map(|host| Self::boot_at(environment, network.clone(), host, &[]))
    }

    /// Boots as one of the hosts of a network.
    #[track_caller]
    fn boot_at(
        environment: &Environment,
        network: Arc<Network>,
        host: usize,
        arguments: &[&str],
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aquatic-{}-{number}", std::process::id());

        let place = tempfile::Builder::new()
            .prefix("aquatic-system-")
            .tempdir()
            .expect("a temporary directory");
        fs::create_dir(place.path().join("system")).expect("a directory");
        let mut all: Vec<_> = [
            "--quiet",
            "--boot",
            "--keep-unit",
            "--register=no",
            "--notify-ready=yes",
            "--console=pipe",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            // Filters of devices and addresses are programs for the kernel.
            "--capability=all",
            "--system-call-filter=bpf @privileged",
        ]
        .map(str::to_owned)
        .into();
        all.extend([
            format!("--machine={name}"),
            format!(
                "--network-namespace-path={}",
                network.host(host).namespace().display()
            ),
            format!(
                "--bind-ro={}:/srv/repository",
                environment.repository.display()
            ),
        ]);
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));

        let mut container = Self {
            leader: 0,
            groups: groups(&name),
            name,
            nspawn: None,
            network,
            host,
            arguments: all,
            lower: environment.root(),
            release: environment.release,
            place,
        };
        let mut unshare = Command::new("unshare");
        container.start(unshare.args(["--mount", "--propagation=private"]));
        container.succeed("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*");
        container.write(
            "/etc/apt/sources.list.d/aquatic.list",
            "deb [signed-by=/srv/repository/aquatic-archive-keyring.asc] \
             file:///srv/repository stable main\n",
        );
        container
    }

    /// Boots in the mount namespace that `entering` enters.
    #[track_caller]
    fn start(&mut self, entering: &mut Command) {
        let place = self.place.path();
        let mut notify = NotifySocket::bind(&place.join("notify"));
        let joined: Vec<_> = self
            .groups
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        entering
            .args(["sh", "-c", BOOT, "sh"])
            .arg(place.join("system"))
            .arg(&self.lower)
            .args(&self.arguments)
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .env("NOTIFY_SOCKET", notify.path())
            .env("GROUPS_TO_JOIN", joined.join(" "));
        let mut nspawn = Process::start("systemd-nspawn", entering);
        let ready = notify.wait_for("READY=1", 0, PATIENCE, || nspawn.is_running());
        let leader = notify
            .lines()
            .iter()
            .find_map(|line| line.strip_prefix("X_NSPAWN_LEADER_PID=")?.parse().ok());
        let (Some(_), Some(leader)) = (ready, leader) else {
            // Its output is part of the panic message.
            panic!("{} did not boot", self.release);
        };
        self.leader = leader;
        self.nspawn = Some(nspawn);
    }

    /// Shuts it down and boots again: only the files are kept.
    #[track_caller]
    pub(crate) fn reboot(&mut self) {
        let nspawn = self.nspawn.take().expect("it runs");
        // Mounts exist as long as this is open.
        let mounts = fs::File::open(format!("/proc/{}/ns/mnt", nspawn.id()));
        let mounts = mounts.expect("it has a namespace");
        // The command may be interrupted by the shutdown.
        let _ = self.run("systemctl --no-block poweroff");
        let ended = nspawn.wait(PATIENCE);
        assert!(ended.status.success(), "{}", ended.stderr);
        for group in &self.groups {
            remove_group(group);
        }
        let mounts = format!("/proc/{}/fd/{}", std::process::id(), mounts.as_raw_fd());
        self.start(Command::new("nsenter").arg(format!("--mount={mounts}")));
    }

    /// Boots a release, installs packages with apt, and puts all keys into their
    /// configurations, for tests that [replace](Self::replace) some.
    #[track_caller]
    pub(crate) fn with(environment: &Environment, packages: &str) -> Self {
        let container = Self::boot(environment);
        container.apt(&format!("install {packages}"));
        container.take_all_keys();
        container
    }

    /// Copies the references over the configurations.
    #[track_caller]
    pub(crate) fn take_all_keys(&self) {
        self.succeed("cp /usr/share/doc/aquatic-*/aquatic-*.toml /etc/aquatic/");
    }

    /// Runs apt-get with these arguments, after it has read the repository.
    #[track_caller]
    pub(crate) fn apt(&self, arguments: &str) {
        self.succeed(&format!(
            "apt-get update --quiet=2 && apt-get --yes --quiet=2 {arguments}"
        ));
    }

    /// Runs a shell script inside.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Finished {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.leader))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["--root", "--wd", "--", "/usr/bin/env", "-i"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["HOME=/root", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER="])
            .args(["DEBIAN_FRONTEND=noninteractive", "sh", "-c", script]);
        Process::start(script, &mut command).wait(PATIENCE)
    }

    /// Runs a shell script inside, which must succeed; returns what it prints.
    #[track_caller]
    pub(crate) fn succeed(&self, script: &str) -> String {
        output_of(script, self.run(script), || {
            self.run("journalctl --no-pager --lines=60").stdout
        })
    }

    /// Runs a shell script inside, which must fail; returns all that it prints.
    #[track_caller]
    pub(crate) fn fail(&self, script: &str) -> String {
        let finished = self.run(script);
        let said = finished.stdout + &finished.stderr;
        assert!(!finished.status.success(), "{script} succeeds: {said}");
        said
    }

    /// A property of a unit.
    #[track_caller]
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        self.succeed(&format!(
            "systemctl show --value --property={property} {unit}"
        ))
    }

    /// Units of ours that have failed.
    #[track_caller]
    pub(crate) fn failed_units(&self) -> String {
        self.succeed("systemctl --failed --plain --no-legend list-units 'aquatic*'")
    }

    /// What a unit has logged.
    #[track_caller]
    pub(crate) fn log(&self, unit: &str) -> String {
        self.succeed(&format!(
            "journalctl --no-pager --quiet --output=cat --unit={unit}"
        ))
    }

    /// Waits until a unit has logged this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, unit: &str, text: &str) {
        self.wait_for(&format!("{unit} logs {text:?}"), || {
            self.log(unit).contains(text)
        });
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(
                Instant::now() < deadline,
                "waited in vain: {what}\n{}",
                self.run("journalctl --no-pager --lines=60").stdout
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process id of a service's main process, as seen from outside.
    #[track_caller]
    pub(crate) fn main_process(&self, unit: &str) -> u32 {
        let inside = self.property(unit, "MainPID");
        // The last of the ids in its status is the one in the innermost namespace.
        let namespace = |process: &Path| fs::read_link(process.join("ns/pid")).ok();
        let own = namespace(Path::new(&format!("/proc/{}", self.leader)));
        let processes = fs::read_dir("/proc").expect("there is /proc");
        processes
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let id = path.file_name()?.to_str()?.parse().ok()?;
                let status = fs::read_to_string(path.join("status")).ok()?;
                let ids = status
                    .lines()
                    .find_map(|line| line.strip_prefix("NSpid:"))?;
                let innermost = ids.split_whitespace().last()?;
                (innermost == inside && namespace(&path) == own).then_some(id)
            })
            .next()
            .unwrap_or_else(|| panic!("{unit} has no process {inside}"))
    }

    /// A resource limit of the container's first process: the soft one, and the hard one, which
    /// no process inside can exceed.
    pub(crate) fn limit(&self, name: &str) -> (u64, u64) {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.leader));
        limit_in(&limits.expect("the container runs"), name)
    }

    /// Copies packages of the next version inside, as `/next/*.deb`.
    #[track_caller]
    pub(crate) fn copy_next(&self, environment: &Environment, packages: &[&str]) {
        self.copy("/next", &environment.next_packages(packages));
    }

    /// Copies packages inside, as `*.deb` in a new directory.
    #[track_caller]
    pub(crate) fn copy(&self, directory: &str, packages: &[PathBuf]) {
        fs::create_dir(self.outside(directory)).expect("a directory");
        for package in packages {
            let name = package.file_name().expect("it has a name");
            let target = self.outside(directory).join(name);
            fs::copy(package.join("package.deb"), target).expect("a copy");
        }
    }

    /// Writes a file inside.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.outside(path);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Replaces text in a file inside.
    #[track_caller]
    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.outside(path)).expect("the file can be read");
        assert!(text.contains(from), "no {from:?} in {path}:\n{text}");
        self.write(path, text.replace(from, to));
    }

    /// The path of a file inside, as seen from outside.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        let relative = path.trim_start_matches('/');
        PathBuf::from(format!("/proc/{}/root", self.leader)).join(relative)
    }

    /// An address of the container, for the client.
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.network.host(self.host).ipv4), port)
    }

    /// An IPv6 address of the container, for the client.
    pub(crate) fn address_ipv6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.network.host(self.host).ipv6), port)
    }

    /// Gives the container another address, such as `10.77.0.9/24`.
    pub(crate) fn add_address(&self, address: &str) {
        self.network.host(self.host).add_address(address);
    }

    /// Disables IPv6, as far as this is possible in a network namespace.
    pub(crate) fn disable_ipv6(&self) {
        let mut command = self.network.host(self.host).command("sh");
        command.args(["-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"]);
        let finished = Process::start("sh", &mut command).wait(PATIENCE);
        assert!(finished.status.success(), "{}", finished.stderr);
    }

    /// Runs `ip` on the host of the client.
    pub(crate) fn on_client(&self, arguments: &str) {
        self.network.host(CLIENT).ip(arguments);
    }

    /// The host of the client.
    pub(crate) fn client(&self) -> &Host {
        self.network.host(CLIENT)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(nspawn) = self.nspawn.take() {
            // With the first process, all others end. It would survive
            // systemd-nspawn if only that was killed.
            let leader = i32::try_from(self.leader).expect("process ids are small");
            let _ = kill(Pid::from_raw(leader), Signal::SIGKILL);
            let _ = nspawn.wait(PATIENCE);
        }
        // It does not matter if the directory cannot be removed.
        let propagated = Path::new("/run/systemd/nspawn/propagate").join(&self.name);
        let _ = fs::remove_dir(propagated);
        for group in &self.groups {
            remove_group(group);
        }
    }
}

/// Removes a cgroup and those in it.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// The soft and the hard limit of this name in a file of `/proc`.
pub(crate) fn limit_in(limits: &str, name: &str) -> (u64, u64) {
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut words = line.expect("there is such a limit").split_whitespace();
    let mut next = || match words.next() {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().expect("a limit is a number"),
        None => panic!("{name} has no limits"),
    };
    (next(), next())
}

/// The cgroups of a container: without these, it would share those of others.
fn groups(name: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = if top.join("cgroup.procs").exists() {
        vec![top.to_path_buf()]
    } else {
        vec![top.join("systemd"), top.join("unified")]
    };
    let present = hierarchies.into_iter().filter(|path| path.exists());
    present.map(|path| path.join(name)).collect()
}
