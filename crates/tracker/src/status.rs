//! The line of `systemctl status`.

use aquatic_swarm::Swarms;

use crate::Endpoint;
use crate::cluster::Link;

/// Where the daemon listens, how many torrents have peers, and who else keeps the same
/// swarm, if anybody does.
pub fn status(endpoint: &Endpoint, swarms: &impl Swarms, link: Option<&Link>) -> String {
    let torrents = swarms.usage().live();
    match link.and_then(Link::text) {
        Some(linked) => format!("{endpoint}; {torrents} torrents; {linked}"),
        None => format!("{endpoint}; {torrents} torrents"),
    }
}

#[cfg(test)]
mod tests {
    use aquatic_swarm::{Families, HashKey, SwarmLimits};

    use super::*;

    #[test]
    fn says_how_many_torrents_there_are() {
        let endpoint = Endpoint::new("udp", "", ["[::]:3000".parse().unwrap()].into_iter(), 1);
        let swarms = Families::new(HashKey::new([1; 16]), SwarmLimits::default());
        assert_eq!(
            status(&endpoint, &swarms, None),
            "Serving udp://[::]:3000 with 1 worker; 0 torrents"
        );
    }
}
