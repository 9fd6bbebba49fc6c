//! Sections about how many requests a source may make.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aquatic_policy::AddressRange;
use aquatic_policy::rates::{Limit, Limiter, MAX_BURST_SECONDS, MAX_PER_SECOND};
use serde::{Deserialize, Serialize};

use super::Texts;
use super::checks::Checks;
use super::list_sections::warn_of_all;
use super::numbers::{Count, Seconds, ZeroOr};

/// Requests per second; 0 for no limit.
pub type PerSecond = ZeroOr<Count<1, { MAX_PER_SECOND as u64 }>>;
/// Seconds whose requests may be made at once.
pub type BurstSeconds = Seconds<1, { MAX_BURST_SECONDS as u64 }>;
/// Networks whose requests are not limited.
pub type ExemptNetworks = Texts<AddressRange>;

/// How many requests one source may make: an IPv4 address, or an IPv6 /64
/// network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RatesConfig {
    /// Maximum number of requests per second and source. Further datagrams are
    /// dropped and counted. Connect requests, which anybody can send with a forged
    /// address, are limited only while more arrive than are answered. An address may belong to hundreds of households
    /// (carrier-grade NAT), whose clients send two requests per torrent each
    /// quarter of an hour. 0: no limit.
    pub requests_per_second: PerSecond,
    /// Number of seconds whose requests a source may make at once, after it has
    /// made none for as long.
    pub burst_seconds: BurstSeconds,
    /// IP addresses and networks, such as 192.0.2.0/24, without these limits.
    pub exempt: ExemptNetworks,
}

/// How many requests and connections one source may make: an IPv4 address, or
/// an IPv6 /64 network. Behind a trusted proxy, the client's address counts for
/// requests; connections are not limited there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TcpRatesConfig {
    /// Maximum number of requests, or messages of WebTorrent clients, per second
    /// and source. Further ones are rejected with an error. An address may belong
    /// to hundreds of households (carrier-grade NAT). 0: no limit.
    pub requests_per_second: PerSecond,
    /// Maximum number of new connections per second and source. Further ones are
    /// closed at once. Those of trusted proxies are not limited. 0: no limit.
    pub connections_per_second: PerSecond,
    /// Number of seconds whose requests and connections a source may make at
    /// once, after it has made none for as long.
    pub burst_seconds: BurstSeconds,
    /// IP addresses and networks, such as 192.0.2.0/24, without these limits.
    pub exempt: ExemptNetworks,
}

impl Default for RatesConfig {
    fn default() -> Self {
        Self {
            requests_per_second: ZeroOr::ZERO,
            burst_seconds: Seconds::of::<10>(),
            exempt: ExemptNetworks::default(),
        }
    }
}

impl Default for TcpRatesConfig {
    fn default() -> Self {
        Self {
            requests_per_second: ZeroOr::ZERO,
            connections_per_second: ZeroOr::ZERO,
            burst_seconds: Seconds::of::<10>(),
            exempt: ExemptNetworks::default(),
        }
    }
}

impl RatesConfig {
    /// The limit for requests, and who is exempt.
    #[inline]
    pub fn requests(&self) -> Option<Rule<'_>> {
        Rule::new(self.requests_per_second, self.burst_seconds, &self.exempt)
    }

    /// The number of requests that this machine may make at once, if that is limited.
    pub fn at_once_from_here(&self) -> Option<u64> {
        self.requests()?.at_once_from_here()
    }

    /// Warns if nobody of a family is limited.
    pub fn check(&self, checks: &mut Checks) {
        warn_if_all_exempt(&self.exempt, checks);
    }
}

impl TcpRatesConfig {
    /// The number of requests, or of connections if those are fewer, that this machine may
    /// make at once, if that is limited.
    pub fn at_once_from_here(&self) -> Option<u64> {
        let rules = [self.requests(), self.connections()].into_iter().flatten();
        rules.filter_map(|rule| rule.at_once_from_here()).min()
    }

    /// Warns if nobody of a family is limited.
    pub fn check(&self, checks: &mut Checks) {
        warn_if_all_exempt(&self.exempt, checks);
    }

    /// The limit for requests, and who is exempt.
    #[inline]
    pub fn requests(&self) -> Option<Rule<'_>> {
        Rule::new(self.requests_per_second, self.burst_seconds, &self.exempt)
    }

    /// The limit for connections, and who is exempt.
    pub fn connections(&self) -> Option<Rule<'_>> {
        Rule::new(
            self.connections_per_second,
            self.burst_seconds,
            &self.exempt,
        )
    }
}

fn warn_if_all_exempt(exempt: &ExemptNetworks, checks: &mut Checks) {
    warn_of_all("rates.exempt", exempt, "no rate is limited", checks);
}

/// A limit, and for whom it does not hold.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// The limit of a source.
    pub limit: Limit,
    /// The number of requests that a source may make at once.
    at_once: u64,
    /// Sources without a limit.
    pub exempt: &'a ExemptNetworks,
}

impl<'a> Rule<'a> {
    #[inline]
    fn new(
        per_second: PerSecond,
        burst_seconds: BurstSeconds,
        exempt: &'a ExemptNetworks,
    ) -> Option<Self> {
        let per_second = per_second.non_zero_u32()?.get();
        let burst_seconds = burst_seconds.as_u32();
        Some(Self {
            limit: Limit::new(per_second, burst_seconds),
            at_once: u64::from(per_second) * u64::from(burst_seconds),
            exempt,
        })
    }

    /// The number of requests that this machine may make at once, if it is not exempt.
    fn at_once_from_here(&self) -> Option<u64> {
        let here = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        let is_exempt = |source: &IpAddr| self.exempt.iter().any(|range| range.contains(*source));
        (!here.iter().all(is_exempt)).then_some(self.at_once)
    }

    /// Whether a request from `source` is within the limit of `limiter`; it then counts. See
    /// [`Limiter::allows`] for the time.
    #[inline]
    pub fn allows(&self, limiter: &Limiter, source: IpAddr, now_milliseconds: u32) -> bool {
        limiter.allows(&self.limit, source, now_milliseconds)
            || self.exempt.iter().any(|range| range.contains(source))
    }
}
