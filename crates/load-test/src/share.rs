//! The peers that announce from one place, and which of them have done so.

/// A carrier's share of the population. Its peers are numbered from 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Share {
    /// How many peers announce from here.
    pub(crate) peers: u32,
    /// Peers that have sent their first announce.
    filled: u32,
    /// Those of them that got no reply.
    unfilled: Vec<u32>,
}

impl Share {
    /// So many peers, none of which has announced.
    pub(crate) fn new(peers: u32) -> Self {
        Self {
            peers,
            ..Self::default()
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

    /// Whether every peer has sent its first announce, and none got no reply.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled == self.peers && self.unfilled.is_empty()
    }

    /// The first announce of a peer got no reply.
    pub(crate) fn not_filled(&mut self, place: u32) {
        self.unfilled.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_fills_once_and_again_if_it_got_no_reply() {
        let mut share = Share::new(2);
        assert_eq!(share.next_filling(), Some(0));
        share.not_filled(0);
        assert_eq!(share.next_filling(), Some(0));
        assert_eq!(share.next_filling(), Some(1));
        assert_eq!(share.next_filling(), None);
        assert!(share.is_filled());
        share.not_filled(1);
        assert!(!share.is_filled());
        assert_eq!(share.next_filling(), Some(1));
    }
}
