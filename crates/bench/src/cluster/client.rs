//! A client over UDP that sends many requests at a time.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_udp_protocol::{
    AddressFamily, AnnounceRequest, ConnectRequest, ConnectionId, Response, ScrapeRequest,
    TransactionId, UrlData,
};

/// Maximum number of torrents in a scrape: the default limit of `aquatic-udp`.
pub(super) const MAX_SCRAPE_TORRENTS: usize = 70;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest request: a scrape of that many torrents.
const MAX_REQUEST_BYTES: usize = 16 + 20 * MAX_SCRAPE_TORRENTS;

/// The longest reply to a request here.
const MAX_REPLY_BYTES: usize = 2_048;

/// A socket of a client, with a connection id.
pub(super) struct Client {
    socket: UdpSocket,
    id: ConnectionId,
}

/// A reply to an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announced {
    /// The number of the request.
    pub(super) number: u32,
    /// Number of peers in it.
    pub(super) peers: usize,
}

impl Client {
    /// Gets a connection id.
    ///
    /// # Errors
    ///
    /// If the tracker does not answer.
    pub(super) fn connect(tracker: SocketAddr) -> anyhow::Result<Self> {
        let mut client = Self {
            socket: socket(tracker)?,
            id: ConnectionId([0; 8]),
        };
        let transaction_id = TransactionId::from(0);
        client
            .socket
            .send(&ConnectRequest { transaction_id }.to_bytes())?;
        let mut reply = [0; MAX_REPLY_BYTES];
        let length = client.socket.recv(&mut reply).context("no connection id")?;
        match Response::parse(&reply[..length], AddressFamily::Ipv4)? {
            Response::Connect(response) => client.id = response.connection_id,
            other => bail!("the reply to a connect request is {other:?}"),
        }
        Ok(client)
    }

    /// The same client with another tracker, and the same connection id.
    ///
    /// # Errors
    ///
    /// If there is no socket for it.
    pub(super) fn at(&self, tracker: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            socket: socket(tracker)?,
            id: self.id,
        })
    }

    /// Announces; the reply has the same number.
    ///
    /// # Errors
    ///
    /// If the system does not send it.
    pub(super) fn announce(
        &self,
        number: u32,
        info_hash: InfoHash,
        port: u16,
        is_seeder: bool,
    ) -> anyhow::Result<()> {
        let request = AnnounceRequest {
            connection_id: self.id,
            transaction_id: TransactionId::from(number),
            info_hash,
            peer_id: PeerId(*b"-AQ1000-benchmarking"),
            downloaded: 0,
            left: i64::from(!is_seeder),
            uploaded: 0,
            event: AnnounceEvent::Started,
            claimed_address: None,
            key: number,
            peers_wanted: None,
            port,
            url_data: UrlData::default(),
        };
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let length = request.write(&mut buffer)?;
        self.socket.send(&buffer[..length])?;
        Ok(())
    }

    /// The next reply to an announce; `None` if there is none, or the tracker is gone.
    /// Waits for it if `is_awaited`, and no longer than a second.
    ///
    /// # Errors
    ///
    /// If the reply is not one to an announce.
    pub(super) fn announced(&self, is_awaited: bool) -> anyhow::Result<Option<Announced>> {
        self.socket.set_nonblocking(!is_awaited)?;
        let mut reply = [0; MAX_REPLY_BYTES];
        let received = self.socket.recv(&mut reply);
        self.socket.set_nonblocking(false)?;
        let Some(length) = unless_silent(received)? else {
            return Ok(None);
        };
        match Response::parse(&reply[..length], AddressFamily::Ipv4)? {
            Response::Announce(response) => Ok(Some(Announced {
                number: response.transaction_id.into(),
                peers: response.peers.len(),
            })),
            other => bail!("the reply to an announce is {other:?}"),
        }
    }

    /// Whether there are seeders of each of these torrents.
    ///
    /// # Errors
    ///
    /// If the tracker does not answer.
    pub(super) fn have_seeders(&self, torrents: &[InfoHash]) -> anyhow::Result<Vec<bool>> {
        let info_hashes: Vec<[u8; 20]> = torrents.iter().map(|it| it.0).collect();
        let request = ScrapeRequest {
            connection_id: self.id,
            transaction_id: TransactionId::from(0),
            info_hashes: &info_hashes,
        };
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let length = request.write(&mut buffer)?;
        self.socket.send(&buffer[..length])?;
        let mut reply = [0; MAX_REPLY_BYTES];
        let length = self
            .socket
            .recv(&mut reply)
            .context("no reply to a scrape")?;
        match Response::parse(&reply[..length], AddressFamily::Ipv4)? {
            Response::Scrape(response) => {
                ensure!(response.torrents.len() == torrents.len(), "a short scrape");
                // Seeders are the first of three numbers (BEP 15).
                let has_some = |it: &[u8; 12]| it[..4] != [0; 4];
                Ok(response.torrents.iter().map(has_some).collect())
            }
            other => bail!("the reply to a scrape is {other:?}"),
        }
    }
}

fn socket(tracker: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(tracker)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// `None` if nothing has arrived, or the tracker is not running.
fn unless_silent(received: io::Result<usize>) -> anyhow::Result<Option<usize>> {
    use io::ErrorKind::{ConnectionRefused, WouldBlock};
    match received {
        Ok(length) => Ok(Some(length)),
        Err(error) if matches!(error.kind(), WouldBlock | ConnectionRefused) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An info hash that no load test uses, made of a kind of measurement and a number.
pub(super) fn info_hash(kind: u8, number: u32) -> InfoHash {
    let mut bytes = [kind; 20];
    // Torrents are spread over the shards, whatever their numbers.
    let scrambled = (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&scrambled.to_be_bytes());
    bytes[8..12].copy_from_slice(&number.to_be_bytes());
    InfoHash(bytes)
}
