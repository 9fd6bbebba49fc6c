//! Frames between a consumer that may end at any moment, and a kernel that is played here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use super::interruption;
use super::*;
use crate::system;

/// Enough for the offsets at which rings are mapped. It is sparse.
const RINGS_LENGTH: usize = 8 << 30;

/// Where the payload of a frame is, as far as the test is concerned.
const STAMP: usize = 256;

fn offsets() -> libc::xdp_mmap_offsets {
    let ring = || libc::xdp_ring_offset {
        producer: 0,
        consumer: 64,
        flags: 128,
        desc: 256,
    };
    libc::xdp_mmap_offsets {
        rx: ring(),
        tx: ring(),
        fr: ring(),
        cr: ring(),
    }
}

/// The files of a socket.
struct Files {
    rings: OwnedFd,
    memory: OwnedFd,
    sizes: Sizes,
}

impl Files {
    /// With counters that begin at `first`, a multiple of the sizes, as if some had run.
    fn new(sizes: Sizes, first: u32) -> Self {
        let rings = system::memory_file(c"rings", RINGS_LENGTH).unwrap();
        let (memory, _) = Memory::create(sizes, 1500).unwrap();
        let files = Self {
            rings,
            memory,
            sizes,
        };
        let rings = files.map();
        rings.initialize();
        let shift = |number: u32| number.wrapping_add(first);
        rings.fill.set_consumer(first);
        rings.fill.set_producer(shift(rings.fill.producer()));
        rings.receive.set_producer(first);
        rings.receive.set_consumer(first);
        rings.transmit.set_producer(first);
        rings.transmit.set_consumer(first);
        rings.completion.set_producer(first);
        rings
            .completion
            .set_consumer(shift(rings.completion.consumer()));
        files
    }

    fn map(&self) -> Rings {
        Rings::map(self.rings.as_fd(), &offsets(), self.sizes).unwrap()
    }

    fn memory(&self) -> Memory {
        Memory::open(self.memory.as_fd()).unwrap()
    }
}

/// The number at an address. One thread runs everything here.
fn read(memory: &Memory, address: u64) -> u64 {
    let place = (address & WITHIN_FRAME) as usize;
    // SAFETY: nobody else accesses the frame meanwhile.
    let frame = unsafe { memory.frame(address & !WITHIN_FRAME).as_ref() };
    u64::from_ne_bytes(frame[place..place + 8].try_into().unwrap())
}

/// Writes a number to an address.
fn write(memory: &Memory, address: u64, stamp: u64) {
    let place = (address & WITHIN_FRAME) as usize;
    // SAFETY: nobody else accesses the frame meanwhile.
    let frame = unsafe { memory.frame(address & !WITHIN_FRAME).as_mut() };
    frame[place..place + 8].copy_from_slice(&stamp.to_ne_bytes());
}

/// Plays the kernel, and knows what became of each request.
struct Kernel {
    rings: Rings,
    memory: Memory,
    random: fastrand::Rng,
    /// Frames that were taken from the ring, some of which that does not say yet.
    filled: u32,
    to_send: u32,
    device: Vec<u64>,
    in_flight: Vec<u64>,
    /// How many requests there were; each has its number as payload.
    requests: u64,
    /// How often each was answered.
    answers: BTreeMap<u64, usize>,
    is_silent: bool,
}

impl Kernel {
    fn new(files: &Files, seed: u64) -> Self {
        let rings = files.map();
        Self {
            filled: rings.fill.consumer(),
            to_send: rings.transmit.consumer(),
            rings,
            memory: files.memory(),
            random: fastrand::Rng::with_seed(seed),
            device: Vec::new(),
            in_flight: Vec::new(),
            requests: 0,
            answers: BTreeMap::new(),
            is_silent: false,
        }
    }

    /// Does one thing, or nothing.
    fn act(&mut self) {
        match self.random.u8(..8) {
            0 | 1 => self.take_frame(),
            2 | 3 if !self.is_silent => self.receive(),
            4 | 5 => self.take_reply(),
            6 => self.complete(),
            _ => self.publish(),
        }
    }

