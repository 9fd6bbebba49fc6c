//! Certificates and keys for tests, as PEM.
//!
//! Made once with openssl, valid for a hundred years, and trusted by tests only. Those of
//! servers are signed by [`AUTHORITY`] and are for `localhost`, 127.0.0.1 and ::1.

/// The authority that clients are to trust.
pub const AUTHORITY: &str = include_str!("certificates/authority.pem");

/// A server's certificate for a key on the curve P-256.
pub const EC_CERTIFICATE: &str = include_str!("certificates/ec.pem");

/// A self-signed certificate for the same key, which was valid until 2021-01-01.
pub const EC_CERTIFICATE_EXPIRED: &str = include_str!("certificates/ec-expired.pem");

/// The key of both certificates on the curve P-256, as SEC1.
pub const EC_KEY_SEC1: &str = include_str!("certificates/ec-sec1.key");

/// Its key, as PKCS#8.
pub const EC_KEY_PKCS8: &str = include_str!("certificates/ec-pkcs8.key");

/// The same key, as encrypted PKCS#8, which no daemon can use.
pub const EC_KEY_ENCRYPTED: &str = include_str!("certificates/ec-encrypted.key");

/// A server's certificate for an RSA key of 2,048 bits.
pub const RSA_CERTIFICATE: &str = include_str!("certificates/rsa.pem");

/// Its key, as PKCS#1.
pub const RSA_KEY_PKCS1: &str = include_str!("certificates/rsa-pkcs1.key");

/// Its key, as PKCS#8.
pub const RSA_KEY_PKCS8: &str = include_str!("certificates/rsa-pkcs8.key");
