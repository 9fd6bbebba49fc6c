//! The event loop on glommio (io_uring): a task for each connection that has to wait.
//!
//! As with mio, a connection is read from and answered right after it was accepted. If all
//! were accepted first, those that their clients have already closed would count towards
//! the limits until the ring has answered.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::net::{self, SocketAddr};
use std::panic;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::bail;
use aquatic_service::workers;
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement};

use super::DRAIN_INTERVAL;
use super::accepting::{ACCEPTS_PER_TURN, Accepting, LAST_ACCEPTS, PAUSE};
use crate::counters::Refusal;
use crate::deadlines::TICK;
use crate::engine::{Engine, LATE_PER_TURN, LoopAction, Transport};
use crate::{ConnectionId, ConnectionMap, Protocol, WorkerWaker};

mod adopt;
mod availability;

pub(super) use availability::check;

/// Number of entries of the rings. From it, the kernel derives the size of the table in
/// which it searches for requests to cancel, among those of all waiting connections.
/// glommio cancels some in each iteration of its loop: with the default of 128 entries,
/// 10,000 idle connections made each request of others 27 µs slower. A larger number would
/// hardly be faster, and the kernel may count the rings, 0.3 MB per worker, as locked
/// memory.
const RING_DEPTH: usize = 1024;

/// How long a connection that has more to do waits until it is driven again. Any time will
/// do, as it is the wait that lets the executor turn to others.
const TURN: Duration = Duration::from_micros(50);

/// An executor for this thread.
///
/// # Errors
///
/// When the system does not allow io_uring, or too little for it; the message says
/// what to do.
pub(super) fn executor() -> anyhow::Result<LocalExecutor> {
    let make = || {
        // It needs no buffers for files, as it reads and writes none.
        LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(0)
            .ring_depth(RING_DEPTH)
            .make()
    };
    // glommio may panic if there is no memory for its rings.
    match panic::catch_unwind(make) {
        Ok(made) => made.map_err(|error: GlommioError<()>| availability::refused(&error.into())),
        Err(_) => Err(availability::used_up("its rings cannot be set up")),
    }
}

