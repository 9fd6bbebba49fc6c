//! Concurrent groups of requests: tries every order in which two workers can take locks.

#![allow(
    clippy::unwrap_used,
    reason = "an error is a failed test, in what tests share as well"
)]

use aquatic_swarm::{Round, answer_in_rounds};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;

/// What workers share: shards, and one lock that is taken while a shard is locked, like
/// the locks of retired torrents and of addresses.
struct Shared {
    shards: [Mutex<Vec<usize>>; 2],
    inner: Mutex<usize>,
    rounds: AtomicUsize,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: [Mutex::new(Vec::new()), Mutex::new(Vec::new())],
            inner: Mutex::new(0),
            rounds: AtomicUsize::new(0),
        })
    }

    /// Answers requests for these shards, as a worker does.
    fn answer<const N: usize>(&self, worker: usize, wanted: [usize; N]) {
        let mut waiting = wanted.map(Some);
        let mut finished = Vec::new();
        answer_in_rounds(
            &mut waiting,
            |&shard| {
                self.rounds.fetch_add(1, Ordering::Relaxed);
                self.shards[shard].lock().unwrap()
            },
            |&shard| self.shards[shard].try_lock().ok(),
            |one, other| one == other,
            |_: &mut Round<'_, usize, MutexGuard<'_, Vec<usize>>, N>| [(); N],
            |number, shard, locked, ()| {
                locked.push(worker * 10 + number);
                *self.inner.lock().unwrap() += 1;
                finished.push((shard, number));
            },
            || {},
        );
        assert!(waiting.iter().all(Option::is_none));
        assert_eq!(finished.len(), N);
        for shard in 0..2 {
            let of_shard = finished.iter().filter(|(of, _)| *of == shard);
            assert!(of_shard.is_sorted(), "not in the order in which they came");
        }
    }
}

fn two_workers_meet<const N: usize, const M: usize>(first: [usize; N], second: [usize; M]) {
    loom::model(move || {
        let shared = Shared::new();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || shared.answer(2, second))
        };
        shared.answer(1, first);
        other.join().unwrap();
        let answered = shared
            .shards
            .each_ref()
            .map(|shard| shard.lock().unwrap().len());
        let wanted = |shard| {
            first
                .iter()
                .chain(&second)
                .filter(|&&of| of == shard)
                .count()
        };
        assert_eq!(answered, [wanted(0), wanted(1)]);
        assert_eq!(*shared.inner.lock().unwrap(), N + M);
        assert!(shared.rounds.load(Ordering::Relaxed) <= N + M);
    });
}

#[test]
fn workers_that_want_the_same_shards_in_either_order() {
    two_workers_meet([0, 1], [1, 0]);
    two_workers_meet([0, 1], [0, 1]);
}

#[test]
fn workers_that_want_a_shard_twice() {
    two_workers_meet([0, 0], [0, 1]);
    two_workers_meet([1, 1], [1, 1]);
}

#[test]
fn who_is_behind_another_waits_even_if_the_lock_is_given_back() {
    two_workers_meet([0, 1, 1], [1, 0]);
    two_workers_meet([0, 1, 1], [1, 1]);
}

#[test]
fn groups_of_three() {
    two_workers_meet([0, 1, 0], [1, 0, 1]);
}
