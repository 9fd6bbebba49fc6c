//! The certificate: whether clients can verify it, and for how long.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aquatic_service::tls::{self, Expiry, NOTICE};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};

use crate::announces::Trouble;
use crate::finding::{Finding, State};
use crate::subject::Subject;

/// A name that no certificate has (RFC 6761, 6.4): to verify all but the name.
const NO_NAME: &str = "no-name.invalid";

const RENEW: &str = "renew it, with certbot renew or the tool that you got it with, and reload \
                     the tracker; then let that run by itself, for example by a timer";

/// Checks the files of the configuration.
pub(crate) fn examine(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    let Some([certificate, key]) = configured.particulars.tls.clone() else {
        return Vec::new();
    };
    let path = certificate.display().to_string();
    let files = tls::Files { certificate, key };
    let certified = match tls::load(&files) {
        Ok(certified) => certified,
        Err(tls::LoadError::Read { error, .. })
            if error.kind() == io::ErrorKind::PermissionDenied =>
        {
            return vec![Finding::unchecked(format!(
                "this user cannot read {path} and its key"
            ))];
        }
        Err(error) => {
            let advice = "correct the files, or network.tls_certificate_path and \
                          network.tls_private_key_path";
            return vec![Finding::wrong(error.to_string(), advice)];
        }
    };
    let host = subject.url.as_ref().map(|url| url.host.as_str());
    let now = SystemTime::now();
    let expiry = Expiry::of(&certified).map(|it| judge_expiry(it, &files.certificate, now));
    match expiry {
        // The chain's finding would say the same.
        Some(over) if over.state == State::Wrong => vec![over],
        other => [judge_chain(&path, &certified.cert, host, roots())]
            .into_iter()
            .chain(other)
            .collect(),
    }
}

fn judge_expiry(expiry: Expiry, certificate: &Path, now: SystemTime) -> Finding {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
    let now_seconds = since_epoch.unwrap_or_default().as_secs();
    match expiry.warning(certificate, now) {
        Some(warning) if expiry.epoch_seconds() <= now_seconds => Finding::wrong(warning, RENEW),
        Some(warning) => Finding::warning(warning, RENEW),
        None => {
            let days = expiry.epoch_seconds().saturating_sub(now_seconds) / 86_400;
            let notice = NOTICE.as_secs() / 86_400;
            Finding::ok(format!(
                "it expires in {days} days; below {notice} days there is a warning"
            ))
        }
    }
}

/// Judges a chain as clients do, whose trusted authorities are those of this machine.
fn judge_chain(
    path: &str,
    chain: &[CertificateDer<'_>],
    host: Option<&str>,
    roots: Result<RootCertStore, String>,
) -> Finding {
    let verified = roots.and_then(|roots| verify(chain, host.unwrap_or(NO_NAME), roots));
    match (verified, host) {
        (Err(reason), _) => Finding::unchecked(reason),
        (Ok(Ok(())), Some(host)) => Finding::ok(format!(
            "clients accept the certificate in {path} for {host}"
        )),
        (Ok(Ok(())), None) => Finding::ok(format!("clients accept the certificate in {path}")),
        (Ok(Err(error)), None) if is_wrong_name(&error) => Finding::ok(format!(
            "clients accept the certificate in {path} for its names, which --url would check"
        )),
        (Ok(Err(error)), host) => {
            let is_self_issued = chain.first().is_some_and(|it| tls::is_self_issued(it));
            let (reason, advice) = cause(&error, host.unwrap_or("its host"), is_self_issued);
            Finding::wrong(
                format!("clients refuse the certificate in {path}: {reason}"),
                advice,
            )
        }
    }
}

/// Verifies a chain for a name, as a client does. The outer error is why that was not
/// possible.
fn verify(
    chain: &[CertificateDer<'_>],
    name: &str,
    roots: RootCertStore,
) -> Result<Result<(), rustls::Error>, String> {
    let (server, intermediates) = chain.split_first().ok_or("the chain is empty")?;
    let verifier = verifier(roots)?;
    let name = server_name(name)?;
    let verified = verifier.verify_server_cert(server, intermediates, &name, &[], UnixTime::now());
    Ok(verified.map(|_| ()))
}

fn verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, String> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    verifier.build().map_err(|error| {
        format!("this machine trusts no certificate authorities (package ca-certificates): {error}")
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The authorities that this machine trusts: those of its certificate store, or of
/// `SSL_CERT_FILE`.
fn roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "this machine trusts no certificate authorities (package ca-certificates)".to_owned(),
        );
    }
    Ok(roots)
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|_| format!("{host} is not a valid name of a host"))
}

/// A session of a client that connects to a host.
pub(crate) fn client(host: &str, trusts_anyone: bool) -> Result<ClientConnection, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if trusts_anyone {
        let anyone = Arc::new(Anyone(provider()));
        builder.dangerous().with_custom_certificate_verifier(anyone)
    } else {
        builder.with_webpki_verifier(verifier(roots()?)?)
    };
    let session = ClientConnection::new(Arc::new(config.with_no_client_auth()), server_name(host)?);
    session.map_err(|error| error.to_string())
}

/// Why a handshake failed.
pub(crate) fn explain(error: &io::Error, host: &str) -> Trouble {
    let tls = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<rustls::Error>());
    match tls {
        Some(error @ rustls::Error::InvalidCertificate(_)) => {
            // The certificate is not known here.
            let (reason, advice) = cause(error, host, false);
            Trouble::Certificate(format!(
                "clients refuse the certificate: {reason}: {advice}"
            ))
        }
        Some(error) => Trouble::Other(format!("the TLS handshake failed: {error}")),
        None => Trouble::Other(format!("the TLS handshake failed: {error}")),
    }
}

