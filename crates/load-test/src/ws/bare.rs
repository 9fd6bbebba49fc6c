//! A minimal WebTorrent tracker, as a baseline for benchmarks.
//!
//! It receives and sends as much as a tracker: a reply to each announce, an offer to
//! another connection for each one received, and an answer for each answer. Or, if it is
//! configured to relay no offers, it echoes: an announce with offers gets a reply as long
//! as an offer, so one message is sent for each one received. What it sends is always the
//! same and prepared in advance: it only reads the first and the last bytes of a message
//! and, for its reply, the info hash. It keeps no state, and relays offers to connections
//! in sequence. The two programs that use this differ in their event loop.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_ws_protocol::{
    Event, HeaderBuffer, MessageReader, OfferId, Reading, Received, RelayedAnswer, RelayedOffer,
    Resource, ScrapeReply, Sender, SessionDescription, SizeLimits, write_text, write_upgrade,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// What comes after the address on the command line.
pub const USAGE: &str = " OFFERS DESCRIPTION_BYTES [CERTIFICATE.pem KEY.pem]";

/// Bytes that are read at once.
pub const READ_BYTES: usize = 64 * 1024;

/// All connections, and what is to be sent over them.
pub struct Hub {
    canned: Canned,
    tls: Option<Arc<ServerConfig>>,
    places: Vec<Option<Session>>,
    free: Vec<usize>,
    /// The connection that gets the next offer or answer.
    next: usize,
}

struct Session {
    // In a box because it is large, and plain connections have none.
    tls: Option<Box<ServerConnection>>,
    upgraded: bool,
    reader: MessageReader,
    /// The beginning of a message.
    incoming: Vec<u8>,
    /// Messages to send, in the clear.
    pending: Vec<u8>,
}

/// Frames that were made before.
struct Canned {
    offers: usize,
    /// What makes an echo long enough.
    padding: Vec<u8>,
    offer: Vec<u8>,
    answer: Vec<u8>,
    scrape: Vec<u8>,
}

/// The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

impl Hub {
    /// A hub without connections. The arguments are those of [`USAGE`].
    ///
    /// # Errors
    ///
    /// An argument is missing or wrong, or a file unreadable.
    pub fn new(arguments: &[String]) -> anyhow::Result<Self> {
        let number = |index: usize| {
            let text = arguments.get(index)?;
            text.parse::<usize>().ok()
        };
        let offers = number(0).context("the number of offers is missing")?;
        let bytes = number(1).context("the bytes of a description are missing")?;
        let tls = match (arguments.get(2), arguments.get(3)) {
            (Some(certificate), Some(key)) => {
                Some(Arc::new(server_config(certificate.as_ref(), key.as_ref())?))
            }
            _ => None,
        };
        Ok(Self {
            canned: Canned::new(offers, bytes)?,
            tls,
            places: Vec::new(),
            free: Vec::new(),
            next: 0,
        })
    }

