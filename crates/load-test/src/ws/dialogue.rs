//! The side of a client over WebSocket: announces, answers to offers, and what
//! messages of the tracker mean.

use std::collections::VecDeque;
use std::sync::Arc;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_ws_protocol::client::{self, Reply, UpgradeReading};
use aquatic_ws_protocol::{
    Action, Announce, Answer, CloseCode, Event, MessageReader, Offer, Received, RelayedOffer,
    Request as Message, Scrape, Sender, SizeLimits,
};

use super::offer_id;
use super::settings::Settings;
use crate::control::Phase;
use crate::counters::{Count, Kind};
use crate::lead::Part;
use crate::population::Population;
use crate::share::Share;
use crate::stream::{self, Heard, Request, Seat, Taken};
use crate::tally::Tally;

/// A worker's side of WebTorrent.
pub(crate) struct Dialogue {
    settings: Arc<Settings>,
    population: Arc<Population>,
    random: fastrand::Rng,
}

/// What is remembered of a connection.
pub(crate) struct State {
    /// The peers of the slot, each of another torrent or for it again. They
    /// have one peer id, as those of a browser have.
    share: Share,
    nonce: [u8; 16],
    upgraded: bool,
    reader: MessageReader,
    /// Announces over the connection.
    announces: u32,
    /// The torrent of the last announce.
    info_hash: InfoHash,
    /// Connections so far. A peer of WebTorrent is gone with its connection, and
    /// some trackers do not answer one that comes again before they have
    /// noticed, so it is another one over each.
    connections: u32,
    answers: Answers,
}

/// Offers that were answered over this connection, the oldest first. Some
/// trackers say nothing to an answer, others reply as to an announce, and both
/// may refuse it.
#[derive(Default)]
struct Answers {
    /// Their torrents, and how many requests were written before.
    open: VecDeque<(InfoHash, u32)>,
    /// Whether the tracker is one that replies to them.
    are_replied_to: bool,
    requests: u32,
}

impl Answers {
    fn sent(&mut self, info_hash: InfoHash) {
        if self.open.len() == MAX_OPEN_ANSWERS {
            self.open.pop_front();
        }
        self.open.push_back((info_hash, self.requests));
    }

    /// A request is written: what was said long before it gets no reply any
    /// more.
    fn request(&mut self) {
        self.requests = self.requests.wrapping_add(1);
        let most = if self.are_replied_to {
            REQUESTS_BEFORE_REPLY
        } else {
            REQUESTS_BEFORE_FIRST_REPLY
        };
        while let Some((_, written)) = self.open.front()
            && self.requests.wrapping_sub(*written) > most
        {
            self.open.pop_front();
        }
    }

    /// Takes the oldest answer on a torrent, or on any, if there is one: a reply
    /// may be to that.
    fn take(&mut self, info_hash: Option<InfoHash>) -> bool {
        let is_it = |(other, _): &(InfoHash, u32)| info_hash.is_none_or(|it| it == *other);
        let place = self.open.iter().position(is_it);
        place.and_then(|place| self.open.remove(place)).is_some()
    }
}

impl Dialogue {
    pub(crate) fn new(settings: Arc<Settings>, part: &Part) -> Self {
        Self {
            population: Arc::clone(&part.population),
            random: part.random(&settings.run),
            settings,
        }
    }

    fn peer_id(&self, state: &State, seat: Seat) -> PeerId {
        // Connections are bounded far below 2^32.
        let mut peer_id = self.population.peer(seat.connection as u32, 0).peer_id;
        let again = state.connections.saturating_sub(1).to_be_bytes();
        for (byte, other) in peer_id.0[16..].iter_mut().zip(again) {
            *byte ^= other;
        }
        peer_id
    }

    fn send(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        let mask = self.random.u32(..).to_ne_bytes();
        client::write_text(out, mask, |out| client::write_request(out, message));
    }

    fn scrape(&mut self, seat: Seat, out: &mut Vec<u8>) {
        let count = if seat.proven {
            self.settings.requests.scrape_torrents
        } else {
            1
        };
        let (population, random) = (&self.population, &mut self.random);
        let info_hashes = (0..count)
            .map(|_| population.random_info_hash(random))
            .collect();
        self.send(&Message::Scrape(Scrape { info_hashes }), out);
    }

