//! BitTorrent clients: how each is started, in the foreground, logging to its
//! output, with every way of finding peers off but the tracker.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::network::Host;
use crate::{Process, tools};

/// Debian's own Python, for which Debian's python3-libtorrent is installed.
pub const PYTHON: &str = "/usr/bin/python3";

/// Programs that make and show torrents.
pub const TORRENT_TOOLS: [&str; 3] = [PYTHON, "transmission-create", "transmission-show"];

/// Port on which every client waits for peers.
pub(crate) const PEER_PORT: u16 = 6881;

/// A BitTorrent client.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// aria2c.
    Aria2,
    /// A short Python script that uses libtorrent.
    Libtorrent,
    /// transmission-daemon.
    Transmission,
}

impl Client {
    /// Whether it is installed; see [`tools::needs`].
    pub fn is_there(self) -> bool {
        match self {
            Self::Aria2 => tools::needs(&["aria2c"]),
            Self::Libtorrent => tools::needs_success(
                "python3-libtorrent",
                Command::new(PYTHON).args(["-c", "import libtorrent"]),
            ),
            Self::Transmission => tools::needs(&["transmission-daemon"]),
        }
    }

    /// Starts the client on `host`, to download `torrent` into `directory` or to seed its
    /// files. It may keep other files in `scratch`, and trusts only certificates of
    /// `authority`, a PEM file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(
        self,
        host: &Host,
        torrent: &Path,
        directory: &Path,
        scratch: &Path,
        authority: Option<&Path>,
    ) -> Process {
        let role = directory.file_name().unwrap_or_default().to_string_lossy();
        let own = scratch.join(format!("{role}-state"));
        fs::create_dir(&own).expect("make the directory of a client");
        let mut command = match self {
            Self::Aria2 => aria2(host, torrent, directory, &own),
            Self::Libtorrent => libtorrent(host, torrent, directory),
            Self::Transmission => transmission(host, torrent, directory, &own),
        };
        if let Some(authority) = authority {
            // The first is read by OpenSSL in libtorrent, the second by Transmission.
            command.env("SSL_CERT_FILE", authority);
            command.env("CURL_CA_BUNDLE", authority);
            command.env("TR_CURL_SSL_VERIFY", "1");
            if matches!(self, Self::Aria2) {
                let mut option = OsString::from("--ca-certificate=");
                option.push(authority);
                command.arg(option);
            }
        }
        // Clients look for their settings in the home directory, and must find none.
        command.env("HOME", &own).current_dir(&own);
        Process::start(&format!("{self:?} as {role}"), &mut command)
    }
}

/// One of the scripts of this crate.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

fn libtorrent(host: &Host, torrent: &Path, directory: &Path) -> Command {
    let mut command = host.command(PYTHON);
    command.arg(script("libtorrent_client.py"));
    command.arg(torrent).arg(directory);
    // Without the loopback addresses: libtorrent 2.0 would also announce from them, and
    // has sometimes exited when that failed.
    command.arg(format!(
        "{}:{PEER_PORT},[{}]:{PEER_PORT}",
        host.ipv4, host.ipv6
    ));
    command
}

fn transmission(host: &Host, torrent: &Path, directory: &Path, own: &Path) -> Command {
    let watched = own.join("watched");
    fs::create_dir(&watched).expect("make a directory to watch");
    fs::copy(torrent, watched.join("payload.torrent")).expect("copy the torrent");
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
    // aria2 uses UDP trackers only if DHT is enabled. It knows no DHT node, and uses none
    // for a private torrent, so DHT finds no peer.
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
