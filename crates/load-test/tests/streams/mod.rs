//! Shared by the tests over TCP: minimal trackers, and checks of reports.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aquatic_load_test::Report;
use aquatic_load_test::http::NetworkConfig;
use aquatic_service::config::numbers::Milliseconds;
use aquatic_test_harness::certificates;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Serves each connection on a thread of its own, until the listener is dropped.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Listener {
    pub(crate) fn start(
        address: &str,
        serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (stream, serve) = (stream.unwrap(), serve.clone());
                // Ends with an error when the client leaves.
                thread::spawn(move || serve(stream).ok());
            }
        });
        Self { address, stop }
    }

    /// The source addresses and timeout for a load test of this listener.
    pub(crate) fn network(&self) -> NetworkConfig {
        let sources = if self.address.is_ipv4() {
            "127.0.0.1-127.0.0.4"
        } else {
            "::1"
        };
        NetworkConfig {
            source_addresses: vec![sources.to_owned()],
            // Long enough that a busy machine causes no timeouts.
            timeout_milliseconds: Milliseconds::of::<10_000>(),
            ..NetworkConfig::default()
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes up the thread that accepts connections.
        TcpStream::connect(self.address).ok();
    }
}

/// A connection, with TLS or without.
pub(crate) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// The stream of a connection, with TLS if there is a configuration for it.
pub(crate) fn over(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Box<dyn Stream> {
    match tls {
        None => Box::new(stream),
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).unwrap();
            Box::new(StreamOwned::new(connection, stream))
        }
    }
}

pub(crate) fn tls_config() -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(certificates::EC_CERTIFICATE.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certificates::EC_KEY_PKCS8.as_bytes());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.unwrap()], key.unwrap())
        .unwrap();
    Arc::new(config)
}

/// The file with the authority that has signed the tracker's certificate.
pub(crate) fn authority() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificates::AUTHORITY).unwrap();
    file
}

/// Asserts that no request failed.
pub(crate) fn assert_clean(report: &Report) {
    let faults = report.lost + report.errors + report.unexpected;
    let connections = report.connections.clone().unwrap();
    assert_eq!(faults + connections.failed, 0, "{report}");
    assert!(report.announce.replies > 20, "{report}");
}
