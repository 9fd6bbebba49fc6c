//! Consumers that are killed, and others that continue.

use std::collections::HashMap;
use std::env;
use std::ffi::OsStr;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::network::Cable;
use aquatic_xdp::socket::Statistics;
use aquatic_xdp::{Queue, Sizes, Socket};

use crate::Test;
use crate::answers::targets;
use crate::client::connect;
use crate::server::{MODES, Setup, serve};

pub(crate) const TESTS: &[Test] = &[
    (
        "consumers are killed at 5,000 requests a second and nothing is lost",
        killed,
    ),
    ("a process that was killed has no claim", claims_end),
];

/// In the environment of a consumer: the numbers of its two descriptors.
pub(crate) const FILES: &str = "AQUATIC_XDP_TEST_FILES";

/// Requests per second, and for how long.
const RATE: u32 = 5_000;
const TIME: Duration = Duration::from_secs(6);

/// How long a consumer lives, and how long there is none after it.
const LIFE: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(50);

/// Answers requests until it is killed.
pub(crate) fn consume(files: &OsStr) -> ExitCode {
    let numbers = files.to_str().expect("numbers").split(',');
    let mut files = numbers.map(|number| {
        let number = number.parse().expect("a number");
        // SAFETY: they were made for this process.
        unsafe { OwnedFd::from_raw_fd(number) }
    });
    let (Some(socket), Some(memory)) = (files.next(), files.next()) else {
        return ExitCode::FAILURE;
    };
    match Queue::open(Socket { socket, memory }) {
        Ok((queue, _)) => {
            println!("open");
            serve(queue, &|| false);
        }
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

/// Starts a process that answers the requests of a socket.
fn start(socket: &Socket) -> Child {
    // Copies that are not closed when the process starts, one at a time.
    let copies = [&socket.socket, &socket.memory].map(|file| {
        // SAFETY: no pointers; the copy is closed below.
        let copy = unsafe { libc::dup(file.as_raw_fd()) };
        assert!(copy >= 0);
        // SAFETY: it is new.
        unsafe { OwnedFd::from_raw_fd(copy) }
    });
    let numbers = copies.each_ref().map(|copy| copy.as_raw_fd().to_string());
    Command::new(env::current_exe().unwrap())
        .env(FILES, numbers.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends numbered requests at the rate; returns how many.
fn send(sockets: &[UdpSocket], first: u32) -> u32 {
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < TIME {
        let due = begin.elapsed().as_micros() * u128::from(RATE) / 1_000_000;
        while u128::from(sent) < due {
            let request = [&[0; 4][..], &(first + sent).to_be_bytes()].concat();
            sockets[sent as usize % sockets.len()]
                .send(&request)
                .unwrap();
            sent += 1;
        }
        thread::sleep(Duration::from_micros(200));
    }
    sent
}

/// Counts the answers to each request until it is stopped.
fn count(sockets: &[UdpSocket], stop: &AtomicBool) -> HashMap<u32, u32> {
    let mut answers = HashMap::new();
    for socket in sockets {
        socket.set_nonblocking(true).unwrap();
    }
    let mut last = false;
    loop {
        for socket in sockets {
            let mut answer = [0; 16];
            while let Ok(length) = socket.recv(&mut answer) {
                assert_eq!(length, 8);
                let number = u32::from_be_bytes([answer[4], answer[5], answer[6], answer[7]]);
                *answers.entry(number).or_default() += 1;
            }
        }
        if last {
            return answers;
        }
        last = stop.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(1));
    }
}

fn killed() {
    for mode in MODES {
        let cable = Cable::new(1);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let targets = targets(&cable);
        let sockets: Vec<UdpSocket> = (0..32)
            .map(|number| connect(&cable.client, targets[number % 2]))
            .collect();
        let stop = AtomicBool::new(false);
        let (sent, answers, kills) = thread::scope(|scope| {
            let counter = scope.spawn(|| count(&sockets, &stop));
            let sender = scope.spawn(|| send(&sockets, 0));
            let mut kills = 0;
            while !sender.is_finished() {
                let mut child = start(&setup.sockets[0]);
                thread::sleep(LIFE);
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                thread::sleep(PAUSE);
            }
            let mut last = start(&setup.sockets[0]);
            let sent = sender.join().unwrap();
            thread::sleep(Duration::from_millis(500));
            stop.store(true, Ordering::Relaxed);
            let answers = counter.join().unwrap();
            last.kill().unwrap();
            last.wait().unwrap();
            (sent, answers, kills)
        });
        let lost = (0..sent)
            .filter(|number| !answers.contains_key(number))
            .count();
        let twice = answers.values().filter(|count| **count > 1).count();
        println!("{mode:?}: {sent} sent, {kills} kills, {lost} lost, {twice} answered twice");
        assert_eq!(setup.statistics(), [Statistics::default()]);
        assert!(sent > RATE * 4 && kills > 10, "{sent} {kills}");
        assert_eq!(lost, 0);
        assert!(twice <= kills * aquatic_xdp::BATCH);
    }
}

fn claims_end() {
    let cable = Cable::new(1);
    let setup = Setup::new(&cable, MODES[0], 1, Sizes::DEFAULT);
    let socket = &setup.sockets[0];
    for _ in 0..5 {
        let mut child = start(socket);
        let deadline = Instant::now() + Duration::from_secs(10);
        // It is in use at some time, and then for as long as the process lives.
        while Queue::open(socket.try_clone().unwrap()).is_ok() {
            assert!(Instant::now() < deadline, "the consumer does not start");
            if child.try_wait().unwrap().is_some() {
                // It found the socket in use, by us.
                child = start(socket);
            }
            thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        Queue::open(socket.try_clone().unwrap()).unwrap();
    }
}