    /// Takes a frame to be filled.
    fn take_frame(&mut self) {
        if self.rings.fill.producer() == self.filled {
            return;
        }
        let [address] = self.rings.fill.slot(self.filled);
        self.filled = self.filled.wrapping_add(1);
        let end = u64::from(self.rings.fill.entries()) * FRAME_LENGTH as u64;
        assert!(address < end && address % FRAME_LENGTH as u64 == 0);
        assert!(!self.device.contains(&address), "a frame was given twice");
        self.device.push(address);
    }

    /// Fills a frame, not always in the order in which they were given.
    fn receive(&mut self) {
        if self.device.is_empty() {
            return;
        }
        let address = self
            .device
            .swap_remove(self.random.usize(..self.device.len()));
        self.write(address + STAMP as u64, self.requests);
        self.requests += 1;
        let ring = &self.rings.receive;
        let number = ring.producer();
        let waiting = number.wrapping_sub(ring.consumer());
        assert!(
            waiting < ring.entries(),
            "the ring of requests has overflowed"
        );
        let descriptor = Descriptor {
            address: address + STAMP as u64,
            length: 8,
        };
        ring.set_slot(number, descriptor.to_words());
        ring.set_producer(number.wrapping_add(1));
    }

    /// The number in a frame that waits for a consumer.
    fn stamp(&self, slot: u32) -> u64 {
        let received = Descriptor::from_words(self.rings.receive.slot(slot));
        read(&self.memory, received.address)
    }

    fn write(&self, address: u64, stamp: u64) {
        write(&self.memory, address, stamp);
    }

    /// Takes a frame to be sent.
    fn take_reply(&mut self) {
        if self.rings.transmit.producer() == self.to_send {
            return;
        }
        let words = self.rings.transmit.slot(self.to_send);
        let Descriptor { address, length } = Descriptor::from_words(words);
        self.to_send = self.to_send.wrapping_add(1);
        assert!(!self.in_flight.contains(&address), "a frame was sent twice");
        let first = u64::from(self.rings.fill.entries()) * FRAME_LENGTH as u64;
        assert!(address >= first && length == 8);
        let stamp = read(&self.memory, address);
        *self.answers.entry(stamp).or_default() += 1;
        self.in_flight.push(address);
    }

    /// Has sent a frame, in any order.
    fn complete(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let place = self.random.usize(..self.in_flight.len());
        let address = self.in_flight.swap_remove(place);
        let ring = &self.rings.completion;
        let number = ring.producer();
        let used = number.wrapping_sub(ring.consumer());
        assert!(used < ring.entries(), "the completion ring has overflowed");
        ring.set_slot(number, [address]);
        ring.set_producer(number.wrapping_add(1));
    }

    /// Says what it has read.
    fn publish(&self) {
        self.rings.fill.set_consumer(self.filled);
        self.rings.transmit.set_consumer(self.to_send);
    }

    /// Checks that every frame is in one place. `frames` is not within a batch.
    fn check(&self, frames: &Frames) {
        let (mut requests, mut replies) = (BTreeSet::new(), BTreeSet::new());
        let range =
            |from: u32, to: u32| (0..to.wrapping_sub(from)).map(move |n| from.wrapping_add(n));
        let fill = range(self.filled, self.rings.fill.producer());
        let given = fill.map(|number| self.rings.fill.slot(number)[0]);
        let waiting = (0..frames.waiting()).map(|index| frames.request(index).address);
        let waiting = waiting.map(|address| address & !WITHIN_FRAME);
        for address in given.chain(waiting).chain(self.device.iter().copied()) {
            assert!(requests.insert(address), "a frame is in two places");
        }
        let transmit = range(self.to_send, self.rings.transmit.producer());
        let to_send = transmit.map(|number| self.rings.transmit.slot(number)[0]);
        let free = (0..frames.free()).map(|index| frames.reply(index));
        for address in to_send.chain(free).chain(self.in_flight.iter().copied()) {
            assert!(replies.insert(address), "a frame is in two places");
        }
        let entries = |ring: u32| (0..ring).map(address).collect::<BTreeSet<_>>();
        let all = entries(self.rings.fill.entries());
        assert_eq!(requests, all, "a frame is lost");
        let both = entries(self.rings.fill.entries() + self.rings.transmit.entries());
        assert_eq!(replies, &both - &all, "a frame is lost");
    }
}

