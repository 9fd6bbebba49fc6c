//! The certificate and key with which connections are encrypted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys};
use rustls_pemfile::Item;

use crate::config::Diagnostic;
use crate::metrics::Metrics;
use crate::reload::{Apply, Reload};
use crate::{files, reload};

mod expiry;
mod validity;

pub use expiry::{Expiry, NOTICE};

/// What it is, among what is read again at a reload.
const WHAT: &str = "TLS certificate";

/// The keys that name the files.
const CERTIFICATE_PATH: &str = "network.tls_certificate_path";
const KEY_PATH: &str = "network.tls_private_key_path";

/// The largest file that is read: more than the longest chain has.
const MAX_BYTES: u64 = 1 << 20;

/// The most certificates of a chain: as many as GnuTLS verifies, the least of the
/// libraries that clients use.
const MAX_CERTIFICATES: usize = 16;

/// The most bytes of a chain: rustls accepts messages of handshakes of up to 65,535
/// bytes, the least of those libraries, and there are some bytes around each.
const MAX_CHAIN_BYTES: usize = 60_000;

/// How a certificate begins in PEM (RFC 7468, 2).
const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where certificate and key are, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, followed by those that lead to a root, if any.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl Files {
    /// Both, under their keys.
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
        /// The file, as the process sees it (after a change of the root
        /// directory).
        path: PathBuf,
        /// Whether it is that of the key.
        is_key: bool,
        /// Why.
        error: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is not well-formed PEM: {error}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Whether it is that of the key.
        is_key: bool,
        /// What is wrong.
        error: io::Error,
    },
    /// The certificate's file has none.
    #[error("{} contains no certificate; expected a PEM section CERTIFICATE", .0.display())]
    NoCertificate(PathBuf),
    /// The certificate's file has more than clients accept.
    #[error(
        "{} contains {certificates} certificates of {bytes} bytes in total, but clients accept at \
         most {MAX_CERTIFICATES} of {MAX_CHAIN_BYTES} bytes; keep only the server certificate and \
         its intermediate certificates",
        .path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// How many it has.
        certificates: usize,
        /// Their length together.
        bytes: usize,
    },
    /// The key's file has none.
    #[error(
        "{} contains no private key; expected a PEM section PRIVATE KEY, RSA PRIVATE KEY or EC \
         PRIVATE KEY (encrypted keys are not supported)",
        .0.display()
    )]
    NoKey(PathBuf),
    /// The key is of a kind that is not known, or damaged.
    #[error("the private key in {} cannot be used: {error}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// A certificate is damaged.
    #[error("certificate {number} in {} cannot be used: {error}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which one of the file, from 1 on.
        number: usize,
        /// Why.
        error: rustls::Error,
    },
    /// The two do not belong together.
    #[error(
        "the private key in {} does not match the certificate in {}; the server certificate must \
         be the first in its file",
        .key.display(),
        .certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// Reads certificate and key, and makes sure that they belong together.
