//! What is redirected is answered.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::network::Cable;
use aquatic_xdp::program::Rules;
use aquatic_xdp::queue::{Counts, Sent};
use aquatic_xdp::redirect::{Mode, Redirect, RedirectError, WantedMode};
use aquatic_xdp::socket::{Copying, SocketError, Statistics};
use aquatic_xdp::{Interface, OpenError, Queue, Sizes, Socket};

use crate::Test;
use crate::client::{ask, connect};
use crate::server::{FROM_KERNEL, FROM_XDP, KernelServer, MODES, PORT, Setup};

pub(crate) const TESTS: &[Test] = &[
    ("requests of all lengths are answered", all_lengths),
    ("two queues have a consumer each", two_queues),
    (
        "a queue without socket leaves its requests to the kernel",
        one_of_two_queues,
    ),
    ("a consumer may stop and start", stop_and_start),
    ("what was had is reported", reports),
    ("replies that are too long are not sent", long_replies),
    ("replies wait while the interface is down", down_and_up),
    ("a consumer notices that its interface has gone", gone),
];

/// How long something may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of the server, with the port that is redirected.
pub(crate) fn targets(cable: &Cable) -> [SocketAddr; 2] {
    let addresses: [IpAddr; 2] = [cable.server.ipv4.into(), cable.server.ipv6.into()];
    addresses.map(|address| SocketAddr::new(address, PORT))
}

fn all_lengths() {
    for mode in MODES {
        let cable = Cable::new(1);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let consumers = setup.consumers();
        for target in targets(&cable) {
            let socket = connect(&cable.client, target);
            let longest = if target.is_ipv4() { 1472 } else { 1452 };
            for length in (0..300).chain((300..longest).step_by(37)).chain([longest]) {
                let request: Vec<u8> = (0..length).map(|number| number as u8).collect();
                assert_eq!(ask(&socket, &request), FROM_XDP, "{length} {mode:?}");
            }
        }
        assert_eq!(setup.statistics(), [Statistics::default()]);
        for consumer in consumers {
            let counts = consumer.stop();
            let only_frames = Counts {
                frames: counts.frames,
                ..Counts::default()
            };
            assert_eq!(counts, only_frames);
        }
    }
}

/// Asks from many ports; returns how many answers are from AF_XDP and from the kernel.
fn ask_from_many(cable: &Cable) -> [usize; 2] {
    let mut answers = [0; 2];
    for target in targets(cable) {
        for _ in 0..64 {
            let socket = connect(&cable.client, target);
            match ask(&socket, b"?abc") {
                FROM_XDP => answers[0] += 1,
                FROM_KERNEL => answers[1] += 1,
                other => panic!("{other}"),
            }
        }
    }
    answers
}

fn two_queues() {
    for mode in MODES {
        let cable = Cable::new(2);
        let setup = Setup::new(&cable, mode, 2, Sizes::DEFAULT);
        assert_eq!(setup.interface.queues, 2);
        let consumers = setup.consumers();
        assert_eq!(ask_from_many(&cable), [128, 0]);
        let frames: Vec<u64> = consumers.into_iter().map(|it| it.stop().frames).collect();
        assert_eq!(frames.iter().sum::<u64>(), 128);
        // veth does not tell the network stack, for generic mode, which queue it was.
        let is_native = setup.redirect.mode() == Mode::Native;
        let used = frames.iter().filter(|count| **count > 0).count();
        assert_eq!(used, if is_native { 2 } else { 1 }, "{frames:?}");
    }
}

fn one_of_two_queues() {
    let cable = Cable::new(2);
    let _kernel = KernelServer::start(&cable.server);
    let setup = Setup::new(&cable, WantedMode::Native, 1, Sizes::DEFAULT);
    let _consumers = setup.consumers();
    let [xdp, kernel] = ask_from_many(&cable);
    assert!(xdp > 0 && kernel > 0, "{xdp} {kernel}");
    assert_eq!(xdp + kernel, 128);
    // Without any socket, all is as if there were no program.
    setup.redirect.end(0).unwrap();
    setup.redirect.end(0).unwrap();
    assert_eq!(ask_from_many(&cable), [0, 128]);
    assert!(setup.redirect.end(2).is_err(), "there are two queues");
}

fn stop_and_start() {
    let cable = Cable::new(1);
    let setup = Setup::new(&cable, WantedMode::Fastest, 1, Sizes::new(64, 64).unwrap());
    let [target, _] = targets(&cable);
    let socket = connect(&cable.client, target);
    // Several times as many as there are frames.
    for _ in 0..20 {
        socket.send(b"?waits").unwrap();
        let consumers = setup.consumers();
        let mut answer = [0; 16];
        assert_eq!(socket.recv(&mut answer).unwrap(), 6);
        for number in 0..20 {
            assert_eq!(ask(&socket, &[0, number]), FROM_XDP);
        }
        for consumer in consumers {
            assert_eq!(consumer.stop().frames, 21);
        }
    }
    assert_eq!(setup.statistics(), [Statistics::default()]);
}

