//! TLS certificate and private key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys};
use rustls_pemfile::Item;

use crate::config::{Diagnostic, Faults};
use crate::metrics::{self, Metric, Metrics};
use crate::reload::{Apply, Failure};
use crate::{files, reload};

mod expiry;
mod validity;

pub use expiry::{Expiry, NOTICE};
pub use validity::is_self_issued;

const EXPIRY: Metric = Metric::gauge(
    "tls_certificate_expiry_timestamp_seconds",
    "Expiry time of the TLS certificate, in seconds since the Unix epoch",
);

/// The metrics of a certificate.
pub const METRICS: &[Metric] = &[EXPIRY];

/// The name in messages about reloads.
pub const WHAT: &str = "TLS certificate";

/// The configuration keys of the files.
const CERTIFICATE_PATH: &str = "network.tls_certificate_path";
const KEY_PATH: &str = "network.tls_private_key_path";

/// Maximum length of a file: larger than any usable chain.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of certificates in a chain: GnuTLS verifies at most 16, the lowest limit
/// of the libraries that clients use.
const MAX_CERTIFICATES: usize = 16;

/// Maximum length of a chain in bytes: rustls accepts handshake messages of up to 65,535
/// bytes, the lowest limit of these libraries, which include some bytes per certificate.
const MAX_CHAIN_BYTES: usize = 60_000;

/// The first line of a certificate in PEM (RFC 7468, 2).
const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Paths of the certificate and key files, which are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server certificate, followed by intermediate certificates, if any.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl Files {
    /// Both files, with their configuration keys.
    pub fn by_key(&self) -> [(&'static str, PathBuf); 2] {
        [
            (CERTIFICATE_PATH, self.certificate.clone()),
            (KEY_PATH, self.key.clone()),
        ]
    }
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file, as the process sees it (after a chroot).
        path: PathBuf,
        /// Whether it is the key file.
        is_key: bool,
        /// The reason.
        error: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is not well-formed PEM: {error}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Whether it is the key file.
        is_key: bool,
        /// The reason.
        error: io::Error,
    },
    /// The certificate file contains no certificate.
    #[error("{} contains no certificate; expected a PEM section CERTIFICATE", .0.display())]
    NoCertificate(PathBuf),
    /// The chain is longer than clients accept.
    #[error(
        "{} contains {certificates} certificates of {bytes} bytes in total, but clients accept at \
         most {MAX_CERTIFICATES} of {MAX_CHAIN_BYTES} bytes; keep only the server certificate and \
         its intermediate certificates",
        .path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Number of certificates.
        certificates: usize,
        /// Their total length.
        bytes: usize,
    },
    /// The key file contains no private key.
    #[error(
        "{} contains no private key; expected a PEM section PRIVATE KEY, RSA PRIVATE KEY or EC \
         PRIVATE KEY (encrypted keys are not supported)",
        .0.display()
    )]
    NoKey(PathBuf),
    /// The key is of an unknown type, or damaged.
    #[error("the private key in {} cannot be used: {error}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: rustls::Error,
    },
    /// A certificate is damaged.
    #[error("certificate {number} in {} cannot be used: {error}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Number of the certificate in the file, from 1 on.
        number: usize,
        /// The reason.
        error: rustls::Error,
    },
    /// Neither of the two can be used.
    #[error("{certificate}; {KEY_PATH}: {key}")]
    Both {
        /// What is wrong with the certificate file.
        certificate: Box<LoadError>,
        /// What is wrong with the key file.
        key: Box<LoadError>,
    },
    /// Certificate and key do not match.
    #[error(
        "the private key in {} does not match the certificate in {}; the server certificate must \
         be the first in its file",
        .key.display(),
        .certificate.display()
    )]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
}

/// Reads certificate and key, and checks that they match.
///
/// # Errors
///
/// If the files cannot be used; the message contains the path.
pub fn load(files: &Files) -> Result<CertifiedKey, LoadError> {
    let (chain, key) = match (read_certificates(&files.certificate), read_key(&files.key)) {
        (Err(certificate), Err(key)) => {
            return Err(LoadError::Both {
                certificate: certificate.into(),
                key: key.into(),
            });
        }
        (chain, key) => (chain?, key?),
    };
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| LoadError::Key {
        path: files.key.clone(),
        error,
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Unknown means that the public key cannot be derived from the key, so the two
        // cannot be compared.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(LoadError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        }),
        Err(error) => Err(LoadError::Certificate {
            path: files.certificate.clone(),
            number: 1,
            error,
        }),
    }
}

