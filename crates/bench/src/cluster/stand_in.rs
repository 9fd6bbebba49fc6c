//! A node without a swarm, in this process, which publishes records of a population, as
//! fast as a real one would. It uses the link that daemons use.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aquatic_bittorrent::{IPV4_PEER_LENGTH, InfoHash};
use aquatic_cluster::engine::{EngineHandle, EngineLink, EngineSettings, Stopper};
use aquatic_cluster::{
    Batch, Held, Kind, MaxPeerAge, NodeId, Outbox, Record, Records, SharedSwarms,
};

use super::engine::Engine;
use super::node::{MAX_PEER_AGE_SECONDS, wait_until};

/// Number of records that workers append at once: as many as the announces that they look
/// up together.
const GROUP: usize = 8;

/// Interval at which records are published.
const STEP: Duration = Duration::from_millis(2);

/// Memory for records that wait to be sent.
const MAX_OUTBOX_BYTES: usize = 128 << 20;

/// The records of all peers of a population, in random order, repeated.
#[derive(Debug)]
pub(super) struct Population {
    records: Vec<Record<IPV4_PEER_LENGTH>>,
    next: AtomicUsize,
}

/// The node.
pub(super) struct StandIn {
    others: Arc<Others>,
    outbox: Arc<Outbox>,
    link: EngineHandle,
    /// Stops the threads when dropped.
    stopper: Option<Stopper>,
    threads: Vec<JoinHandle<()>>,
}

/// What the link reports about other nodes.
struct Others {
    own: NodeId,
    records: AtomicU64,
    collected: Mutex<Vec<Record<IPV4_PEER_LENGTH>>>,
    is_collecting: AtomicBool,
}

impl Population {
    fn new(mut records: Vec<Record<IPV4_PEER_LENGTH>>) -> Self {
        fastrand::Rng::with_seed(1).shuffle(&mut records);
        Self {
            records,
            next: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The next records, at least one and as many as workers append at once, or `most`.
    fn next(&self, most: usize) -> &[Record<IPV4_PEER_LENGTH>] {
        let start = self.next.load(Relaxed) % self.records.len();
        let end = self.records.len().min(start + most.clamp(1, GROUP));
        self.next.store(end, Relaxed);
        &self.records[start..end]
    }
}

impl StandIn {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If it cannot use the engine.
    pub(super) fn start(engine: &Engine) -> anyhow::Result<Self> {
        let node = NodeId(*b"stand-in");
        let others = Arc::new(Others {
            own: node,
            records: AtomicU64::new(0),
            collected: Mutex::default(),
            is_collecting: AtomicBool::new(false),
        });
        let settings = EngineSettings {
            url: engine.url().parse().context("the URL of the engine")?,
            username: None,
            password: None,
            tls_ca: None,
            namespace: "default".to_owned(),
            name: "stand-in".to_owned(),
            node,
            max_peer_age: MaxPeerAge::of_seconds(MAX_PEER_AGE_SECONDS),
            max_stream_bytes: 1_000_000_000,
            kinds: vec![Kind::Ipv4, Kind::Ipv6],
            connection_id_key: None,
            clock: milliseconds,
        };
        let outbox = Arc::new(Outbox::new(MAX_OUTBOX_BYTES));
        let EngineLink {
            mut publisher,
            mut reader,
            stopper,
            handle,
        } = EngineLink::new(settings, outbox.clone(), others.clone(), None);
        let stand_in = Self {
            others,
            outbox,
            link: handle,
            stopper: Some(stopper),
            threads: vec![
                thread::spawn(move || publisher.run(|| ())),
                thread::spawn(move || reader.run(|| ())),
            ],
        };
        wait_until("the engine", || Ok(stand_in.link.status().is_connected()))?;
        Ok(stand_in)
    }

    /// Collects this number of records that other nodes publish during some work.
    ///
    /// # Errors
    ///
    /// If the work fails, or fewer records arrive.
    pub(super) fn collect(
        &self,
        count: usize,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Population> {
        self.others.is_collecting.store(true, Relaxed);
        work()?;
        wait_until("the records of all peers", || {
            Ok(self.others.collected().len() >= count)
        })?;
        self.others.is_collecting.store(false, Relaxed);
        Ok(Population::new(std::mem::take(
            &mut *self.others.collected(),
        )))
    }

    /// Publishes as many records as other nodes do, during some work. Returns how many.
    ///
    /// # Errors
    ///
    /// If records cannot be published as fast.
    pub(super) fn follow<T>(
        &self,
        population: &Population,
        work: impl FnOnce() -> T,
    ) -> anyhow::Result<(T, u64)> {
        let seen_before = self.others.records.load(Relaxed);
        self.publish_while(population, work, || {
            self.others.records.load(Relaxed) - seen_before
        })
    }

    /// Publishes this number of records per second during some work. Returns how many.
    ///
    /// # Errors
    ///
    /// If records cannot be published as fast.
    pub(super) fn publish_at<T>(
        &self,
        records_per_second: u32,
        population: &Population,
        work: impl FnOnce() -> T,
    ) -> anyhow::Result<(T, u64)> {
        let started = Instant::now();
        self.publish_while(population, work, || {
            (started.elapsed().as_secs_f64() * f64::from(records_per_second)) as u64
        })
    }

    /// Publishes the whole population once, and waits until the engine has it.
    ///
    /// # Errors
    ///
    /// If the engine does not accept it.
    pub(super) fn publish_all(&self, population: &Population) -> anyhow::Result<()> {
        let before = self.link.status().counts().records_out();
        self.publish(population, population.len() as u64);
        let all = before + population.len() as u64;
        wait_until("the engine to have all records", || {
            Ok(self.link.status().counts().records_out() >= all)
        })
    }

    fn publish_while<T>(
        &self,
        population: &Population,
        work: impl FnOnce() -> T,
        due: impl Fn() -> u64 + Sync,
    ) -> anyhow::Result<(T, u64)> {
        let is_over = AtomicBool::new(false);
        let (result, published) = thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                let mut published = 0;
                while !is_over.load(Relaxed) {
                    published += self.publish(population, due() - published);
                    thread::sleep(STEP);
                }
                published
            });
            let result = work();
            is_over.store(true, Relaxed);
            (result, publisher.join())
        });
        ensure!(self.outbox.dropped() == 0, "the engine is too slow");
        let published = published
            .ok()
            .context("the thread that publishes has failed")?;
        Ok((result, published))
    }

    /// Appends about this number of records to the outbox; returns how many.
    fn publish(&self, population: &Population, count: u64) -> u64 {
        let mut left = count;
        while left > 0 {
            let records = population.next(usize::try_from(left).unwrap_or(GROUP));
            self.outbox.append(records);
            left -= records.len() as u64;
        }
        count
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stopper.take());
        for thread in self.threads.drain(..) {
            // It has ended, whatever its result.
            thread.join().ok();
        }
    }
}

