//! `aquatic-udp-echo`: the least that a UDP server can do, as a floor for
//! benchmarks of trackers.
//!
//! It reads a datagram and answers it at once, one system call each. Replies
//! look enough like a tracker's for the load test: 16 bytes for what is as long
//! as a connect request, and for what is as long as an announce as many bytes as
//! are asked for, on average: 20 and 6 for each peer. Nothing is checked and
//! nothing is remembered.

#![forbid(unsafe_code)]

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

use anyhow::{Context, bail};
use aquatic_load_test::bare;
use aquatic_udp_protocol::{ANNOUNCE_REPLY_HEADER_LENGTH, IPV4_PEER_LENGTH, MIN_ANNOUNCE_LENGTH};

fn main() -> ExitCode {
    bare::main_with_more("aquatic-udp-echo", " [REPLY-BYTES]", |address, more| {
        let reply_bytes = match more {
            [] => MAX_REPLY_BYTES,
            [text] => text
                .parse()
                .ok()
                .filter(|bytes| (MIN_REPLY_BYTES..=MAX_REPLY_BYTES).contains(bytes))
                .with_context(|| {
                    format!(
                        "{text} is not a number of bytes from {MIN_REPLY_BYTES} to \
                         {MAX_REPLY_BYTES}"
                    )
                })?,
            [_, other, ..] => bail!("{other}: one argument too many"),
        };
        echo(address, reply_bytes)
    })
}

fn echo(address: SocketAddr, announce_reply_bytes: usize) -> anyhow::Result<()> {
    let socket =
        UdpSocket::bind(address).with_context(|| format!("cannot bind a socket to {address}"))?;

    let mut request = [0; 2048];
    let mut reply = [0; MAX_REPLY_BYTES];
    // Bytes of peers by which replies so far were too short.
    let mut owed = 0;
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
            owed += announce_reply_bytes - ANNOUNCE_REPLY_HEADER_LENGTH;
            let peers = owed - owed % IPV4_PEER_LENGTH;
            owed -= peers;
            ANNOUNCE_REPLY_HEADER_LENGTH + peers
        };
        socket.send_to(&reply[..reply_length], client).ok();
    }
}

const CONNECT_REPLY_LENGTH: usize = 16;

/// Without peers, and with 30 of 6 bytes.
const MIN_REPLY_BYTES: usize = ANNOUNCE_REPLY_HEADER_LENGTH;
const MAX_REPLY_BYTES: usize = ANNOUNCE_REPLY_HEADER_LENGTH + 30 * IPV4_PEER_LENGTH;
