//! Offers and answers from other nodes.

use std::sync::{Arc, OnceLock};

use aquatic_cluster::{Signal, SignalBatch, SignalKind};
use aquatic_service::View;
use aquatic_service::clock::Clock;
use aquatic_service::metrics::{Counter, Metric, Metrics};
use aquatic_stream::InboxFull;
use aquatic_ws_protocol::{OfferId, RelayedAnswer, RelayedOffer, SessionDescription, write_text};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::nodes::Nodes;
use crate::relay::Inboxes;
use crate::settings::Settings;
use crate::tracker::{Address, Envelope, PendingOffer, RelayKind, State, record};

/// Passes offers and answers from other nodes to the workers of this one.
pub(crate) struct Incoming {
    pub(crate) state: Arc<State>,
    pub(crate) nodes: Arc<Nodes>,
    /// Known when the workers have started.
    pub(crate) inboxes: Arc<OnceLock<Inboxes>>,
    pub(crate) clock: Clock,
    pub(crate) settings: View<Settings>,
    pub(crate) counts: Arc<IncomingCounts>,
}

/// How many offers and answers from other nodes had which outcome.
#[derive(Default)]
pub(crate) struct IncomingCounts([Counter; SignalResult::COUNT]);

/// The outcome of an offer or an answer from another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum SignalResult {
    /// A worker has it for its receiver.
    Accepted,
    /// Its receiver is not connected to this node.
    ReceiverGone,
    /// It is older than an offer may be.
    Expired,
    /// The torrent is forbidden here.
    Forbidden,
    /// The session description is too long, or not a JSON object.
    Invalid,
    /// The node that sent it is not known to be alive.
    UnknownNode,
    /// The inbox of the receiver's worker is full.
    FullInbox,
}

impl Incoming {
    /// Passes on the signals of a batch that is so old.
    pub(crate) fn receive(&mut self, batch: &SignalBatch<'_>, age_milliseconds: u64) {
        self.settings.refresh();
        let node = self.nodes.address(batch.node);
        for signal in batch.signals() {
            let passed_on = match node {
                Some(node) => self.pass_on(&signal, node, age_milliseconds),
                None => Err(SignalResult::UnknownNode),
            };
            let outcome = passed_on.err().unwrap_or(SignalResult::Accepted);
            self.counts.0[outcome as usize].add(1);
        }
    }

    fn pass_on(
        &self,
        signal: &Signal<'_>,
        node: Address,
        age_milliseconds: u64,
    ) -> Result<(), SignalResult> {
        let Signal {
            info_hash,
            from,
            offer_id,
            ..
        } = *signal;
        let valid_until = self
            .valid_until(age_milliseconds)
            .ok_or(SignalResult::Expired)?;
        if !self.state.shared.lists.access_list.allows(&info_hash) {
            return Err(SignalResult::Forbidden);
        }
        let description = self.description(signal).ok_or(SignalResult::Invalid)?;
        let to = self.receiver(signal).ok_or(SignalResult::ReceiverGone)?;
        let inboxes = self.inboxes.get().ok_or(SignalResult::ReceiverGone)?;
        let inbox = inboxes.get(to.worker()).ok_or(SignalResult::ReceiverGone)?;
        let offer_id = OfferId(offer_id);
        let name = self.state.offer_name(info_hash, from, offer_id);
        let kind = match signal.kind {
            SignalKind::Offer => RelayKind::Offer(PendingOffer {
                name,
                sender: node,
                valid_until,
            }),
            SignalKind::Answer => RelayKind::AnswerFromNode(name, node),
        };
        let write = |out: &mut Vec<u8>| match signal.kind {
            SignalKind::Offer => RelayedOffer {
                info_hash,
                from_peer_id: from,
                offer_id,
                description,
            }
            .write(out),
            SignalKind::Answer => RelayedAnswer {
                info_hash,
                from_peer_id: from,
                offer_id,
                description,
            }
            .write(out),
        };
        inbox
            .put(Envelope { to, kind }, |out| write_text(out, write))
            .map_err(|InboxFull| SignalResult::FullInbox)
    }

    /// Until when an offer of this age can be answered, in seconds on the clock of this
    /// node; `None` if it is too old.
    fn valid_until(&self, age_milliseconds: u64) -> Option<u32> {
        let max_age = self.settings.config.cleaning.max_offer_age.as_u32();
        let age = u32::try_from(age_milliseconds.div_ceil(1_000)).ok()?;
        let left = max_age.checked_sub(age).filter(|left| *left > 0)?;
        Some(self.clock.now().monotonic_seconds.saturating_add(left))
    }

    /// The session description, if it is one.
    fn description<'a>(&self, signal: &Signal<'a>) -> Option<SessionDescription<'a>> {
        let is_short = signal.description.len() <= self.settings.size_limits.message;
        let json = str::from_utf8(signal.description).ok();
        json.filter(|_| is_short).and_then(SessionDescription::new)
    }

    /// The connection of this node that owns the receiver.
    fn receiver(&self, signal: &Signal<'_>) -> Option<Address> {
        let swarm = self.state.shared.swarms.all().next()?;
        let key = record(&signal.to, Address(0));
        let found = swarm.lock(&signal.info_hash).record(&key)?;
        let address = Address::in_record(&found);
        address.node().is_none().then_some(address)
    }
}

const RECEIVED: Metric = Metric::counter(
    "cluster_signals_received_total",
    "Offers and answers from other daemons, by result",
)
.labelled(&["result"]);

/// The metrics of offers and answers from other nodes.
pub(crate) const METRICS: &[Metric] = &[RECEIVED];

