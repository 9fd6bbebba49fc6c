//! All ways in which the threads of two workers can take turns over an inbox and its
//! bell.

use std::sync::Arc as Shared;
use std::task::{Wake, Waker};

use inbox::{Bell, Inbox, Mail};
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// As in the library, but seen by loom.
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

/// Takes out what is there, behind what was taken before.
fn take(inbox: &Inbox<u8>, taken: &mut Vec<u8>) {
    let mut mail = Mail::new();
    inbox.take(&mut mail);
    for (item, bytes) in mail.iter() {
        assert_eq!(bytes, [*item; 3]);
        taken.push(*item);
    }
}

#[test]
fn whoever_has_mail_is_told() {
    loom::model(|| {
        let bell = Bell::of_task();
        let inbox = Shared::new(Inbox::new(bell.clone(), 2, 1_000));
        let writers: Vec<_> = [1_u8, 2]
            .into_iter()
            .map(|item| {
                let inbox = Shared::clone(&inbox);
                loom::thread::spawn(move || inbox.put(item, |out| out.extend([item; 3])).is_ok())
            })
            .collect();

        // A turn of the receiver, which then waits.
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Shared::clone(&woken));
        let task = bell.task().expect("a bell of a task");
        let mut taken = Vec::new();
        if task.listen(&waker) {
            take(&inbox, &mut taken);
        }

        for writer in writers {
            assert!(writer.join().expect("a thread"), "there is room for both");
        }
        // If nobody tells it of what is left, nothing is.
        let is_told = woken.0.load(SeqCst) || task.listen(&waker);
        let before = taken.len();
        take(&inbox, &mut taken);
        assert!(is_told || taken.len() == before);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn a_bell_may_ring_for_nobody() {
    loom::model(|| {
        let bell = Bell::of_task();
        let task = bell.task().expect("a bell of a task");
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        task.listen(&Waker::from(Shared::clone(&woken)));
        let ringing = {
            let bell = bell.clone();
            loom::thread::spawn(move || bell.ring())
        };
        task.silence();
        let was_woken = woken.0.load(SeqCst);
        ringing.join().expect("a thread");
        // Who is gone is not woken once it has said so.
        assert_eq!(woken.0.load(SeqCst), was_woken);
    });
}
