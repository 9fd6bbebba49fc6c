//! Real BitTorrent clients find each other through the tracker, and through
//! nothing else, and transfer a file.
//!
//! Each test is a network of three hosts: the tracker, a seeder with one client,
//! a leecher with another. The torrent is private and the clients' own ways to
//! find peers are off, so without the tracker no byte is transferred.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

mod clients;

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::network::{self, Families};
use aquatic_test_harness::{Daemon, Network, Process, Setup, Signal, tools};

use clients::{Client, PYTHON};

/// Port of the tracker, on a host that has nothing else.
const TRACKER_PORT: u16 = 3000;

/// Size of what is transferred: several pieces, and a last one that is shorter.
const PAYLOAD_BYTES: u64 = 3_000_001;

/// How long a client may take to say something. Transmission scrapes seconds
/// after it has started.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// How long a transfer may take. Transmission looks only every ten seconds whom
/// to upload to.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(60);

const TRACKER: usize = 0;
const SEEDER: usize = 1;
const LEECHER: usize = 2;

#[test]
fn transmission_gets_a_file_from_libtorrent() {
    let Some(test) = Transfer::prepare(Client::Libtorrent, Client::Transmission, Families::Both)
    else {
        return;
    };
    let (seeder, leecher) = test.run();
    seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
    leecher.wait_for_line("Scrape successful", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    test.await_scrape("seeders", 2);
    // It tells the tracker that it stops.
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 1);
}

#[test]
fn aria2_gets_a_file_from_transmission() {
    let Some(test) = Transfer::prepare(Client::Transmission, Client::Aria2, Families::Both) else {
        return;
    };
    // aria2 has no scrape.
    let (seeder, _leecher) = test.run();
    seeder.wait_for_line("Scrape successful", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    test.await_scrape("seeders", 2);
    seeder.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 1);
}

#[test]
fn libtorrent_gets_a_file_from_aria2() {
    let Some(test) = Transfer::prepare(Client::Aria2, Client::Libtorrent, Families::Both) else {
        return;
    };
    let (_seeder, leecher) = test.run();
    leecher.wait_for_line("scrape_reply", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    test.await_scrape("seeders", 2);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 1);
}

#[test]
fn libtorrent_gets_a_file_where_there_is_only_ipv6() {
    let Some(test) = Transfer::prepare(Client::Libtorrent, Client::Libtorrent, Families::Ipv6Only)
    else {
        return;
    };
    let (seeder, leecher) = test.run();
    seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    seeder.signal(Signal::SIGTERM);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 0);
}

/// A network with a running tracker, and a torrent that names it.
struct Transfer {
    seeder: Client,
    leecher: Client,
    families: Families,
    network: Network,
    _tracker: Daemon,
    files: Setup,
    torrent: PathBuf,
    info_hash: String,
}

impl Transfer {
    /// None when a program is missing, and the test may be skipped for that.
    fn prepare(seeder: Client, leecher: Client, families: Families) -> Option<Self> {
        let needed = network::PROGRAMS.iter().chain(&clients::TORRENT_TOOLS);
        let needed: Vec<&str> = needed.copied().collect();
        let clients_are_there = seeder.is_there() && leecher.is_there();
        if !clients_are_there || !tools::needs(&needed) {
            return None;
        }
        let files = Setup::new(env!("CARGO_BIN_EXE_aquatic-udp"));
        let network = Network::new(3, families);
        let config =
            format!("[network]\naddress = [\"0.0.0.0:{TRACKER_PORT}\", \"[::]:{TRACKER_PORT}\"]\n");
        let tracker = files.start_on(network.host(TRACKER), &config);
        for directory in ["seeder", "leecher"] {
            fs::create_dir(files.path(directory)).unwrap();
        }
        files.write("seeder/payload.bin", random_bytes());
        let mut test = Self {
            seeder,
            leecher,
            families,
            network,
            _tracker: tracker,
            torrent: files.path("payload.torrent"),
            info_hash: String::new(),
            files,
        };
        test.info_hash = test.make_torrent();
        Some(test)
    }

    /// Starts both clients and returns them when the file has been transferred.
    fn run(&self) -> (Process, Process) {
        let seeder = self.start(self.seeder, SEEDER, "seeder");
        self.await_scrape("seeders", 1);
        let leecher = self.start(self.leecher, LEECHER, "leecher");
        let original = fs::read(self.files.path("seeder/payload.bin")).unwrap();
        let copy = self.files.path("leecher/payload.bin");
        let deadline = Instant::now() + TRANSFER_PATIENCE;
        while fs::read(&copy).ok().as_ref() != Some(&original) {
            assert!(
                Instant::now() < deadline,
                "the file was not transferred within {} s",
                TRANSFER_PATIENCE.as_secs()
            );
            thread::sleep(Duration::from_millis(100));
        }
        (seeder, leecher)
    }

    fn start(&self, client: Client, host: usize, directory: &str) -> Process {
        let host = self.network.host(host);
        client.start(
            host,
            &self.torrent,
            &self.files.path(directory),
            self.files.directory(),
        )
    }

    /// Makes the torrent with Transmission's tool and returns its info hash. The
    /// path in the URL makes libtorrent send BEP 41 options.
    fn make_torrent(&self) -> String {
        let url = format!("udp://{}/announce", self.tracker_host_and_port());
        let mut create = Command::new("transmission-create");
        create.arg("--private").arg("--tracker").arg(url);
        create.arg("--outfile").arg(&self.torrent);
        create.arg(self.files.path("seeder/payload.bin"));
        output(&mut create);
        let shown = output(Command::new("transmission-show").arg(&self.torrent));
        let hash = shown
            .lines()
            .find_map(|line| line.trim().strip_prefix("Hash: "));
        hash.expect("the tool shows the info hash").to_owned()
    }

    /// Waits until a scrape, from the seeder's host, shows this count.
    fn await_scrape(&self, what: &str, count: u32) {
        let address = self.tracker_address().to_string();
        let mut ask = self.network.host(SEEDER).command(PYTHON);
        ask.arg(clients::script("await_scrape.py"));
        ask.args([&address, &TRACKER_PORT.to_string(), &self.info_hash]);
        ask.args([what, &count.to_string()]);
        let finished = Process::start("await_scrape.py", &mut ask).wait(CLIENT_PATIENCE);
        assert!(
            finished.status.success(),
            "{}{}",
            finished.stdout,
            finished.stderr
        );
    }

    fn tracker_address(&self) -> IpAddr {
        let host = self.network.host(TRACKER);
        match self.families {
            Families::Both => host.ipv4.into(),
            Families::Ipv6Only => host.ipv6.into(),
        }
    }

    fn tracker_host_and_port(&self) -> String {
        SocketAddr::from((self.tracker_address(), TRACKER_PORT)).to_string()
    }
}

fn random_bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    let source = fs::File::open("/dev/urandom").unwrap();
    source.take(PAYLOAD_BYTES).read_to_end(&mut bytes).unwrap();
    bytes
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
