//! A client that announces and scrapes over UDP and HTTP, without the trackers' own code.
//!
//! All clients have a loopback address, so the port identifies a peer.

use std::net::{SocketAddr, UdpSocket};

use aquatic_test_harness::{PATIENCE, http};

const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// The address of a tracker, and the protocol of requests to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Url {
    Udp(SocketAddr),
    Http(SocketAddr),
}

/// Why a client announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Started,
    Completed,
    Stopped,
    Regular,
}

/// The announce of a peer. Its torrent is a letter, from which the info hash is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) torrent: char,
    pub(crate) port: u16,
    pub(crate) is_seeder: bool,
    pub(crate) event: Event,
}

/// The reply to an announce. The announcing peer is neither counted nor listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) seeders: u32,
    pub(crate) leechers: u32,
    /// In ascending order.
    pub(crate) ports: Vec<u16>,
}

/// The reply to a scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) seeders: u32,
    pub(crate) completed: u32,
    pub(crate) leechers: u32,
}

pub(crate) fn leecher(torrent: char, port: u16) -> Peer {
    Peer {
        torrent,
        port,
        is_seeder: false,
        event: Event::Started,
    }
}

pub(crate) fn seeder(torrent: char, port: u16) -> Peer {
    Peer {
        is_seeder: true,
        ..leecher(torrent, port)
    }
}

impl Peer {
    pub(crate) fn with(self, event: Event) -> Self {
        Self { event, ..self }
    }
}

impl Url {
    /// Announces, and expects no error.
    #[track_caller]
    pub(crate) fn announce(self, peer: Peer) -> Announced {
        self.try_announce(peer)
            .unwrap_or_else(|error| panic!("{self:?}, {peer:?}: {error}"))
    }

    /// Announces; the error is that of the tracker.
    #[track_caller]
    pub(crate) fn try_announce(self, peer: Peer) -> Result<Announced, String> {
        match self {
            Self::Udp(address) => announce_udp(address, peer),
            Self::Http(address) => announce_http(address, peer),
        }
    }

    /// Scrapes one torrent.
    #[track_caller]
    pub(crate) fn try_scrape(self, torrent: char) -> Result<Counts, String> {
        match self {
            Self::Udp(address) => {
                let body = Connection::new(address).ask(2, &[torrent as u8; 20])?;
                Ok(Counts {
                    seeders: number(&body, 0),
                    completed: number(&body, 4),
                    leechers: number(&body, 8),
                })
            }
            Self::Http(address) => {
                let target = format!("/scrape?info_hash={}", hash(torrent));
                let body = http::get(address, &target).body;
                refuse_failure(&body)?;
                Ok(Counts {
                    seeders: value(&body, "8:completei"),
                    completed: value(&body, "10:downloadedi"),
                    leechers: value(&body, "10:incompletei"),
                })
            }
        }
    }

    /// Scrapes one torrent, and expects no error.
    #[track_caller]
    pub(crate) fn scrape(self, torrent: char) -> Counts {
        self.try_scrape(torrent)
            .unwrap_or_else(|error| panic!("{self:?}, {torrent}: {error}"))
    }
}

fn announce_udp(address: SocketAddr, peer: Peer) -> Result<Announced, String> {
    let mut request = [peer.torrent as u8; 20].to_vec();
    request.extend(peer_id(peer).bytes());
    for count in [0, left(peer), 0] {
        request.extend(count.to_be_bytes());
    }
    let event: u32 = match peer.event {
        Event::Regular => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    };
    for word in [event, 0, 0, u32::MAX] {
        request.extend(word.to_be_bytes());
    }
    request.extend(peer.port.to_be_bytes());
    let body = Connection::new(address).ask(1, &request)?;
    let size = if address.is_ipv6() { 18 } else { 6 };
    let ports = body[12..].chunks_exact(size);
    let mut ports: Vec<u16> = ports
        .map(|peer| u16::from_be_bytes([peer[size - 2], peer[size - 1]]))
        .collect();
    ports.sort_unstable();
    Ok(Announced {
        leechers: number(&body, 4),
        seeders: number(&body, 8),
        ports,
    })
}

