//! The engine: a stream for each kind of peer, which it may trim.

use aquatic_cluster::Kind;

#[derive(Debug, Default)]
pub(crate) struct Engine {
    ipv4: Stream,
    ipv6: Stream,
}

/// The batches that were added and not trimmed.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// When each batch was added, and its bytes.
    entries: Vec<(u64, Vec<u8>)>,
    /// Position of the first entry; positions begin with 0.
    first: usize,
    /// Entries at positions below this may have been trimmed before their peers expired.
    pub(crate) lost_before: usize,
}

impl Engine {
    pub(crate) fn stream(&mut self, kind: Kind) -> &mut Stream {
        match kind {
            Kind::Ipv4 => &mut self.ipv4,
            Kind::Ipv6 => &mut self.ipv6,
            Kind::WebTorrent => unreachable!("no node has such peers"),
        }
    }
}

impl Stream {
    pub(crate) fn add(&mut self, now: u64, batch: &[u8]) {
        self.entries.push((now, batch.to_vec()));
    }

    /// The entry at this position or, if that is gone, the next one that is there; with
    /// its position.
    pub(crate) fn read(&self, position: usize) -> Option<(usize, Vec<u8>)> {
        let position = position.max(self.first);
        let (_, batch) = self.entries.get(position - self.first)?;
        Some((position, batch.clone()))
    }

    /// Removes the entries that were added before this time.
    pub(crate) fn trim_before(&mut self, time: u64) {
        let count = self.entries.iter().take_while(|(it, _)| *it < time).count();
        self.remove(count);
    }

    /// Removes all but the newest `len` entries, as a bound in bytes does.
    pub(crate) fn trim_to(&mut self, len: usize) {
        self.remove(self.entries.len().saturating_sub(len));
        self.lost_before = self.first;
    }

    fn remove(&mut self, count: usize) {
        self.entries.drain(..count);
        self.first += count;
    }
}
