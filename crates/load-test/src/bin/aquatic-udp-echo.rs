//! `aquatic-udp-echo`: a minimal UDP server, as a baseline for benchmarks of trackers.
//!
//! It reads a datagram and answers it immediately, with one system call each. Replies are
//! similar enough to a tracker's for the load test: 16 bytes for datagrams with the length
//! of a connect request, and for those with the length of an announce as many bytes as a
//! tracker would send on average: 20, and 6 per requested peer. It validates nothing and
//! keeps no state.

#![forbid(unsafe_code)]

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

use anyhow::{Context, bail};
use aquatic_bittorrent::IPV4_PEER_LENGTH;
use aquatic_load_test::bare;
use aquatic_udp_protocol::{ANNOUNCE_REPLY_HEADER_LENGTH, MIN_ANNOUNCE_LENGTH};

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
    // Number of bytes by which previous replies were too short.
    let mut owed = 0;
    loop {
        // These are errors of earlier datagrams, to clients that no longer exist.
        let Ok((length, client)) = socket.recv_from(&mut request) else {
            continue;
        };
        // A reply starts with the action and transaction id of the request; a connect reply
        // continues with eight bytes chosen by the tracker.
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
