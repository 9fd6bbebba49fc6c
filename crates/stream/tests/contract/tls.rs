//! TLS: versions, resumption, certificates, and clients of other protocols.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_test_harness::certificates::{RSA_CERTIFICATE, RSA_KEY_PKCS1};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::client::{Client, config};
use crate::server::{KINDS, Kind, Server};

fn kinds() -> impl Iterator<Item = Kind> {
    KINDS.into_iter().filter(|kind| kind.is_tls)
}

#[test]
fn both_versions_are_spoken() {
    for kind in kinds() {
        let server = Server::start(kind);
        for (version, number) in [
            (&TLS12, ProtocolVersion::TLSv1_2),
            (&TLS13, ProtocolVersion::TLSv1_3),
        ] {
            let mut config = Arc::unwrap_or_clone(config(&[version]));
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let mut client = Client::plain(server.address);
            client.secure(&Arc::new(config)).unwrap();
            assert_eq!(client.ask("echo one"), "one");
            let tls = client.tls.as_ref().unwrap();
            assert_eq!(tls.protocol_version(), Some(number));
            assert_eq!(tls.alpn_protocol(), Some(&b"http/1.1"[..]));

            let mut config = Arc::unwrap_or_clone(crate::client::config(&[version]));
            config.alpn_protocols = vec![b"http/1.0".to_vec()];
            let mut client = Client::plain(server.address);
            client.secure(&Arc::new(config)).unwrap();
            assert_eq!(client.ask("echo one"), "one");
        }
        assert_eq!(server.metric("tls_handshakes_total", Some("no")), 4);
    }
}

#[test]
fn sessions_are_resumed_by_any_worker() {
    for kind in kinds() {
        for version in [&TLS12, &TLS13] {
            let server = Server::with(kind, |wishes| wishes.workers = 3);
            let config = config(&[version]);
            for round in 0..12 {
                let mut client = Client::plain(server.address);
                client.secure(&config).unwrap();
                // The ticket comes with the answer.
                assert_eq!(client.ask("echo one"), "one");
                let expected = if round == 0 {
                    HandshakeKind::Full
                } else {
                    HandshakeKind::Resumed
                };
                let tls = client.tls.as_ref().unwrap();
                assert_eq!(tls.handshake_kind(), Some(expected), "{version:?}, {round}");
            }
            assert_eq!(server.metric("tls_handshakes_total", Some("no")), 1);
            assert_eq!(server.metric("tls_handshakes_total", Some("yes")), 11);
        }
    }
}

#[test]
fn a_new_certificate_leaves_connections_alone() {
    let certificate = |client: &Client| {
        let tls = client.tls.as_ref().unwrap();
        tls.peer_certificates().unwrap()[0].to_vec()
    };
    for kind in kinds() {
        let server = Server::start(kind);
        let mut before = server.client();
        assert_eq!(before.ask("echo one"), "one");

        let tls = server.tls.as_ref().unwrap();
        fs::write(&tls.files.certificate, RSA_CERTIFICATE).unwrap();
        let error = tls.handle.reload().unwrap_err().to_string();
        assert!(error.contains("does not match the certificate"), "{error}");
        let mut between = server.client();
        assert_eq!(between.ask("echo two"), "two");
        assert_eq!(certificate(&before), certificate(&between));

        fs::write(&tls.files.key, RSA_KEY_PKCS1).unwrap();
        tls.handle.reload().unwrap();
        let mut after = server.client();
        assert_eq!(after.ask("echo three"), "three");
        assert_ne!(certificate(&before), certificate(&after));
        assert_eq!(before.ask("echo four"), "four");
    }
}

#[test]
fn who_speaks_in_the_clear_is_told() {
    for kind in kinds() {
        let server = Server::start(kind);
        let mut client = Client::plain(server.address);
        client.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.rest(), "speak TLS\n");
        server.await_metric("connections_cut_total", Some("not_tls"), 1);
    }
}

