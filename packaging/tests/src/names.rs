//! A name server that knows every name (RFC 1035).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aquatic_test_harness::network::Host;

/// How often it checks whether it is to end.
const TURN: Duration = Duration::from_millis(100);

/// The length of a header.
const HEADER: usize = 12;

/// A name server on a host, which ends when it is dropped.
pub(crate) struct NameServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Resolves every name to this IPv4 address, and to no IPv6 address.
    #[track_caller]
    pub(crate) fn start(host: &Host, address: Ipv4Addr) -> Self {
        let port = SocketAddr::from((host.ipv4, 53));
        let socket = host.run(|| UdpSocket::bind(port)).expect("a socket");
        socket.set_read_timeout(Some(TURN)).expect("a time limit");
        let stop = Arc::new(AtomicBool::new(false));
        let asked_to_stop = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 512];
            while !asked_to_stop.load(Ordering::Relaxed) {
                let Ok((length, client)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(answer) = answer(&buffer[..length], address) {
                    // A client without a reply asks again.
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a query with one question.
fn answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    // The type and the class follow.
    let question = query.get(HEADER..HEADER + name + 5)?;
    let is_of_ipv4 = question[name + 1..name + 3] == [0, 1];
    let mut answer = query[..2].to_vec();
    // A response without an error, to one question.
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_of_ipv4), 0, 0, 0, 0]);
    answer.extend(question);
    if is_of_ipv4 {
        // The name of the question, a type, a class, a minute and a length.
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
