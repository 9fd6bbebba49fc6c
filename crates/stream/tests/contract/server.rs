//! A server of [`Words`] in this process.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_service::metrics::{Metrics, TextFormat};
use aquatic_service::sockets::{self, Inherited, TcpRequest};
use aquatic_service::tls::{Files, Handle};
use aquatic_service::workers::Standalone;
use aquatic_stream::{
    ConnectionLimits, EventLoop, Plan, Protocol, Running, Settings, WorkerWaker, start,
};
use aquatic_test_harness::certificates::{EC_CERTIFICATE, EC_KEY_SEC1};
use tempfile::TempDir;

use crate::client::Client;
use crate::words::Words;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Every combination of event loop and encryption.
pub(crate) const KINDS: [Kind; 4] = [
    Kind::new(EventLoop::Mio, false),
    Kind::new(EventLoop::Mio, true),
    Kind::new(EventLoop::Glommio, false),
    Kind::new(EventLoop::Glommio, true),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) event_loop: EventLoop,
    pub(crate) is_tls: bool,
}

impl Kind {
    const fn new(event_loop: EventLoop, is_tls: bool) -> Self {
        Self { event_loop, is_tls }
    }
}

/// The options of a server.
pub(crate) struct Wishes {
    pub(crate) settings: Settings,
    pub(crate) workers: usize,
    pub(crate) address: SocketAddr,
}

/// A server that ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) kind: Kind,
    pub(crate) tls: Option<Tls>,
    running: Running,
    workers: Option<Standalone>,
}

/// Certificate and key of a server.
pub(crate) struct Tls {
    pub(crate) handle: Arc<Handle>,
    pub(crate) files: Files,
    _directory: TempDir,
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::with(kind, |_| ())
    }

    pub(crate) fn with(kind: Kind, change: impl FnOnce(&mut Wishes)) -> Self {
        Self::speaking(kind, change, |_, _| Words)
    }

    /// A server of another protocol than [`Words`].
    pub(crate) fn speaking<P: Protocol>(
        kind: Kind,
        change: impl FnOnce(&mut Wishes),
        mut make: impl FnMut(usize, &[WorkerWaker]) -> P,
    ) -> Self {
        let mut wishes = Wishes {
            settings: Settings {
                event_loop: kind.event_loop,
                limits: ConnectionLimits::default(),
                proxy_protocol: None,
                reverse_proxy: None,
            },
            workers: 1,
            address: "127.0.0.1:0".parse().unwrap(),
        };
        change(&mut wishes);
        let tls = kind.is_tls.then(Tls::new);
        let request = TcpRequest {
            addresses: &[wishes.address],
            workers: NonZeroUsize::new(wishes.workers),
            backlog: NonZeroUsize::new(1024).unwrap(),
        };
        let sockets = sockets::tcp(request, &mut Inherited::default()).unwrap();
        let address = sockets[0][0].address;
        let mut workers = Standalone::new();
        let running = start(
            Plan {
                name: "words",
                settings: wishes.settings,
                certificate: tls.as_ref().map(|tls| tls.handle.clone()),
                sockets,
                workers: workers.workers(),
            },
            |number, wakers| Ok(make(number, wakers)),
        )
        .unwrap();
        Self {
            address,
            kind,
            tls,
            running,
            workers: Some(workers),
        }
    }

    /// A client that has connected, and with TLS completed the handshake.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address, self.kind.is_tls)
    }

    /// Asks the workers to end and waits until they have.
    pub(crate) fn stop(&mut self) -> Result<(), Vec<String>> {
        match self.workers.take() {
            Some(workers) => workers.stop(PATIENCE),
            None => Ok(()),
        }
    }

    /// A metric, by its name and the value of its label.
    pub(crate) fn metric(&self, name: &str, label: Option<&str>) -> u64 {
        let mut metrics = Metrics::new("test");
        self.running.add_metrics(&mut metrics);
        let text = metrics.to_text(TextFormat::Prometheus);
        let wanted = |line: &&str| {
            let rest = line
                .strip_prefix("test_")
                .and_then(|it| it.strip_prefix(name));
            rest.is_some_and(|rest| match label {
                None => rest.starts_with(' '),
                Some(label) => rest.starts_with('{') && rest.contains(&format!("\"{label}\"")),
            })
        };
        let line = text.lines().find(wanted).expect(name);
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a metric has this value.
    pub(crate) fn await_metric(&self, name: &str, label: Option<&str>, value: u64) {
        let start = Instant::now();
        while self.metric(name, label) != value {
            assert!(
                start.elapsed() < PATIENCE,
                "{name} {label:?} is {}, not {value} ({:?})",
                self.metric(name, label),
                self.kind
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let result = self.stop();
        if !std::thread::panicking() {
            assert_eq!(result, Ok(()), "{:?}", self.kind);
        }
    }
}

impl Tls {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let files = Files {
            certificate: directory.path().join("certificate.pem"),
            key: directory.path().join("key.pem"),
        };
        fs::write(&files.certificate, EC_CERTIFICATE).unwrap();
        fs::write(&files.key, EC_KEY_SEC1).unwrap();
        Self {
            handle: Arc::new(Handle::new(files.clone()).unwrap()),
            files,
            _directory: directory,
        }
    }
}
