//! A client of a tracker over UDP, in bytes (BEP 15).

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aquatic_test_harness::network::Host;
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

/// Time after which a request without an answer is repeated.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(200);

/// Number of sockets of the load, which the kernel distributes over workers.
const LOAD_SOCKETS: usize = 8;

/// Receive buffer for all replies that arrive at once after a restart of a tracker.
const LOAD_BUFFER_BYTES: usize = 32 << 20;

/// A client with a connection id.
pub(crate) struct Client {
    socket: UdpSocket,
    connection_id: [u8; 8],
    /// The number of the last request: a repeated request may be answered twice.
    transaction: u32,
}

/// What a scrape says about a torrent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scraped {
    pub(crate) seeders: u32,
    pub(crate) leechers: u32,
}

impl Client {
    /// Connects, as soon as the tracker answers.
    #[track_caller]
    pub(crate) fn connect(host: &Host, tracker: SocketAddr) -> Self {
        Self::try_connect(host, tracker, Duration::from_secs(20))
            .unwrap_or_else(|| panic!("{tracker} does not answer"))
    }

    /// Connects, when the tracker answers in this time.
    #[track_caller]
    pub(crate) fn try_connect(
        host: &Host,
        tracker: SocketAddr,
        patience: Duration,
    ) -> Option<Self> {
        let mut client = Self {
            socket: socket(host, tracker),
            connection_id: [0; 8],
            transaction: 0,
        };
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(answer) = client.ask(connect_request) {
                client.connection_id.copy_from_slice(answer.get(8..16)?);
                return Some(client);
            }
        }
        None
    }

    /// Announces a seeder; the error is the tracker's message.
    #[track_caller]
    pub(crate) fn announce(&mut self, hash: [u8; 20], port: u16) -> Result<(), String> {
        let connection_id = self.connection_id;
        let answer =
            self.patiently(|transaction| announce_request(connection_id, transaction, hash, port));
        match answer[3] {
            1 => Ok(()),
            3 => Err(String::from_utf8_lossy(&answer[8..]).into_owned()),
            other => panic!("action {other}"),
        }
    }

    /// The tracker's counts of these torrents.
    #[track_caller]
    pub(crate) fn scrape(&mut self, hashes: &[[u8; 20]]) -> Vec<Scraped> {
        let connection_id = self.connection_id;
        let answer = self.patiently(|transaction| {
            let mut request = Vec::from(connection_id);
            request.extend(2_u32.to_be_bytes());
            request.extend(transaction.to_be_bytes());
            request.extend(hashes.iter().flatten());
            request
        });
        assert_eq!(answer[3], 2, "{}", String::from_utf8_lossy(&answer));
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        let torrents = answer[8..].chunks_exact(12).map(|torrent| Scraped {
            seeders: number(&torrent[..4]),
            leechers: number(&torrent[8..]),
        });
        torrents.collect()
    }

    #[track_caller]
    fn patiently(&mut self, request: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
        (0..100)
            .find_map(|_| self.ask(&request))
            .expect("the tracker answers")
    }

    /// Sends a request once.
    fn ask(&mut self, request: impl Fn(u32) -> Vec<u8>) -> Option<Vec<u8>> {
        self.transaction += 1;
        let transaction = self.transaction.to_be_bytes();
        // A closed port is reported by the next call.
        self.socket.send(&request(self.transaction)).ok()?;
        let mut buffer = [0; 2048];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) if buffer[..length].get(4..8) == Some(&transaction) => {
                    return Some(buffer[..length].to_vec());
                }
                Ok(_) => {}
                Err(error) => {
                    if error.kind() == ErrorKind::ConnectionRefused {
                        thread::sleep(Duration::from_millis(5));
                    }
                    return None;
                }
            }
        }
    }
}

/// An info hash for tests.
pub(crate) fn hash(number: u16) -> [u8; 20] {
    let mut hash = [0x5a; 20];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    hash
}

/// A constant load of announces, each of which has to be answered.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
}

/// The results of a load.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sent: usize,
    pub(crate) answered: usize,
    /// Answers that were errors.
    pub(crate) errors: usize,
    /// The longest time without a reply.
    pub(crate) longest_silence: Duration,
    /// How long requests were sent.
    pub(crate) took: Duration,
    /// Whether requests were sent until it was stopped.
    pub(crate) ran_to_the_end: bool,
}

impl Load {
    /// Number of torrents.
    pub(crate) const TORRENTS: u16 = 50;
    /// Number of peers of each, which are announced repeatedly.
    pub(crate) const PEERS: u16 = 20;
    /// Maximum duration, if it is not stopped.
    const LONGEST: Duration = Duration::from_secs(60);