///
/// # Errors
///
/// What is wrong with the files; the message names the one.
pub fn load(files: &Files) -> Result<CertifiedKey, LoadError> {
    let chain = read_certificates(&files.certificate)?;
    let key = aws_lc_rs::sign::any_supported_type(&read_key(&files.key)?).map_err(|error| {
        LoadError::Key {
            path: files.key.clone(),
            error,
        }
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Unknown: the key does not tell its public half, so it must be believed.
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

/// Does as [`load`], and warns of a certificate that has expired, or will soon.
///
/// # Errors
///
/// As [`load`].
pub fn check(files: &Files) -> Result<(), LoadError> {
    let certified = load(files)?;
    expiry::Watch::default().begin(&files.certificate, Expiry::of(&certified));
    Ok(())
}

impl LoadError {
    /// As the fault of a key, which all daemons that speak TLS spell the same way.
    pub fn at_key(self) -> Diagnostic {
        let key = match &self {
            Self::NoKey(_) | Self::Key { .. } | Self::Mismatch { .. } => KEY_PATH,
            Self::NoCertificate(_) | Self::Certificate { .. } | Self::TooLong { .. } => {
                CERTIFICATE_PATH
            }
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

/// The certificate that handshakes use, which the main thread rotates. Established
/// connections keep the one that they began with.
pub struct Handle {
    files: Files,
    present: Arc<ArcSwap<Numbered>>,
    watch: Arc<expiry::Watch>,
}

/// A certificate, and how many others were there before it.
struct Numbered {
    certified: Arc<CertifiedKey>,
    number: u64,
}

impl Handle {
    /// Loads certificate and key for the first time. Warns of a certificate
    /// that has expired, or will soon.
    ///
    /// # Errors
    ///
    /// Those of [`load`], under their key; and when the system keeps it waiting for
    /// longer than a reload.
    pub fn new(files: Files) -> anyhow::Result<Self> {
        let read = files.clone();
        let loaded = reload::in_time(WHAT, move || load(&read))?.map_err(LoadError::at_key)?;
        let watch = Arc::new(expiry::Watch::default());
        watch.begin(&files.certificate, Expiry::of(&loaded));
        let present = Arc::new(ArcSwap::from_pointee(Numbered {
            certified: Arc::new(loaded),
            number: 0,
        }));
        Ok(Self {
            files,
            present,
            watch,
        })
    }

    /// The current certificate with its key, and its number of rotations before.
    pub fn present(&self) -> (Arc<CertifiedKey>, u64) {
        let present = self.present.load();
        (Arc::clone(&present.certified), present.number)
    }

    /// Warns of a certificate that has expired, or will soon, once a day. To be
    /// called periodically: most calls only check the time.
    pub fn watch(&self) {
        let expiry = || Expiry::of(&self.present.load().certified);
        self.watch.go_on(&self.files.certificate, expiry);
    }

    /// Adds when the certificate expires.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        if let Some(expiry) = Expiry::of(&self.present.load().certified) {
            metrics.gauge(
                "tls_certificate_expiry_timestamp_seconds",
                "Expiry time of the TLS certificate, in seconds since the Unix epoch",
                &[],
                expiry.epoch_seconds(),
            );
        }
    }

    /// Number of certificate rotations so far; reloading the same certificate does not
    /// count.
    pub fn rotations(&self) -> u64 {
        self.present.load().number
    }
}

impl Reload for Handle {
    fn what(&self) -> &str {
        WHAT
    }

    fn read(&self) -> anyhow::Result<Apply> {
        let loaded = load(&self.files)?;
        let handle = Arc::clone(&self.present);
        let watch = Arc::clone(&self.watch);
        let certificate = self.files.certificate.clone();
        Ok(Box::new(move || {
            let present = handle.load();
            let is_another = loaded.cert != present.certified.cert;
            watch.begin(&certificate, Expiry::of(&loaded));
            handle.store(Arc::new(Numbered {
                certified: Arc::new(loaded),
                number: present.number + u64::from(is_another),
            }));
        }))
    }
}

impl ResolvesServerCert for Handle {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present().0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        formatter
            .debug_struct("Handle")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// What files of certificates and keys hold, in their order.
///
/// rustls-pemfile is archived (RUSTSEC-2025-0134), and its code goes on in
/// rustls-pki-types. This is the only place that calls it, so it can be
/// replaced when it has to.
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
    // Where files were joined without a line break, a section that does not begin its
    // line counts as text between sections.
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

/// Makes sure that clients can take a certificate apart. rustls looks at the first one
/// of a chain only, when it compares its key.
fn require_whole(certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
    let damaged = rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
    match ParsedCertificate::try_from(certificate) {
        Ok(_) => Ok(()),
        Err(error) if error == damaged => Err(error),
        // Roots of the first version of X.509, and what else rustls does not verify, is
        // for clients to judge.
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
