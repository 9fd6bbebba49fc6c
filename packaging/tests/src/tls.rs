//! Connections with TLS to servers whose certificates the authority of tests has
//! signed.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use aquatic_test_harness::certificates::AUTHORITY;
use aquatic_test_harness::network::Host;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http;

/// An open connection.
pub(crate) type Session = StreamOwned<ClientConnection, TcpStream>;

/// Connects.
#[track_caller]
pub(crate) fn connect(host: &Host, server: SocketAddr) -> Session {
    let mut authorities = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).expect("it is one");
    authorities.add(authority).expect("an authority");
    let config = ClientConfig::builder()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = host.run(|| http::connect(server)).expect("a connection");
    while session.is_handshaking() {
        session.complete_io(&mut stream).expect("a handshake");
    }
    StreamOwned::new(session, stream)
}

/// The certificate that a server presents to new connections.
#[track_caller]
pub(crate) fn certificate(host: &Host, server: SocketAddr) -> Vec<u8> {
    let session = connect(host, server);
    let chain = session.conn.peer_certificates();
    chain.expect("the server has one")[0].as_ref().to_vec()
}
