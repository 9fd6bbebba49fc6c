//! A source address: the peers that announce from there.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use super::settings::Settings;
use crate::population::Population;

/// A source address of a worker.
pub(crate) struct Source {
    /// Its place among the sources of all workers.
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    /// With the sessions that can be resumed from here.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Peers of the population that announce from here.
    pub(crate) peers: u32,
    /// Peers that have sent their first announce.
    filled: u32,
    /// Those of them that got no reply.
    unfilled: Vec<u32>,
}

impl Source {
    pub(crate) fn new(
        index: u32,
        address: IpAddr,
        settings: &Settings,
        population: &Population,
    ) -> Self {
        Self {
            index,
            address,
            tls: settings.tls.as_ref().map(|tls| tls.of_source()),
            peers: population.peers_of_source(index),
            filled: 0,
            unfilled: Vec::new(),
        }
    }

    /// The next peer to announce for the first time.
    pub(crate) fn next_filling(&mut self) -> Option<u32> {
        self.unfilled.pop().or_else(|| {
            let place = self.filled;
            (place < self.peers).then(|| {
                self.filled += 1;
                place
            })
        })
    }

    /// The first announce of a peer got no reply.
    pub(crate) fn not_filled(&mut self, place: u32) {
        self.unfilled.push(place);
    }
}
