//! `aquatic-http-bare-glommio`: a minimal HTTP server with glommio, as a baseline for
//! benchmarks of trackers.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::anyhow;
use aquatic_load_test::bare;
use aquatic_load_test::http::bare::{Answer, READ_BYTES, answer};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

fn main() -> ExitCode {
    bare::main("aquatic-http-bare-glommio", run)
}

fn run(address: SocketAddr) -> anyhow::Result<()> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .make()
        .map_err(|error| anyhow!("cannot create an executor: {error}"))?;
    executor.run(serve_all(address))
}

async fn serve_all(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .map_err(|error| anyhow!("cannot listen on {address}: {error}"))?;
    loop {
        let stream = listener
            .accept()
            .await
            .map_err(|error| anyhow!("cannot accept: {error}"))?;
        glommio::spawn_local(serve(stream)).detach();
    }
}

/// Reads once and answers. A request in several pieces is not answered.
async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let (reply, keep) = match answer(&buffer[..length]) {
            Answer::Keep(reply) => (reply, true),
            Answer::Close(reply) => (reply, false),
            Answer::ReadOn => return,
        };
        if stream.write_all(reply).await.is_err() || !keep {
            return;
        }
    }
}
