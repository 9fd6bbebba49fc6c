//! How TLS is spoken.

use std::cell::Cell;
use std::sync::Arc;

use anyhow::Context as _;
use aquatic_service::tls::Handle;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

/// The protocols that are offered by ALPN (RFC 7301), the first one first.
/// WebSocket begins with the first, too.
const PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// Tickets for each full handshake: clients of a tracker open one connection at
/// a time.
const TICKETS: usize = 1;

/// TLS 1.2 and 1.3 with the certificate of `handle` at any time.
///
/// Sessions are resumed with tickets, whose keys all users of the value share,
/// and change every few hours. They survive an exchange of the certificate.
///
/// # Errors
///
/// When the system has no random numbers.
pub fn tls_config(handle: Arc<Handle>) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .context("cannot set up TLS")?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(handle)));
    config.ignore_client_order = true;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    config.ticketer = Ticketer::new().context("cannot make keys for TLS tickets")?;
    config.send_tls13_tickets = TICKETS;
    Ok(Arc::new(config))
}

/// Hands out the present certificate, and remembers which one that was.
#[derive(Debug)]
struct Resolver(Arc<Handle>);

thread_local! {
    /// The number of the certificate that was handed out last on this thread.
    /// rustls does not tell which one a connection has, and asks for it within
    /// the call that takes the client's hello.
    static HANDED_OUT: Cell<Option<u64>> = const { Cell::new(None) };
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (certified, number) = self.0.present();
        HANDED_OUT.set(Some(number));
        Some(certified)
    }
}

/// The number of the certificate that was handed out on this thread since the
/// last time that this was asked.
pub(crate) fn take_handed_out() -> Option<u64> {
    HANDED_OUT.take()
}

/// The provider, with the cipher suites in the order in which they are taken.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    // The sort is stable, so the rest stays in the provider's order.
    provider
        .cipher_suites
        .sort_by_key(|suite| !hashes_in_hardware(suite));
    provider
}

/// Whether a cipher suite goes with SHA-256, for which processors have
/// instructions, which they lack for SHA-384. A handshake is mostly the
/// derivation of keys by that hash, and an agreement on them: with the order
/// that clients wish for, which is by the length of keys, it costs a fifth more.
fn hashes_in_hardware(suite: &SupportedCipherSuite) -> bool {
    let common = match suite {
        SupportedCipherSuite::Tls12(suite) => &suite.common,
        SupportedCipherSuite::Tls13(suite) => &suite.common,
    };
    common.hash_provider.algorithm() == HashAlgorithm::SHA256
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;

    use super::*;

    #[test]
    fn suites_that_are_fast_come_first_and_none_is_lost() {
        let suites = provider().cipher_suites;
        assert_eq!(suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        let is_fast: Vec<_> = suites.iter().map(hashes_in_hardware).collect();
        assert!(is_fast.is_sorted_by(|a, b| a >= b), "{is_fast:?}");
        assert_eq!(
            suites.len(),
            aws_lc_rs::default_provider().cipher_suites.len()
        );
    }
}
