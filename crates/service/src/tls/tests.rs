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
    assert!(text.contains("does not match the certificate in"), "{text}");
    let text = error(&format!("{AUTHORITY}{EC_CERTIFICATE}"), EC_KEY_SEC1);
    assert!(text.contains("must be the first in its file"), "{text}");
    let text = error(EC_CERTIFICATE, EC_CERTIFICATE);
    assert!(text.contains("key.pem contains no private key"), "{text}");
    let text = error(EC_CERTIFICATE, EC_KEY_ENCRYPTED);
    assert!(text.contains("key.pem contains no private key"), "{text}");
    let text = error(EC_KEY_SEC1, EC_KEY_SEC1);
    assert!(
        text.contains("certificate.pem contains no certificate"),
        "{text}"
    );
    let text = error("", EC_KEY_SEC1);
    assert!(
        text.contains("certificate.pem contains no certificate"),
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
    // Both errors are reported, each with its key in the configuration.
    material.files.certificate = "/nonexistent/certificate.pem".into();
    let both = load(&material.files).unwrap_err().at_keys().0;
    let told: Vec<_> = both.iter().map(ToString::to_string).collect();
    let expected = [
        "network.tls_certificate_path: cannot read /nonexistent/certificate.pem: ",
        "network.tls_private_key_path: cannot read /nonexistent/key.pem: ",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    let mut pairs = told.iter().zip(expected);
    assert!(
        pairs.all(|(told, expected)| told.starts_with(expected)),
        "{told:?}"
    );
}

/// A certificate as PEM, with changed bytes.
fn changed(certificate: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let item = rustls_pemfile::read_one(&mut certificate.as_bytes()).unwrap();
    let Some(Item::X509Certificate(certificate)) = item else {
        panic!("it is a certificate");
    };
    let mut bytes = certificate.to_vec();
    change(&mut bytes);
    encoded(&bytes)
}

fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for three in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=three.len()].copy_from_slice(three);
        let group = u32::from_be_bytes(group);
        for digit in 0..4 {
            let value = group >> (18 - 6 * digit) & 63;
            let is_filled = digit <= three.len();
            text.push(if is_filled {
                char::from(DIGITS[value as usize])
            } else {
                '='
            });
        }
    }
    text + "\n-----END CERTIFICATE-----\n"
}

#[test]
fn a_damaged_certificate_is_refused_wherever_it_stands() {
    let unchanged = changed(AUTHORITY, |_| ());
    let whole = load(&material(&format!("{EC_CERTIFICATE}{unchanged}"), EC_KEY_SEC1).files);
    assert_eq!(whole.unwrap().cert.len(), 2);
    let damages = [
        encoded(b"\0\0\0"),
        encoded(b""),
        changed(AUTHORITY, |bytes| bytes.truncate(bytes.len() - 1)),
        changed(AUTHORITY, |bytes| bytes.truncate(bytes.len() / 2)),
        changed(AUTHORITY, |bytes| bytes.push(0)),
        changed(AUTHORITY, |bytes| bytes[4] = 0x31),
    ];
    for damaged in damages {
        for behind in ["", AUTHORITY] {
            let text = error(&format!("{EC_CERTIFICATE}{damaged}{behind}"), EC_KEY_SEC1);
            let (_, told) = text.split_once("certificate 2 in ").unwrap_or_default();
            assert!(told.contains("certificate.pem cannot be used"), "{text}");
        }
    }
}

#[test]
fn a_chain_that_clients_do_not_accept_is_refused() {
    let chain = |count: usize| format!("{EC_CERTIFICATE}{}", AUTHORITY.repeat(count - 1));
    let certified = load(&material(&chain(16), EC_KEY_SEC1).files).unwrap();
    assert_eq!(certified.cert.len(), 16);
    let text = error(&chain(17), EC_KEY_SEC1);
    assert!(
        text.contains("certificate.pem contains 17 certificates"),
        "{text}"
    );
    let text = error(&chain(500), EC_KEY_SEC1);
    assert!(
        text.contains("certificate.pem contains 500 certificates"),
        "{text}"
    );
    let large = encoded(&[0x30; 60_000]);
    let text = error(&format!("{EC_CERTIFICATE}{large}"), EC_KEY_SEC1);
    assert!(text.contains("at most 16 of 60000 bytes"), "{text}");
}

#[test]
fn a_certificate_in_the_middle_of_a_line_is_refused() {
    let joined = format!("{}{AUTHORITY}", EC_CERTIFICATE.trim_end());
    let text = error(&joined, EC_KEY_SEC1);
    assert!(
        text.contains("is not well-formed PEM: it has 2 sections CERTIFICATE, of which 1"),
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

    let damaged = format!("{EC_CERTIFICATE}{}", encoded(b"\0\0\0"));
    fs::write(&material.files.certificate, damaged).unwrap();
    assert!(handle.reload().is_err());
    assert_eq!(current(), first);

    fs::write(&material.files.certificate, RSA_CERTIFICATE).unwrap();
    fs::write(&material.files.key, RSA_KEY_PKCS1).unwrap();
    handle.reload().unwrap();
    assert_ne!(current(), first);
    let text = format!("{handle:?}");
    assert!(
        !text.contains("PRIVATE") && text.contains("key.pem"),
        "{text}"
    );
}