fn announce_http(address: SocketAddr, peer: Peer) -> Result<Announced, String> {
    let event = match peer.event {
        Event::Regular => "",
        Event::Completed => "&event=completed",
        Event::Started => "&event=started",
        Event::Stopped => "&event=stopped",
    };
    let target = format!(
        "/announce?info_hash={}&peer_id={}&port={}&left={}&compact=0{event}",
        hash(peer.torrent),
        peer_id(peer),
        peer.port,
        left(peer),
    );
    let body = http::get(address, &target).body;
    refuse_failure(&body)?;
    let mut ports: Vec<u16> = body
        .split("4:porti")
        .skip(1)
        .map(|rest| leading_number(rest) as u16)
        .collect();
    ports.sort_unstable();
    Ok(Announced {
        leechers: value(&body, "10:incompletei"),
        seeders: value(&body, "8:completei"),
        ports,
    })
}

/// A socket of a client, with a connection id.
pub(crate) struct Connection {
    pub(crate) socket: UdpSocket,
    id: u64,
}

impl Connection {
    #[track_caller]
    pub(crate) fn new(tracker: SocketAddr) -> Self {
        let mut connection = Self {
            socket: socket(tracker),
            id: PROTOCOL_ID,
        };
        let reply = connection.ask(0, &[]).expect("a connection id");
        connection.id = u64::from_be_bytes(reply[..8].try_into().expect("eight bytes"));
        connection
    }

    /// The same client, for requests to another tracker with the same connection id.
    #[track_caller]
    pub(crate) fn at(&self, tracker: SocketAddr) -> Self {
        Self {
            socket: socket(tracker),
            id: self.id,
        }
    }

    /// The header of a request.
    pub(crate) fn header(&self, action: u32) -> Vec<u8> {
        let mut header = self.id.to_be_bytes().to_vec();
        header.extend(action.to_be_bytes());
        header.extend(*b"test");
        header
    }

    /// The reply after its header, or the text of an error.
    #[track_caller]
    pub(crate) fn ask(&self, action: u32, request: &[u8]) -> Result<Vec<u8>, String> {
        let mut datagram = self.header(action);
        datagram.extend(request);
        self.socket.send(&datagram).expect("sent");
        let mut reply = vec![0; 65_536];
        let length = self.socket.recv(&mut reply).expect("a reply");
        reply.truncate(length);
        let body = reply.split_off(8);
        match number(&reply, 0) {
            3 => Err(String::from_utf8(body).expect("text")),
            found => {
                assert_eq!(found, action);
                Ok(body)
            }
        }
    }
}

#[track_caller]
fn socket(tracker: SocketAddr) -> UdpSocket {
    let own = if tracker.is_ipv6() {
        "[::1]:0"
    } else {
        "127.0.0.1:0"
    };
    let socket = UdpSocket::bind(own).expect("a socket");
    socket.connect(tracker).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn hash(torrent: char) -> String {
    torrent.to_string().repeat(20)
}

fn peer_id(peer: Peer) -> String {
    format!("-TS0001-{:012}", peer.port)
}

fn left(peer: Peer) -> u64 {
    if peer.is_seeder { 0 } else { 1_000 }
}

fn number(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn refuse_failure(body: &str) -> Result<(), String> {
    match body.split_once("14:failure reason") {
        Some((_, text)) => Err(text.to_owned()),
        None => Ok(()),
    }
}

/// The number after this key; 0 if the key is missing.
fn value(body: &str, key: &str) -> u32 {
    body.split_once(key)
        .map_or(0, |(_, rest)| leading_number(rest))
}

fn leading_number(text: &str) -> u32 {
    let digits = text.split('e').next().unwrap_or_default();
    digits.parse().expect("a number of bencode")
}
