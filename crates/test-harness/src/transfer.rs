//! Real BitTorrent clients find each other through a tracker, and through
//! nothing else, and transfer a file.
//!
//! A transfer is a network of hosts: the tracker, a seeder with one client, a
//! leecher with another, and perhaps another tracker with the same swarm. The
//! torrent is private and the clients' own ways to find peers are off, so without
//! the tracker no byte is transferred.

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{self, Client, PYTHON};
use crate::network::{self, Families};
use crate::{Daemon, Network, Process, Setup, tools};

mod behind_nat;

pub use behind_nat::from_behind_nat;

/// A second address of the tracker's host, on the same interface.
const SECOND_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);

/// Port of the tracker, which is the only service on its host.
const TRACKER_PORT: u16 = 3000;

/// Size of the file: several pieces, of which the last is shorter.
const PAYLOAD_BYTES: u64 = 3_000_001;

/// How long a client may take to print something. Transmission scrapes only seconds after
/// its start.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// How long a transfer may take. Transmission chooses the peers to upload to only every
/// ten seconds, and tries one whose connection broke again after a minute.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(150);

const TRACKER: usize = 0;
const SEEDER: usize = 1;
const LEECHER: usize = 2;
const OTHER_TRACKER: usize = 3;

/// The clients of a transfer, and the tracker.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary of the tracker.
    pub program: PathBuf,
    /// The scheme of the tracker's URLs: `udp`, `http` or `https`. For `https`, there are
    /// `cert.pem` and `key.pem` in the directory in which the tracker is started.
    pub scheme: &'static str,
    /// The config of all trackers, without their addresses: lines of `[network]`, and
    /// perhaps further sections.
    pub network: String,
    /// The client that has the file.
    pub seeder: Client,
    /// The client that downloads it.
    pub leecher: Client,
    /// Another tracker with the same swarm. If set, the leecher's torrent names only that
    /// one.
    pub of_leecher: Option<OtherTracker>,
    /// The address families of the network.
    pub families: Families,
    /// Which address of the tracker's host the torrent names.
    pub asked: Asked,
    /// The key that the tracker requires, and that the torrent's URL has.
    pub key: Option<&'static str>,
}

/// Another tracker with the same swarm.
#[derive(Clone, Debug)]
pub struct OtherTracker {
    /// Its binary.
    pub program: PathBuf,
    /// The scheme of its URLs.
    pub scheme: &'static str,
    /// How both trackers are linked.
    pub link: Link,
}

/// How two trackers are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// They are on the same host, and find each other automatically.
    Host,
    /// They are on two hosts, and their config names an engine.
    Engine,
}

/// One of several addresses of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The address from which the kernel sends by default.
    First,
    /// An IPv4 address that was added later.
    Second,
}

/// A network with a running tracker, and a torrent that names it.
#[derive(Debug)]
pub struct Transfer {
    plan: Plan,
    network: Network,
    _trackers: Vec<Daemon>,
    files: Setup,
    info_hash: String,
}

impl Transfer {
    /// `None` if a program is missing and skipping is allowed.
    ///
    /// # Panics
    /// When the network cannot be made, or the tracker does not start.
    #[must_use]
    #[track_caller]
    pub fn prepare(plan: Plan) -> Option<Self> {
        let is_tls = plan.scheme == "https";
        let needed = network::PROGRAMS.iter().chain(&clients::TORRENT_TOOLS);
        let mut needed: Vec<&str> = needed.copied().collect();
        if is_tls {
            needed.push("openssl");
        }
        let clients_are_there = plan.seeder.is_there() && plan.leecher.is_there();
        if !clients_are_there || !tools::needs(&needed) {
            return None;
        }
        let mut files = new_setup(&plan.program);
        files.set_environment("XDG_RUNTIME_DIR", files.path(""));
        let network = Network::new(4, plan.families);
        let host = network.host(TRACKER);
        if plan.asked == Asked::Second {
            host.ip(format!("addr add {SECOND_ADDRESS}/24 dev eth0"));
        }
        if is_tls {
            make_certificate(&files, &[host.ipv4.into(), host.ipv6.into()]);
        }
        let mut config = format!(
            "[network]\naddress = [\"0.0.0.0:{TRACKER_PORT}\", \"[::]:{TRACKER_PORT}\"]\n{}",
            plan.network
        );
        if let Some(key) = plan.key {
            files.write_secret("keys", format!("{key} somebody\n"));
            config += "[keys]\npath = 'keys'\n";
        }
        let mut trackers = vec![files.start_on(host, &config)];
        if let Some(other) = &plan.of_leecher {
            let mut setup = new_setup(&other.program);
            setup.set_environment("XDG_RUNTIME_DIR", files.path(""));
            let host = network.host(host_of(other));
            trackers.push(setup.start_on(host, &config));
            let linked = match other.link {
                Link::Host => "its peers are known here",
                Link::Engine => "the swarm is shared through",
            };
            for tracker in &trackers {
                tracker.wait_for_log(linked);
            }
        }
        for directory in ["seeder", "leecher"] {
            fs::create_dir(files.path(directory)).expect("make a directory");
        }
        files.write("seeder/payload.bin", payload());
        let mut transfer = Self {
            plan,
            network,
            _trackers: trackers,
            info_hash: String::new(),
            files,
        };
        for host in [LEECHER, SEEDER] {
            transfer.info_hash = transfer.make_torrent(host);
        }
        Some(transfer)
    }

