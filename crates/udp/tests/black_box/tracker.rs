//! A running tracker with loopback ports of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use aquatic_test_harness::prometheus::Samples;
use aquatic_test_harness::{Daemon, PATIENCE, Port, Setup, eventually, http};

use crate::wire::Client;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_aquatic-udp");

/// Everything a tracker is started with, and can be started with again.
pub(crate) struct Place {
    pub(crate) setup: Setup,
    pub(crate) port: Port,
    pub(crate) metrics: Port,
    settings: Vec<(String, String)>,
}

/// A running tracker.
pub(crate) struct Tracker {
    pub(crate) place: Place,
    pub(crate) daemon: Daemon,
}

impl Place {
    pub(crate) fn new() -> Self {
        let port = Port::reserve();
        let metrics = Port::reserve();
        let addresses = format!("[\"{}\", \"{}\"]", port.ipv4(), port.ipv6());
        let mut place = Self {
            setup: Setup::new(PROGRAM),
            port,
            metrics,
            settings: Vec::new(),
        };
        place.set("socket_workers", "1");
        place.set("network.address", &addresses);
        // The system may not grant the default, and says so in the log.
        place.set("network.socket_recv_buffer_size", "0");
        place.set("metrics.address", &format!("\"{}\"", place.metrics.ipv4()));
        place
    }

    /// Gives a key, such as `protocol.max_scrape_torrents`, a value in TOML.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(other, _)| other != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Gives a key the path of a file in the test's directory.
    pub(crate) fn set_path(&mut self, key: &str, name: &str) {
        let path = self.setup.path(name);
        self.set(key, &format!("\"{}\"", path.display()));
    }

    pub(crate) fn config(&self) -> String {
        let lines = self.settings.iter();
        lines
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    }

    #[track_caller]
    pub(crate) fn start(self) -> Tracker {
        let daemon = self.setup.start(&self.config());
        Tracker {
            place: self,
            daemon,
        }
    }

    /// Starts a tracker that is to end by itself; returns its exit code and log.
    #[track_caller]
    pub(crate) fn start_in_vain(&self) -> (Option<i32>, String) {
        let daemon = self.setup.start_unready(&self.config());
        let finished = daemon.wait(PATIENCE);
        (finished.status.code(), finished.stderr)
    }
}

impl Tracker {
    /// A tracker as it is by default.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Place::new().start()
    }

    /// A tracker with some settings.
    #[track_caller]
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let mut place = Place::new();
        for (key, value) in settings {
            place.set(key, value);
        }
        place.start()
    }

    /// Ends it in an orderly way and starts it again in the same place.
    #[track_caller]
    pub(crate) fn restart(self) -> Self {
        self.daemon.stop();
        self.place.start()
    }

    pub(crate) fn ipv4(&self) -> SocketAddr {
        self.place.port.ipv4()
    }

    pub(crate) fn ipv6(&self) -> SocketAddr {
        self.place.port.ipv6()
    }

    /// A connected client at 127.0.0.1.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::new(self.ipv4())
    }

    /// A connected client at `::1`.
    #[track_caller]
    pub(crate) fn client_ipv6(&self) -> Client {
        Client::new(self.ipv6())
    }

    /// A connected client at another address of the loopback network.
    #[track_caller]
    pub(crate) fn client_at(&self, last_byte: u8) -> Client {
        let address = Ipv4Addr::new(127, 0, 0, last_byte);
        Client::at(IpAddr::V4(address), self.ipv4())
    }

    /// The metrics page.
    #[track_caller]
    pub(crate) fn samples(&self) -> Samples {
        let response = http::get(self.place.metrics.ipv4(), "/metrics");
        assert_eq!(response.status, 200);
        Samples::parse(&response.body).unwrap()
    }

    /// The sum of the samples with this name, without prefix, and these labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let name = format!("aquatic_udp_{name}");
        let sum = self.samples().sum(&name, labels);
        sum.unwrap_or_else(|| panic!("there is no metric {name} with {labels:?}"))
    }

    /// Waits until the sum of the samples with this name is `value`.
    #[track_caller]
    pub(crate) fn await_metric(&self, name: &str, value: f64) {
        eventually(&format!("{name} is {value}"), || {
            (self.metric(name, &[]) == value).then_some(())
        });
    }

    /// How many requests were not served for this reason.
    #[track_caller]
    pub(crate) fn unserved(&self, reason: &str) -> f64 {
        self.metric("unserved_requests_total", &[("reason", reason)])
    }
}
