//! Digests of keys, by which they are looked up.

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::KeyText;

/// The secret under which keys are hashed. It must not change while digests are kept.
#[derive(Clone, Copy)]
pub struct KeyHasher([u8; 16]);

/// The digest of a key: 128 bits of SipHash-2-4 under a secret.
///
/// Nobody without the secret can tell which key has which digest, or choose keys whose
/// digests are alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyDigest([u64; 2]);

impl KeyHasher {
    /// A hasher with this secret, which must be cryptographically random.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self(secret)
    }

    /// The digest of a key. The time that this takes depends only on the key's length.
    #[must_use]
    pub fn digest(&self, key: &KeyText) -> KeyDigest {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(key.as_bytes());
        let hash = hasher.finish128();
        KeyDigest([hash.h1, hash.h2])
    }
}

impl KeyHasher {
    /// A digest that no key has: that of an empty text.
    #[must_use]
    pub fn digest_of_none(&self) -> KeyDigest {
        let hash = SipHasher24::new_with_key(&self.0).finish128();
        KeyDigest([hash.h1, hash.h2])
    }
}

impl KeyDigest {
    /// The first `bits` bits, at most 32, as a number.
    pub(super) fn first_bits(self, bits: u32) -> usize {
        ((self.0[0] >> 32) >> (32 - bits)) as usize
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher")
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest")
    }
}