#[test]
fn handshakes_that_fail_hurt_nobody_else() {
    for kind in kinds() {
        let server = Server::start(kind);
        let mut other = server.client();
        let hostile: [&[u8]; 4] = [
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\xff\xff",
            &[0x16; 40_000],
        ];
        for bytes in hostile {
            let mut client = Client::plain(server.address);
            let _ = client.stream.write_all(bytes);
            let mut answer = Vec::new();
            let _ = client.stream.read_to_end(&mut answer);
            // An alert gives the reason, unless it was lost with the connection.
            assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        }
        server.await_metric("connections_cut_total", Some("tls"), 4);

        let mut nothing_in_common = Arc::unwrap_or_clone(config(&[&TLS13]));
        nothing_in_common.alpn_protocols = vec![b"smtp".to_vec()];
        let error = Client::plain(server.address)
            .secure(&Arc::new(nothing_in_common))
            .unwrap_err();
        assert!(
            error.to_string().contains("NoApplicationProtocol"),
            "{error}"
        );
        assert_eq!(other.ask("echo fine"), "fine");
    }
}

#[test]
fn records_that_are_damaged_end_their_connection() {
    for kind in kinds() {
        let server = Server::start(kind);
        let mut client = server.client();
        assert_eq!(client.ask("echo one"), "one");
        client
            .stream
            .write_all(b"\x17\x03\x03\x00\x20this is not encrypted, is it????")
            .unwrap();
        server.await_metric("connections_cut_total", Some("tls"), 1);
        server.await_metric("connections", None, 0);
        assert_eq!(server.client().ask("echo fine"), "fine");
    }
}

#[test]
fn connections_with_an_old_certificate_are_closed_after_a_while() {
    for kind in kinds() {
        let grace = Duration::from_millis(500);
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.certificate_grace = grace;
            wishes.settings.limits.idle_timeout = Duration::from_secs(1);
        });
        let mut old = server.client();
        assert_eq!(old.ask("patience"), "ok");
        let tls = server.tls.as_ref().unwrap();
        // Reloading the same certificate changes nothing.
        tls.handle.reload().unwrap();
        std::thread::sleep(grace * 2);
        assert_eq!(old.line(), "still there?");

        fs::write(&tls.files.certificate, RSA_CERTIFICATE).unwrap();
        fs::write(&tls.files.key, RSA_KEY_PKCS1).unwrap();
        let start = Instant::now();
        tls.handle.reload().unwrap();
        // Longer than it takes the worker to notice.
        std::thread::sleep(Duration::from_secs(1));
        let mut new = server.client();
        assert_eq!(new.ask("patience"), "ok");
        let rest = old.rest();
        assert!(rest.ends_with("renew\n"), "{kind:?}: {rest}");
        assert!(start.elapsed() >= grace);
        assert_eq!(new.line(), "still there?");
        assert_eq!(new.ask("echo one").replace("still there?", "one"), "one");
        let cut = server.metric("connections_cut_total", Some("old_certificate"));
        assert_eq!(cut, 1);
    }
}

#[test]
fn only_connections_with_the_old_certificate_are_closed_silent_or_not() {
    for kind in kinds() {
        let grace = Duration::from_secs(1);
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.certificate_grace = grace;
            wishes.settings.limits.idle_timeout = Duration::from_secs(3_600);
            wishes.settings.limits.message_timeout = Duration::from_secs(3_600);
        });
        let mut silent: Vec<Client> = (0..20).map(|_| server.client()).collect();
        let mut begun = Client::plain(server.address);
        assert_eq!(silent[0].ask("echo one"), "one");
        // Long enough for the timer wheel to return these connections once, so that their
        // next deadlines are far away.
        std::thread::sleep(Duration::from_secs(3));

        let tls = server.tls.as_ref().unwrap();
        fs::write(&tls.files.certificate, RSA_CERTIFICATE).unwrap();
        fs::write(&tls.files.key, RSA_KEY_PKCS1).unwrap();
        tls.handle.reload().unwrap();
        let start = Instant::now();
        // One client connects at once, so within the tick of the exchange; the other one
        // was accepted before it.
        let mut new = server.client();
        begun.secure(&config(rustls::ALL_VERSIONS)).unwrap();
        for client in &mut silent {
            assert_eq!(client.rest(), "renew\n", "{kind:?}");
        }
        let took = start.elapsed();
        assert!(took >= grace, "{kind:?}: {took:?}");
        assert!(took < grace + Duration::from_secs(5), "{kind:?}: {took:?}");
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(new.ask("echo two"), "two");
        assert_eq!(begun.ask("echo two"), "two");
        let cut = server.metric("connections_cut_total", Some("old_certificate"));
        assert_eq!(cut, 20);
    }
}
