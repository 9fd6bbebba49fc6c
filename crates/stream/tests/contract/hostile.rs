//! Malformed and unexpected input where TLS is expected, over sockets. The tests of the
//! engine have more of it.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use aquatic_test_harness::records::Records;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ContentType};

use crate::client::{Client, config};
use crate::server::{KINDS, PATIENCE, Server};

/// A record that is not encrypted.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 1], &length[..], payload].concat()
}

#[test]
fn no_bytes_end_more_than_their_connection() {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(config(rustls::ALL_VERSIONS), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let hello = hello.split_off(5);
    let half = record(22, &hello[..hello.len() / 2]);
    let inputs = [
        b"\x16\x03\x01\x00\x05\0\0\0\0\0".to_vec(),
        [half.clone(), record(21, b"\x02\x28")].concat(),
        [half.clone(), record(23, b"data")].concat(),
        [half, record(22, &hello)].concat(),
        record(22, &[0; 500]).repeat(20),
        record(22, b"\x01\xff\xff\xff\x03\x03").repeat(30),
        record(22, &[&hello[..], b"tail"].concat()),
    ];
    for kind in KINDS.into_iter().filter(|kind| kind.is_tls) {
        let mut server = Server::start(kind);
        let mut other = server.client();
        for bytes in &inputs {
            let mut client = Client::plain(server.address);
            let _ = client.stream.write_all(bytes);
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
            let _ = client.stream.read_to_end(&mut Vec::new());
            assert_eq!(other.ask("echo fine"), "fine", "{kind:?}");
        }
        assert_eq!(server.client().ask("echo fine"), "fine");
        assert_eq!(server.stop(), Ok(()), "{kind:?}");
        let faults = server.metric("connections_cut_total", Some("tls_library"));
        assert_eq!(faults, 0);
    }
}

#[test]
fn a_byte_of_a_handshake_message_does_not_hinder_an_answer() {
    for kind in KINDS.into_iter().filter(|kind| kind.is_tls) {
        for version in [&TLS12, &TLS13] {
            let mut server = Server::with(kind, |wishes| {
                wishes.settings.limits.message_timeout = Duration::from_millis(500);
            });
            let mut config = Arc::unwrap_or_clone(config(&[version]));
            config.enable_secret_extraction = true;
            let mut client = Client::plain(server.address);
            client.secure(&Arc::new(config)).unwrap();
            // What the server sends after the handshake has arrived with this answer.
            assert_eq!(client.ask("echo one"), "one");
            let mut records = Records::of(client.tls.take().unwrap());
            let mut sent = records.seal(ContentType::ApplicationData, b"echo two\n");
            sent.extend(records.seal(ContentType::Handshake, b"\x18"));
            client.stream.write_all(&sent).unwrap();

            let (mut received, mut plain) = (Vec::new(), Vec::new());
            let mut buffer = [0; 1 << 12];
            client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
            while let Ok(count @ 1..) = client.stream.read(&mut buffer) {
                received.extend_from_slice(&buffer[..count]);
                while records.open(&mut received, &mut plain).is_ok() {}
            }
            // The rest of the handshake message did not arrive in time.
            assert_eq!(plain, b"two\nslow\n", "{kind:?}");
            assert_eq!(server.client().ask("echo fine"), "fine");
            assert_eq!(server.stop(), Ok(()), "{kind:?}");
        }
    }
}
