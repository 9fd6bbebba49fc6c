//! What drives the connections: one loop a worker.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use aquatic_service::metrics::Figures;
use aquatic_service::sockets::BoundTcp;
use aquatic_service::workers::Workers;
use rustls::ServerConfig;

use crate::admission::Admission;
use crate::counters::{self, Counters};
use crate::engine::{Engine, Shared};
use crate::{EventLoop, Protocol, Settings};

mod accepting;
mod choice;
mod glommio;
mod mio;

pub use choice::check_event_loop;

/// What is to be started.
pub struct Plan<'a> {
    /// What the workers' names begin with, such as `http`.
    pub name: &'a str,
    /// How connections are treated.
    pub settings: Settings,
    /// How TLS is spoken; `None` for connections in the clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// The listening sockets of each worker, which do not block.
    pub sockets: Vec<Vec<BoundTcp>>,
    /// Where the workers are started.
    pub workers: &'a mut Workers,
}

/// Workers that serve connections.
pub struct Running {
    counters: Arc<[Counters]>,
    event_loop: EventLoop,
}

impl Running {
    /// Which event loop drives the connections; never [`EventLoop::Auto`].
    pub fn event_loop(&self) -> EventLoop {
        self.event_loop
    }

    /// Adds figures about connections, handshakes and bytes.
    pub fn add_figures(&self, figures: &mut Figures) {
        counters::add_figures(&self.counters, figures);
    }
}

/// Starts a worker for each list of sockets, with the protocol that `make`
/// makes for it. To be called when privileges are dropped.
///
/// # Errors
///
/// When the system has no further threads, descriptors or watches, or the event
/// loop that is asked for cannot be had here; the message says what to do.
pub fn start<P: Protocol>(
    plan: Plan<'_>,
    mut make: impl FnMut(usize) -> anyhow::Result<P>,
) -> anyhow::Result<Running> {
    let event_loop = choice::choose(plan.settings.event_loop)?;
    let counters: Arc<[Counters]> = plan.sockets.iter().map(|_| Counters::default()).collect();
    let shared = Arc::new(Shared {
        admission: Admission::new(&plan.settings.limits),
        settings: plan.settings,
        tls: plan.tls,
        counters: Arc::clone(&counters),
    });
    for (number, sockets) in plan.sockets.into_iter().enumerate() {
        let name = format!("{}-{number}", plan.name);
        let protocol = make(number)?;
        let shared = Arc::clone(&shared);
        let engine = move || Engine::new(protocol, shared, number, Instant::now());
        let listeners = sockets.into_iter().map(|bound| bound.socket).collect();
        if event_loop == EventLoop::Glommio {
            // It looks whether it is to stop on every tick of the deadlines.
            plan.workers.spawn(
                name,
                || (),
                move |context| glommio::run(engine(), listeners, context),
            )?;
            continue;
        }
        let (watch, waker) =
            mio::Watch::new(listeners).with_context(|| format!("worker {name} cannot start"))?;
        let wake = move || {
            // It fails only if the worker is gone, and then there is no need.
            let _ = waker.wake();
        };
        plan.workers
            .spawn(name, wake, move |context| watch.run(engine(), &context))?;
    }
    Ok(Running {
        counters,
        event_loop,
    })
}
