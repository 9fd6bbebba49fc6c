//! The line of `systemctl status`, and what does not work at present.

use aquatic_swarm::Swarms;

use crate::Endpoint;
use crate::accounting::Accounting;
use crate::cluster::Link;

/// Where the daemon listens, how many torrents have peers, who else keeps the same swarm, if
/// anybody does, and why announces are not accounted, if they are not.
pub fn status(
    endpoint: &Endpoint,
    swarms: &impl Swarms,
    link: Option<&Link>,
    accounting: &Accounting,
) -> String {
    let torrents = swarms.usage().live();
    let counts = format!("{endpoint}; {torrents} torrents");
    let more = [link.and_then(Link::text), accounting.error()];
    let parts: Vec<_> = [Some(counts)].into_iter().chain(more).flatten().collect();
    parts.join("; ")
}

/// What of the cluster and of accounting does not work at present.
pub fn degraded(link: Option<&Link>, accounting: &Accounting) -> Option<String> {
    let errors = [link.and_then(Link::error), accounting.error()];
    errors.into_iter().flatten().reduce(|mut text, error| {
        text.push_str("; ");
        text.push_str(&error);
        text
    })
}

#[cfg(test)]
mod tests {
    use aquatic_swarm::{Families, HashKey, SwarmLimits};

    use super::*;

    #[test]
    fn says_how_many_torrents_there_are() {
        let endpoint = Endpoint::new("udp", "", ["[::]:3000".parse().unwrap()].into_iter(), 1);
        let swarms = Families::new(HashKey::new([1; 16]), SwarmLimits::default());
        let accounting = Accounting::default();
        assert_eq!(
            status(&endpoint, &swarms, None, &accounting),
            "Serving udp://[::]:3000 with 1 worker; 0 torrents"
        );
        assert_eq!(degraded(None, &accounting), None);
        accounting.set_error("no space");
        assert_eq!(
            status(&endpoint, &swarms, None, &accounting),
            "Serving udp://[::]:3000 with 1 worker; 0 torrents; no space"
        );
        assert_eq!(degraded(None, &accounting).as_deref(), Some("no space"));
    }
}
