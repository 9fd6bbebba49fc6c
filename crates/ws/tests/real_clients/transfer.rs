//! A network of three hosts: the tracker, a seeder with one client, a leecher
//! with another.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::network::{self, Families, Host};
use aquatic_test_harness::transfer::{make_certificate, payload};
use aquatic_test_harness::{Daemon, Network, Process, Setup, browser, eventually, tools};

/// Port of the tracker, which is the only service on its host.
const TRACKER_PORT: u16 = 3000;

/// Port of another node of a cluster, on the same host.
const OTHER_PORT: u16 = 3001;

/// How long a client may take to print something: a browser has to start, and creating
/// offers takes seconds.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// How long a transfer may take.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(90);

/// How long clients wait before they announce again. webtorrent drops a peer if there is
/// no connection to it after 25 s, as happens on a busy machine, and makes another offer
/// only with its next announce.
const ANNOUNCE_INTERVAL_SECONDS: u32 = 15;

/// The program that a cluster needs.
const ENGINE: &str = "redis-server";

const TRACKER: usize = 0;
const SEEDER: usize = 1;
const LEECHER: usize = 2;

/// Where webtorrent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Node,
    Chromium,
}

/// Whether connections to the tracker are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Ws,
    Wss,
}

/// The clients of a transfer, and how the tracker serves them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) scheme: Scheme,
    /// `network.event_loop` of the tracker.
    pub(crate) event_loop: &'static str,
    pub(crate) seeder: Client,
    pub(crate) leecher: Client,
    pub(crate) families: Families,
    /// Whether the leecher asks another node of a cluster than the seeder.
    pub(crate) is_cluster: bool,
    /// The key that the tracker requires, and that the URL has.
    pub(crate) key: Option<&'static str>,
}

/// A network with a running tracker.
#[derive(Debug)]
pub(crate) struct Transfer {
    plan: Plan,
    network: Network,
    _tracker: Daemon,
    _cluster: Option<Cluster>,
    files: Setup,
    /// Declared last, to be dropped after everything that the browser needs.
    _turn: Option<MutexGuard<'static, ()>>,
}

/// Waits until a browser may run: at most two tests use one at the same time, which keep
/// two cores busy; with more, connections between the clients time out.
fn take_turn() -> MutexGuard<'static, ()> {
    static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed) % TURNS.len();
    // A test that has failed also releases its turn.
    TURNS[next].lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a cluster has besides one tracker.
#[derive(Debug)]
struct Cluster {
    _engine: Process,
    _tracker: Daemon,
    _files: Setup,
}

impl Transfer {
    /// `None` if a program is missing and skipping is allowed.
    #[track_caller]
    pub(crate) fn prepare(plan: Plan) -> Option<Self> {
        let uses_chromium = [plan.seeder, plan.leecher].contains(&Client::Chromium);
        if !clients_are_there() || uses_chromium && !tools::needs(&["/usr/bin/chromium"]) {
            return None;
        }
        if plan.is_cluster && !tools::needs(&[ENGINE]) {
            return None;
        }
        let turn = uses_chromium.then(take_turn);
        let files = Setup::new(env!("CARGO_BIN_EXE_aquatic-ws"));
        let network = Network::new(3, plan.families);
        let host = network.host(TRACKER);
        let mut config = config_for_all_addresses(TRACKER_PORT);
        config += &format!("event_loop = '{}'\n", plan.event_loop);
        if plan.scheme == Scheme::Wss {
            make_certificate(&files, &[host.ipv4.into(), host.ipv6.into()]);
            config += "enable_tls = true\n\
                tls_certificate_path = 'cert.pem'\n\
                tls_private_key_path = 'key.pem'\n";
        }
        config += &interval();
        if let Some(key) = plan.key {
            files.write_secret("keys", format!("{key} somebody\n"));
            config += "[keys]\npath = 'keys'\n";
        }
        let cluster = plan.is_cluster.then(|| {
            let engine = start_engine(&files);
            config += &member(&files, "one");
            let other = Setup::new(env!("CARGO_BIN_EXE_aquatic-ws"));
            let config = config_for_all_addresses(OTHER_PORT) + &interval();
            let tracker = other.start_on(host, &(config + &member(&files, "two")));
            Cluster {
                _engine: engine,
                _tracker: tracker,
                _files: other,
            }
        });
        let tracker = files.start_on(host, &config);
        for directory in ["seeder", "leecher"] {
            fs::create_dir(files.path(directory)).expect("make a directory");
        }
        files.write("seeder/payload.bin", payload());
        Some(Self {
            plan,
            network,
            _tracker: tracker,
            _cluster: cluster,
            files,
            _turn: turn,
        })
    }