    fn announce(&mut self, state: &mut State, seat: Seat, request: Request, out: &mut Vec<u8>) {
        let (place, event) = match request.filling {
            Some(place) => (place, AnnounceEvent::Started),
            None => (
                self.random.u32(..state.share.peers),
                self.settings.run.events.choose(&mut self.random),
            ),
        };
        let peer = self.population.peer(seat.connection as u32, place);
        state.info_hash = peer.info_hash;
        state.announces += 1;

        let with_offers = request.filling.is_none() && event != AnnounceEvent::Stopped;
        let count = if with_offers {
            self.settings.requests.offers
        } else {
            0
        };
        let description = self.settings.requests.offer;
        let offers = (0..count)
            .map(|_| Offer {
                id: offer_id::new(request.started_at, &mut self.random),
                description,
            })
            .collect();
        let announce = Message::Announce(Announce {
            info_hash: peer.info_hash,
            peer_id: self.peer_id(state, seat),
            event,
            left: Some(if peer.seeder { 0 } else { LEECHER_LEFT_BYTES }),
            uploaded: None,
            downloaded: None,
            // The tracker's maximum if there are no offers, as it does not
            // matter then.
            wanted: (count > 0).then_some(count as u32),
            offers,
        });
        self.send(&announce, out);
    }

    fn answer(
        &mut self,
        state: &mut State,
        seat: Seat,
        offer: &RelayedOffer<'_>,
        out: &mut Vec<u8>,
    ) {
        state.answers.sent(offer.info_hash);
        let answer = Message::Answer(Answer {
            info_hash: offer.info_hash,
            peer_id: self.peer_id(state, seat),
            to_peer_id: offer.from_peer_id,
            offer_id: offer.offer_id,
            description: self.settings.requests.answer,
        });
        self.send(&answer, out);
    }

    /// Reads a message; returns whether the request that is under way was
    /// served, if it is a reply to that.
    fn take(&mut self, state: &mut State, text: &str, context: Context<'_>) -> Option<bool> {
        let Context {
            seat,
            request,
            tally,
            out,
        } = context;
        match Reply::parse(text) {
            Ok(Reply::Offer(offer)) => {
                tally.counters[Count::OffersReceived] += 1;
                tally.record(Kind::Offer, offer_id::sent_at(offer.offer_id), tally.now());
                if self.settings.requests.answers && !seat.idle {
                    self.answer(state, seat, &offer, out);
                    tally.counters[Count::AnswersSent] += 1;
                }
                None
            }
            Ok(Reply::Answer(answer)) => {
                tally.counters[Count::AnswersReceived] += 1;
                let sent_at = offer_id::sent_at(answer.offer_id);
                tally.record(Kind::Answer, sent_at, tally.now());
                None
            }
            Ok(Reply::Announce(reply)) => {
                let info_hash = reply.info_hash;
                let is_awaited = request == Some(Kind::Announce) && info_hash == state.info_hash;
                let answers = &mut state.answers;
                // Replies come in the order of what they reply to, so that to an
                // answer comes before that to an announce behind it.
                if (answers.are_replied_to || !is_awaited) && answers.take(Some(info_hash)) {
                    answers.are_replied_to = true;
                    return None;
                }
                if !is_awaited {
                    tally.counters[Count::Unexpected] += 1;
                }
                is_awaited.then_some(true)
            }
            Ok(Reply::Scrape(_)) if request == Some(Kind::Scrape) => Some(true),
            Ok(Reply::Failure {
                reason,
                action,
                info_hash,
            }) => {
                // The peer that sent the offer may have left since, which is not an error
                // of the tracker. The number of answers that arrive is counted by their
                // receivers.
                if action != Some(Action::Scrape) && state.answers.take(info_hash) {
                    return None;
                }
                tally.error(reason.as_bytes());
                Some(false)
            }
            _ => {
                tally.counters[Count::Unexpected] += 1;
                Some(false)
            }
        }
    }
}

/// What a message is read with.
struct Context<'a> {
    seat: Seat,
    /// What is under way.
    request: Option<Kind>,
    tally: &'a mut Tally,
    out: &'a mut Vec<u8>,
}

impl stream::Dialogue for Dialogue {
    type State = State;

    fn state(&mut self, seat: Seat) -> State {
        State {
            share: self.population.share(seat.connection as u32),
            nonce: [0; 16],
            upgraded: false,
            reader: MessageReader::new(),
            announces: 0,
            info_hash: InfoHash([0; 20]),
            connections: 0,
            answers: Answers::default(),
        }
    }

    fn choose(
        &mut self,
        state: &mut State,
        seat: Seat,
        phase: Phase,
    ) -> Option<(Kind, Option<u32>)> {
        let mut fill = || {
            let place = state.share.next_filling();
            place.map(|place| (Kind::Announce, Some(place)))
        };
        if seat.idle {
            return fill();
        }
        // The least that shows that the tracker answers.
        if !seat.proven {
            return Some((Kind::Scrape, None));
        }
        match phase {
            Phase::Fill => fill(),
            Phase::WarmUp | Phase::Measure => {
                Some((self.settings.requests.kinds.choose(&mut self.random), None))
            }
            _ => None,
        }
    }

