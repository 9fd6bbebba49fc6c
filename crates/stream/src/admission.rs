//! How many connections may be open, over all workers and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aquatic_bittorrent::{IPV6_NETWORK_LENGTH, source_network};

use aquatic_policy::rates::Limiter;

use crate::counters::Refusal;
use crate::settings::{ConnectionLimits, ConnectionRate};

/// Number of parts of the counts of addresses, each with a lock of its own.
const SHARDS: usize = 16;

/// The counts that all workers share.
pub(crate) struct Admission {
    open: AtomicUsize,
    max: AtomicUsize,
    per_address: PerAddress,
    /// New connections of each source.
    limiter: Limiter,
    /// The start of its clock.
    started: Instant,
}

/// Connections that were opened without a limit for addresses are not counted.
struct PerAddress {
    /// 0 for no limit.
    max: AtomicUsize,
    /// Whether it was logged that one has reached its limit.
    has_warned: AtomicBool,
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

/// The permit of one open connection; it is returned when dropped.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// The address that it counts for.
    counted: Option<IpAddr>,
}

impl Admission {
    /// `secret` comes from the system's random numbers.
    pub(crate) fn new(limits: &ConnectionLimits, secret: [u8; 16]) -> Arc<Self> {
        let this = Self {
            limiter: Limiter::new(secret),
            started: Instant::now(),
            open: AtomicUsize::new(0),
            max: AtomicUsize::new(0),
            per_address: PerAddress {
                max: AtomicUsize::new(0),
                has_warned: AtomicBool::new(false),
                shards: Default::default(),
            },
        };
        this.set_limits(limits);
        Arc::new(this)
    }

    /// Changes the limits. Open connections stay open, also if they are too many.
    pub(crate) fn set_limits(&self, limits: &ConnectionLimits) {
        self.max.store(limits.max_connections.get(), Relaxed);
        let per_ip = limits.max_connections_per_ip;
        let max = per_ip.map_or(0, NonZeroUsize::get);
        if self.per_address.max.swap(max, Relaxed) != max {
            self.per_address.has_warned.store(false, Relaxed);
        }
    }

    /// Admits a connection of a client, unless it has opened too many lately.
    pub(crate) fn admit_at_rate(
        self: &Arc<Self>,
        address: IpAddr,
        rate: Option<&ConnectionRate>,
    ) -> Result<Permit, Refusal> {
        if let Some(ConnectionRate { limit, exempt }) = rate {
            let milliseconds = self.started.elapsed().as_millis() as u32;
            let is_allowed = self.limiter.allows(limit, address, milliseconds);
            if !is_allowed && !exempt.contains(address) {
                return Err(Refusal::TooFast);
            }
        }
        self.admit(Some(address))
    }

    /// Admits a connection. `address` is `None` for those without a limit for their
    /// address: those of proxies, whose client may be counted later.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refusal> {
        if self.open.fetch_add(1, Relaxed) >= self.max.load(Relaxed) {
            self.open.fetch_sub(1, Relaxed);
            return Err(Refusal::TooMany);
        }
        let mut permit = Permit {
            admission: Arc::clone(self),
            counted: None,
        };
        if let Some(address) = address {
            permit.count(address)?;
        }
        Ok(permit)
    }
}

impl Permit {
    /// Counts the connection under this address, and no longer under another.
    pub(crate) fn count(&mut self, address: IpAddr) -> Result<(), Refusal> {
        self.uncount();
        let per_address = &self.admission.per_address;
        let Some(max) = NonZeroUsize::new(per_address.max.load(Relaxed)) else {
            return Ok(());
        };
        let group = source_network(address);
        let mut counts = per_address.shard(group);
        let count = counts.entry(group).or_insert(0);
        // An entry that is new has a count of 0, which is below every limit.
        if *count >= max.get() {
            if !per_address.has_warned.swap(true, Relaxed) {
                log::warn!(
                    "{address} has reached network.max_connections_per_ip, {max}; further \
                     connections are refused and counted (logged once)"
                );
            }
            return Err(Refusal::TooManyFromAddress);
        }
        *count += 1;
        self.counted = Some(group);
        Ok(())
    }

    fn uncount(&mut self) {
        if let Some(group) = self.counted.take() {
            let per_address = &self.admission.per_address;
            let mut counts = per_address.shard(group);
            if let Some(count) = counts.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&group);
                }
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Relaxed);
        self.uncount();
    }
}