impl Others {
    fn collected(&self) -> std::sync::MutexGuard<'_, Vec<Record<IPV4_PEER_LENGTH>>> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedSwarms for Others {
    type Walk = ();

    fn begin(&self) {}

    fn next_held(&self, _walk: &mut (), _held: &mut Held) -> bool {
        false
    }

    fn apply(&self, batch: &Batch<'_>, _now_milliseconds: u64) {
        // Own records are applied again if others have changed the same peer.
        if batch.header().node == self.own {
            return;
        }
        self.records.fetch_add(batch.len() as u64, Relaxed);
        if self.is_collecting.load(Relaxed)
            && let Records::Ipv4(records) = batch.records()
        {
            self.collected().extend(records);
        }
    }

    fn restore_downloads(&self, _kind: Kind, _info_hash: &InfoHash, _downloads: u64) {}

    fn node_has_started(&self, _node: NodeId) {}

    fn node_has_ended(&self, _node: NodeId) {}

    fn remove_ended_peers(&self) -> bool {
        false
    }
}

fn milliseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    // It fits for half a billion years.
    elapsed.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use aquatic_cluster::PeerChange;

    use super::*;

    #[test]
    fn all_of_a_population_comes_before_any_comes_again() {
        let record = |number: u8| Record {
            info_hash: InfoHash([number; 20]),
            peer: [number; 6],
            change: PeerChange::Seeder,
        };
        let population = Population::new((0..20).map(record).collect());
        let mut seen: Vec<u8> = Vec::new();
        while seen.len() < 20 {
            let records = population.next(20);
            assert!(records.len() <= GROUP);
            seen.extend(records.iter().map(|it| it.peer[0]));
        }
        let again = population.next(1);
        assert_eq!((again.len(), again[0].peer[0]), (1, seen[0]));
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..20));
    }
}
