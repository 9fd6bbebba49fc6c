//! A tracker with loopback ports of its own, from the settings that it is started
//! with to the metrics that it shows.

use std::net::SocketAddr;

use crate::certificates::{EC_CERTIFICATE, EC_KEY_PKCS8};
use crate::manual;
use crate::prometheus::Samples;
use crate::setup::SocketKind;
use crate::{Daemon, PATIENCE, Port, Setup, eventually, http};

/// A way to serve connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `network.event_loop`.
    pub event_loop: &'static str,
    /// Whether connections are encrypted.
    pub is_tls: bool,
}

/// All kinds.
pub const KINDS: [Kind; 4] = [
    Kind::new("mio", false),
    Kind::new("mio", true),
    Kind::new("glommio", false),
    Kind::new("glommio", true),
];

/// The kind for tests that do not depend on it.
pub const PLAIN: Kind = Kind::new("auto", false);

/// Like [`PLAIN`], with TLS.
pub const TLS: Kind = Kind::new("auto", true);

impl Kind {
    /// A kind with these two properties.
    #[must_use]
    pub const fn new(event_loop: &'static str, is_tls: bool) -> Self {
        Self { event_loop, is_tls }
    }
}

/// The files, ports and settings with which a tracker is started, also repeatedly.
#[derive(Debug)]
pub struct Place {
    /// The binary and the test's directory.
    pub setup: Setup,
    /// The port on which it listens, on both loopback addresses.
    pub port: Port,
    /// The port of its metrics, at 127.0.0.1.
    pub metrics: Port,
    /// Whether connections are encrypted.
    pub is_tls: bool,
    settings: Vec<(String, String)>,
}

/// A running tracker.
#[derive(Debug)]
pub struct Tracker {
    /// The files, ports and settings with which it was started.
    pub place: Place,
    /// The process.
    pub daemon: Daemon,
}

impl Place {
    /// A place for the binary at `program`, with one worker.
    ///
    /// # Panics
    /// When no directory can be created, or no port is free.
    #[must_use]
    #[track_caller]
    pub fn new(program: &str) -> Self {
        let port = Port::reserve();
        let metrics = Port::reserve();
        let addresses = format!("[\"{}\", \"{}\"]", port.ipv4(), port.ipv6());
        let mut place = Self {
            setup: Setup::new(program),
            port,
            metrics,
            is_tls: false,
            settings: Vec::new(),
        };
        place.set("socket_workers", "1");
        place.set("network.address", &addresses);
        place.set("metrics.address", &format!("\"{}\"", place.metrics.ipv4()));
        place
    }

    /// A place for a binary that serves connections, of this kind.
    ///
    /// # Panics
    /// When no directory can be created, or no port is free.
    #[must_use]
    #[track_caller]
    pub fn of_kind(program: &str, kind: Kind) -> Self {
        let mut place = Self::new(program);
        place.set("network.event_loop", &format!("\"{}\"", kind.event_loop));
        if kind.is_tls {
            place.is_tls = true;
            place.set("network.enable_tls", "true");
            place.setup.write("cert.pem", EC_CERTIFICATE);
            place.setup.write("key.pem", EC_KEY_PKCS8);
            place.set_path("network.tls_certificate_path", "cert.pem");
            place.set_path("network.tls_private_key_path", "key.pem");
        }
        place
    }

    /// Sets a key, such as `protocol.max_response_peers`, to a value in TOML.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(other, _)| other != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Sets a key to the path of a file in the test's directory.
    pub fn set_path(&mut self, key: &str, name: &str) {
        let path = self.setup.path(name);
        self.set(key, &format!("\"{}\"", path.display()));
    }

    /// Sets a key to the paths of files or directories in the test's directory.
    pub fn set_paths(&mut self, key: &str, names: &[&str]) {
        let paths = names.iter().map(|name| self.setup.path(name));
        let paths: Vec<String> = paths
            .map(|path| format!("\"{}\"", path.display()))
            .collect();
        self.set(key, &format!("[{}]", paths.join(", ")));
    }

    /// The same place, configured so that all metrics are there, except those of
    /// clusters.
    #[must_use]
    pub fn with_all_metrics(mut self) -> Self {
        self.setup.write("list", "");
        self.set_path("access_list.path", "list");
        self.set_path("snapshot.path", "snapshot");
        self.with(&[
            ("access_list.mode", "\"deny\""),
            ("snapshot.interval_seconds", "1"),
            ("metrics.peer_clients", "true"),
            ("metrics.peer_id_prefixes", "true"),
        ])
    }

