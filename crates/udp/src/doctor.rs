//! What `doctor` announces, and needs to know of the settings.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_doctor::{
    Answer, Event, Particulars, Patient, Peer, Refusals, Scheme, Target, Trouble,
};
use aquatic_tracker::RejectReason;
use aquatic_udp_protocol::{
    AddressFamily, AnnounceRequest, ConnectRequest, ConnectionId, Response, TransactionId, UrlData,
};

use crate::UdpDaemon;
use crate::settings::Settings;

/// How long to wait for a reply, and how often to ask. BEP 15 waits 15 seconds at first,
/// for networks that are slower than those in which operators wait.
const PATIENCE: Duration = Duration::from_millis(1200);
const ATTEMPTS: u8 = 3;

/// Longer than any reply.
const MAX_REPLY: usize = 2048;

/// Maximum length of the path that is sent, as by other clients: that of one option.
const MAX_PATH: usize = 255;

/// An announce, and an option with a path.
const MAX_REQUEST: usize = 98 + 2 + MAX_PATH;

/// How this tracker refuses announces.
const REFUSALS: Refusals = Refusals {
    forbidden: RejectReason::Forbidden.text(),
    needs_key: RejectReason::MissingKey.text(),
    rate_limit: RejectReason::RateLimit.text(),
};

impl Patient for UdpDaemon {
    const SCHEMES: &'static [Scheme] = &[Scheme::Udp];

    fn particulars(settings: &Settings) -> Particulars {
        Particulars {
            has_keys: settings.config.keys.file().is_some(),
            requests_at_once: settings.config.rates.at_once_from_here(),
            ..Particulars::default()
        }
    }

    fn announce(target: &Target) -> Result<Answer, Trouble> {
        let dialogue = Dialogue::begin(target.address)
            .map_err(|error| Trouble::Unreachable(error.to_string()))?;
        aquatic_doctor::announce_both(target, REFUSALS, |peer, event| {
            dialogue.announce(target, peer, event)
        })
    }
}

/// A socket that is connected to the tracker.
struct Dialogue {
    socket: UdpSocket,
    family: AddressFamily,
}

/// The peers of a reply, or the message of an error.
type Reply = Result<Vec<SocketAddr>, String>;

impl Dialogue {
    fn begin(tracker: SocketAddr) -> io::Result<Self> {
        let (any, family): (IpAddr, _) = match tracker {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), AddressFamily::Ipv4),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), AddressFamily::Ipv6),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(tracker)?;
        Ok(Self { socket, family })
    }

    /// Announces once, with a connection id of its own.
    fn announce(&self, target: &Target, peer: Peer, event: Event) -> Result<Reply, Trouble> {
        let transaction_id = TransactionId(fastrand::u32(..).to_be_bytes());
        let connect = ConnectRequest { transaction_id }.to_bytes();
        let connection_id = self.exchange(&connect, transaction_id, |response| match response {
            Response::Connect(response) => Ok(Ok(response.connection_id)),
            Response::Error(error) => Ok(Err(text(error.message))),
            _ => Err("it answers a connect request with something else"
                .to_owned()
                .into()),
        })?;
        match connection_id {
            Ok(connection_id) => self.announce_with(connection_id, target, peer, event),
            Err(message) => Ok(Err(message)),
        }
    }

    fn announce_with(
        &self,
        connection_id: ConnectionId,
        target: &Target,
        peer: Peer,
        event: Event,
    ) -> Result<Reply, Trouble> {
        let transaction_id = TransactionId(fastrand::u32(..).to_be_bytes());
        let options = url_data(&target.url.path);
        let request = AnnounceRequest {
            connection_id,
            transaction_id,
            info_hash: InfoHash(target.info_hash),
            peer_id: PeerId(peer.id),
            downloaded: 0,
            left: 1,
            uploaded: 0,
            event: match event {
                Event::Started => AnnounceEvent::Started,
                Event::Stopped => AnnounceEvent::Stopped,
            },
            claimed_address: None,
            key: fastrand::u32(..),
            peers_wanted: None,
            port: peer.port,
            url_data: UrlData::from_options(&options),
        };
        let mut bytes = [0; MAX_REQUEST];
        let length = request
            .write(&mut bytes)
            .map_err(|error| error.to_string())?;
        self.exchange(
            &bytes[..length],
            transaction_id,
            |response| match response {
                Response::Announce(response) => Ok(Ok(response.peers.addresses().collect())),
                Response::Error(error) => Ok(Err(text(error.message))),
                _ => Err("it answers an announce with something else"
                    .to_owned()
                    .into()),
            },
        )
    }

    /// Sends a request until it is answered.
    fn exchange<T>(
        &self,
        request: &[u8],
        transaction_id: TransactionId,
        read: impl Fn(Response<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        for _ in 0..ATTEMPTS {
            let fault = |error: io::Error| match error.kind() {
                // An ICMP message has said so.
                io::ErrorKind::ConnectionRefused => {
                    Trouble::Unreachable("the port is refused: nothing listens".to_owned())
                }
                _ => Trouble::Unreachable(error.to_string()),
            };
            self.socket.send(request).map_err(fault)?;
            let end = Instant::now() + PATIENCE;
            loop {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.socket.set_read_timeout(Some(left)).map_err(fault)?;
                let mut reply = [0; MAX_REPLY];
                let length = match self.socket.recv(&mut reply) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(fault(error)),
                };
                let response = Response::parse(&reply[..length], self.family);
                let response = response.map_err(|error| error.to_string())?;
                // A reply to an earlier attempt is one to this request, others are not.
                if response.transaction_id() == transaction_id {
                    return read(response);
                }
            }
        }
        let seconds = PATIENCE.as_secs_f32() * f32::from(ATTEMPTS);
        let reason = format!("no answer within {seconds:.0} seconds");
        Err(Trouble::Unreachable(reason))
    }
}

/// The option with a path and query (BEP 41), in which keys are.
fn url_data(path: &str) -> Vec<u8> {
    let path = path.as_bytes();
    let path = &path[..path.len().min(MAX_PATH)];
    if path == b"/" {
        return Vec::new();
    }
    let mut option = vec![2, path.len() as u8];
    option.extend_from_slice(path);
    option
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}
