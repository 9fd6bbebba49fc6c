//! All ways in which the operations of two workers on an inbox and its waker can be
//! interleaved.

use std::sync::Arc as Shared;
use std::task::{Wake, Waker};

use inbox::{Batch, Inbox, WorkerWaker};
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// The same types as in the library, but those of loom.
mod sync {
    pub(crate) use loom::sync::atomic::AtomicBool;
    pub(crate) use loom::sync::{Arc, Mutex};
}

#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is a part of the library, of which not all is used here"
)]
#[path = "../src/inbox.rs"]
mod inbox;

/// Whether the task of a worker was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Shared<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Takes all items, and appends them to those that were taken before.
fn take(inbox: &Inbox<u8>, taken: &mut Vec<u8>) {
    let mut batch = Batch::new();
    inbox.take(&mut batch);
    for (item, bytes) in batch.iter() {
        assert_eq!(bytes, [*item; 3]);
        taken.push(*item);
    }
}

#[test]
fn a_worker_with_something_in_its_inbox_is_woken() {
    loom::model(|| {
        let worker = WorkerWaker::of_task();
        let inbox = Shared::new(Inbox::new(worker.clone(), 2, 1_000));
        let writers: Vec<_> = [1_u8, 2]
            .into_iter()
            .map(|item| {
                let inbox = Shared::clone(&inbox);
                loom::thread::spawn(move || inbox.put(item, |out| out.extend([item; 3])).is_ok())
            })
            .collect();

        // The receiver takes items if it was woken, and then waits.
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Shared::clone(&woken));
        let task = worker.task().expect("the waker of a task");
        let mut taken = Vec::new();
        if task.register(&waker) {
            take(&inbox, &mut taken);
        }

        for writer in writers {
            assert!(writer.join().expect("a thread"), "there is room for both");
        }
        // If the receiver is not informed that items are left, there are none.
        let is_told = woken.0.load(SeqCst) || task.register(&waker);
        let before = taken.len();
        take(&inbox, &mut taken);
        assert!(is_told || taken.len() == before);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn a_waker_may_have_no_task() {
    loom::model(|| {
        let worker = WorkerWaker::of_task();
        let task = worker.task().expect("the waker of a task");
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        task.register(&Waker::from(Shared::clone(&woken)));
        let ringing = {
            let worker = worker.clone();
            loom::thread::spawn(move || worker.wake())
        };
        task.unregister();
        let was_woken = woken.0.load(SeqCst);
        ringing.join().expect("a thread");
        // A worker that has announced its end is not woken.
        assert_eq!(woken.0.load(SeqCst), was_woken);
    });
}
