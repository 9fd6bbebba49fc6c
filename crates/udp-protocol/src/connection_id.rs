//! Connection ids that the tracker does not have to store.
//!
//! BEP 15 requires clients to request a connection id first, so that nobody can cause
//! replies to be sent to somebody else's address. An id authenticates itself: it contains
//! its creation time, and a keyed MAC of that time and the client's address.

use std::fmt;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::ConnectionId;

/// Maximum number of seconds by which the time of an id may be in the future: the clock may
/// be set back between two runs with the same key.
pub const MAX_SECONDS_IN_FUTURE: u32 = 60;

/// The secret key with which a tracker creates and verifies connection ids.
///
/// An id is four bytes of time in seconds, big-endian, and four bytes of SipHash-2-4 of
/// that time and the client's address. The port is not included, because clients behind NAT
/// may get another one. To guess an id, an address has to send about 2³² requests.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionIdKey([u8; 16]);

impl ConnectionIdKey {
    /// Creates a key from these bytes, which must be cryptographically random, or from
    /// [`to_bytes`](Self::to_bytes).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key, to be stored so that ids stay valid over a restart.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 16] {
        self.0
    }

    /// Creates the id for a client at `address`, at the time `now_seconds`.
    ///
    /// `now_seconds` are seconds since the epoch, up to the maximum of 32 bits. An
    /// IPv4-mapped IPv6 address must have been converted to IPv4.
    #[inline]
    #[must_use]
    pub fn connection_id(&self, now_seconds: u32, address: IpAddr) -> ConnectionId {
        let time = now_seconds.to_be_bytes();
        let mac = self.mac(time, address);
        ConnectionId([
            time[0], time[1], time[2], time[3], mac[0], mac[1], mac[2], mac[3],
        ])
    }

    /// Whether `id` was created with this key for `address`, at most `max_age_seconds` ago.
    ///
    /// An id from up to [`MAX_SECONDS_IN_FUTURE`] seconds in the future is accepted.
    #[inline]
    #[must_use]
    pub fn is_valid(
        &self,
        id: ConnectionId,
        now_seconds: u32,
        address: IpAddr,
        max_age_seconds: u32,
    ) -> bool {
        let [t0, t1, t2, t3, m0, m1, m2, m3] = id.0;
        let time = [t0, t1, t2, t3];

        let age = i64::from(now_seconds) - i64::from(u32::from_be_bytes(time));
        let youngest = -i64::from(MAX_SECONDS_IN_FUTURE);
        if !(youngest..=i64::from(max_age_seconds)).contains(&age) {
            return false;
        }

        // Compared as one number, so that the time does not depend on the number of correct
        // bytes.
        u32::from_ne_bytes([m0, m1, m2, m3]) == u32::from_ne_bytes(self.mac(time, address))
    }

    /// Messages of the two families have different lengths, so an IPv4 address never has
    /// the same message as an IPv6 address.
    #[inline]
    fn mac(&self, time: [u8; 4], address: IpAddr) -> [u8; 4] {
        let hasher = SipHasher24::new_with_key(&self.0);
        let hash = match address {
            IpAddr::V4(address) => {
                let mut message = [0; 8];
                message[..4].copy_from_slice(&time);
                message[4..].copy_from_slice(&address.octets());
                hasher.hash(&message)
            }
            IpAddr::V6(address) => {
                let mut message = [0; 20];
                message[..4].copy_from_slice(&time);
                message[4..].copy_from_slice(&address.octets());
                hasher.hash(&message)
            }
        };
        let [.., a, b, c, d] = hash.to_be_bytes();
        [a, b, c, d]
    }
}