fn reports() {
    let cable = Cable::new(1);
    cable.server.run(|| {
        let interface = Interface::find("eth0").unwrap();
        let rules = Rules::new(interface.mac, None, &targets(&cable)).unwrap();
        let attach = |wanted| Redirect::attach(&interface, &rules, wanted);
        let redirect = attach(WantedMode::Fastest).unwrap();
        assert_eq!(redirect.mode(), Mode::Native);
        assert!(redirect.why_not_native().is_none());
        for wanted in [WantedMode::Fastest, WantedMode::Native, WantedMode::Generic] {
            let error = attach(wanted).unwrap_err();
            assert!(
                matches!(error, RedirectError::Attach { native: None, .. }),
                "{error}"
            );
        }

        let new = || Socket::new(Sizes::DEFAULT, interface.mtu).unwrap();
        let socket = new();
        let bind = |socket: &Socket, queue, mode, zero_copy| {
            socket.bind(&interface, queue, mode, zero_copy)
        };
        let error = bind(&socket, 1, Mode::Native, true).unwrap_err();
        assert!(
            matches!(error, SocketError::Bind { queue: 1, .. }),
            "{error}"
        );
        let copying = bind(&socket, 0, Mode::Native, true).unwrap();
        assert!(matches!(copying, Copying::Driver(_)), "{copying:?}");
        let second = bind(&new(), 0, Mode::Native, false).unwrap_err();
        assert!(second.to_string().contains("queue 0 of eth0"), "{second}");

        let queue = Queue::open(socket.try_clone().unwrap()).unwrap();
        let error = Queue::open(socket.try_clone().unwrap()).unwrap_err();
        assert!(matches!(error, OpenError::InUse), "{error}");
        drop(queue);
        Queue::open(socket).unwrap();
    });

    // The driver does not run a program if a packet could be longer than a page.
    let cable = Cable::new(1);
    for host in [&cable.server, &cable.client] {
        host.ip("link set eth0 mtu 9000");
    }
    cable.server.run(|| {
        let interface = Interface::find("eth0").unwrap();
        let rules = Rules::new(interface.mac, None, &targets(&cable)).unwrap();
        let redirect = Redirect::attach(&interface, &rules, WantedMode::Fastest).unwrap();
        assert_eq!(redirect.mode(), Mode::Generic);
        assert!(redirect.why_not_native().is_some());
        drop(redirect);
        let error = Redirect::attach(&interface, &rules, WantedMode::Native).unwrap_err();
        assert!(error.to_string().contains("eth0"), "{error}");
    });
}

fn long_replies() {
    let cable = Cable::new(1);
    let setup = Setup::new(&cable, WantedMode::Fastest, 1, Sizes::DEFAULT);
    let (mut queue, _) = Queue::open(setup.sockets[0].try_clone().unwrap()).unwrap();
    for target in targets(&cable) {
        let longest = if target.is_ipv4() { 1472 } else { 1452 };
        let socket = connect(&cable.client, target);
        for length in [longest, longest + 1, 4096] {
            // The first of the two has no reply, so that of the second one moves.
            socket.send(b"first").unwrap();
            socket.send(b"second").unwrap();
            let deadline = Instant::now() + PATIENCE;
            let mut received = 0;
            while received < 2 && Instant::now() < deadline {
                let batch = queue.receive();
                received += batch.count;
                let mut second = None;
                for (number, datagram) in queue.datagrams().enumerate() {
                    if datagram.bytes == b"second" {
                        let fits = length.min(datagram.reply.len());
                        datagram.reply[..fits].fill(7);
                        second = Some(number);
                    }
                }
                let Some(number) = second else {
                    continue;
                };
                queue.queue_reply(number, length);
                let sent = queue.send();
                let fits = length == longest;
                assert_eq!((sent.sent, sent.failed), (fits.into(), (!fits).into()));
            }
            assert_eq!(received, 2);
            if length == longest {
                let mut reply = vec![0; 2000];
                assert_eq!(socket.recv(&mut reply).unwrap(), length);
                assert!(reply[..length].iter().all(|byte| *byte == 7));
            }
        }
    }
}

fn down_and_up() {
    for mode in MODES {
        let cable = Cable::new(1);
        let sizes = Sizes::new(128, 64).unwrap();
        let setup = Setup::new(&cable, mode, 1, sizes);
        let [target, _] = targets(&cable);
        let socket = connect(&cable.client, target);
        // Afterwards, neighbours are known, and requests arrive while they are sent.
        let consumers = setup.consumers();
        assert_eq!(ask(&socket, b"?neighbours"), FROM_XDP);
        for consumer in consumers {
            consumer.stop();
        }
        for _ in 0..100 {
            socket.send(b"?waits").unwrap();
        }
        let (mut queue, _) = Queue::open(setup.sockets[0].try_clone().unwrap()).unwrap();
        let seen = queue.receive();
        assert_eq!((seen.count, seen.may_have_more), (64, true));
        cable.server.ip("link set eth0 down");
        for number in 0..64 {
            queue.queue_reply(number, 6);
        }
        assert_eq!(
            queue.send(),
            Sent {
                sent: 64,
                failed: 0
            }
        );
        // No frame is left, and none becomes free.
        let next = queue.receive();
        assert_eq!((next.count, queue.counts().no_reply_frame), (0, 36));
        assert_eq!(queue.counts().waits, 10);
        cable.server.ip("link set eth0 up");
        queue.receive();
        for _ in 0..64 {
            assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 6);
        }
        drop(queue);
        let _consumers = setup.consumers();
        assert_eq!(ask(&socket, b"?again"), FROM_XDP);
    }
}

fn gone() {
    for mode in MODES {
        let cable = Cable::new(1);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let [target, _] = targets(&cable);
        let socket = connect(&cable.client, target);
        let (mut queue, _) = Queue::open(setup.sockets[0].try_clone().unwrap()).unwrap();
        socket.send(b"?x").unwrap();
        let deadline = Instant::now() + PATIENCE;
        while queue.receive().count == 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(queue.take_error().unwrap().is_none());
        cable.server.ip("link del eth0");
        queue.queue_reply(0, 2);
        // Nobody can tell, but it does not hang.
        queue.send();
        assert_eq!(queue.receive().count, 0);
        let error = queue.take_error().unwrap().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN), "{error}");
        assert!(queue.take_error().unwrap().is_none());
    }
}
