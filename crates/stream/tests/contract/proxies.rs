//! Behind proxies that speak the PROXY protocol.

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::time::Duration;

use aquatic_policy::AddressRange;

use crate::client::{Client, config};
use crate::server::{KINDS, Kind, Server};

fn server(kind: Kind, trusted: &str) -> Server {
    let trusted: AddressRange = trusted.parse().unwrap();
    Server::with(kind, |wishes| {
        wishes.settings.proxy_protocol = Some([trusted].into_iter().collect());
        wishes.settings.limits.max_connections_per_ip = NonZeroUsize::new(1);
    })
}

fn proxied(server: &Server, header: &[u8]) -> Client {
    let mut client = Client::plain(server.address);
    client.stream.write_all(header).unwrap();
    if server.kind.is_tls {
        client.secure(&config(rustls::ALL_VERSIONS)).unwrap();
    }
    client
}

#[test]
fn clients_are_who_the_proxy_says() {
    for kind in KINDS {
        let server = server(kind, "127.0.0.0/8");
        let mut line = proxied(&server, b"PROXY TCP4 192.0.2.1 192.0.2.9 7000 80\r\n");
        assert_eq!(line.ask("who"), format!("192.0.2.1:7000 {}", kind.is_tls));

        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        header.extend([0; 16]);
        header.extend([0, 80, 0, 81]);
        let mut binary = proxied(&server, &header);
        assert_eq!(
            binary.ask("who"),
            format!("[2001:db8::1]:80 {}", kind.is_tls)
        );

        // A health check by the proxy itself.
        let mut own = proxied(&server, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00");
        let local = own.stream.local_addr().unwrap();
        assert_eq!(own.ask("who"), format!("{local} {}", kind.is_tls));

        // Another connection of the same client, beyond its limit.
        let mut again = Client::plain(server.address);
        again
            .stream
            .write_all(b"PROXY TCP4 192.0.2.1 192.0.2.9 7001 80\r\n")
            .unwrap();
        assert_eq!(again.stream.read(&mut [0; 8]).unwrap_or(0), 0);
        let reason = Some("max_connections_per_ip");
        assert_eq!(server.metric("connections_refused_total", reason), 1);
    }
}

#[test]
fn headers_may_come_in_pieces_and_with_the_first_message() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let server = server(kind, "127.0.0.0/8");
        let mut client = Client::plain(server.address);
        for byte in b"PROXY TCP4 192.0.2.1 192.0.2.9 7000 80\r\nwho\nec" {
            client.stream.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.line(), "192.0.2.1:7000 false");
        client.send("ho fine\n");
        assert_eq!(client.line(), "fine");
    }
}

#[test]
fn connections_without_a_header_are_closed() {
    for kind in KINDS {
        let server = server(kind, "127.0.0.0/8");
        let mut client = Client::plain(server.address);
        client.stream.write_all(b"who\n").unwrap();
        assert_eq!(client.stream.read(&mut [0; 8]).unwrap_or(0), 0);
        server.await_metric("connections_cut_total", Some("proxy_header"), 1);
    }
}

#[test]
fn others_than_proxies_are_refused() {
    for kind in KINDS {
        let server = server(kind, "192.0.2.0/24");
        let mut client = Client::plain(server.address);
        let _ = client
            .stream
            .write_all(b"PROXY TCP4 192.0.2.1 192.0.2.9 7000 80\r\n");
        assert_eq!(client.stream.read(&mut [0; 8]).unwrap_or(0), 0);
        let refused = server.metric("connections_refused_total", Some("not_trusted"));
        assert_eq!(refused, 1);
    }
}