/// What the test knows of its consumers.
#[derive(Default)]
struct Tally {
    /// Requests that are not answered, on purpose or because they were dropped.
    unanswered: BTreeSet<u64>,
    interruptions: usize,
    dropped: usize,
    repeated: usize,
}

/// Processes a batch; skips what is not to be answered.
fn process(frames: &mut Frames, random: &mut fastrand::Rng, tally: &mut Tally) {
    let limit = frames.waiting().min(frames.free()).min(BATCH);
    let count = random.usize(..=limit);
    frames.begin(count);
    let skips = random.u8(..4) == 0;
    let mut replies = 0;
    for index in 0..count {
        let request = frames.request(index);
        let stamp = read(frames.memory(), request.address);
        if skips && random.bool() {
            tally.unanswered.insert(stamp);
            continue;
        }
        let address = frames.reply(replies);
        write(frames.memory(), address, stamp);
        frames.put(replies, Descriptor { address, length: 8 });
        replies += 1;
    }
    frames.send(replies);
    frames.finish(count);
}

/// Continues after a consumer, and may be interrupted itself.
fn recover(
    files: &Files,
    kernel: &Rc<RefCell<Kernel>>,
    random: &mut fastrand::Rng,
    tally: &mut Tally,
) -> Frames {
    // Each try is within its own limits, so this ends.
    for limit in [Some(random.usize(..8)), Some(random.usize(..200)), None] {
        let ring = files.map().receive;
        let first = ring.consumer();
        let waiting = ring.producer().wrapping_sub(first).min(BATCH as u32);
        let stamps: Vec<u64> = (0..waiting)
            .map(|number| kernel.borrow().stamp(first.wrapping_add(number)))
            .collect();
        let player = Rc::clone(kernel);
        let (rings, memory) = (files.map(), files.memory());
        let act = move || player.borrow_mut().act();
        let recovered = interruption::run(limit, act, || Frames::recover(rings, memory));
        let dropped = ring.consumer().wrapping_sub(first) as usize;
        tally.unanswered.extend(&stamps[..dropped]);
        if let Some(result) = recovered {
            let (frames, recovered) = result.unwrap();
            tally.dropped += recovered.dropped;
            tally.repeated += recovered.repeated;
            return frames;
        }
        tally.interruptions += 1;
    }
    unreachable!("the last one is not interrupted");
}

fn live(seed: u64, sizes: Sizes) -> (Tally, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let largest = sizes.requests().max(sizes.replies());
    let files = Files::new(sizes, 0u32.wrapping_sub(largest * random.u32(..3)));
    let kernel = Rc::new(RefCell::new(Kernel::new(&files, seed)));
    let mut tally = Tally::default();
    let mut frames = recover(&files, &kernel, &mut random, &mut tally);
    for _ in 0..400 {
        for _ in 0..random.usize(..300) {
            kernel.borrow_mut().act();
        }
        let limit = (random.u8(..3) == 0).then(|| random.usize(..260));
        let player = Rc::clone(&kernel);
        let act = move || player.borrow_mut().act();
        let done = interruption::run(limit, act, || process(&mut frames, &mut random, &mut tally));
        if done.is_none() {
            tally.interruptions += 1;
            drop(frames);
            frames = recover(&files, &kernel, &mut random, &mut tally);
        }
        kernel.borrow().check(&frames);
    }

    // Nothing more comes, and everything is answered.
    kernel.borrow_mut().is_silent = true;
    for _ in 0..100 {
        process_all(&mut frames, &kernel);
        kernel.borrow().check(&frames);
    }
    assert_eq!((frames.waiting(), frames.unsent()), (0, 0));
    assert_eq!(frames.free(), sizes.replies() as usize);
    let requests = kernel.borrow().requests;
    for stamp in 0..requests {
        let answers = kernel.borrow().answers.get(&stamp).copied().unwrap_or(0);
        assert!(
            answers > 0 || tally.unanswered.contains(&stamp),
            "{stamp} was lost"
        );
    }
    let answers = kernel.borrow().answers.values().sum::<usize>();
    let once = kernel.borrow().answers.len();
    assert!(
        answers - once <= tally.repeated,
        "more answers than repeated requests"
    );
    (tally, requests)
}