    /// Starts to send.
    #[track_caller]
    pub(crate) fn start(host: &Host, tracker: SocketAddr, per_second: usize) -> Self {
        let connection_id = Client::connect(host, tracker).connection_id;
        let sockets: Vec<_> = (0..LOAD_SOCKETS)
            .map(|_| {
                let socket = socket(host, tracker);
                socket.set_nonblocking(true).expect("sockets can do so");
                setsockopt(&socket, RcvBufForce, &LOAD_BUFFER_BYTES).expect("root may");
                socket
            })
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let asked_to_stop = Arc::clone(&stop);
        let thread =
            thread::spawn(move || send(&sockets, connection_id, per_second, &asked_to_stop));
        Self { stop, thread }
    }

    /// Stops it, after the outstanding replies.
    pub(crate) fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load does not panic")
    }
}

fn send(
    sockets: &[UdpSocket],
    connection_id: [u8; 8],
    per_second: usize,
    stop: &AtomicBool,
) -> Report {
    const STRAGGLERS: Duration = Duration::from_secs(3);

    let begin = Instant::now();
    let mut answered: Vec<bool> = Vec::new();
    let mut errors = 0;
    let mut last_answer = begin;
    let mut longest_silence = Duration::ZERO;
    let mut stopped_at: Option<Instant> = None;
    let mut ran_to_the_end = false;
    loop {
        let now = Instant::now();
        if stopped_at.is_none() {
            ran_to_the_end = stop.load(Ordering::Relaxed);
            stopped_at = (ran_to_the_end || now - begin > Load::LONGEST).then_some(now);
        }
        if stopped_at.is_none() {
            let due = ((now - begin).as_secs_f64() * per_second as f64) as usize;
            while answered.len() < due {
                let number = answered.len();
                let torrent = number % usize::from(Load::TORRENTS);
                let peer = number / usize::from(Load::TORRENTS) % usize::from(Load::PEERS);
                let request = announce_request(
                    connection_id,
                    number as u32,
                    hash(torrent as u16),
                    1000 + peer as u16,
                );
                // If the queue of this machine is full, the tracker has not lost the datagram.
                if sockets[number % sockets.len()].send(&request).is_err() {
                    break;
                }
                answered.push(false);
            }
        }
        let mut buffer = [0; 2048];
        for socket in sockets {
            while let Ok(length) = socket.recv(&mut buffer) {
                if length < 8 {
                    continue;
                }
                let number = u32::from_be_bytes([buffer[4], buffer[5], buffer[6], buffer[7]]);
                if let Some(seen) = answered.get_mut(number as usize) {
                    *seen = true;
                }
                errors += usize::from(buffer[3] != 1);
                longest_silence = longest_silence.max(last_answer.elapsed());
                last_answer = Instant::now();
            }
        }
        let over = stopped_at
            .filter(|at| at.elapsed() > STRAGGLERS || answered.iter().all(|answered| *answered));
        if let Some(stopped_at) = over {
            return Report {
                took: stopped_at - begin,
                ran_to_the_end,
                sent: answered.len(),
                answered: answered.iter().filter(|answered| **answered).count(),
                errors,
                longest_silence,
            };
        }
        thread::sleep(Duration::from_micros(500));
    }
}

#[track_caller]
fn socket(host: &Host, tracker: SocketAddr) -> UdpSocket {
    let any = if tracker.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = host.run(|| UdpSocket::bind(any)).expect("a socket");
    socket.connect(tracker).expect("a route to the tracker");
    socket
        .set_read_timeout(Some(ANSWER_TIMEOUT))
        .expect("a time limit");
    socket
}

fn connect_request(transaction: u32) -> Vec<u8> {
    let mut request = 0x0417_2710_1980_u64.to_be_bytes().to_vec();
    request.extend([0; 4]);
    request.extend(transaction.to_be_bytes());
    request
}

fn announce_request(
    connection_id: [u8; 8],
    transaction: u32,
    hash: [u8; 20],
    port: u16,
) -> Vec<u8> {
    let mut request = connection_id.to_vec();
    request.extend(1_u32.to_be_bytes());
    request.extend(transaction.to_be_bytes());
    request.extend(hash);
    request.extend(*b"-AA0000-");
    request.extend([0; 10]);
    request.extend(port.to_be_bytes());
    // Downloaded, left, uploaded, event, address and key: a seeder.
    request.extend([0; 8 + 8 + 8 + 4 + 4 + 4]);
    request.extend(5_u32.to_be_bytes());
    request.extend(port.to_be_bytes());
    request
}