    /// Starts both clients and returns them, the seeder first, when the file has
    /// been transferred.
    #[track_caller]
    pub(crate) fn run(&self) -> (Process, Process) {
        let seeder = self.start(self.plan.seeder, SEEDER, "seed");
        seeder.wait_for_line("seeding", CLIENT_PATIENCE);
        if self.plan.is_cluster {
            self.ask_other_node();
        }
        let leecher = self.start(self.plan.leecher, LEECHER, "leech");
        leecher.wait_for_line("done", TRANSFER_PATIENCE);
        let original = fs::read(self.files.path("seeder/payload.bin")).expect("the payload");
        let copy = self.files.path("leecher/payload.bin");
        let deadline = Instant::now() + CLIENT_PATIENCE;
        // The last bytes may not be written yet.
        while fs::read(&copy).ok().as_ref() != Some(&original) {
            assert!(Instant::now() < deadline, "the file is not the same");
            thread::sleep(Duration::from_millis(100));
        }
        (seeder, leecher)
    }

    /// Replaces the URL in the torrent file with one of the same length.
    #[track_caller]
    fn ask_other_node(&self) {
        let path = self.files.path("payload.torrent");
        let [from, to] = [TRACKER_PORT, OTHER_PORT].map(|port| format!(":{port}/announce"));
        // A browser announces before it provides the file.
        let mut torrent = eventually("a torrent file", || {
            let torrent = fs::read(&path).ok()?;
            let is_whole = torrent.ends_with(b"e")
                && torrent.windows(from.len()).any(|it| it == from.as_bytes());
            is_whole.then_some(torrent)
        });
        let mut count = 0;
        for start in 0..torrent.len().saturating_sub(from.len()) {
            let place = &mut torrent[start..start + from.len()];
            if place == from.as_bytes() {
                place.copy_from_slice(to.as_bytes());
                count += 1;
            }
        }
        assert!(count > 0, "no URL");
        fs::write(path, torrent).expect("written");
    }

    fn start(&self, client: Client, host: usize, role: &str) -> Process {
        let script = match client {
            Client::Node => "webtorrent_in_node.js",
            Client::Chromium => "webtorrent_in_chromium.js",
        };
        let directory = self.files.path(&format!("{role}er"));
        let mut command = self.script(host, script);
        command.arg(role).arg(self.url());
        command.arg(self.files.path("payload.torrent"));
        command.arg(directory);
        Process::start(&format!("{client:?} to {role}"), &mut command)
    }

    /// Waits until a scrape, from the seeder's host, shows this count.
    #[track_caller]
    pub(crate) fn await_scrape(&self, what: &str, count: u32) {
        let mut ask = self.script(SEEDER, "await_scrape.js");
        ask.arg(self.url()).arg(self.files.path("payload.torrent"));
        ask.args([what, &count.to_string()]);
        let finished = Process::start("await_scrape.js", &mut ask).wait(CLIENT_PATIENCE);
        assert!(
            finished.status.success(),
            "{}{}",
            finished.stdout,
            finished.stderr
        );
    }

    fn script(&self, host: usize, name: &str) -> Command {
        let mut command = script(self.network.host(host), name, self.files.directory());
        if self.plan.scheme == Scheme::Wss {
            command.env("NODE_EXTRA_CA_CERTS", self.files.path("cert.pem"));
        }
        command
    }

