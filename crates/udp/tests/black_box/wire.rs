//! A BEP 15 client made of plain bytes.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long to wait for an expected reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// Larger than any reply.
const BUFFER_BYTES: usize = 65_536;

const PROTOCOL_ID: u64 = 0x0417_2710_1980;

pub(crate) const CONNECT: u32 = 0;
pub(crate) const ANNOUNCE: u32 = 1;
pub(crate) const SCRAPE: u32 = 2;
pub(crate) const ERROR: u32 = 3;

pub(crate) const NONE: u32 = 0;
pub(crate) const COMPLETED: u32 = 1;
pub(crate) const STARTED: u32 = 2;
pub(crate) const STOPPED: u32 = 3;
/// BEP 21, sent by libtorrent.
pub(crate) const PAUSED: u32 = 4;

/// A 20-byte info hash.
pub(crate) type Hash = [u8; 20];

/// The info hash whose bytes are all `byte`.
pub(crate) fn hash(byte: u8) -> Hash {
    [byte; 20]
}

/// A socket with a connection id.
pub(crate) struct Client {
    socket: UdpSocket,
    pub(crate) connection_id: u64,
    transaction: u32,
}

/// The fields of an announce that tests vary.
#[derive(Clone, Debug)]
pub(crate) struct Announce {
    pub(crate) info_hash: Hash,
    pub(crate) peer_id: [u8; 20],
    pub(crate) left: u64,
    pub(crate) event: u32,
    pub(crate) address: [u8; 4],
    pub(crate) peers_wanted: i32,
    pub(crate) port: u16,
    /// The bytes from offset 98 on.
    pub(crate) options: Vec<u8>,
}

/// A reply to an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) interval: u32,
    pub(crate) leechers: u32,
    pub(crate) seeders: u32,
    /// In ascending order.
    pub(crate) peers: Vec<SocketAddr>,
    /// Length of the whole datagram.
    pub(crate) length: usize,
}

/// Counts of one torrent in a reply to a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) seeders: u32,
    pub(crate) completed: u32,
    pub(crate) leechers: u32,
}

/// The text of an error reply.
pub(crate) type ErrorText = String;

impl Announce {
    /// A peer that lacks bytes, and listens on `port`.
    pub(crate) fn leecher(info_hash: Hash, port: u16) -> Self {
        Self {
            info_hash,
            peer_id: *b"-TS0001-abcdefghijkl",
            left: 1000,
            event: STARTED,
            address: [0; 4],
            peers_wanted: -1,
            port,
            options: Vec::new(),
        }
    }

    /// A peer that has all bytes, and listens on `port`.
    pub(crate) fn seeder(info_hash: Hash, port: u16) -> Self {
        Self {
            left: 0,
            ..Self::leecher(info_hash, port)
        }
    }

    /// The request in the layout of BEP 15.
    pub(crate) fn bytes(&self, connection_id: u64, transaction: u32) -> Vec<u8> {
        let mut bytes = header(connection_id, ANNOUNCE, transaction);
        bytes.extend(self.info_hash);
        bytes.extend(self.peer_id);
        for count in [0, self.left, 0] {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend(self.event.to_be_bytes());
        bytes.extend(self.address);
        bytes.extend(0x1234_5678_u32.to_be_bytes());
        bytes.extend(self.peers_wanted.to_be_bytes());
        bytes.extend(self.port.to_be_bytes());
        assert_eq!(bytes.len(), 98);
        bytes.extend(&self.options);
        bytes
    }
}

impl Client {
    /// A client with a valid connection id, on loopback.
    #[track_caller]
    pub(crate) fn new(tracker: SocketAddr) -> Self {
        let own: IpAddr = match tracker {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        Self::at(own, tracker)
    }

    /// A client with a valid connection id and this address.
    #[track_caller]
    pub(crate) fn at(own: IpAddr, tracker: SocketAddr) -> Self {
        let mut client = Self::unconnected(own, tracker);
        client.connect();
        client
    }

    /// A client that has not asked for a connection id.
    #[track_caller]
    pub(crate) fn unconnected(own: IpAddr, tracker: SocketAddr) -> Self {
        let socket = UdpSocket::bind((own, 0)).unwrap();
        socket.connect(tracker).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            connection_id: 0,
            transaction: 0x5eed_0000,
        }
    }

    /// Asks for a connection id and keeps it.
    #[track_caller]
    pub(crate) fn connect(&mut self) {
        let transaction = self.next_transaction();
        self.send(&header(PROTOCOL_ID, CONNECT, transaction));
        let reply = self.receive();
        assert_eq!(reply.len(), 16, "a connect reply has 16 bytes: {reply:?}");
        assert_eq!(number(&reply, 0), CONNECT);
        assert_eq!(number(&reply, 4), transaction);
        self.connection_id = u64::from_be_bytes(reply[8..].try_into().unwrap());
    }

