//! Under which addresses the peer of an announce is stored.

use std::net::SocketAddr;

use aquatic_http_protocol::{AnnounceRequest, Claim, Claims, QueryFault};
use aquatic_policy::{AddressRules, SpecialAddress};

use super::Asked;

/// The addresses of a peer, at most one of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredAt {
    /// The one whose family the reply is about.
    pub(super) first: SocketAddr,
    /// One of the other family.
    pub(super) other: Option<SocketAddr>,
}

/// Why a peer is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// What the client says about its address cannot be understood.
    Malformed(QueryFault),
    /// Nobody reaches it there.
    Special,
}

impl StoredAt {
    /// The addresses of the peer of a request, whose `query` may contain them.
    #[inline]
    pub(super) fn of(
        asked: Asked<'_>,
        request: &AnnounceRequest,
        query: &[u8],
    ) -> Result<Self, Refused> {
        let rules = asked.config.address_rules();
        if rules.are_off() {
            return Ok(Self {
                first: SocketAddr::new(asked.source, request.port),
                other: None,
            });
        }
        Self::by_rules(&rules, asked, request.port, query)
    }

    /// Of clients that are believed: the first address is that of `ip`, otherwise the claim
    /// in the family of the client, otherwise where it is seen. A claim in the family that
    /// the first address does not have is stored, too, unless nobody reaches it: clients name
    /// whatever their machine has.
    #[cold]
    fn by_rules(
        rules: &AddressRules<'_>,
        asked: Asked<'_>,
        port: u16,
        query: &[u8],
    ) -> Result<Self, Refused> {
        let seen = asked.source;
        let claims = if rules.believe(seen) {
            Claims::parse(query).map_err(Refused::Malformed)?
        } else {
            Claims::default()
        };
        let own = if seen.is_ipv4() {
            claims.ipv4
        } else {
            claims.ipv6
        };
        let stored = |claim: Claim| {
            let address = rules.stored(claim.address)?;
            Ok(SocketAddr::new(address, claim.port.unwrap_or(port)))
        };
        let first = claims.ip.or(own).unwrap_or(Claim {
            address: seen,
            port: None,
        });
        let first = stored(first).map_err(|SpecialAddress| Refused::Special)?;
        let other = if first.is_ipv4() {
            claims.ipv6
        } else {
            claims.ipv4
        };
        let other = other.and_then(|claim| stored(claim).ok());
        Ok(Self { first, other })
    }
}
