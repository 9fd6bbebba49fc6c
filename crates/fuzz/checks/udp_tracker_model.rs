//! The expected outcome of each datagram, and its effect on the model.

use super::*;

impl Model {
    /// Invariants of a reply, except its peers.
    pub(super) fn expect(&self, now: Now, sent: &Sent, reply: &Reply) {
        let (outcome, bytes) = reply;
        let is_connected = self.is_connected(now, sent);
        assert!(bytes.len() <= MAX_REPLY_LENGTH);
        if let Some(id) = bytes.get(4..8) {
            assert_eq!(id, &sent.bytes[12..16], "the transaction id");
        }
        if sent.source.port() == 0 {
            assert_eq!(outcome.rejected, Some(RejectReason::SourcePortZero));
            assert!(bytes.is_empty());
            return;
        }
        match &sent.asks {
            Asks::Connect => {
                assert_eq!(
                    (outcome.kind, outcome.rejected),
                    (RequestKind::Connect, None)
                );
                assert!(bytes.len() == 16 && bytes.len() <= sent.bytes.len());
                assert_eq!(bytes[..4], CONNECT.to_be_bytes());
            }
            _ if !is_connected => {
                assert!(bytes.is_empty(), "an answer to nobody: {:?}", sent.bytes);
                let reason = outcome.rejected.expect("it was not served");
                let is_known = sent.bytes.len() >= 16 && sent.bytes[8..12] != CONNECT.to_be_bytes();
                let expected = if is_known {
                    RejectReason::BadConnectionId
                } else {
                    RejectReason::Malformed
                };
                assert_eq!(reason, expected);
            }
            Asks::Nonsense => {
                assert_eq!(outcome.rejected, Some(RejectReason::Malformed));
                // A datagram with a connection id is answered, unless it is a
                // connect request.
                let is_connect = sent.bytes[8..12] == CONNECT.to_be_bytes();
                assert_eq!(bytes.is_empty(), is_connect);
                assert!(bytes.len() <= MAX_ERROR_BYTES);
            }
            Asks::Scrape(torrents) => self.expect_scrape(sent.source, torrents, reply),
            Asks::Announce(announce) => self.expect_announce(sent, announce, reply),
        }
    }

    pub(super) fn expect_scrape(
        &self,
        source: SocketAddr,
        torrents: &[u8],
        (outcome, bytes): &Reply,
    ) {
        let asked = &torrents[..torrents.len().min(MAX_SCRAPE_TORRENTS)];
        if asked.iter().all(|torrent| self.forbidden.contains(torrent)) {
            assert_eq!(outcome.rejected, Some(RejectReason::Forbidden));
            assert!(bytes.len() <= MAX_ERROR_BYTES);
            return;
        }
        let Ok(Response::Scrape(response)) = Response::parse(bytes, AddressFamily::Ipv4) else {
            panic!("{bytes:?}");
        };
        assert_eq!(bytes.len(), 8 + 12 * asked.len());
        for (found, torrent) in response.torrents().zip(asked) {
            let known = self.torrents[family(source)].get(torrent);
            let known = known.filter(|_| !self.forbidden.contains(torrent));
            let (seeders, leechers, completed) = known.map_or((0, 0, 0), |known| {
                let (seeders, leechers) = known.counts();
                (seeders, leechers, known.completed)
            });
            let found = (found.seeders, found.leechers, found.completed);
            assert_eq!(found, (seeders, leechers, completed));
        }
    }

    pub(super) fn expect_announce(
        &self,
        sent: &Sent,
        announce: &Announce,
        (outcome, bytes): &Reply,
    ) {
        let refusal = if announce.port == 0 {
            Some(RejectReason::PortZero)
        } else if self.forbidden.contains(&announce.torrent) {
            Some(RejectReason::Forbidden)
        } else if self.is_full(sent.source, announce) {
            Some(RejectReason::MaxPeersPerTorrent)
        } else {
            None
        };
        assert_eq!(outcome.rejected, refusal);
        if refusal.is_some() {
            assert!(bytes.len() <= MAX_ERROR_BYTES);
            assert_eq!(bytes[..4], [0, 0, 0, 3]);
        }
    }

