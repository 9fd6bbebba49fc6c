//! The inbox within one thread. What two threads can do to it is searched in
//! `tests/inbox_interleavings.rs`, which takes the inbox as it is, without tests.

use std::mem;
use std::task;

use crate::churn::Random;
use crate::{Batch, Inbox, InboxFull, WorkerWaker};

#[test]
fn it_is_bounded_and_wakes_once() {
    let waker = WorkerWaker::of_task();
    let inbox = Inbox::new(waker.clone(), 3, 4);
    let is_woken = || waker.task().unwrap().register(task::Waker::noop());
    assert!(!is_woken());
    inbox.put(1, |out| out.extend_from_slice(b"one")).unwrap();
    assert!(is_woken());
    inbox.put(2, |out| out.extend_from_slice(b"two")).unwrap();
    assert!(!is_woken());
    // The inbox has reached its limit in bytes.
    assert_eq!(inbox.put(3, |_| panic!("it is full")), Err(InboxFull));

    let mut batch = Batch::new();
    inbox.take(&mut batch);
    let items: Vec<(i32, &[u8])> = batch.iter().map(|(item, bytes)| (*item, bytes)).collect();
    assert_eq!(items, [(1, b"one".as_slice()), (2, b"two")]);
    for number in 0..3 {
        inbox.put(number, |_| ()).unwrap();
    }
    assert!(is_woken());
    assert_eq!(inbox.put(3, |_| ()), Err(InboxFull));
    inbox.take(&mut batch);
    assert_eq!(batch.iter().count(), 3);
    inbox.take(&mut batch);
    assert_eq!(batch.iter().count(), 0);
}

#[test]
fn it_keeps_order_and_bounds_however_long_it_goes_on() {
    const MAX_ITEMS: usize = 40;
    const MAX_BYTES: usize = 500;
    let waker = WorkerWaker::of_task();
    let inbox = Inbox::new(waker.clone(), MAX_ITEMS, MAX_BYTES);
    let mut random = Random(4);
    let mut model: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut batch = Batch::new();
    let mut refused = 0;
    for step in 0..300_000_u32 {
        let bytes = vec![step as u8; random.below(30)];
        let held: usize = model.iter().map(|(_, bytes)| bytes.len()).sum();
        let is_full = model.len() >= MAX_ITEMS || held >= MAX_BYTES;
        let was_empty = model.is_empty();
        let result = inbox.put(step, |out| out.extend_from_slice(&bytes));
        assert_eq!(result.is_err(), is_full);
        if is_full {
            refused += 1;
        } else {
            model.push((step, bytes));
        }
        // The worker is woken only when an empty inbox gets an item.
        let is_woken = waker.task().unwrap().register(task::Waker::noop());
        assert_eq!(is_woken, was_empty);
        if random.below(30) == 0 {
            inbox.take(&mut batch);
            let taken: Vec<(u32, Vec<u8>)> = batch
                .iter()
                .map(|(item, bytes)| (*item, bytes.to_vec()))
                .collect();
            assert_eq!(taken, mem::take(&mut model));
        }
    }
    assert!(refused > 1_000, "{refused}");
}
