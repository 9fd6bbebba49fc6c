//! `doctor`, for healthy trackers and for those with a problem.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use aquatic_test_harness::certificates::{AUTHORITY, EC_CERTIFICATE_EXPIRED};
use aquatic_test_harness::doctor::Examination;
use aquatic_test_harness::network::{self, Families, Network};
use aquatic_test_harness::tools;

use crate::tracker::{KINDS, Kind, PLAIN, Place, TLS, new_place};

fn examine(place: &Place, more: &[&str]) -> Examination {
    Examination::of(&place.setup, &place.config(), more)
}

/// A place in which programs trust the tracker's certificate.
fn trusted(kind: Kind) -> Place {
    let mut place = new_place(kind);
    let authority = place.setup.write("authority.pem", AUTHORITY);
    place.setup.set_environment("SSL_CERT_FILE", authority);
    place
}

#[test]
fn trackers_that_are_well_have_nothing_wrong() {
    for kind in KINDS {
        let tracker = trusted(kind).start();
        let found = examine(&tracker.place, &[]);
        assert_eq!(found.wrong(), BTreeSet::new(), "{found:?}");
        found.expect("socket", "ok", &tracker.place.port.ipv4().to_string());
        found.expect("health", "ok", "the tracker says: ok");
        found.expect("announce", "ok", "has answered whole announces");
        // Two peers announced and stopped at each of the two addresses.
        let announces = tracker.metric("requests_total", &[("kind", "announce")]);
        assert_eq!(announces, 8.0);
        assert_eq!(tracker.metric("peers", &[]), 0.0);
    }
}

#[test]
fn health_is_an_exit_code() {
    for kind in KINDS {
        new_place(kind).start().examine_health();
    }
}

#[test]
fn whole_announces_go_through_tls() {
    let tracker = trusted(TLS).start();
    let url = format!("https://localhost:{}/announce", tracker.place.port.number());
    let found = examine(&tracker.place, &["--url", &url]);
    found.expect("certificate", "ok", "for localhost");
    found.expect("public announce", "ok", "has answered whole announces");
    found.expect("public announce", "ok", "which is right");
}

#[test]
fn the_certificate_has_expired() {
    let place = trusted(TLS);
    place.setup.write("cert.pem", EC_CERTIFICATE_EXPIRED);
    let tracker = place.start();
    let url = format!("https://localhost:{}", tracker.place.port.number());
    let found = examine(&tracker.place, &["--url", &url]);
    assert_eq!(found.code, Some(2));
    found.expect("certificate", "wrong", " expired ");
    found.expect("public announce", "wrong", "clients refuse the certificate");
}

#[test]
fn the_certificate_has_another_name() {
    let mut place = trusted(TLS);
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), place.port.number()));
    place.set("network.address", &format!("\"{address}\""));
    let tracker = place.start();
    let url = format!("https://{address}/announce");
    let found = examine(&tracker.place, &["--url", &url]);
    assert_eq!(found.code, Some(2));
    found.expect("certificate", "wrong", "not for the name 127.0.0.2");
    found.expect("public announce", "wrong", "not for the name 127.0.0.2");
}

#[test]
fn nobody_trusts_the_certificate() {
    let place = trusted(TLS);
    place.setup.write("authority.pem", EC_CERTIFICATE_EXPIRED);
    let found = examine(&place, &[]);
    found.expect("certificate", "wrong", "signed by an authority");
    found.expect("socket", "wrong", "nothing listens");
}

#[test]
fn something_else_answers() {
    let place = new_place(PLAIN);
    let listener = TcpListener::bind(place.port.ipv4()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            serve(&listener, &is_over, |_| {
                Ok(b"HTTP/1.0 404 No\r\n\r\n<html>".to_vec())
            });
        });
        let url = format!("http://{}/announce", place.port.ipv4());
        let found = examine(&place, &["--url", &url]);
        is_over.store(true, Relaxed);
        found.expect("socket", "wrong", "is served by black_box");
        found.expect("public announce", "wrong", "status 404, \"<html>\"");
    });
}

