//! What drives the connections: one event loop per worker.

use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquatic_service::metrics::{Certificate, Metrics};
use aquatic_service::reload::{Apply, Failure};
use aquatic_service::sockets::BoundTcp;
use aquatic_service::tls::{Files, Handle};
use aquatic_service::workers::Workers;
use aquatic_service::{Replaceable, secret};

use crate::admission::Admission;
use crate::counters::{self, Counters};
use crate::descriptors::{Demand, Descriptors};
use crate::engine::{Engine, Shared};
use crate::{EventLoop, Protocol, Settings, WorkerWaker, tls_config};

mod accepting;
mod choice;
#[cfg(feature = "glommio")]
mod glommio;
#[cfg(not(feature = "glommio"))]
#[path = "event_loop/without_glommio.rs"]
mod glommio;
mod mio;

pub use choice::check_event_loop;

/// The limit of locked memory that glommio requires.
pub(crate) const MEMLOCK_BYTES: u64 = 512 << 10;

/// How often connections are driven when the process is about to end.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// How long to wait until workers have started their event loops. It is no error if one
/// takes longer.
const MAX_START_TIME: Duration = Duration::from_secs(10);

/// What is to be started.
pub struct Plan<'a> {
    /// The prefix of the workers' names, such as `http`.
    pub name: &'a str,
    /// The settings of the connections.
    pub settings: Settings,
    /// The certificate; `None` for connections without TLS.
    pub certificate: Option<Arc<Handle>>,
    /// The listening sockets of each worker, which do not block.
    pub sockets: Vec<Vec<BoundTcp>>,
    /// Where the workers are started.
    pub workers: &'a mut Workers,
}

/// Workers that serve connections.
pub struct Running {
    shared: Arc<Shared>,
    descriptors: Descriptors,
}

impl Running {
    /// Warns once a day about a certificate that has expired, or expires soon. To be called
    /// periodically.
    pub fn watch_certificate(&self) {
        if let Some(certificate) = &self.shared.rotation {
            certificate.watch();
        }
    }

    /// The certificates, for the status page.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.shared
            .rotation
            .iter()
            .map(|it| it.overview())
            .collect()
    }

    /// Adds metrics about connections, handshakes, bytes and the certificate.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        counters::add_metrics(&self.shared.counters, metrics);
        if let Some(certificate) = &self.shared.rotation {
            certificate.add_metrics(metrics);
        }
    }

    /// Reads the certificate again, if there is one, and returns a function that puts it and
    /// the settings into effect. Open connections stay open, and deadlines that are set
    /// already stay as they are. The event loop, and whether TLS is used, cannot be changed.
    ///
    /// # Errors
    ///
    /// If the certificate cannot be used.
    pub fn reload(&self, mut settings: Settings, files: Option<&Files>) -> Result<Apply, Failure> {
        let certificate = self.shared.rotation.as_ref().zip(files);
        let certificate = certificate.map(|(handle, files)| handle.read(files));
        let certificate = certificate.transpose()?;
        let (shared, descriptors) = (Arc::clone(&self.shared), self.descriptors);
        Ok(Box::new(move || {
            let max = &mut settings.limits.max_connections;
            // The start has succeeded with the same number of other descriptors.
            *max = descriptors.admitted(*max).unwrap_or(*max);
            shared.reload(settings);
            if let Some(apply) = certificate {
                apply();
            }
        }))
    }
}

/// Starts a worker for each list of sockets. `make` makes its protocol, from its number
/// and the wakers of all workers. To be called when privileges are dropped.
///
/// # Errors
///
/// When the system lacks threads, descriptors or watches, or the configured event loop is
/// not available; the message says what to do.
pub fn start<P: Protocol>(
    plan: Plan<'_>,
    mut make: impl FnMut(usize, &[WorkerWaker]) -> anyhow::Result<P>,
) -> anyhow::Result<Running> {
    let mut settings = plan.settings;
    let demand = Demand {
        event_loop: settings.event_loop,
        workers: plan.sockets.len(),
        listeners: plan.sockets.iter().map(Vec::len).sum(),
    };
    let max = &mut settings.limits.max_connections;
    let descriptors = Descriptors::at_start(&demand);
    *max = descriptors.admitted(*max)?;
    let event_loop = choice::choose(settings.event_loop)?;
    let counters: Arc<[Counters]> = plan.sockets.iter().map(|_| Counters::default()).collect();
    let shared = Arc::new(Shared {
        admission: Admission::new(&settings.limits, secret()?),
        settings: Replaceable::new(settings),
        tls: plan.certificate.clone().map(tls_config).transpose()?,
        rotation: plan.certificate,
        counters,
    });
    let mut starting = Vec::with_capacity(plan.sockets.len());
    let mut wakers = Vec::with_capacity(plan.sockets.len());
    for (number, sockets) in plan.sockets.into_iter().enumerate() {
        let name = format!("{}-{number}", plan.name);
        let listeners = sockets.into_iter().map(|bound| bound.socket).collect();
        let (wait, waker) = if event_loop == EventLoop::Glommio {
            (Wait::Glommio(listeners), WorkerWaker::of_task())
        } else {
            let (watch, waker) = mio::Watch::new(listeners)
                .with_context(|| format!("worker {name} cannot start"))?;
            (Wait::Mio(watch), WorkerWaker::of_mio(waker))
        };
        starting.push((name, wait));
        wakers.push(waker);
    }
    let (started, starts) = mpsc::channel();
    for (number, (name, wait)) in starting.into_iter().enumerate() {
        let protocol = make(number, &wakers)?;
        let shared = Arc::clone(&shared);
        let engine = move || Engine::new(protocol, shared, number, Instant::now());
        let waker = wakers[number].clone();
        match wait {
            // It checks whether it is to stop on every tick of the deadlines.
            Wait::Glommio(listeners) => {
                let started = started.clone();
                plan.workers.spawn(
                    name,
                    || (),
                    move |context| glommio::run(engine(), listeners, &waker, context, started),
                )?;
            }
            Wait::Mio(watch) => plan.workers.spawn(
                name,
                move || waker.wake(),
                move |context| watch.run(engine(), &context),
            )?,
        }
    }
    drop(started);
    // If one has no event loop, the daemon does not become ready.
    while let Ok(result) = starts.recv_timeout(MAX_START_TIME) {
        result?;
    }
    Ok(Running {
        shared,
        descriptors,
    })
}

/// The parts of a worker's event loop.
enum Wait {
    Glommio(Vec<TcpListener>),
    Mio(mio::Watch),
}