    /// Invariants of the counts and peers in a reply to an announce.
    pub(super) fn expect_peers(&self, sent: &Sent, (outcome, bytes): &Reply) {
        let (Asks::Announce(announce), None) = (&sent.asks, outcome.rejected) else {
            return;
        };
        let family = family(sent.source);
        let kind = [AddressFamily::Ipv4, AddressFamily::Ipv6][family];
        let Ok(Response::Announce(response)) = Response::parse(bytes, kind) else {
            panic!("{bytes:?}");
        };
        let own = announce.peer(sent.source);
        let nobody = Torrent::default();
        let torrent = self.torrents[family]
            .get(&announce.torrent)
            .unwrap_or(&nobody);
        let others = torrent.peers.iter().filter(|(address, _)| **address != own);
        let seeders = others.clone().filter(|(_, peer)| peer.is_seeder).count();
        assert_eq!(response.interval_seconds, ANNOUNCE_INTERVAL_SECONDS);
        assert_eq!(response.seeders as usize, seeders);
        assert_eq!(response.leechers as usize, others.clone().count() - seeders);

        let found: Vec<SocketAddr> = Peers::addresses(&response.peers).collect();
        let distinct: BTreeSet<SocketAddr> = found.iter().copied().collect();
        assert_eq!(found.len(), distinct.len(), "a peer was sent twice");
        let possible: BTreeSet<SocketAddr> = others
            .filter(|(_, peer)| !(announce.is_seeder && peer.is_seeder))
            .map(|(address, _)| *address)
            .collect();
        assert!(distinct.is_subset(&possible));
        let wanted = match announce.wanted {
            _ if announce.event == STOPPED => 0,
            1.. => MAX_RESPONSE_PEERS.min(announce.wanted as usize),
            _ => MAX_RESPONSE_PEERS,
        };
        assert_eq!(found.len(), wanted.min(possible.len()));
    }

    /// Applies the outcome of a datagram to the model.
    pub(super) fn note(&mut self, now: Now, sent: &Sent, (outcome, bytes): &Reply) {
        let address = sent.source.ip().to_canonical();
        match &sent.asks {
            Asks::Connect if !bytes.is_empty() => {
                let id = bytes[8..16].try_into().expect("8 bytes");
                self.issued.push((id, address, now.epoch_seconds));
            }
            Asks::Announce(announce) if outcome.rejected.is_none() => {
                let torrents = &mut self.torrents[family(sent.source)];
                let torrent = torrents.entry(announce.torrent).or_default();
                torrent.announce(announce.peer(sent.source), announce, now);
            }
            _ => {}
        }
    }

    pub(super) fn is_connected(&self, now: Now, sent: &Sent) -> bool {
        let Some(id) = sent.bytes.get(..8) else {
            return false;
        };
        let address = sent.source.ip().to_canonical();
        self.issued.iter().any(|(issued, to, at)| {
            let age = i64::from(now.epoch_seconds) - i64::from(*at);

            let youngest = -i64::from(MAX_SECONDS_IN_FUTURE);
            issued == id
                && *to == address
                && (youngest..=i64::from(CONNECTION_LIFETIME_SECONDS)).contains(&age)
        })
    }

    pub(super) fn is_full(&self, source: SocketAddr, announce: &Announce) -> bool {
        let torrent = self.torrents[family(source)].get(&announce.torrent);
        let most = MAX_PEERS_PER_TORRENT.get() as usize;
        self.has_cap
            && announce.event != STOPPED
            && torrent.is_some_and(|torrent| {
                torrent.peers.len() >= most && !torrent.peers.contains_key(&announce.peer(source))
            })
    }
}

impl Torrent {
    pub(super) fn counts(&self) -> (u32, u32) {
        let seeders = self.peers.values().filter(|peer| peer.is_seeder).count();
        (seeders as u32, (self.peers.len() - seeders) as u32)
    }

    pub(super) fn announce(&mut self, peer: SocketAddr, announce: &Announce, now: Now) {
        let before = self.peers.remove(&peer);
        if announce.event == STOPPED {
            return;
        }
        let had_seeded = before.is_some_and(|before| before.has_seeded);
        if announce.event == COMPLETED && announce.is_seeder && !had_seeded {
            self.completed += 1;
        }
        let stored = Peer {
            is_seeder: announce.is_seeder,
            has_seeded: announce.is_seeder || had_seeded,
            until: now.monotonic_seconds + u32::from(PEER_LIFETIME_SECONDS),
        };
        self.peers.insert(peer, stored);
    }
}