    /// The same place with some settings.
    #[must_use]
    pub fn with(mut self, settings: &[(&str, &str)]) -> Self {
        for (key, value) in settings {
            self.set(key, value);
        }
        self
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> String {
        let lines = self.settings.iter();
        lines
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    }

    /// Starts the tracker and waits until it is ready.
    ///
    /// # Panics
    /// When that does not happen in time.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Tracker {
        let daemon = self.setup.start(&self.config());
        Tracker {
            place: self,
            daemon,
        }
    }

    /// A tracker behind `systemd-socket-activate`, which starts it when the first data
    /// arrive; see [`Setup::start_activated`].
    ///
    /// # Panics
    /// When its sockets cannot be bound.
    #[must_use]
    #[track_caller]
    pub fn start_activated(self, kind: SocketKind, names: Option<&str>) -> Tracker {
        let sockets = [self.port.ipv4(), self.port.ipv6()];
        let config = self.config();
        let daemon = self.setup.start_activated(kind, &sockets, names, &config);
        Tracker {
            place: self,
            daemon,
        }
    }

    /// Starts a tracker and waits until it ends by itself; returns its exit code and log.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    #[track_caller]
    pub fn start_in_vain(&self) -> (Option<i32>, String) {
        let daemon = self.setup.start_unready(&self.config());
        let finished = daemon.wait(PATIENCE);
        (finished.status.code(), finished.stderr)
    }
}

impl Tracker {
    /// Stops the tracker and starts it again in the same place.
    ///
    /// # Panics
    /// When it does not end, or does not start.
    #[must_use]
    #[track_caller]
    pub fn restart(self) -> Self {
        self.daemon.stop();
        self.place.start()
    }

    /// The address at which it listens on 127.0.0.1.
    #[must_use]
    pub fn ipv4(&self) -> SocketAddr {
        self.place.port.ipv4()
    }

    /// The address at which it listens on `::1`.
    #[must_use]
    pub fn ipv6(&self) -> SocketAddr {
        self.place.port.ipv6()
    }

    /// The metrics page.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn samples(&self) -> Samples {
        let response = http::get(self.place.metrics.ipv4(), "/metrics");
        assert_eq!(response.status, 200);
        Samples::parse(&response.body).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The sum of the samples with this name, without prefix, and these labels.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let name = format!("{}_{name}", self.place.setup.name().replace('-', "_"));
        let sum = self.samples().sum(&name, labels);
        sum.unwrap_or_else(|| panic!("there is no metric {name} with {labels:?}"))
    }

    /// Waits until the sum of the samples with this name is `value`.
    ///
    /// # Panics
    /// When that does not happen in time.
    #[track_caller]
    pub fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        eventually(&format!("{name} is {value}"), || {
            (self.metric(name, labels) == value).then_some(())
        });
    }

    /// Compares the metrics with those that the manual describes. Metrics for whose name
    /// `may_lack` returns true may be missing from the page.
    ///
    /// # Panics
    /// When a metric is not described, has another kind or other labels, or is missing.
    #[track_caller]
    pub fn compare_with_manual(&self, may_lack: impl Fn(&str) -> bool) {
        let described = manual::metrics(&self.place.setup.name());
        let samples = self.samples();
        let found = samples.families();
        for (name, (kind, labels)) in &found {
            let Some(metric) = described.get(*name) else {
                panic!("the manual lacks {name}");
            };
            assert_eq!(*kind, metric.kind, "{name}");
            let expected = metric.labels.iter().map(String::as_str).collect();
            assert_eq!(*labels, expected, "{name}");
        }
        for name in described.keys() {
            let is_there = found.contains_key(name.as_str()) || may_lack(name);
            assert!(is_there, "{name} is in the manual alone");
        }
    }

    /// Waits until there is a metric with this name.
    ///
    /// # Panics
    /// When there is none in time.
    #[track_caller]
    pub fn await_there(&self, name: &str) {
        let name = format!("{}_{name}", self.place.setup.name().replace('-', "_"));
        eventually(&format!("there is {name}"), || {
            self.samples().sum(&name, &[]).map(drop)
        });
    }

    /// How many requests were rejected for this reason.
    ///
    /// # Panics
    /// When there is no such metric.
    #[must_use]
    #[track_caller]
    pub fn rejected(&self, reason: &str) -> f64 {
        self.metric("rejected_requests_total", &[("reason", reason)])
    }
}