/// Answers what waits, and lets the kernel finish.
fn process_all(frames: &mut Frames, kernel: &Rc<RefCell<Kernel>>) {
    let count = frames.waiting().min(frames.free()).min(BATCH);
    frames.begin(count);
    for index in 0..count {
        let request = frames.request(index);
        let address = frames.reply(index);
        let memory = frames.memory();
        write(memory, address, read(memory, request.address));
        frames.put(index, Descriptor { address, length: 8 });
    }
    frames.send(count);
    frames.finish(count);
    for _ in 0..1000 {
        kernel.borrow_mut().act();
    }
}

#[test]
fn no_frame_and_no_request_is_lost_whenever_a_consumer_ends() {
    let (mut interruptions, mut requests, mut dropped) = (0, 0, 0);
    for seed in 0..60 {
        let (mut random, sizes) = (fastrand::Rng::with_seed(seed), [64, 64, 128, 256]);
        let mut size = || sizes[random.usize(..sizes.len())];
        let (tally, received) = live(seed, Sizes::new(size(), size()).unwrap());
        interruptions += tally.interruptions;
        dropped += tally.dropped;
        requests += received;
    }
    assert!(interruptions > 2_000, "{interruptions}");
    assert!(requests > 200_000, "{requests}");
    assert!(dropped > 0, "some end two consumers");
}

#[test]
fn requests_that_end_their_consumers_are_dropped() {
    let sizes = Sizes::new(64, 64).unwrap();
    let files = Files::new(sizes, 0);
    let mut kernel = Kernel::new(&files, 1);
    let mut receive = |count: usize| {
        for _ in 0..count {
            kernel.take_frame();
            kernel.receive();
        }
    };
    let open = || Frames::recover(files.map(), files.memory()).unwrap();
    let recovered = |repeated, dropped| Recovered { repeated, dropped };
    receive(3);
    let (mut frames, found) = open();
    assert_eq!(found, recovered(0, 0));
    frames.begin(3);
    drop(frames);
    // More has come meanwhile, which does not matter.
    receive(5);
    let (mut frames, found) = open();
    assert_eq!(found, recovered(3, 0));
    frames.begin(8);
    drop(frames);
    receive(1);
    let (mut frames, found) = open();
    assert_eq!(found, recovered(0, 8));
    // The next ones have two chances of their own.
    frames.begin(1);
    drop(frames);
    let (mut frames, found) = open();
    assert_eq!(found, recovered(1, 0));
    frames.begin(1);
    frames.finish(1);
    receive(2);
    frames.begin(2);
    drop(frames);
    assert_eq!(open().1, recovered(2, 0));
    // A consumer that ends before it begins changes nothing.
    assert_eq!(open().1, recovered(2, 0));
    assert_eq!(open().1, recovered(2, 0));
}

#[test]
fn rings_that_contradict_each_other_are_refused() {
    let sizes = Sizes::new(64, 64).unwrap();
    let cases: [fn(&Rings); 4] = [
        |rings| rings.receive.set_producer(65),
        |rings| rings.receive.set_consumer(65),
        |rings| rings.transmit.set_producer(65),
        |rings| rings.completion.set_producer(1),
    ];
    for case in cases {
        let files = Files::new(sizes, 0);
        case(&files.map());
        let result = Frames::recover(files.map(), files.memory());
        assert!(matches!(result, Err(OpenError::Inconsistent)));
    }
}