fn is_wrong_name(error: &rustls::Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};

    matches!(
        error,
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })
    )
}

/// Why a certificate is refused, and what to do.
fn cause(error: &rustls::Error, host: &str, is_self_issued: bool) -> (String, String) {
    use CertificateError as Fault;

    if is_wrong_name(error) {
        return (
            format!("it is not for the name {host} ({error})"),
            format!("get one that includes {host}"),
        );
    }
    let rustls::Error::InvalidCertificate(fault) = error else {
        return (error.to_string(), "replace it".to_owned());
    };
    match fault {
        Fault::Expired | Fault::ExpiredContext { .. } => {
            (format!("it has expired ({error})"), RENEW.to_owned())
        }
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => (
            format!("it is not valid yet ({error})"),
            "set the clock of this machine".to_owned(),
        ),
        // Those that programs make by default are also marked as authorities, so they are
        // refused as servers.
        Fault::UnknownIssuer | Fault::Other(_) if is_self_issued => (
            "it is self-signed".to_owned(),
            format!(
                "get one for {host} from an authority that clients trust, for example with \
                 certbot; no client has this one, unless you put it there"
            ),
        ),
        Fault::UnknownIssuer => (
            "it is signed by an authority that this machine does not trust, or by itself, or \
             intermediate certificates are missing"
                .to_owned(),
            "put the intermediate certificates into the file, after the server's own \
             (fullchain.pem of certbot has them); replace a self-signed one"
                .to_owned(),
        ),
        _ => (error.to_string(), "replace it".to_owned()),
    }
}

/// Accepts any certificate: for connections to this machine, where it is examined by
/// itself.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use aquatic_test_harness::certificates::{
        AUTHORITY, EC_CERTIFICATE, EC_CERTIFICATE_EXPIRED, EC_KEY_PKCS8,
    };

    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn load(pem: &str) -> rustls::sign::CertifiedKey {
        let directory = tempfile::tempdir().unwrap();
        let files = tls::Files {
            certificate: directory.path().join("cert.pem"),
            key: directory.path().join("key.pem"),
        };
        std::fs::write(&files.certificate, pem).unwrap();
        std::fs::write(&files.key, EC_KEY_PKCS8).unwrap();
        tls::load(&files).unwrap()
    }

    /// The certificates in a PEM file.
    fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
        load(pem).cert.clone()
    }

    #[test]
    fn expiry_is_judged_by_the_time_alone() {
        let expiry = Expiry::of(&load(EC_CERTIFICATE)).unwrap();
        let end = UNIX_EPOCH + Duration::from_secs(expiry.epoch_seconds());
        let day = Duration::from_hours(24);
        let state = |now| judge_expiry(expiry, Path::new("the expired one/cert.pem"), now).state;
        assert_eq!(state(end - 15 * day), State::Ok);
        assert_eq!(state(end - day), State::Warning);
        assert_eq!(state(end), State::Wrong);
        assert_eq!(state(end + day), State::Wrong);
    }

    fn authority(pem: &str) -> Result<RootCertStore, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authority.pem");
        std::fs::write(&path, pem).unwrap();
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_certs_from_paths(Some(&path), None);
        roots.add_parsable_certificates(found.certs);
        Ok(roots)
    }

    #[test]
    fn chains_are_judged_as_by_clients() {
        let good = chain(EC_CERTIFICATE);
        let judged = |host, roots| {
            let finding = judge_chain("cert.pem", &good, host, authority(roots));
            (finding.state, finding.what)
        };
        assert_eq!(judged(Some("localhost"), AUTHORITY).0, State::Ok);
        assert_eq!(judged(Some("127.0.0.1"), AUTHORITY).0, State::Ok);
        assert_eq!(judged(None, AUTHORITY).0, State::Ok);
        let (state, what) = judged(Some("t.example"), AUTHORITY);
        assert_eq!(state, State::Wrong);
        assert!(what.contains("not for the name t.example"), "{what}");
        for host in [None, Some("localhost")] {
            let (state, what) = judged(host, EC_CERTIFICATE_EXPIRED);
            assert_eq!(state, State::Wrong);
            assert!(what.contains("authority"), "{what}");
        }
    }

    #[test]
    fn self_signed_certificates_need_an_authority() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authority.pem");
        std::fs::write(&path, AUTHORITY).unwrap();
        let itself = rustls_native_certs::load_certs_from_paths(Some(&path), None).certs;
        let roots = authority(EC_CERTIFICATE_EXPIRED);
        let finding = judge_chain("cert.pem", &itself, Some("t.example"), roots);
        assert_eq!(finding.state, State::Wrong);
        assert!(finding.what.contains("self-signed"), "{}", finding.what);
        let advice = finding.advice.unwrap();
        assert!(
            advice.contains("from an authority that clients trust"),
            "{advice}"
        );
        let (reason, advice) = cause(
            &rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
            "t.example",
            tls::is_self_issued(&chain(EC_CERTIFICATE)[0]),
        );
        assert!(reason.contains("intermediate"), "{reason}");
        assert!(advice.contains("fullchain.pem"), "{advice}");
    }

    #[test]
    fn without_authorities_nothing_is_judged() {
        let good = chain(EC_CERTIFICATE);
        let finding = judge_chain("cert.pem", &good, None, Err("none".to_owned()));
        assert_eq!(finding.state, State::Unchecked);
    }
}
