//! The client's side of TLS.

use std::path::Path;
use std::sync::Arc;

use aquatic_service::config::Checks;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version};
use serde::{Deserialize, Serialize};

/// Encryption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether to use TLS (1.2 or 1.3).
    pub enable: bool,
    /// Server name to expect in the certificate: a host name or an IP address.
    pub server_name: String,
    /// PEM file with the trusted CA certificates. Empty: the server's
    /// certificate is not verified.
    pub ca_certificate_path: String,
    /// Whether to resume TLS sessions of earlier connections, as browsers do.
    /// If false, every connection begins with a full handshake, as with most
    /// BitTorrent clients.
    pub resumption: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            enable: false,
            server_name: "localhost".to_owned(),
            ca_certificate_path: String::new(),
            resumption: false,
        }
    }
}

/// How connections are encrypted.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    pub(crate) server_name: ServerName<'static>,
    client: ClientConfig,
    resumption: bool,
}

impl TlsSettings {
    /// The configuration of one source, which resumes no sessions but its own.
    pub(crate) fn of_source(&self) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.resumption = if self.resumption {
            Resumption::in_memory_sessions(SESSIONS)
        } else {
            Resumption::disabled()
        };
        Arc::new(client)
    }
}

/// Reads what is needed for TLS; None when it is off, or after noting a fault.
pub(crate) fn settings(config: &TlsConfig, checks: &mut Checks) -> Option<TlsSettings> {
    if !config.enable {
        return None;
    }
    let server_name = ServerName::try_from(config.server_name.clone());
    if server_name.is_err() {
        checks.fail(
            "transport.tls.server_name",
            format!(
                "\"{}\" is neither a host name nor an IP address",
                config.server_name
            ),
        );
    }
    let client = client(Path::new(&config.ca_certificate_path));
    if let Err(message) = &client {
        checks.fail("transport.tls.ca_certificate_path", message);
    }
    Some(TlsSettings {
        server_name: server_name.ok()?,
        client: client.ok()?,
        resumption: config.resumption,
    })
}

fn client(authorities: &Path) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| error.to_string())?;
    let builder = if authorities.as_os_str().is_empty() {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
    } else {
        builder.with_root_certificates(roots(authorities)?)
    };
    Ok(builder.with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let fault = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fault(&error))?;
        roots.add(certificate).map_err(|error| fault(&error))?;
    }
    if roots.is_empty() {
        return Err(fault(&"there is no certificate in the file"));
    }
    Ok(roots)
}

/// Accepts every certificate: this program tests how fast a server is, not who
/// it is. Saves the processor the work, too.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Servers whose sessions are kept: there is only one, but the store keeps none
/// when it is asked for less.
const SESSIONS: usize = 8;
