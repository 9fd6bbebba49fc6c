//! Consumers that are killed, and others that continue.

use std::collections::HashMap;
use std::env;
use std::ffi::OsStr;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::network::Cable;
use aquatic_xdp::socket::Statistics;
use aquatic_xdp::{Queue, Sizes, Socket};

use crate::Test;
use crate::answers::targets;
use crate::client::{connect, is_silent};
use crate::server::{FROM_XDP, MODES, Setup, serve};

pub(crate) const TESTS: &[Test] = &[
    (
        "consumers are killed at 5,000 requests a second and nothing is lost",
        killed,
    ),
    (
        "a batch whose consumer is killed is answered by the next one",
        killed_within,
    ),
    ("a process that was killed has no claim", claims_end),
];

/// In the environment of a consumer: the numbers of its two descriptors.
pub(crate) const FILES: &str = "AQUATIC_XDP_TEST_FILES";

/// In the environment of a consumer that kills itself when it has received a request.
const FRAGILE: &str = "AQUATIC_XDP_TEST_FRAGILE";

/// Requests per second, and for how long.
const RATE: u32 = 5_000;
const TIME: Duration = Duration::from_secs(6);

/// How long something may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a consumer lives, and how long there is none after it.
const LIFE: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(50);

/// A user without any privileges.
const NOBODY: u32 = 65_534;

/// Answers requests until it is killed, without privileges.
pub(crate) fn consume(files: &OsStr) -> ExitCode {
    // SAFETY: no pointers. Changing the user drops all capabilities.
    let result = unsafe { libc::setuid(NOBODY) };
    assert_eq!(result, 0);
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
        Ok((mut queue, _)) if env::var_os(FRAGILE).is_some() => {
            let deadline = Instant::now() + PATIENCE;
            while queue.receive().count == 0 && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            // SAFETY: no pointers.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        Ok((queue, _)) => {
            serve(queue, &|| false);
        }
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

/// Starts a process that answers the requests of a socket.
fn start(socket: &Socket) -> Child {
    command(socket, |command| command.spawn().unwrap())
}

/// Lets a process receive the requests of a socket, and kill itself.
fn die(socket: &Socket) {
    let status = command(socket, |command| {
        command.env(FRAGILE, "1").status().unwrap()
    });
    assert_eq!(status.signal(), Some(libc::SIGKILL));
}

/// Runs this program as a consumer.
fn command<T>(socket: &Socket, run: impl FnOnce(&mut Command) -> T) -> T {
    // Copies that are not closed when the process starts, one at a time.
    let copies = [&socket.socket, &socket.memory].map(|file| {
        // SAFETY: no pointers; the copy is closed below.
        let copy = unsafe { libc::dup(file.as_raw_fd()) };
        assert!(copy >= 0);
        // SAFETY: it is new.
        unsafe { OwnedFd::from_raw_fd(copy) }
    });
    let numbers = copies.each_ref().map(|copy| copy.as_raw_fd().to_string());
    let mut command = Command::new(env::current_exe().unwrap());
    // Its copies are closed here after it was started.
    run(command.env(FILES, numbers.join(",")))
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

fn killed_within() {
    let cable = Cable::new(1);
    let setup = Setup::new(&cable, MODES[0], 1, Sizes::DEFAULT);
    let socket = &setup.sockets[0];
    let client = connect(&cable.client, targets(&cable)[0]);
    for deaths in [1, 2, 1] {
        let send = |number: u8| assert_eq!(client.send(&[0, number]).unwrap(), 2);
        (0..10).for_each(send);
        // The second one has them all, and more.
        for _ in 0..deaths {
            die(socket);
        }
        (10..20).for_each(send);
        let mut child = start(socket);
        // Requests that have ended two consumers are dropped.
        let first = if deaths == 2 { 10 } else { 0 };
        for number in first..20 {
            let mut answer = [0; 2];
            client.recv(&mut answer).unwrap();
            assert_eq!(answer, [FROM_XDP, number]);
        }
        assert!(is_silent(&client));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn claims_end() {
    let cable = Cable::new(1);
    let setup = Setup::new(&cable, MODES[0], 1, Sizes::DEFAULT);
    let socket = &setup.sockets[0];
    for _ in 0..5 {
        let mut child = start(socket);
        let deadline = Instant::now() + PATIENCE;
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
