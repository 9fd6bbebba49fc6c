//! What `doctor` announces, and needs to know of the settings.

use std::collections::BTreeMap;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_doctor::{
    Answer, Connection, Particulars, Patient, Peer, Refusals, Scheme, Seen, Target, Trouble,
};
use aquatic_stream::doctor::is_about_address_header;
use aquatic_tracker::RejectReason;
use aquatic_ws_protocol::client::{self, Reply, UpgradeReading};
use aquatic_ws_protocol::{
    Announce, CloseCode, Event, MessageReader, Received, Request, Sender, SizeLimits,
};

use crate::WsDaemon;
use crate::settings::Settings;

/// Maximum length of the reply to an upgrade request, and of a message.
const MAX_REPLY: usize = 64 << 10;

/// How many messages are read until the reply is among them: there may be pings, and offers
/// of others if the URL leads to another tracker.
const MAX_MESSAGES: usize = 16;

/// How this tracker refuses announces.
const REFUSALS: Refusals = Refusals {
    forbidden: RejectReason::Forbidden.text(),
    needs_key: RejectReason::MissingKey.text(),
    rate_limit: RejectReason::RateLimit.text(),
};

impl Patient for WsDaemon {
    const SCHEMES: &'static [Scheme] = &[Scheme::Ws, Scheme::Wss];

    fn particulars(settings: &Settings) -> Particulars {
        let particulars = aquatic_stream::doctor::particulars(&settings.connections);
        Particulars {
            tls: settings.tls.clone().map(|it| [it.certificate, it.key]),
            has_keys: settings.config.keys.file().is_some(),
            requests_at_once: settings.config.rates.at_once_from_here(),
            ..particulars
        }
    }

    /// Both peers stay connected until they have left, as peers of WebTorrent do.
    fn announce(target: &Target) -> Result<Answer, Trouble> {
        let mut dialogues = BTreeMap::new();
        let answer = aquatic_doctor::announce_both(target, REFUSALS, |peer, event| {
            let (mut dialogue, event) = match (event, dialogues.remove(&peer.port)) {
                (aquatic_doctor::Event::Stopped, Some(dialogue)) => {
                    (dialogue, AnnounceEvent::Stopped)
                }
                _ => (Dialogue::begin(target)?, AnnounceEvent::Started),
            };
            let reply = dialogue.announce(target, peer, event)?;
            if event == AnnounceEvent::Started {
                dialogues.insert(peer.port, dialogue);
            } else {
                dialogue.end();
            }
            Ok(reply.map(|()| Vec::new()))
        })?;
        Ok(match answer {
            Answer::Accepted(_) => Answer::Accepted(Seen::Untold),
            other => other,
        })
    }
}

/// A WebSocket.
struct Dialogue {
    connection: Connection,
    /// What has been received, and not read yet.
    input: Vec<u8>,
    reader: MessageReader,
}

impl Dialogue {
    fn begin(target: &Target) -> Result<Self, Trouble> {
        let mut connection = Connection::open(target)?;
        let nonce = fastrand::u128(..).to_be_bytes();
        let mut request = Vec::new();
        let host = target.url.authority();
        client::write_upgrade_request(&mut request, &host, &target.url.path, nonce);
        connection.send(&request)?;
        let mut input = Vec::new();
        connection.read_until(&mut input, MAX_REPLY, |bytes| {
            UpgradeReading::of(bytes, nonce) != UpgradeReading::Incomplete
        })?;
        match UpgradeReading::of(&input, nonce) {
            UpgradeReading::Upgraded { length } => {
                input.drain(..length);
                Ok(Self {
                    connection,
                    input,
                    reader: MessageReader::new(),
                })
            }
            UpgradeReading::Rejected(status) => {
                let reply = String::from_utf8_lossy(&input).into_owned();
                let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                let line = body.lines().next().unwrap_or_default();
                let kind = if is_about_address_header(line) {
                    Trouble::ProxyHeader
                } else {
                    Trouble::Other
                };
                Err(kind(format!(
                    "it does not upgrade the connection to WebSocket: status {status}, {line:?}"
                )))
            }
            UpgradeReading::Incomplete if input.is_empty() => {
                Err("it closed the connection without an answer"
                    .to_owned()
                    .into())
            }
            UpgradeReading::Incomplete | UpgradeReading::Malformed => {
                Err("the answer is not one of a WebSocket".to_owned().into())
            }
        }
    }

    /// Announces, and returns the reason of a refusal.
    fn announce(
        &mut self,
        target: &Target,
        peer: Peer,
        event: AnnounceEvent,
    ) -> Result<Result<(), String>, String> {
        let request = Request::Announce(Announce {
            info_hash: InfoHash(target.info_hash),
            peer_id: PeerId(peer.id),
            event,
            left: Some(1),
            uploaded: None,
            downloaded: None,
            wanted: None,
            offers: Vec::new(),
        });
        let mut bytes = Vec::new();
        client::write_text(&mut bytes, mask(), |out| {
            client::write_request(out, &request);
        });
        self.connection.send(&bytes)?;
        for _ in 0..MAX_MESSAGES {
            let message = self.message()?;
            match Reply::parse(&message).map_err(|error| error.to_string())? {
                Reply::Announce(_) => return Ok(Ok(())),
                Reply::Failure { reason, .. } => return Ok(Err(reason.into_owned())),
                Reply::Offer(_) | Reply::Answer(_) | Reply::Scrape(_) => {}
            }
        }
        Err("there was no reply to an announce".to_owned())
    }

    /// The next text.
    fn message(&mut self) -> Result<String, String> {
        for _ in 0..MAX_MESSAGES {
            let limits = SizeLimits::of_message(MAX_REPLY);
            let received = self.reader.read(&mut self.input, Sender::Server, limits);
            let (text, length) = match received.map_err(|error| error.to_string())? {
                Received::Incomplete => {
                    let before = self.input.len();
                    self.connection
                        .read_until(&mut self.input, 2 * MAX_REPLY, |bytes| bytes.len() > before)?;
                    if self.input.len() == before {
                        return Err("it closed the connection without a reply".to_owned());
                    }
                    continue;
                }
                Received::Frame { event, length } => match event {
                    Event::Text(text) => (Some(text.into_owned()), length),
                    Event::Close(_) => return Err("it closed the WebSocket".to_owned()),
                    _ => (None, length),
                },
            };
            self.input.drain(..length);
            if let Some(text) = text {
                return Ok(text);
            }
        }
        Err("there was no message".to_owned())
    }

    fn end(mut self) {
        let mut bytes = Vec::new();
        client::write_close(&mut bytes, mask(), CloseCode::NORMAL, "");
        let _ = self.connection.send(&bytes);
    }
}

fn mask() -> [u8; 4] {
    fastrand::u32(..).to_be_bytes()
}
