//! Code that all minimal servers share, which are baselines for benchmarks.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

/// The body of `main`: serves at the address on the command line, and prints errors.
pub fn main(name: &str, serve: impl FnOnce(SocketAddr) -> anyhow::Result<()>) -> ExitCode {
    main_with_more(name, "", |address, _| serve(address))
}

/// The same for a program with arguments after the address, which `usage` describes.
pub fn main_with_more(
    name: &str,
    usage: &str,
    serve: impl FnOnce(SocketAddr, &[String]) -> anyhow::Result<()>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments
        .first()
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("usage: {name} ADDRESS:PORT{usage}"));
    match address.and_then(|address| serve(address, &arguments[1..])) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Listens with a backlog for thousands of simultaneous connections.
///
/// # Errors
///
/// When the address cannot be bound.
pub fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().with_context(|| format!("cannot listen on {address}"))
}

/// Maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 4096;
