//! `aquatic-ws-bare-glommio`: a minimal WebTorrent tracker with glommio, as a baseline for
//! benchmarks.
//!
//! A connection has a task that reads and one that writes, which is woken when there is
//! output.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Poll, Waker};

use anyhow::anyhow;
use aquatic_load_test::bare;
use aquatic_load_test::ws::bare::{Hub, READ_BYTES, USAGE};
use futures_lite::io::{ReadHalf, WriteHalf, split};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

fn main() -> ExitCode {
    bare::main_with_more("aquatic-ws-bare-glommio", USAGE, |address, arguments| {
        let hub = Hub::new(arguments)?;
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .make()
            .map_err(|error| anyhow!("cannot create an executor: {error}"))?;
        executor.run(serve_all(address, hub))
    })
}

/// What all tasks share.
struct Shared {
    hub: Hub,
    /// Indexed by their number in the hub.
    writers: Vec<Writer>,
    touched: Vec<usize>,
}

#[derive(Default)]
struct Writer {
    waker: Option<Waker>,
    is_over: bool,
}

async fn serve_all(address: SocketAddr, hub: Hub) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .map_err(|error| anyhow!("cannot listen on {address}: {error}"))?;
    let shared = Rc::new(RefCell::new(Shared {
        hub,
        writers: Vec::new(),
        touched: Vec::new(),
    }));
    loop {
        let stream = listener
            .accept()
            .await
            .map_err(|error| anyhow!("cannot accept: {error}"))?;
        stream.set_nodelay(true).ok();
        let place = {
            let shared = &mut *shared.borrow_mut();
            let place = shared.hub.insert()?;
            if place == shared.writers.len() {
                shared.writers.push(Writer::default());
            }
            shared.writers[place] = Writer::default();
            place
        };
        let (reader, writer) = split(stream);
        glommio::spawn_local(read(reader, place, Rc::clone(&shared))).detach();
        glommio::spawn_local(write(writer, place, Rc::clone(&shared))).detach();
    }
}

async fn read(mut stream: ReadHalf<TcpStream>, place: usize, shared: Rc<RefCell<Shared>>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let shared = &mut *shared.borrow_mut();
        let bytes = &buffer[..length];
        if shared.hub.read(place, bytes, &mut shared.touched).is_err() {
            break;
        }
        shared.wake_touched();
    }
    // The writer releases the number, so that it is not reused earlier.
    let shared = &mut *shared.borrow_mut();
    shared.writers[place].is_over = true;
    shared.touched.push(place);
    shared.wake_touched();
}

async fn write(mut stream: WriteHalf<TcpStream>, place: usize, shared: Rc<RefCell<Shared>>) {
    let mut out = Vec::new();
    loop {
        out.clear();
        let more = poll_fn(|context| {
            let shared = &mut *shared.borrow_mut();
            shared.hub.output(place, &mut out);
            let writer = &mut shared.writers[place];
            if !out.is_empty() {
                Poll::Ready(true)
            } else if writer.is_over {
                Poll::Ready(false)
            } else {
                writer.waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await;
        if more {
            // The reader also gets the error.
            stream.write_all(&out).await.ok();
        } else {
            shared.borrow_mut().hub.remove(place);
            return;
        }
    }
}

impl Shared {
    fn wake_touched(&mut self) {
        for place in self.touched.drain(..) {
            if let Some(waker) = self.writers[place].waker.take() {
                waker.wake();
            }
        }
    }
}
