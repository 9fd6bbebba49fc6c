//! Certificates and keys in all forms.

use std::fs;

use aquatic_test_harness::certificates::*;
use tempfile::TempDir;

use super::*;

struct Material {
    _directory: TempDir,
    files: Files,
}

fn material(certificate: &str, key: &str) -> Material {
    let directory = TempDir::new().unwrap();
    let files = Files {
        certificate: directory.path().join("certificate.pem"),
        key: directory.path().join("key.pem"),
    };
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    Material {
        _directory: directory,
        files,
    }
}

fn error(certificate: &str, key: &str) -> String {
    load(&material(certificate, key).files)
        .unwrap_err()
        .to_string()
}

#[test]
fn keys_are_read_in_every_form() {
    for (certificate, key) in [
        (EC_CERTIFICATE, EC_KEY_SEC1),
        (EC_CERTIFICATE, EC_KEY_PKCS8),
        (RSA_CERTIFICATE, RSA_KEY_PKCS1),
        (RSA_CERTIFICATE, RSA_KEY_PKCS8),
    ] {
        load(&material(certificate, key).files).unwrap();
    }
    // Text around the sections, and the parameters that openssl writes first.
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let key = format!("Bag Attributes\n{parameters}{EC_KEY_SEC1}");
    let chain = format!("subject=one\n{EC_CERTIFICATE}\nissuer=two\n{AUTHORITY}");
    let certified = load(&material(&chain, &key).files).unwrap();
    assert_eq!(certified.cert.len(), 2);
}

#[test]
fn what_is_wrong_is_named() {
    let text = error(EC_CERTIFICATE, RSA_KEY_PKCS8);
    assert!(text.contains("is not that of the certificate in"), "{text}");
    let text = error(&format!("{AUTHORITY}{EC_CERTIFICATE}"), EC_KEY_SEC1);
    assert!(text.contains("must be the first in its file"), "{text}");
    let text = error(EC_CERTIFICATE, EC_CERTIFICATE);
    assert!(text.contains("key.pem has no private key"), "{text}");
    let text = error(EC_CERTIFICATE, EC_KEY_ENCRYPTED);
    assert!(text.contains("key.pem has no private key"), "{text}");
    let text = error(EC_KEY_SEC1, EC_KEY_SEC1);
    assert!(
        text.contains("certificate.pem has no certificate"),
        "{text}"
    );
    let text = error("", EC_KEY_SEC1);
    assert!(
        text.contains("certificate.pem has no certificate"),
        "{text}"
    );
    let (half, _) = EC_CERTIFICATE.split_at(EC_CERTIFICATE.len() / 2);
    let text = error(half, EC_KEY_SEC1);
    assert!(
        text.contains("certificate.pem is not well-formed"),
        "{text}"
    );
    let damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let text = error(EC_CERTIFICATE, damaged);
    assert!(text.contains("key.pem cannot be used"), "{text}");
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let text = error(damaged, EC_KEY_SEC1);
    assert!(text.contains("certificate.pem cannot be used"), "{text}");

    let mut material = material(EC_CERTIFICATE, EC_KEY_SEC1);
    material.files.key = "/nonexistent/key.pem".into();
    let text = load(&material.files).unwrap_err().to_string();
    assert!(
        text.starts_with("cannot read /nonexistent/key.pem: "),
        "{text}"
    );
}

#[test]
fn a_reload_takes_the_new_one_and_a_bad_one_changes_nothing() {
    let material = material(EC_CERTIFICATE, EC_KEY_SEC1);
    let handle = Handle::new(material.files.clone()).unwrap();
    let current = || handle.present().0.cert[0].clone();
    let first = current();

    fs::write(&material.files.certificate, RSA_CERTIFICATE).unwrap();
    assert!(handle.reload().is_err());
    assert_eq!(current(), first);

    fs::write(&material.files.key, RSA_KEY_PKCS1).unwrap();
    handle.reload().unwrap();
    assert_ne!(current(), first);
    let text = format!("{handle:?}");
    assert!(
        !text.contains("PRIVATE") && text.contains("key.pem"),
        "{text}"
    );
}