/// Does not show the secret.
impl fmt::Debug for ConnectionIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionIdKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_AGE: u32 = 120;
    const NOW: u32 = 1_800_000_000;

    fn key() -> ConnectionIdKey {
        ConnectionIdKey::from_bytes(*b"0123456789abcdef")
    }

    fn address() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn is_valid_from_a_minute_ahead_until_its_age() {
        let id = key().connection_id(NOW, address());
        let valid_at = |now| key().is_valid(id, now, address(), MAX_AGE);

        assert!(valid_at(NOW));
        assert!(valid_at(NOW + MAX_AGE));
        assert!(!valid_at(NOW + MAX_AGE + 1));
        assert!(valid_at(NOW - MAX_SECONDS_IN_FUTURE));
        assert!(!valid_at(NOW - MAX_SECONDS_IN_FUTURE - 1));
    }

    #[test]
    fn the_end_of_time_is_not_near_its_beginning() {
        let (first, last) = (0, u32::MAX);
        for (issued, now) in [
            (last, first),
            (first, last),
            (last - 60, 60),
            (60, last - 60),
        ] {
            let id = key().connection_id(issued, address());
            assert!(!key().is_valid(id, now, address(), MAX_AGE));
            assert!(key().is_valid(id, issued, address(), MAX_AGE));
        }
    }

    #[test]
    fn belongs_to_one_address_and_one_key() {
        let id = key().connection_id(NOW, address());

        let other = "192.0.2.2".parse().unwrap();
        assert!(!key().is_valid(id, NOW, other, MAX_AGE));
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert!(!key().is_valid(id, NOW, mapped, MAX_AGE));
        let other_key = ConnectionIdKey::from_bytes([7; 16]);
        assert!(!other_key.is_valid(id, NOW, address(), MAX_AGE));
    }

    #[test]
    fn every_byte_counts() {
        let id = key().connection_id(NOW, address());
        for index in 0..8 {
            let mut changed = id;
            changed.0[index] ^= 1;
            assert!(
                !key().is_valid(changed, NOW, address(), MAX_AGE),
                "byte {index}"
            );
        }
    }

    /// Ids outlive a restart and may outlive an update, so their format must not change.
    /// The MACs were computed with another implementation of SipHash-2-4.
    #[test]
    fn keeps_its_form() {
        let id = key().connection_id(0x0102_0304, address());
        assert_eq!(id.0, [1, 2, 3, 4, 0xbf, 0x43, 0xbf, 0x97]);

        let address = "2001:db8::1".parse().unwrap();
        let id = key().connection_id(0x0102_0304, address);
        assert_eq!(id.0, [1, 2, 3, 4, 0x32, 0x02, 0xf3, 0xfe]);
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", key()), "ConnectionIdKey(..)");
    }

    proptest! {
        #[test]
        fn survives_a_restart(
            bytes: [u8; 16], issued in 0..u32::MAX - 3 * MAX_AGE, age in 0..=MAX_AGE,
            v6: bool, octets: [u8; 16]
        ) {
            let address = if v6 {
                IpAddr::from(octets)
            } else {
                let [a, b, c, d, ..] = octets;
                IpAddr::from([a, b, c, d])
            };
            let id = ConnectionIdKey::from_bytes(bytes).connection_id(issued, address);
            let restarted =
                ConnectionIdKey::from_bytes(ConnectionIdKey::from_bytes(bytes).to_bytes());
            prop_assert!(restarted.is_valid(id, issued + age, address, MAX_AGE));
            let too_late = issued + MAX_AGE + 1 + age;

            prop_assert!(!restarted.is_valid(id, too_late, address, MAX_AGE));
        }

        #[test]
        fn random_ids_are_refused(id: [u8; 8], octets: [u8; 16]) {
            let id = ConnectionId(id);
            let address = IpAddr::from(octets);
            // The time is valid, but the MAC was not made with the key.
            let made = key().connection_id(u32::from_be_bytes([id.0[0], id.0[1], id.0[2], id.0[3]]), address);
            prop_assume!(made != id);
            prop_assert!(!key().is_valid(id, NOW, address, u32::MAX));
        }
    }
}