    /// Makes room for a connection.
    ///
    /// # Errors
    ///
    /// TLS is not possible.
    pub fn insert(&mut self) -> anyhow::Result<usize> {
        let tls = match &self.tls {
            Some(config) => {
                let mut connection = ServerConnection::new(Arc::clone(config))?;
                connection.set_buffer_limit(None);
                Some(Box::new(connection))
            }
            None => None,
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(Session {
            tls,
            upgraded: false,
            reader: MessageReader::new(),
            incoming: Vec::new(),
            pending: Vec::new(),
        });
        Ok(place)
    }

    /// Forgets a connection.
    pub fn remove(&mut self, place: usize) {
        self.places[place] = None;
        self.free.push(place);
    }

    /// Takes what a connection has sent, and notes which connections have
    /// something to send now, some perhaps twice.
    ///
    /// # Errors
    ///
    /// The connection is to be closed.
    pub fn read(
        &mut self,
        place: usize,
        bytes: &[u8],
        touched: &mut Vec<usize>,
    ) -> Result<(), Over> {
        let session = self.places[place].as_mut().ok_or(Over)?;
        session.decrypt(bytes).map_err(|_| Over)?;
        touched.push(place);
        let mut at = 0;
        if !session.upgraded {
            let mut headers = HeaderBuffer::new();
            let (head, length) = match Reading::of(&session.incoming, &mut headers) {
                Reading::Incomplete => return Ok(()),
                Reading::Complete { head, length } => (head, length),
                Reading::Fault(_) => return Err(Over),
            };
            let Resource::Upgrade(upgrade) = Resource::of(&head) else {
                return Err(Over);
            };
            write_upgrade(&mut session.pending, upgrade.accept);
            at = length;
            session.upgraded = true;
        }
        // Taken and put back so that other sessions can be written to.
        let mut incoming = std::mem::take(&mut session.incoming);
        let mut reader = std::mem::take(&mut session.reader);
        loop {
            match reader.read(&mut incoming[at..], Sender::Client, MAX_MESSAGE) {
                Ok(Received::Incomplete) => break,
                Ok(Received::Frame { event, length }) => {
                    match event {
                        Event::Text(text) => self.take(place, text.as_bytes(), touched),
                        Event::Close(_) => return Err(Over),
                        _ => {}
                    }
                    at += length;
                }
                Err(_) => return Err(Over),
            }
        }
        if let Some(session) = &mut self.places[place] {
            incoming.drain(..at);
            session.incoming = incoming;
            session.reader = reader;
        }
        Ok(())
    }

    /// Appends what is to be sent over a connection.
    pub fn output(&mut self, place: usize, out: &mut Vec<u8>) {
        let Some(session) = &mut self.places[place] else {
            return;
        };
        let Some(tls) = &mut session.tls else {
            out.append(&mut session.pending);
            return;
        };
        // Writing to memory cannot fail.
        tls.writer().write_all(&session.pending).ok();
        session.pending.clear();
        while tls.wants_write() {
            tls.write_tls(out).ok();
        }
    }

    fn take(&mut self, place: usize, message: &[u8], touched: &mut Vec<usize>) {
        if message.starts_with(SCRAPE) {
            let Self { canned, places, .. } = self;
            if let Some(session) = &mut places[place] {
                session.pending.extend_from_slice(&canned.scrape);
            }
        } else if message.ends_with(END_OF_ANSWER) {
            self.relay(place, Relayed::Answer, touched);
        } else {
            let has_offers = message.ends_with(END_OF_OFFERS);
            self.reply(place, message, has_offers && self.canned.offers == 0);
            if has_offers {
                for _ in 0..self.canned.offers {
                    self.relay(place, Relayed::Offer, touched);
                }
            }
        }
    }

    /// Replies to an announce: with its info hash, as it was written.
    fn reply(&mut self, place: usize, message: &[u8], echoes: bool) {
        let Some(session) = &mut self.places[place] else {
            return;
        };
        let padding: &[u8] = if echoes { &self.canned.padding } else { b"" };
        let start = ANNOUNCE.len();
        let window = &message[start.min(message.len())..message.len().min(start + MAX_HASH_BYTES)];
        let length = window
            .windows(END_OF_HASH.len())
            .position(|bytes| bytes == END_OF_HASH);
        let hash = &window[..length.unwrap_or(0)];
        write_text(&mut session.pending, |out| {
            out.extend_from_slice(ANNOUNCE);
            out.extend_from_slice(hash);
            out.extend_from_slice(b"\",\"complete\":10,\"incomplete\":30,\"interval\":120");
            out.extend_from_slice(padding);
            out.push(b'}');
        });
    }

    /// Sends an offer or an answer to the next connection that is not the one
    /// it came from.
    fn relay(&mut self, from: usize, relayed: Relayed, touched: &mut Vec<usize>) {
        let Self { canned, places, .. } = self;
        for _ in 0..places.len() {
            self.next = (self.next + 1) % places.len();
            let next = self.next;
            if let Some(session) = &mut places[next]
                && session.upgraded
                && next != from
            {
                session.pending.extend_from_slice(match relayed {
                    Relayed::Offer => &canned.offer,
                    Relayed::Answer => &canned.answer,
                });
                touched.push(next);
                return;
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Relayed {
    Offer,
    Answer,
}

impl Session {
    /// Appends what has come to what came before.
    fn decrypt(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            self.incoming.extend_from_slice(bytes);
            return Ok(());
        };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let start = self.incoming.len();
            self.incoming
                .resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut self.incoming[start..])?;
        }
        Ok(())
    }
}

impl Canned {
    fn new(offers: usize, description_bytes: usize) -> anyhow::Result<Self> {
        // Random bytes are as long in JSON as those of real torrents.
        let mut random = fastrand::Rng::with_seed(1);
        let mut bytes = || {
            let mut bytes = [0; 20];
            random.fill(&mut bytes);
            bytes
        };
        let (info_hash, from_peer_id) = (InfoHash(bytes()), PeerId(bytes()));
        let offer_id = OfferId(bytes());
        let json = format!(
            "{{\"sdp\":\"{}\"}}",
            "x".repeat(description_bytes.saturating_sub(10))
        );
        let description = SessionDescription::new(&json).context("no description")?;
        let mut this = Self {
            offers,
            padding: format!(",\"padding\":{json}").into_bytes(),
            offer: Vec::new(),
            answer: Vec::new(),
            scrape: Vec::new(),
        };
        write_text(&mut this.offer, |out| {
            let offer = RelayedOffer {
                info_hash,
                from_peer_id,
                offer_id,
                description,
            };
            offer.write(out);
        });
        write_text(&mut this.answer, |out| {
            let answer = RelayedAnswer {
                info_hash,
                from_peer_id,
                offer_id,
                description,
            };
            answer.write(out);
        });
        write_text(&mut this.scrape, |out| {
            let mut reply = ScrapeReply::begin(out);
            reply.append(&info_hash, 1, 2, 3);
            reply.finish();
        });
        Ok(this)
    }
}

fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)?.collect();
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read {}", key.display()))?;
    Ok(
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates?, key)?,
    )
}

/// Far above what the load test sends.
const MAX_MESSAGE: SizeLimits = SizeLimits::of_message(4 << 20);

/// How the load test writes what it sends.
const SCRAPE: &[u8] = b"{\"action\":\"s";
const ANNOUNCE: &[u8] = b"{\"action\":\"announce\",\"info_hash\":\"";
const END_OF_HASH: &[u8] = b"\",\"peer_id\":";
const END_OF_ANSWER: &[u8] = b"}}";
const END_OF_OFFERS: &[u8] = b"]}";

/// Bytes that an info hash takes in JSON at most, with what ends it.
const MAX_HASH_BYTES: usize = 20 * 6 + END_OF_HASH.len();
