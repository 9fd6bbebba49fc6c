//! A running tracker with loopback ports of its own.

use std::net::SocketAddr;

use aquatic_test_harness::certificates::{EC_CERTIFICATE, EC_KEY_PKCS8};
use aquatic_test_harness::prometheus::Samples;
use aquatic_test_harness::{Daemon, Port, Setup, eventually, http};

use crate::wire::Client;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_aquatic-ws");

/// A way to serve connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) event_loop: &'static str,
    pub(crate) is_tls: bool,
}

/// Every way there is.
pub(crate) const KINDS: [Kind; 4] = [
    Kind::new("mio", false),
    Kind::new("mio", true),
    Kind::new("glommio", false),
    Kind::new("glommio", true),
];

/// The way that tests take when it is all the same.
pub(crate) const PLAIN: Kind = Kind::new("auto", false);

impl Kind {
    pub(crate) const fn new(event_loop: &'static str, is_tls: bool) -> Self {
        Self { event_loop, is_tls }
    }
}

/// Everything a tracker is started with, and can be started with again.
pub(crate) struct Place {
    pub(crate) setup: Setup,
    pub(crate) port: Port,
    pub(crate) metrics: Port,
    pub(crate) kind: Kind,
    settings: Vec<(String, String)>,
}

/// A running tracker.
pub(crate) struct Tracker {
    pub(crate) place: Place,
    pub(crate) daemon: Daemon,
}

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        let port = Port::reserve();
        let metrics = Port::reserve();
        let addresses = format!("[\"{}\", \"{}\"]", port.ipv4(), port.ipv6());
        let mut place = Self {
            setup: Setup::new(PROGRAM),
            port,
            metrics,
            kind,
            settings: Vec::new(),
        };
        place.set("socket_workers", "1");
        place.set("network.address", &addresses);
        place.set("network.event_loop", &format!("\"{}\"", kind.event_loop));
        place.set("metrics.address", &format!("\"{}\"", place.metrics.ipv4()));
        if kind.is_tls {
            place.set("network.enable_tls", "true");
            place.setup.write("cert.pem", EC_CERTIFICATE);
            place.setup.write("key.pem", EC_KEY_PKCS8);
            place.set_path("network.tls_certificate_path", "cert.pem");
            place.set_path("network.tls_private_key_path", "key.pem");
        }
        place
    }

    /// Gives a key, such as `protocol.max_offers`, a value in TOML.
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
}

impl Tracker {
    #[track_caller]
    pub(crate) fn start(kind: Kind) -> Self {
        Place::new(kind).start()
    }

    /// A tracker with some settings.
    #[track_caller]
    pub(crate) fn with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut place = Place::new(kind);
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

    /// A connection from 127.0.0.1 on which nothing was said.
    #[track_caller]
    pub(crate) fn raw(&self) -> Client {
        Client::connect(self.ipv4(), self.place.kind.is_tls)
    }

    /// A connection from 127.0.0.1 that carries frames.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        let mut client = self.raw();
        client.upgrade();
        client
    }

    /// A connection from `::1` that carries frames.
    #[track_caller]
    pub(crate) fn client_ipv6(&self) -> Client {
        let mut client = Client::connect(self.place.port.ipv6(), self.place.kind.is_tls);
        client.upgrade();
        client
    }

    /// The sum of the samples with this name, without prefix, and these labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let response = http::get(self.place.metrics.ipv4(), "/metrics");
        assert_eq!(response.status, 200);
        let name = format!("aquatic_ws_{name}");
        let sum = Samples::parse(&response.body).unwrap().sum(&name, labels);
        sum.unwrap_or_else(|| panic!("there is no metric {name} with {labels:?}"))
    }

    /// Waits until the sum of the samples with this name is `value`.
    #[track_caller]
    pub(crate) fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        eventually(&format!("{name} is {value}"), || {
            (self.metric(name, labels) == value).then_some(())
        });
    }

    /// How many requests were not served for this reason.
    #[track_caller]
    pub(crate) fn unserved(&self, reason: &str) -> f64 {
        self.metric("unserved_requests_total", &[("reason", reason)])
    }
}