impl PerAddress {
    fn shard(&self, group: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        let octet = match group {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[IPV6_NETWORK_LENGTH - 1],
        };
        // Every change is atomic under the lock, so a panic elsewhere does no harm.
        self.shards[usize::from(octet) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use aquatic_policy::AddressRanges;
    use aquatic_policy::rates::Limit;

    use super::*;

    fn admission(max: usize, per_ip: Option<usize>) -> Arc<Admission> {
        Admission::new(
            &ConnectionLimits {
                max_connections: max.try_into().unwrap(),
                max_connections_per_ip: per_ip.map(|max| max.try_into().unwrap()),
                ..ConnectionLimits::default()
            },
            [1; 16],
        )
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_total_is_bounded_and_given_back() {
        let admission = admission(2, None);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _second = admission.admit(None).unwrap();
        assert_eq!(admission.admit(None).err(), Some(Refusal::TooMany));
        drop(first);
        assert!(admission.admit(None).is_ok());
    }

    #[test]
    fn addresses_and_networks_are_bounded() {
        let admission = admission(100, Some(1));
        let refused = Some(Refusal::TooManyFromAddress);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1")).err(), refused);
        assert_eq!(admission.admit(ip("::ffff:192.0.2.1")).err(), refused);
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        drop(first);
        let _again = admission.admit(ip("192.0.2.1")).unwrap();

        let _network = admission.admit(ip("2001:db8:0:1::1")).unwrap();
        assert_eq!(admission.admit(ip("2001:db8:0:1:ffff::2")).err(), refused);
        let _next = admission.admit(ip("2001:db8:0:2::1")).unwrap();

        // Refused connections do not count.
        assert_eq!(admission.open.load(Relaxed), 4);
        let entries: usize = admission
            .per_address
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum();
        assert_eq!(entries, 4);
    }

    #[test]
    fn the_rate_of_a_source_is_limited() {
        let admission = admission(100, None);
        let rate = ConnectionRate {
            limit: Limit::new(1, 3),
            exempt: AddressRanges::from_iter(["192.0.2.9".parse().unwrap()]),
        };
        let admit = |address: &str, rate| {
            let address = address.parse().unwrap();
            admission.admit_at_rate(address, rate).err()
        };
        let of_source: Vec<_> = (0..5).map(|_| admit("192.0.2.1", Some(&rate))).collect();
        let refused = Some(Refusal::TooFast);
        assert_eq!(of_source, [None, None, None, refused, refused]);
        assert_eq!(admit("192.0.2.2", Some(&rate)), None);
        assert!((0..5).all(|_| admit("192.0.2.9", Some(&rate)).is_none()));
        assert!((0..5).all(|_| admit("192.0.2.1", None).is_none()));
        assert_eq!(admission.open.load(Relaxed), 0, "permits were dropped");
    }

    #[test]
    fn limits_can_be_changed() {
        let admission = admission(2, None);
        let limits = |max: usize, per_ip: Option<usize>| ConnectionLimits {
            max_connections: max.try_into().unwrap(),
            max_connections_per_ip: per_ip.map(|max| max.try_into().unwrap()),
            ..ConnectionLimits::default()
        };
        let address = || ip("192.0.2.1");
        let first = admission.admit(address()).unwrap();
        let second = admission.admit(address()).unwrap();
        admission.set_limits(&limits(1, None));
        assert_eq!(admission.admit(None).err(), Some(Refusal::TooMany));
        // Connections that were opened before there was a limit do not count.
        admission.set_limits(&limits(9, Some(1)));
        let third = admission.admit(address()).unwrap();
        let refused = Some(Refusal::TooManyFromAddress);
        assert_eq!(admission.admit(address()).err(), refused);
        drop(first);
        assert_eq!(admission.admit(address()).err(), refused);
        drop(third);
        let third = admission.admit(address()).unwrap();
        admission.set_limits(&limits(9, None));
        let fourth = admission.admit(address()).unwrap();
        drop((second, third, fourth));
        assert_eq!(admission.open.load(Relaxed), 0);
        let mut shards = admission.per_address.shards.iter();
        assert!(shards.all(|shard| shard.lock().unwrap().is_empty()));
    }
}
