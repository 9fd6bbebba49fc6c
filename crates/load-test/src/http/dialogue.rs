//! HTTP from the client's side: sending requests and checking replies.

use std::sync::Arc;

use aquatic_bittorrent::AnnounceEvent;

use super::bencode;
use super::reply::{self, Received};
use super::settings::Settings;
use super::style::{Announce, Envelope};
use crate::control::Phase;
use crate::counters::{Count, Kind};
use crate::lead::Part;
use crate::population::Population;
use crate::share::Share;
use crate::stream::{self, Heard, Reply, Request, Seat, Taken};
use crate::tally::Tally;

/// The HTTP client of a worker.
pub(crate) struct Dialogue {
    settings: Arc<Settings>,
    population: Arc<Population>,
    random: fastrand::Rng,
    /// Of the sources of all workers; only the worker's own are used.
    shares: Vec<Share>,
}

impl Dialogue {
    pub(crate) fn new(settings: Arc<Settings>, part: &Part) -> Self {
        let sources = 0..settings.run.population.carriers;
        Self {
            shares: sources
                .map(|source| part.population.share(source))
                .collect(),
            population: Arc::clone(&part.population),
            random: part.random(&settings.run),
            settings,
        }
    }

    /// Whether a reply serves the request; if not, this is counted.
    fn serves(&self, kind: Kind, reply: &reply::Reply<'_>, tally: &mut Tally) -> bool {
        let body = bencode::parse(reply.body);
        if let Some(message) = body.and_then(|body| body.failure) {
            tally.error(message);
            return false;
        }
        if reply.status != OK {
            tally.error(format!("HTTP status {}", reply.status).as_bytes());
            return false;
        }
        match (kind, body) {
            (Kind::Announce, Some(body)) if body.has_interval => {
                tally.counters[Count::PeersReceived] += body.peers as u64;
                true
            }
            (Kind::Scrape, Some(body)) if body.has_files => true,
            _ => {
                tally.counters[Count::Unexpected] += 1;
                false
            }
        }
    }
}

impl stream::Dialogue for Dialogue {
    type State = ();

    fn state(&mut self, _: Seat) {}

    fn choose(&mut self, (): &mut (), seat: Seat, phase: Phase) -> Option<(Kind, Option<u32>)> {
        // The shortest request to check that the tracker answers.
        if !seat.proven {
            return Some((Kind::Scrape, None));
        }
        match phase {
            Phase::Fill => self.shares[seat.source]
                .next_filling()
                .map(|place| (Kind::Announce, Some(place))),
            Phase::WarmUp | Phase::Measure => {
                Some((self.settings.requests.kinds.choose(&mut self.random), None))
            }
            _ => None,
        }
    }

    fn greet(&mut self, (): &mut (), _: &mut Vec<u8>) -> bool {
        false
    }

    fn write(
        &mut self,
        (): &mut (),
        seat: Seat,
        request: Request,
        out: &mut Vec<u8>,
        _: &mut Tally,
    ) {
        let settings = &self.settings.requests;
        let envelope = Envelope {
            host: &self.settings.transport.host,
            keep_alive: settings.keep_alive || seat.idle,
        };
        let styles = settings.styles;
        if request.kind == Kind::Scrape {
            let count = if seat.proven {
                settings.scrape_torrents
            } else {
                1
            };
            let (population, random) = (&self.population, &mut self.random);
            let style = styles[seat.connection % styles.len()];
            let info_hashes = (0..count).map(|_| population.random_info_hash(random));
            style.write_scrape(info_hashes, envelope, out);
            return;
        }
        let (place, event) = match request.filling {
            Some(place) => (place, AnnounceEvent::Started),
            None => (
                self.random.u32(..self.shares[seat.source].peers),
                self.settings.run.events.choose(&mut self.random),
            ),
        };
        let announce = Announce {
            // Sources are numbered by u32.
            peer: self.population.peer(seat.source as u32, place),
            key: place,
            event,
            peers_wanted: settings.peers_wanted,
        };
        // A peer always imitates the same client.
        let style = styles[place as usize % styles.len()];
        style.write_announce(&announce, envelope, out);
    }

    fn read(&mut self, (): &mut (), heard: Heard<'_>, tally: &mut Tally) -> Taken {
        // Only replies to requests, one at a time.
        let Some(request) = heard.request else {
            return Taken::Malformed;
        };
        match reply::parse(heard.bytes, heard.ended) {
            Received::Malformed => Taken::Malformed,
            Received::Part => Taken::Bytes {
                count: 0,
                reply: None,
                greeted: false,
            },
            Received::Whole(reply) => Taken::Bytes {
                count: heard.bytes.len(),
                reply: Some(Reply {
                    serves: self.serves(request.kind, &reply, tally),
                    wants_more: self.settings.requests.keep_alive,
                    keeps_open: reply.keeps_open,
                }),
                greeted: false,
            },
        }
    }

    fn not_filled(&mut self, (): &mut (), seat: Seat, place: u32) {
        self.shares[seat.source].not_filled(place);
    }

    fn is_proven(&self, (): &(), _: Seat) -> bool {
        true
    }
}

/// The status of a successful reply.
const OK: u16 = 200;
