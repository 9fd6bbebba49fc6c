//! An aquatic-udp and an aquatic-http that find each other.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use aquatic_test_harness::eventually;
use aquatic_test_harness::tracker::{Place, Tracker};
use tempfile::TempDir;

use crate::client::{Counts, Url};

/// Keys and values that a daemon is started with, besides its addresses.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// A user's runtime directory, and the programs.
#[derive(Debug)]
pub(crate) struct Site {
    directory: TempDir,
}

/// Two linked daemons.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) udp: Tracker,
    pub(crate) http: Tracker,
    pub(crate) site: Site,
}

impl Site {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for daemon in ["aquatic-udp", "aquatic-http", "aquatic-ws"] {
            let program = env!("CARGO_BIN_EXE_aquatic-daemons");
            symlink(program, directory.path().join(daemon)).expect("a link");
        }
        Self { directory }
    }

    /// `XDG_RUNTIME_DIR`.
    pub(crate) fn runtime(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn socket(&self, daemon: &str) -> PathBuf {
        self.runtime()
            .join("aquatic")
            .join(format!("{daemon}.sock"))
    }

    pub(crate) fn program(&self, daemon: &str) -> PathBuf {
        self.runtime().join(daemon)
    }

    /// What aquatic-udp is started with.
    #[track_caller]
    pub(crate) fn udp(&self) -> Place {
        // The system may not grant the default size, which would be reported in the log.
        self.place("aquatic-udp")
            .with(&[("network.socket_recv_buffer_size", "0")])
    }

    /// What aquatic-http is started with.
    #[track_caller]
    pub(crate) fn http(&self) -> Place {
        self.place("aquatic-http")
    }

    /// What aquatic-ws is started with.
    #[track_caller]
    pub(crate) fn ws(&self) -> Place {
        self.place("aquatic-ws")
    }

    #[track_caller]
    fn place(&self, daemon: &str) -> Place {
        let program = self.program(daemon);
        let mut place = Place::new(program.to_str().expect("UTF-8"));
        place
            .setup
            .set_environment("XDG_RUNTIME_DIR", self.runtime());
        place
    }
}

impl Pair {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(&[], &[])
    }

    /// Starts both, with settings of aquatic-udp and of aquatic-http.
    #[track_caller]
    pub(crate) fn with(udp: Settings<'_>, http: Settings<'_>) -> Self {
        let site = Site::new();
        let pair = Self {
            udp: site.udp().with(udp).start(),
            http: site.http().with(http).start(),
            site,
        };
        pair.await_linked();
        pair
    }

    /// Waits until each knows the other's peers.
    #[track_caller]
    pub(crate) fn await_linked(&self) {
        await_linked(&self.udp);
        await_linked(&self.http);
    }

    /// The URLs at the IPv4 address, that of aquatic-udp first.
    pub(crate) fn ipv4(&self) -> [Url; 2] {
        [Url::Udp(self.udp.ipv4()), Url::Http(self.http.ipv4())]
    }

    /// The URLs at the IPv6 address.
    pub(crate) fn ipv6(&self) -> [Url; 2] {
        [Url::Udp(self.udp.ipv6()), Url::Http(self.http.ipv6())]
    }
}

/// Waits until this one knows the other's peers, and the other reads from it.
#[track_caller]
pub(crate) fn await_linked(tracker: &Tracker) {
    tracker.daemon.wait_for_log("its peers are known here");
    tracker.await_metric("cluster_nodes", &[], 1.0);
    tracker.await_metric("cluster_readers", &[], 1.0);
}

/// Waits until a scrape shows these counts.
#[track_caller]
pub(crate) fn await_counts(url: Url, torrent: char, counts: [u32; 3]) {
    let [seeders, leechers, completed] = counts;
    let expected = Counts {
        seeders,
        leechers,
        completed,
    };
    let mut last = None;
    let what = format!("{torrent} at {url:?}");
    eventually(&what, || {
        let found = url.scrape(torrent);
        if last != Some(found) {
            eprintln!("{what}: {found:?}");
            last = Some(found);
        }
        (found == expected).then_some(())
    });
}