/// Does the same as [`load`], and warns if the certificate has expired, or expires soon.
/// `path_now` returns the current path of a file, as in [`Daemon::check`](crate::Daemon::check).
///
/// # Errors
///
/// See [`load`].
pub fn check(files: &Files, path_now: &dyn Fn(&Path) -> PathBuf) -> Result<(), Faults> {
    let files = &Files {
        certificate: path_now(&files.certificate),
        key: path_now(&files.key),
    };
    let certified = load(files).map_err(LoadError::at_keys)?;
    expiry::Watch::default().begin(&files.certificate, Expiry::of(&certified));
    Ok(())
}

impl LoadError {
    /// The errors as diagnostics of their configuration keys, which are the same in all
    /// daemons that support TLS.
    fn at_keys(self) -> Faults {
        match self {
            Self::Both { certificate, key } => Faults(vec![certificate.at_key(), key.at_key()]),
            one => Faults(vec![one.at_key()]),
        }
    }

    fn at_key(self) -> Diagnostic {
        let key = match &self {
            Self::NoKey(_) | Self::Key { .. } | Self::Mismatch { .. } => KEY_PATH,
            Self::NoCertificate(_)
            | Self::Certificate { .. }
            | Self::TooLong { .. }
            | Self::Both { .. } => CERTIFICATE_PATH,
            Self::Read { is_key, .. } | Self::Pem { is_key, .. } => {
                if *is_key {
                    KEY_PATH
                } else {
                    CERTIFICATE_PATH
                }
            }
        };
        Diagnostic::error(key, self)
    }
}

/// The certificate for new handshakes, which the main thread rotates. Established
/// connections keep the one that they were opened with.
pub struct Handle {
    present: Arc<ArcSwap<Numbered>>,
    watch: Arc<expiry::Watch>,
}

/// A certificate, and the number of rotations before it.
struct Numbered {
    /// Where it was read.
    files: Files,
    certified: Arc<CertifiedKey>,
    number: u64,
}

impl Handle {
    /// Loads certificate and key for the first time. Warns if the certificate has expired,
    /// or expires soon.
    ///
    /// # Errors
    ///
    /// Those of [`load`], with the configuration key; and if reading takes longer than a
    /// reload may.
    pub fn new(files: Files) -> anyhow::Result<Self> {
        let read = files.clone();
        let loaded = reload::in_time(WHAT, move || load(&read))?.map_err(LoadError::at_keys)?;
        let watch = Arc::new(expiry::Watch::default());
        watch.begin(&files.certificate, Expiry::of(&loaded));
        let present = Arc::new(ArcSwap::from_pointee(Numbered {
            files,
            certified: Arc::new(loaded),
            number: 0,
        }));
        Ok(Self { present, watch })
    }

    /// The current certificate with its key, and the number of rotations before it.
    pub fn present(&self) -> (Arc<CertifiedKey>, u64) {
        let present = self.present.load();
        (Arc::clone(&present.certified), present.number)
    }

    /// Warns once a day if the certificate has expired, or expires soon. To be called
    /// periodically: most calls only check the time.
    pub fn watch(&self) {
        let present = self.present.load();
        let expiry = || Expiry::of(&present.certified);
        self.watch.go_on(&present.files.certificate, expiry);
    }

    /// The certificate, for the status page.
    pub fn overview(&self) -> metrics::Certificate {
        let present = self.present.load();
        let path = &present.files.certificate;
        let expiry = Expiry::of(&present.certified);
        metrics::Certificate {
            path: path.clone(),
            expires_at: expiry.map(Expiry::epoch_seconds),
            warning: expiry.and_then(|expiry| expiry.warning(path, SystemTime::now())),
        }
    }