/// Answers each request with the result of `answer` for its head, until `is_over` is set.
fn serve(
    listener: &TcpListener,
    is_over: &AtomicBool,
    answer: impl Fn(&str) -> io::Result<Vec<u8>>,
) {
    listener.set_nonblocking(true).unwrap();
    while !is_over.load(Relaxed) {
        let Ok((mut client, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        client.set_nonblocking(false).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            match client.read(&mut buffer) {
                Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
                _ => break,
            }
        }
        if let Ok(reply) = answer(&String::from_utf8_lossy(&head)) {
            let _ = client.write_all(&reply);
        }
    }
}

/// A tracker at 127.0.0.1 of a machine, and at the machine's own address a proxy that
/// inserts `header` into requests.
fn behind_a_proxy(settings: &[(&str, &str)], header: &str, examined: impl FnOnce(Examination)) {
    if !tools::needs_root() || !tools::needs(&network::PROGRAMS) {
        return;
    }
    let network = Network::new(1, Families::Both);
    let host = network.host(0);
    let place = new_place(PLAIN).with(settings);
    let _daemon = place.setup.start_on(host, &place.config());
    let tracker = place.port.ipv4();
    let is_over = AtomicBool::new(false);
    let listener = host.run(|| TcpListener::bind((host.ipv4, 0)).unwrap());
    let header = header.replace("CLIENT", &host.ipv4.to_string());
    let proxy = || {
        serve(&listener, &is_over, |head| {
            let mut upstream = TcpStream::connect(tracker)?;
            let head = head.replacen("\r\n", &format!("\r\n{header}"), 1);
            upstream.write_all(head.as_bytes())?;
            let mut reply = Vec::new();
            upstream.read_to_end(&mut reply)?;
            Ok(reply)
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| host.run(proxy));
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let program = env!("CARGO_BIN_EXE_aquatic-http");
        let found = Examination::on(
            host,
            program,
            &place.setup,
            &place.config(),
            &["--url", &url],
        );
        is_over.store(true, Relaxed);
        examined(found);
    });
}

const BEHIND: (&str, &str) = ("network.runs_behind_reverse_proxy", "true");

#[test]
fn a_proxy_names_its_clients() {
    behind_a_proxy(&[BEHIND], "X-Forwarded-For: CLIENT\r\n", |found| {
        found.expect("public announce", "ok", "has answered whole announces");
        found.expect("public announce", "ok", "which is right");
    });
}

#[test]
fn a_proxy_does_not_send_the_header() {
    behind_a_proxy(&[BEHIND], "", |found| {
        assert_eq!(found.code, Some(2));
        found.expect(
            "public announce",
            "wrong",
            "the header of the reverse proxy",
        );
        found.expect_advice("public announce", "wrong", "in nginx: proxy_set_header");
    });
}

#[test]
fn a_proxy_is_not_configured() {
    behind_a_proxy(&[], "X-Forwarded-For: CLIENT\r\n", |found| {
        assert_eq!(found.code, Some(2));
        found.expect("public announce", "wrong", "for 127.0.0.1, so a proxy");
    });
}

#[test]
fn a_limit_of_rates_is_said_and_nothing_is_wrong() {
    for (requests, connections, text) in [
        ("1", "0", "because of a limit of rates"),
        ("0", "1", "allows fewer requests at once than this needs"),
    ] {
        let tracker = new_place(PLAIN)
            .with(&[
                ("rates.requests_per_second", requests),
                ("rates.connections_per_second", connections),
                ("rates.burst_seconds", "1"),
            ])
            .start();
        let found = examine(&tracker.place, &[]);
        found.expect("announce", "warning", text);
        found.expect_advice("announce", "warning", "rates.exempt");
        assert!(!found.wrong().contains("announce"), "{found:?}");
    }
}