    /// Announces, and expects no error.
    #[track_caller]
    pub(crate) fn announce(&mut self, announce: &Announce) -> Announced {
        self.try_announce(announce).unwrap()
    }

    /// Announces.
    #[track_caller]
    pub(crate) fn try_announce(&mut self, announce: &Announce) -> Result<Announced, ErrorText> {
        let transaction = self.next_transaction();
        let reply = self.ask(&announce.bytes(self.connection_id, transaction));
        let body = checked(&reply, ANNOUNCE, transaction)?;
        assert!(body.len() >= 12, "an announce reply has 20 bytes or more");
        let peer_bytes = if self.is_ipv6() { 18 } else { 6 };
        let records = &body[12..];
        assert_eq!(records.len() % peer_bytes, 0, "whole peers: {reply:?}");
        let mut peers: Vec<_> = records.chunks(peer_bytes).map(peer).collect();
        peers.sort();
        Ok(Announced {
            interval: number(body, 0),
            leechers: number(body, 4),
            seeders: number(body, 8),
            peers,
            length: reply.len(),
        })
    }

    /// Scrapes, and expects no error.
    #[track_caller]
    pub(crate) fn scrape(&mut self, hashes: &[Hash]) -> Vec<Counts> {
        self.try_scrape(hashes).unwrap()
    }

    /// Scrapes.
    #[track_caller]
    pub(crate) fn try_scrape(&mut self, hashes: &[Hash]) -> Result<Vec<Counts>, ErrorText> {
        let transaction = self.next_transaction();
        let mut request = header(self.connection_id, SCRAPE, transaction);
        request.extend(hashes.concat());
        let reply = self.ask(&request);
        let body = checked(&reply, SCRAPE, transaction)?;
        assert_eq!(body.len() % 12, 0, "whole torrents: {reply:?}");
        let counts = |torrent: &[u8]| Counts {
            seeders: number(torrent, 0),
            completed: number(torrent, 4),
            leechers: number(torrent, 8),
        };
        Ok(body.chunks(12).map(counts).collect())
    }

    /// Sends a datagram and expects no reply to it, but only the replies to two connect
    /// requests. When the first reply arrives, the tracker has read the datagram, and
    /// before the second one it would have sent its reply.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, datagram: &[u8]) {
        self.send(datagram);
        let valid = self.connection_id;
        self.connect();
        self.connect();
        self.connection_id = valid;
    }

    /// Sends a datagram and returns the reply.
    #[track_caller]
    pub(crate) fn ask(&mut self, datagram: &[u8]) -> Vec<u8> {
        self.send(datagram);
        self.receive()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, datagram: &[u8]) {
        let sent = self.socket.send(datagram).unwrap();
        assert_eq!(sent, datagram.len());
    }

    #[track_caller]
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    buffer.truncate(length);
                    return buffer;
                }
                // The read is interrupted if the machine was stopped for a while.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    pub(crate) fn next_transaction(&mut self) -> u32 {
        self.transaction = self.transaction.wrapping_add(1);
        self.transaction
    }

    fn is_ipv6(&self) -> bool {
        self.socket.local_addr().unwrap().is_ipv6()
    }
}

/// The 16 bytes with which every request begins.
pub(crate) fn header(connection_id: u64, action: u32, transaction: u32) -> Vec<u8> {
    let mut bytes = connection_id.to_be_bytes().to_vec();
    bytes.extend(action.to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
    bytes
}

/// A connect request.
pub(crate) fn connect_request(transaction: u32) -> Vec<u8> {
    header(PROTOCOL_ID, CONNECT, transaction)
}

/// The bytes after the header of a reply with this action, or the text of an error reply.
#[track_caller]
pub(crate) fn checked(reply: &[u8], action: u32, transaction: u32) -> Result<&[u8], ErrorText> {
    assert!(reply.len() >= 8, "a reply has 8 bytes or more: {reply:?}");
    assert_eq!(
        number(reply, 4),
        transaction,
        "the request's transaction id"
    );
    if number(reply, 0) == ERROR {
        let text = std::str::from_utf8(&reply[8..]).unwrap();
        assert!(!text.is_empty() && !text.contains('\0'), "{text:?}");
        return Err(text.to_owned());
    }
    assert_eq!(number(reply, 0), action);
    Ok(&reply[8..])
}

fn number(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

fn peer(record: &[u8]) -> SocketAddr {
    let (address, port) = record.split_at(record.len() - 2);
    let port = u16::from_be_bytes(port.try_into().unwrap());
    let address: IpAddr = match address.len() {
        4 => <[u8; 4]>::try_from(address).unwrap().into(),
        _ => <[u8; 16]>::try_from(address).unwrap().into(),
    };
    (address, port).into()
}