    /// Adds the expiry time of the certificate.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        if let Some(expiry) = Expiry::of(&self.present.load().certified) {
            metrics.add(&EXPIRY, &[], expiry.epoch_seconds());
        }
    }

    /// Number of certificate rotations so far; reloading the same certificate does not
    /// count.
    pub fn rotations(&self) -> u64 {
        self.present.load().number
    }

    /// Reads certificate and key again, from files that may be others, and returns a
    /// function that puts them into effect for new handshakes.
    ///
    /// # Errors
    ///
    /// Those of [`load`], with the configuration key.
    pub fn read(&self, files: &Files) -> Result<Apply, Failure> {
        let loaded = load(files).map_err(|error| Failure::of(WHAT, error.at_keys()))?;
        let handle = Arc::clone(&self.present);
        let watch = Arc::clone(&self.watch);
        let files = files.clone();
        Ok(Box::new(move || {
            let present = handle.load();
            let is_another = loaded.cert != present.certified.cert;
            watch.begin(&files.certificate, Expiry::of(&loaded));
            log::info!("reloaded the {WHAT}");
            handle.store(Arc::new(Numbered {
                files,
                certified: Arc::new(loaded),
                number: present.number + u64::from(is_another),
            }));
        }))
    }

    /// Reads the files again, and puts them into effect.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn reload(&self) -> anyhow::Result<()> {
        let files = self.present.load().files.clone();
        let apply = self.read(&files).map_err(|failure| failure.error)?;
        apply();
        Ok(())
    }
}

impl ResolvesServerCert for Handle {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present().0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key must not be logged.
        formatter
            .debug_struct("Handle")
            .field("files", &self.present.load().files)
            .finish_non_exhaustive()
    }
}

/// Parses a PEM file with certificates or a key; returns its items in order.
///
/// rustls-pemfile is archived (RUSTSEC-2025-0134), and its code lives on in
/// rustls-pki-types. Only this function calls it, so it can be replaced easily.
fn read_pem(path: &Path, is_key: bool) -> Result<Vec<Item>, LoadError> {
    let bytes = files::read_regular(path, MAX_BYTES).map_err(|error| LoadError::Read {
        path: path.to_owned(),
        is_key,
        error,
    })?;
    let not_pem = |error| LoadError::Pem {
        path: path.to_owned(),
        is_key,
        error,
    };
    let items: Vec<_> = rustls_pemfile::read_all(&mut bytes.as_slice())
        .collect::<Result<_, _>>()
        .map_err(not_pem)?;
    // If files were concatenated without a line break, the parser ignores a section that
    // does not start on its own line.
    let windows = bytes.windows(BEGIN_CERTIFICATE.len());
    let begun = windows.filter(|part| *part == BEGIN_CERTIFICATE).count();
    let is_certificate = |item: &&Item| matches!(item, Item::X509Certificate(_));
    let read = items.iter().filter(is_certificate).count();
    if read < begun {
        let text = format!(
            "it has {begun} sections CERTIFICATE, of which {read} can be read; each must begin \
             on a line of its own"
        );
        return Err(not_pem(io::Error::new(io::ErrorKind::InvalidData, text)));
    }
    Ok(items)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let chain: Vec<_> = read_pem(path, false)?
        .into_iter()
        .filter_map(|item| match item {
            Item::X509Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if chain.is_empty() {
        return Err(LoadError::NoCertificate(path.to_owned()));
    }
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    if chain.len() > MAX_CERTIFICATES || bytes > MAX_CHAIN_BYTES {
        return Err(LoadError::TooLong {
            path: path.to_owned(),
            certificates: chain.len(),
            bytes,
        });
    }
    for (index, certificate) in chain.iter().enumerate() {
        require_whole(certificate).map_err(|error| LoadError::Certificate {
            path: path.to_owned(),
            number: index + 1,
            error,
        })?;
    }
    Ok(chain)
}

/// Checks that clients can parse the certificate. rustls itself only parses the first one
/// of a chain, when it compares the keys.
fn require_whole(certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
    let damaged = rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
    match ParsedCertificate::try_from(certificate) {
        Ok(_) => Ok(()),
        Err(error) if error == damaged => Err(error),
        // Root certificates of X.509 version 1, and others that rustls does not support,
        // may be valid for clients.
        Err(_) if validity::not_after(certificate).is_some() => Ok(()),
        Err(error) => Err(error),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    read_pem(path, true)?
        .into_iter()
        .find_map(|item| match item {
            Item::Pkcs1Key(key) => Some(key.into()),
            Item::Pkcs8Key(key) => Some(key.into()),
            Item::Sec1Key(key) => Some(key.into()),
            _ => None,
        })
        .ok_or_else(|| LoadError::NoKey(path.to_owned()))
}

#[cfg(test)]
mod tests;