    fn url(&self) -> String {
        let host = self.network.host(TRACKER);
        let address: IpAddr = match self.plan.families {
            Families::Both => host.ipv4.into(),
            Families::Ipv6Only => host.ipv6.into(),
        };
        let address = SocketAddr::from((address, TRACKER_PORT));
        let scheme = match self.plan.scheme {
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        };
        let key = self
            .plan
            .key
            .map_or_else(String::new, |key| format!("/{key}"));
        format!("{scheme}://{address}{key}/announce")
    }
}

/// A client announces a forbidden torrent and invalid info hashes, understands each
/// refusal, and continues to use its connection.
#[track_caller]
pub(crate) fn refuse_an_announce() {
    if !clients_are_there() {
        return;
    }
    let files = Setup::new(env!("CARGO_BIN_EXE_aquatic-ws"));
    let network = Network::new(2, Families::Both);
    let refused = "a".repeat(40);
    files.write("denied", &refused);
    let mut config = config_for_all_addresses(TRACKER_PORT);
    config += "[access_list]\nmode = 'deny'\npath = 'denied'\n";
    let _tracker = files.start_on(network.host(TRACKER), &config);
    let address = SocketAddr::from((network.host(TRACKER).ipv4, TRACKER_PORT));
    for (info_hash, reason) in [
        (refused, "torrent is not allowed"),
        // The hash of BitTorrent v2 is longer.
        (
            "a".repeat(64),
            "info_hash must be a string of 20 characters",
        ),
        (
            "a".repeat(38),
            "info_hash must be a string of 20 characters",
        ),
    ] {
        let mut command = script(network.host(1), "refused_announce.js", files.directory());
        command.arg(format!("ws://{address}/announce"));
        command.args([info_hash, "b".repeat(40)]);
        let client = Process::start("refused_announce.js", &mut command).wait(CLIENT_PATIENCE);
        let output = client.stdout;
        assert!(client.status.success(), "{output}{}", client.stderr);
        let line = format!("refused {reason}");
        assert!(output.contains(&line), "{output}");
        assert!(output.contains("scraped 0 0 0"), "{output}");
    }
}

fn config_for_all_addresses(port: u16) -> String {
    format!("[network]\naddress = [\"0.0.0.0:{port}\", \"[::]:{port}\"]\n")
}

fn interval() -> String {
    format!("[protocol]\npeer_announce_interval = {ANNOUNCE_INTERVAL_SECONDS}\n")
}

/// The configuration that makes a tracker a node of the cluster whose engine is in this
/// directory.
fn member(files: &Setup, name: &str) -> String {
    let socket = files.path("engine.sock");
    let url = format!("redis+unix://{}", socket.display());
    format!("[cluster]\nurl = '{url}'\nnode = '{name}'\n")
}

/// A redis-server on a socket in the directory of a tracker.
fn start_engine(files: &Setup) -> Process {
    let mut command = Command::new(tools::find(ENGINE).expect("it is there"));
    command.args(["--port", "0", "--save", ""]);
    command.arg("--dir").arg(files.directory());
    let socket = files.path("engine.sock");
    command.arg("--unixsocket").arg(&socket);
    let process = Process::start(ENGINE, &mut command);
    eventually("the engine's socket", || socket.exists().then_some(()));
    process
}

/// Whether the programs that all tests need are installed; see [`tools::needs`].
#[track_caller]
fn clients_are_there() -> bool {
    let programs = network::PROGRAMS.iter().chain(&["openssl"]);
    let programs: Vec<&str> = programs.copied().collect();
    browser::can_run_scripts(&programs)
}

/// A command that runs a script on `host`, with `home` as its home directory.
fn script(host: &Host, name: &str, home: &Path) -> Command {
    let mut command = host.command("node");
    command.arg(browser::scripts().join(name));
    command.env("HOME", home).current_dir(home);
    command
}
