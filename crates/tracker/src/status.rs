//! The line of `systemctl status`.

use std::net::SocketAddr;

use aquatic_swarm::Swarms;

use crate::cluster::Link;

/// Where a daemon listens, as URLs of this scheme, and with how many workers.
pub fn listening(
    scheme: &str,
    addresses: impl Iterator<Item = SocketAddr>,
    workers: usize,
) -> String {
    let mut addresses: Vec<String> = addresses
        .map(|address| format!("{scheme}://{address}"))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let plural = if workers == 1 { "" } else { "s" };
    format!(
        "Serving {} with {workers} worker{plural}",
        addresses.join(", ")
    )
}

/// What [`listening`] says, how many torrents have peers, and who else keeps the same
/// swarm, if anybody does.
pub fn status(listening: &str, swarms: &impl Swarms, link: Option<&Link>) -> String {
    let torrents = swarms.usage().live();
    match link.and_then(Link::text) {
        Some(linked) => format!("{listening}; {torrents} torrents; {linked}"),
        None => format!("{listening}; {torrents} torrents"),
    }
}

#[cfg(test)]
mod tests {
    use aquatic_swarm::{Families, HashKey, SwarmLimits};

    use super::*;

    #[test]
    fn says_where_the_daemon_listens_once_for_all_workers() {
        let addresses: [SocketAddr; 4] = ["[::]:3000", "0.0.0.0:3000", "[::]:3000", "0.0.0.0:3000"]
            .map(|address| address.parse().unwrap());
        assert_eq!(
            listening("udp", addresses.into_iter(), 2),
            "Serving udp://0.0.0.0:3000, udp://[::]:3000 with 2 workers"
        );
        let one = listening("https", addresses.into_iter().take(1), 1);
        let swarms = Families::new(HashKey::new([1; 16]), SwarmLimits::default());
        assert_eq!(
            status(&one, &swarms, None),
            "Serving https://[::]:3000 with 1 worker; 0 torrents"
        );
    }
}