    fn greet(&mut self, state: &mut State, out: &mut Vec<u8>) -> bool {
        state.upgraded = false;
        state.reader = MessageReader::new();
        state.announces = 0;
        state.connections = state.connections.wrapping_add(1);
        state.answers.open.clear();
        self.random.fill(&mut state.nonce);
        client::write_upgrade_request(out, &self.settings.transport.host, "/", state.nonce);
        true
    }

    fn write(
        &mut self,
        state: &mut State,
        seat: Seat,
        request: Request,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) {
        state.answers.request();
        if request.kind == Kind::Scrape {
            self.scrape(seat, out);
        } else {
            self.announce(state, seat, request, out);
            if request.filling.is_none() {
                tally.counters[Count::OffersSent] += self.settings.requests.offers as u64;
            }
        }
    }

    fn read(&mut self, state: &mut State, heard: Heard<'_>, tally: &mut Tally) -> Taken {
        let Heard {
            bytes,
            seat,
            request,
            out,
            ..
        } = heard;
        let mut count = 0;
        let greeted = !state.upgraded;
        if greeted {
            match UpgradeReading::of(bytes, state.nonce) {
                UpgradeReading::Upgraded { length } => count = length,
                UpgradeReading::Incomplete => {
                    return Taken::Bytes {
                        count: 0,
                        reply: None,
                        greeted: false,
                    };
                }
                UpgradeReading::Rejected(status) => {
                    tally.error(format!("HTTP status {status}").as_bytes());
                    return Taken::Malformed;
                }
                UpgradeReading::Malformed => return Taken::Malformed,
            }
            state.upgraded = true;
        }

        let mut request = request.map(|request| request.kind);
        let mut served = None;
        while let Some(rest) = bytes.get_mut(count..).filter(|rest| !rest.is_empty()) {
            let received = state.reader.read(rest, Sender::Server, MAX_MESSAGE);
            let text = match received {
                Err(_) => return Taken::Malformed,
                Ok(Received::Incomplete) => break,
                Ok(Received::Frame { event, length }) => {
                    count += length;
                    match event {
                        Event::Text(text) => Some(text),
                        event => {
                            self.control(&event, tally, out);
                            None
                        }
                    }
                }
            };
            if let Some(text) = text {
                let context = Context {
                    seat,
                    request,
                    tally,
                    out,
                };
                let outcome = self.take(state, &text, context);
                if let (Some(serves), Some(_)) = (outcome, request) {
                    request = None;
                    served = Some(serves);
                }
            }
        }
        Taken::Bytes {
            count,
            reply: served.map(|serves| stream::Reply {
                serves,
                wants_more: self.wants_more(state),
                keeps_open: true,
            }),
            greeted,
        }
    }

    fn not_filled(&mut self, state: &mut State, _: Seat, place: u32) {
        state.share.not_filled(place);
    }

    fn is_proven(&self, state: &State, seat: Seat) -> bool {
        !seat.idle || state.share.is_filled()
    }
}

impl Dialogue {
    fn wants_more(&self, state: &State) -> bool {
        let most = self.settings.requests.announces_per_connection;
        most.is_none_or(|most| state.announces < most.get())
    }

    /// Answers what is no message of text.
    fn control(&mut self, event: &Event<'_>, tally: &mut Tally, out: &mut Vec<u8>) {
        let mask = self.random.u32(..).to_ne_bytes();
        match event {
            Event::Ping(payload) => client::write_pong(out, mask, payload),
            Event::Close(code) => {
                if let Some(code) = code.filter(|code| *code != CloseCode::GOING_AWAY) {
                    tally.error(format!("close code {}", code.number()).as_bytes());
                }
                client::write_close(out, mask, CloseCode::NORMAL, "");
            }
            // No tracker sends messages of bytes.
            Event::Binary(_) => tally.counters[Count::Unexpected] += 1,
            Event::Text(_) | Event::Fragment | Event::Pong(_) => {}
        }
    }
}

/// What a leecher says that it lacks. Trackers ask only whether it is 0.
const LEECHER_LEFT_BYTES: u64 = 1 << 20;

/// Maximum number of answers of a connection that are remembered. When a tracker pauses for a
/// tenth of a second, some hundred wait for a reply at the same time.
const MAX_OPEN_ANSWERS: usize = 4096;

/// How many requests may be written after an answer before its reply comes, at
/// most: there is one request at a time, but a tracker may answer messages out of
/// their order.
const REQUESTS_BEFORE_REPLY: u32 = 16;

/// The same as long as it is not known that the tracker replies to answers.
const REQUESTS_BEFORE_FIRST_REPLY: u32 = 2;

/// Far above any relayed description.
const MAX_MESSAGE: SizeLimits = SizeLimits::of_message(1 << 20);
