//! A client with the kernel's sockets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use aquatic_test_harness::network::Host;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait where no answer is expected.
const SILENCE: Duration = Duration::from_millis(300);

/// A socket that receives only from the address to which it sends.
pub(crate) fn connect(host: &Host, server: SocketAddr) -> UdpSocket {
    let local: IpAddr = if server.is_ipv4() {
        host.ipv4.into()
    } else {
        host.ipv6.into()
    };
    let socket = host.run(|| UdpSocket::bind((local, 0)).unwrap());
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a request; returns the first byte of the answer, whose rest is as in the request.
pub(crate) fn ask(socket: &UdpSocket, request: &[u8]) -> u8 {
    socket.send(request).unwrap();
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer).expect("an answer");
    assert_eq!(length, request.len().max(1));
    if !request.is_empty() {
        assert_eq!(answer[1..length], request[1..]);
    }
    answer[0]
}

/// Whether nothing comes.
pub(crate) fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let is_silent = socket.recv(&mut [0; 16]).is_err();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    is_silent
}
