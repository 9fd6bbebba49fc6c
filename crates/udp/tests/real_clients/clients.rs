//! How each client is started: in the foreground, logging to its output, with
//! every way of finding peers off but the tracker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aquatic_test_harness::network::Host;
use aquatic_test_harness::{Process, tools};

/// Debian's own Python, because python3-libtorrent is a module of that one.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Programs with which torrents are made and shown.
pub(crate) const TORRENT_TOOLS: [&str; 3] = [PYTHON, "transmission-create", "transmission-show"];

/// Port on which every client waits for peers.
const PEER_PORT: u16 = 6881;

/// A BitTorrent client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    Aria2,
    Libtorrent,
    Transmission,
}

impl Client {
    /// Whether it is installed; see [`tools::needs`].
    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::Aria2 => tools::needs(&["aria2c"]),
            Self::Libtorrent => tools::needs_success(
                "python3-libtorrent",
                Command::new(PYTHON).args(["-c", "import libtorrent"]),
            ),
            Self::Transmission => tools::needs(&["transmission-daemon"]),
        }
    }

    /// Starts it on `host`, to download `torrent` into `directory` or to seed
    /// what is there. It may keep files of its own under `scratch`.
    pub(crate) fn start(
        self,
        host: &Host,
        torrent: &Path,
        directory: &Path,
        scratch: &Path,
    ) -> Process {
        let role = directory.file_name().unwrap().to_string_lossy();
        let own = scratch.join(format!("{role}-state"));
        fs::create_dir(&own).unwrap();
        let mut command = match self {
            Self::Aria2 => aria2(host, torrent, directory, &own),
            Self::Libtorrent => libtorrent(host, torrent, directory),
            Self::Transmission => transmission(host, torrent, directory, &own),
        };
        // Clients look for their settings at home, and must find none.
        command.env("HOME", &own).current_dir(&own);
        Process::start(&format!("{self:?} as {role}"), &mut command)
    }
}

/// A file next to this one.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/real_clients")
        .join(name)
}

fn libtorrent(host: &Host, torrent: &Path, directory: &Path) -> Command {
    let mut command = host.command(PYTHON);
    command.arg(script("libtorrent_client.py"));
    command.arg(torrent).arg(directory);
    command.arg(format!("0.0.0.0:{PEER_PORT},[::]:{PEER_PORT}"));
    command
}

fn transmission(host: &Host, torrent: &Path, directory: &Path, own: &Path) -> Command {
    let watched = own.join("watched");
    fs::create_dir(&watched).unwrap();
    fs::copy(torrent, watched.join("payload.torrent")).unwrap();
    let mut command = host.command("transmission-daemon");
    command.arg("--foreground").arg("--log-debug");
    command.args(["--no-dht", "--no-lpd", "--no-portmap", "--no-utp"]);
    command.args(["--peerport", &PEER_PORT.to_string()]);
    command.arg("--config-dir").arg(own);
    command.arg("--watch-dir").arg(watched);
    command.arg("--download-dir").arg(directory);
    command
}

fn aria2(host: &Host, torrent: &Path, directory: &Path, own: &Path) -> Command {
    let mut command = host.command("aria2c");
    // aria2 speaks to UDP trackers only where DHT is on. It knows no DHT node
    // and uses none for a private torrent, so this finds no peer.
    command.arg("--enable-dht=true");
    command.arg(format!("--dht-listen-port={}", PEER_PORT + 1));
    command.arg(format!("--dht-file-path={}", own.join("dht.dat").display()));
    command.args(["--bt-enable-lpd=false", "--enable-peer-exchange=false"]);
    command.args(["--no-conf", "--check-integrity=true", "--seed-ratio=0"]);
    command.args([
        "--log=-",
        "--log-level=info",
        "--show-console-readout=false",
    ]);
    command.arg(format!("--listen-port={PEER_PORT}"));
    command.arg(format!("--dir={}", directory.display()));
    command.arg(torrent);
    command
}
