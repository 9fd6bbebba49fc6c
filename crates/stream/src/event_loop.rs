//! What drives the connections: one loop a worker.

use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquatic_service::metrics::Figures;
use aquatic_service::sockets::BoundTcp;
use aquatic_service::workers::Workers;
use rustls::ServerConfig;

use crate::admission::Admission;
use crate::counters::{self, Counters};
use crate::descriptors::{self, Demand};
use crate::engine::{Engine, Shared};
use crate::{WorkerWaker, EventLoop, Protocol, Renewal, Settings};

mod accepting;
mod choice;
#[cfg(feature = "glommio")]
mod glommio;
#[cfg(not(feature = "glommio"))]
#[path = "event_loop/without_glommio.rs"]
mod glommio;
mod mio;

pub use choice::check_event_loop;

/// How often connections that have something to finish are looked at when the
/// process is about to end.
const DRAINING_TURN: Duration = Duration::from_millis(50);

/// How long to wait for workers to be able to wait for something. That they are not
/// in this time is no fault; they may be able to later.
const LONGEST_START: Duration = Duration::from_secs(10);

/// What is to be started.
pub struct Plan<'a> {
    /// What the workers' names begin with, such as `http`.
    pub name: &'a str,
    /// How connections are treated.
    pub settings: Settings,
    /// How TLS is spoken; `None` for connections in the clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// What closes connections when the certificate was exchanged; `None` to
    /// let them be.
    pub renewal: Option<Renewal>,
    /// The listening sockets of each worker, which do not block.
    pub sockets: Vec<Vec<BoundTcp>>,
    /// Where the workers are started.
    pub workers: &'a mut Workers,
}

/// Workers that serve connections.
pub struct Running {
    counters: Arc<[Counters]>,
}

impl Running {
    /// Adds figures about connections, handshakes and bytes.
    pub fn add_figures(&self, figures: &mut Figures) {
        counters::add_figures(&self.counters, figures);
    }
}

/// Starts a worker for each list of sockets, with the protocol that `make`
/// makes for it, of its number and the wakers of all workers. To be called when
/// privileges are dropped.
///
/// # Errors
///
/// When the system has no further threads, descriptors or watches, or allows too few
/// of them, or the event loop that is asked for cannot be had here; the message says
/// what to do.
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
    let most = &mut settings.limits.max_connections;
    *most = descriptors::admitted(&demand, *most)?;
    let event_loop = choice::choose(settings.event_loop)?;
    let counters: Arc<[Counters]> = plan.sockets.iter().map(|_| Counters::default()).collect();
    let shared = Arc::new(Shared {
        admission: Admission::new(&settings.limits),
        settings,
        tls: plan.tls,
        renewal: plan.renewal,
        counters: Arc::clone(&counters),
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
            // It looks whether it is to stop on every tick of the deadlines.
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
    // One that cannot wait for anything is no reason to be ready and then to end.
    while let Ok(result) = starts.recv_timeout(LONGEST_START) {
        result?;
    }
    Ok(Running { counters })
}

/// What a worker will wait with.
enum Wait {
    Glommio(Vec<TcpListener>),
    Mio(mio::Watch),
}