impl IncomingCounts {
    pub(crate) fn add_metrics(&self, metrics: &mut Metrics) {
        for &outcome in SignalResult::VARIANTS {
            let value = self.0[outcome as usize].value();
            metrics.add(&RECEIVED, &[outcome.into()], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use aquatic_bittorrent::{InfoHash, PeerChange, PeerId};
    use aquatic_cluster::{NodeId, signal};
    use aquatic_service::Replaceable;
    use aquatic_stream::{Batch, WorkerWaker, simulation::noop_waker};
    use aquatic_swarm::Applied;

    use super::*;
    use crate::{relay, simulation};

    const NODE: NodeId = NodeId([2; 8]);
    const HASH: InfoHash = InfoHash([7; 20]);
    const HERE: PeerId = PeerId([1; 20]);
    const THERE: PeerId = PeerId([3; 20]);
    const CONNECTION: Address = Address(5);
    const MAX_AGE: u64 = 120_000;

    fn incoming() -> Incoming {
        let mut settings = Settings::new(&Default::default()).unwrap();
        settings.size_limits.message = 1_000;
        let state = simulation::state(&settings, [7; 16]);
        let nodes = Arc::new(Nodes::default());
        nodes.add(NODE);
        let clock = Clock::start();
        for (peer, address) in [(HERE, CONNECTION), (THERE, nodes.address(NODE).unwrap())] {
            let applied = Applied {
                record: record(&peer, address),
                change: PeerChange::Leecher,
                now_seconds: clock.now().monotonic_seconds,
                lifetime_seconds: 180,
            };
            let swarm = state.shared.swarms.all().next().unwrap();
            swarm.lock(&HASH).apply(&applied).unwrap();
        }
        let wakers: [WorkerWaker; 1] = [noop_waker()];
        Incoming {
            state,
            nodes,
            inboxes: Arc::new(OnceLock::from(relay::inboxes(&wakers))),
            clock,
            settings: Replaceable::new(settings).view(),
            counts: Arc::default(),
        }
    }

    fn offer(to: PeerId, description: &[u8]) -> Signal<'_> {
        Signal {
            kind: SignalKind::Offer,
            info_hash: HASH,
            to,
            from: THERE,
            offer_id: [9; 20],
            description,
        }
    }

    /// Receives a signal; returns the result that was counted.
    fn receive(
        incoming: &mut Incoming,
        node: NodeId,
        signal: Signal<'_>,
        age: u64,
    ) -> SignalResult {
        let mut bytes = signal::start();
        signal.write(&mut bytes);
        signal::write_header(&mut bytes, node, 0);
        let before = SignalResult::VARIANTS
            .iter()
            .map(|it| incoming.counts.0[*it as usize].value());
        let before: Vec<u64> = before.collect();
        incoming.receive(&SignalBatch::parse(&bytes).unwrap(), age);
        let mut counted = SignalResult::VARIANTS.iter().zip(before);
        let changed = |(outcome, before): &(&SignalResult, u64)| {
            incoming.counts.0[**outcome as usize].value() > *before
        };
        *counted.find(changed).unwrap().0
    }

    #[test]
    fn offers_and_answers_reach_the_worker_of_their_receiver() {
        let mut incoming = incoming();
        let json = br#"{"sdp":"x"}"#;
        let answer = Signal {
            kind: SignalKind::Answer,
            ..offer(HERE, json)
        };
        assert_eq!(
            receive(&mut incoming, NODE, offer(HERE, json), 5_000),
            SignalResult::Accepted
        );
        assert_eq!(
            receive(&mut incoming, NODE, answer, 0),
            SignalResult::Accepted
        );
        let mut batch = Batch::new();
        incoming.inboxes.get().unwrap()[0].take(&mut batch);
        let node = incoming.nodes.address(NODE).unwrap();
        let found: Vec<_> = batch.iter().collect();
        let [(offered, frame), (answered, _)] = found[..] else {
            panic!("{found:?}");
        };
        let name = incoming.state.offer_name(HASH, THERE, OfferId([9; 20]));
        let RelayKind::Offer(pending) = offered.kind else {
            panic!("{offered:?}");
        };
        assert_eq!(
            (offered.to, pending.sender, pending.name),
            (CONNECTION, node, name)
        );
        let left = pending.valid_until - incoming.clock.now().monotonic_seconds;
        assert!((114..=115).contains(&left), "{left}");
        assert!(frame.ends_with(br#""offer":{"sdp":"x"}}"#));
        let expected = Envelope {
            to: CONNECTION,
            kind: RelayKind::AnswerFromNode(name, node),
        };
        assert_eq!(*answered, expected);
    }

    #[test]
    fn what_cannot_be_passed_on_is_counted() {
        let mut incoming = incoming();
        let json = b"{}";
        let good = offer(HERE, json);
        assert_eq!(
            receive(&mut incoming, NodeId([4; 8]), good, 0),
            SignalResult::UnknownNode
        );
        assert_eq!(
            receive(&mut incoming, NODE, good, MAX_AGE),
            SignalResult::Expired
        );
        assert_eq!(
            receive(&mut incoming, NODE, good, u64::MAX),
            SignalResult::Expired
        );
        assert_eq!(
            receive(&mut incoming, NODE, good, MAX_AGE - 1_000),
            SignalResult::Accepted
        );
        for wrong in [&b"{"[..], b"[]", b"\xff", b"", &[b' '; 1_001]] {
            assert_eq!(
                receive(&mut incoming, NODE, offer(HERE, wrong), 0),
                SignalResult::Invalid
            );
        }
        // The receiver is connected to the node that sent the signal, or to none.
        for peer in [THERE, PeerId([5; 20])] {
            assert_eq!(
                receive(&mut incoming, NODE, offer(peer, json), 0),
                SignalResult::ReceiverGone
            );
        }
    }
}