/// Serves until the worker is asked to stop, and then lets connections finish. Before
/// that, sends whether the start succeeded.
///
/// # Errors
///
/// When the system does not allow io_uring.
pub(super) fn run<P: Protocol>(
    engine: Engine<P>,
    listeners: Vec<net::TcpListener>,
    waker: &WorkerWaker,
    context: workers::Context,
    started: mpsc::Sender<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let (executor, result) = match executor() {
        Ok(executor) => (Some(executor), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // The receiver is gone if another worker could not start.
    let _ = started.send(result);
    drop(started);
    let Some(executor) = executor else {
        bail!("there is no event loop");
    };
    executor.run(serve(engine, listeners, waker.clone(), context));
    Ok(())
}

/// What the tasks of a worker share.
struct Tasks<P: Protocol> {
    engine: Engine<P>,
    /// What wakes the tasks of the engine's connections.
    wakers: ConnectionMap<Waker>,
}

impl<P: Protocol> Tasks<P> {
    fn wake(&self, id: ConnectionId) {
        if let Some(waker) = self.wakers.get(id) {
            waker.wake_by_ref();
        }
    }

    /// Registers what wakes the task of a connection.
    fn register(&mut self, id: ConnectionId, waker: &Waker) {
        match self.wakers.get_mut(id) {
            Some(known) => known.clone_from(waker),
            None => {
                self.wakers.insert(id, waker.clone());
            }
        }
    }

    /// Reads, answers and writes for a connection, and wakes others for which something was
    /// collected.
    fn drive(&mut self, id: ConnectionId, transport: &mut impl Transport) -> LoopAction {
        self.engine.advance(Instant::now());
        let mut action = self.engine.drive(id, transport);
        if action != LoopAction::Close && self.engine.has_collected(id) {
            let is_again = action == LoopAction::Again;
            action = self.engine.send_collected(id, transport);
            if is_again && action == LoopAction::Wait {
                action = LoopAction::Again;
            }
        }
        self.wake_collected();
        action
    }

    /// Wakes connections for which something was collected.
    fn wake_collected(&mut self) {
        while let Some(id) = self.engine.next_collected() {
            self.wake(id);
        }
    }

    fn wake_late(&mut self) {
        self.engine.advance(Instant::now());
        for _ in 0..LATE_PER_TURN {
            let Some(id) = self.engine.next_late() else {
                break;
            };
            self.wake(id);
        }
    }
}

async fn serve<P: Protocol>(
    engine: Engine<P>,
    listeners: Vec<net::TcpListener>,
    waker: WorkerWaker,
    context: workers::Context,
) {
    let worker = Rc::new(RefCell::new(Tasks {
        engine,
        wakers: ConnectionMap::new(),
    }));
    let listeners: Vec<_> = listeners.into_iter().map(Rc::new).collect();
    let accepting: Vec<_> = listeners
        .iter()
        .map(|listener| glommio::spawn_local(accept(Rc::clone(listener), Rc::clone(&worker))))
        .collect();
    let inbox = glommio::spawn_local(process_inbox(waker, Rc::clone(&worker)));
    while !context.is_stopping() {
        context.beat();
        worker.borrow_mut().wake_late();
        glommio::timer::sleep(TICK).await;
    }

    // Connections that are waiting now are accepted; later ones are not.
    for task in accepting {
        task.cancel().await;
    }
    for listener in listeners {
        let mut accepting = Accepting::default();
        accept_some(&listener, &worker, &mut accepting, LAST_ACCEPTS);
    }
    worker.borrow_mut().engine.advance(Instant::now());
    worker.borrow_mut().engine.drain();
    loop {
        context.beat();
        {
            let mut worker = worker.borrow_mut();
            worker.wake_late();
            if worker.engine.is_drained() {
                break;
            }
            worker.wakers.values().for_each(Waker::wake_by_ref);
        }
        glommio::timer::sleep(DRAIN_INTERVAL).await;
    }
    inbox.cancel().await;
}

/// Has the protocol process what other workers have left for it when they wake this one.
async fn process_inbox<P: Protocol>(waker: WorkerWaker, worker: Rc<RefCell<Tasks<P>>>) {
    /// Other workers must not wake a task that has ended.
    struct Registered(WorkerWaker);

    impl Drop for Registered {
        fn drop(&mut self) {
            if let Some(waker) = self.0.task() {
                waker.unregister();
            }
        }
    }

    let registered = Registered(waker);
    let Some(waker) = registered.0.task() else {
        return;
    };
    poll_fn::<(), _>(|context| {
        if waker.register(context.waker()) {
            let mut worker = worker.borrow_mut();
            worker.engine.advance(Instant::now());
            worker.engine.woken();
            worker.wake_collected();
        }
        Poll::Pending
    })
    .await;
}

/// Accepts connections, each with a task of its own.
async fn accept<P: Protocol>(listener: Rc<net::TcpListener>, worker: Rc<RefCell<Tasks<P>>>) {
    let mut accepting = Accepting::default();
    loop {
        match accept_some(&listener, &worker, &mut accepting, ACCEPTS_PER_TURN) {
            Progress::All => {
                if let Err(error) = adopt::connections_of(&listener).await {
                    accepting.failed(&error);
                    glommio::timer::sleep(PAUSE).await;
                }
            }
            Progress::Some => glommio::executor().yield_task_queue_now().await,
            Progress::Shortage => glommio::timer::sleep(PAUSE).await,
        }
    }
}

/// Which of the waiting connections were accepted.
enum Progress {
    /// All of them.
    All,
    /// As many as was allowed.
    Some,
    /// The system has no descriptor or memory for another one.
    Shortage,
}

/// Accepts waiting connections, up to `max`.
fn accept_some<P: Protocol>(
    listener: &net::TcpListener,
    worker: &Rc<RefCell<Tasks<P>>>,
    accepting: &mut Accepting,
    max: usize,
) -> Progress {
    for _ in 0..max {
        match listener.accept() {
            Ok((stream, source)) => {
                // The new task is polled at once, so nothing may be borrowed then.
                let begun = begin(&stream, source, &mut worker.borrow_mut());
                if let Some(id) = begun {
                    let stream = adopt::adopt(stream);
                    glommio::spawn_local(drive(stream, id, Rc::clone(worker))).detach();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::All,
            Err(error) => {
                if accepting.failed(&error) {
                    worker.borrow().engine.refused(Refusal::NoDescriptors);
                    return Progress::Shortage;
                }
            }
        }
    }
    Progress::Some
}

/// Opens a connection that was accepted, and drives it for the first time. Returns `None`
/// if it is to be closed.
fn begin<P: Protocol>(
    stream: &net::TcpStream,
    source: SocketAddr,
    worker: &mut Tasks<P>,
) -> Option<ConnectionId> {
    let id = worker.engine.open(source).ok()?;
    if stream.set_nonblocking(true).is_err() {
        worker.engine.abandon(id);
        return None;
    }
    let action = worker.drive(id, &mut Accepted { stream });
    (action != LoopAction::Close).then_some(id)
}

/// Drives a connection until it is closed.
async fn drive<P: Protocol>(
    mut stream: TcpStream,
    id: ConnectionId,
    worker: Rc<RefCell<Tasks<P>>>,
) {
    loop {
        let is_closed = poll_fn(|context| {
            let mut worker = worker.borrow_mut();
            let mut transport = Polled {
                stream: &mut stream,
                context,
            };
            let action = worker.drive(id, &mut transport);
            if action == LoopAction::Close {
                worker.wakers.remove(id);
                return Poll::Ready(true);
            }
            worker.register(id, context.waker());
            match action {
                LoopAction::Again => Poll::Ready(false),
                _ => Poll::Pending,
            }
        })
        .await;
        if is_closed {
            return;
        }
        // A task that wakes itself, or yields, is polled again and again, for a tenth of a
        // second, before the ring is asked what has arrived for others. One that waits for a
        // timer is not.
        glommio::timer::sleep(TURN).await;
    }
}

/// A stream that was just accepted. Its task will wait for what would block now.
struct Accepted<'a> {
    stream: &'a net::TcpStream,
}

impl Transport for Accepted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.write(from)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(net::Shutdown::Write)
    }
}

/// A stream within a poll of its task: if it is not ready, it wakes the task later.
struct Polled<'a, 'b> {
    stream: &'a mut TcpStream,
    context: &'a mut Context<'b>,
}

impl Transport for Polled<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_read(self.context, into))
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_write(self.context, from))
    }

    fn finish(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.stream).poll_close(self.context))
    }
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