    /// Starts both clients and returns them, the seeder first, when the file has
    /// been transferred.
    ///
    /// # Panics
    /// When it is not transferred in time.
    #[must_use]
    #[track_caller]
    pub fn run(&self) -> (Process, Process) {
        let seeder = self.start(self.plan.seeder, SEEDER, "seeder");
        if self.plan.key.is_some() && self.plan.scheme == "udp" {
            // Scrapes over UDP have no key.
            seeder.wait_for_line("tracker_reply", CLIENT_PATIENCE);
        } else {
            self.await_scrape("seeders", 1);
        }
        let leecher = self.start(self.plan.leecher, LEECHER, "leecher");
        await_copy(&self.files);
        (seeder, leecher)
    }

    fn start(&self, client: Client, host: usize, directory: &str) -> Process {
        client.start(
            self.network.host(host),
            &self.torrent(host),
            &self.files.path(directory),
            self.files.directory(),
            self.authority().as_deref(),
        )
    }

    /// The certificate that clients have to trust.
    fn authority(&self) -> Option<PathBuf> {
        (self.plan.scheme == "https").then(|| self.files.path("cert.pem"))
    }

    /// The torrent of a client.
    fn torrent(&self, client: usize) -> PathBuf {
        self.files.path(&format!("payload-{client}.torrent"))
    }

    /// The URL that the torrent of a client names. Over UDP, its path makes libtorrent
    /// send BEP 41 options.
    fn url(&self, client: usize) -> String {
        let (scheme, host) = match &self.plan.of_leecher {
            Some(other) if client == LEECHER => (other.scheme, host_of(other)),
            _ => (self.plan.scheme, TRACKER),
        };
        let host = self.network.host(host);
        let address: IpAddr = match (self.plan.asked, self.plan.families) {
            (Asked::Second, _) => SECOND_ADDRESS.into(),
            (Asked::First, Families::Both) => host.ipv4.into(),
            (Asked::First, Families::Ipv6Only) => host.ipv6.into(),
        };
        let address = SocketAddr::from((address, TRACKER_PORT));
        let key = self
            .plan
            .key
            .map_or_else(String::new, |key| format!("/{key}"));
        format!("{scheme}://{address}{key}/announce")
    }

    /// Makes the torrent of a client and returns its info hash.
    fn make_torrent(&self, client: usize) -> String {
        let torrent = self.torrent(client);
        let payload = self.files.path("seeder/payload.bin");
        make_torrent(&self.url(client), &payload, &torrent)
    }

    /// Waits until a scrape of each client's tracker, from the client's host, shows this
    /// count.
    ///
    /// # Panics
    /// When it does not show that in time.
    #[track_caller]
    pub fn await_scrape(&self, what: &str, count: u32) {
        let clients = match self.plan.of_leecher {
            Some(_) => &[SEEDER, LEECHER][..],
            None => &[SEEDER],
        };
        for &client in clients {
            let mut ask = self.network.host(client).command(PYTHON);
            if let Some(authority) = self.authority() {
                ask.env("SSL_CERT_FILE", authority);
            }
            await_scrape(ask, &self.url(client), &self.info_hash, what, count);
        }
    }
}

/// Waits until a scrape with `python`, which is started on some host, shows this count.
#[track_caller]
fn await_scrape(mut python: Command, url: &str, info_hash: &str, what: &str, count: u32) {
    python.arg(clients::script("await_scrape.py"));
    python.args([url, info_hash, what, &count.to_string()]);
    let finished = Process::start("await_scrape.py", &mut python).wait(CLIENT_PATIENCE);
    assert!(
        finished.status.success(),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
}

/// Waits until the leecher has what the seeder has.
#[track_caller]
fn await_copy(files: &Setup) {
    let original = fs::read(files.path("seeder/payload.bin")).expect("the payload");
    let copy = files.path("leecher/payload.bin");
    let deadline = Instant::now() + TRANSFER_PATIENCE;
    while fs::read(&copy).ok().as_ref() != Some(&original) {
        assert!(
            Instant::now() < deadline,
            "the file was not transferred within {} s",
            TRANSFER_PATIENCE.as_secs()
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// The host of the other tracker.
fn host_of(other: &OtherTracker) -> usize {
    match other.link {
        Link::Host => TRACKER,
        Link::Engine => OTHER_TRACKER,
    }
}

#[track_caller]
fn new_setup(program: &Path) -> Setup {
    Setup::new(program.to_str().expect("UTF-8"))
}

/// Makes `cert.pem` and `key.pem` for these addresses, with `openssl`.
///
/// # Panics
/// When that fails.
#[track_caller]
pub fn make_certificate(files: &Setup, addresses: &[IpAddr]) {
    let names: Vec<String> = addresses
        .iter()
        .map(|address| format!("IP:{address}"))
        .collect();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=tracker",
    ]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.arg("-addext");
    openssl.arg(format!("subjectAltName={}", names.join(",")));
    openssl.arg("-keyout").arg(files.path("key.pem"));
    openssl.arg("-out").arg(files.path("cert.pem"));
    output(&mut openssl);
}

/// The content of the file: random bytes, which no other peer has.
///
/// # Panics
/// When the system has no random bytes.
#[must_use]
pub fn payload() -> Vec<u8> {
    let mut bytes = Vec::new();
    let source = fs::File::open("/dev/urandom").expect("open /dev/urandom");
    source
        .take(PAYLOAD_BYTES)
        .read_to_end(&mut bytes)
        .expect("read /dev/urandom");
    bytes
}

/// Makes a torrent of the file at `payload` that names the tracker at `url`, with
/// Transmission's tool, and returns its info hash.
#[track_caller]
fn make_torrent(url: &str, payload: &Path, torrent: &Path) -> String {
    let mut create = Command::new("transmission-create");
    create.arg("--private").arg("--tracker").arg(url);
    create.arg("--outfile").arg(torrent).arg(payload);
    output(&mut create);
    let shown = output(Command::new("transmission-show").arg(torrent));
    let hash = shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("Hash: "));
    hash.expect("the tool shows the info hash").to_owned()
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("run a tool");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}
