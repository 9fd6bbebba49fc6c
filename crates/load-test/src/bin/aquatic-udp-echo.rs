//! `aquatic-udp-echo`: the least that a UDP server can do, as a floor for
//! benchmarks of trackers.
//!
//! It reads a datagram and answers it at once, one system call each. Replies
//! look enough like a tracker's for the load test: 16 bytes for what is as long
//! as a connect request, 200 bytes (30 peers) for what is as long as an
//! announce. Nothing is checked and nothing is remembered.

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

use anyhow::Context;
use aquatic_load_test::bare;
use aquatic_udp_protocol::MIN_ANNOUNCE_LENGTH;

fn main() -> ExitCode {
    bare::main("aquatic-udp-echo", echo)
}

fn echo(address: SocketAddr) -> anyhow::Result<()> {
    let socket =
        UdpSocket::bind(address).with_context(|| format!("cannot bind a socket to {address}"))?;

    let mut request = [0; 2048];
    let mut reply = [0; ANNOUNCE_REPLY_LENGTH];
    loop {
        // Errors are those of datagrams sent before, to clients that have gone.
        let Ok((length, client)) = socket.recv_from(&mut request) else {
            continue;
        };
        // A reply starts with the request's action and transaction id, and a
        // connect reply goes on with eight bytes of the tracker's choice.
        reply[..8].copy_from_slice(&request[8..16]);
        reply[8..16].copy_from_slice(&request[..8]);
        let reply_length = if length < MIN_ANNOUNCE_LENGTH {
            CONNECT_REPLY_LENGTH
        } else {
            ANNOUNCE_REPLY_LENGTH
        };
        socket.send_to(&reply[..reply_length], client).ok();
    }
}

const CONNECT_REPLY_LENGTH: usize = 16;

/// With 30 peers of 6 bytes.
const ANNOUNCE_REPLY_LENGTH: usize = 200;
