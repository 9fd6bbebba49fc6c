//! Source addresses, from single addresses and ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aquatic_service::config::Checks;

/// Source addresses at most: each is a socket, and so a file descriptor.
const MAX_SOURCES: usize = 10_000;

/// The source addresses to use: all of the server's family, none twice, and at
/// least one a worker. When that cannot be, notes the fault and returns those
/// that there are.
pub(crate) fn resolve(
    source_addresses: &[String],
    server: SocketAddr,
    workers: usize,
    checks: &mut Checks,
) -> Vec<IpAddr> {
    let mut sources = Vec::new();
    for text in source_addresses {
        match addresses(text) {
            Ok(addresses) => sources.extend(addresses),
            Err(message) => {
                checks.fail(KEY, message);
                return sources;
            }
        }
    }
    if let Err(message) = check(&mut sources, server, workers) {
        checks.fail(KEY, message);
    }
    sources
}

const KEY: &str = "network.source_addresses";

fn check(sources: &mut Vec<IpAddr>, server: SocketAddr, workers: usize) -> Result<(), String> {
    let count = sources.len();
    sources.sort_unstable();
    sources.dedup();

    if let Some(other) = sources
        .iter()
        .find(|source| source.is_ipv4() != server.is_ipv4())
    {
        return Err(format!(
            "{other} and the server's address {server} are of different address families"
        ));
    }
    if sources.len() < count {
        return Err("an address is listed twice".to_string());
    }
    if count > MAX_SOURCES {
        return Err(format!(
            "{count} addresses are too many: the maximum is {MAX_SOURCES}"
        ));
    }
    if count < workers {
        return Err(format!(
            "each worker needs an address of its own, but there are {workers} workers and \
             {count} addresses"
        ));
    }
    Ok(())
}

/// Reads `A` or `A-B`.
fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let Some((first, last)) = text.split_once('-') else {
        return Ok(vec![address(text)?]);
    };
    let (first, last) = (address(first)?, address(last)?);
    let range = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => first.to_bits().into()..=last.to_bits().into(),
        (IpAddr::V6(first), IpAddr::V6(last)) => first.to_bits()..=last.to_bits(),
        _ => {
            return Err(format!(
                "\"{text}\" begins and ends in different address families"
            ));
        }
    };
    if range.is_empty() {
        return Err(format!("\"{text}\" ends before it begins"));
    }
    if range.end() - range.start() >= MAX_SOURCES as u128 {
        return Err(format!("\"{text}\" is more than {MAX_SOURCES} addresses"));
    }
    Ok(range
        .map(|bits| match first {
            // Between two IPv4 addresses there are only 32-bit numbers.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        })
        .collect())
}

fn address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an IP address: write \"127.0.0.1\" or \"127.0.0.1-127.0.0.32\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(texts: &[&str], server: &str, workers: usize) -> Result<Vec<IpAddr>, String> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        let mut checks = Checks::new();
        let sources = resolve(&texts, server.parse().unwrap(), workers, &mut checks);
        checks
            .finish(sources)
            .map_err(|invalid| invalid[0].message.clone())
    }

    #[test]
    fn ranges_include_both_ends() {
        let sources = resolved(&["127.0.0.254 - 127.0.1.1", "127.0.0.1"], "127.0.0.1:1", 5);
        let texts: Vec<_> = sources.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "127.0.0.1",
                "127.0.0.254",
                "127.0.0.255",
                "127.0.1.0",
                "127.0.1.1"
            ]
        );

        let sources = resolved(&["fd00::fffe-fd00::1:1"], "[::1]:1", 1).unwrap();
        assert_eq!(sources.len(), 4);
    }

    #[test]
    fn errors_are_described() {
        let message = |texts: &[&str]| resolved(texts, "127.0.0.1:1", 2).unwrap_err();

        assert!(message(&["localhost"]).contains("\"localhost\" is not an IP address"));
        assert!(message(&["127.0.0.2-127.0.0.1"]).contains("ends before it begins"));
        assert!(message(&["127.0.0.2-::1"]).contains("different address families"));
        assert!(message(&["127.0.0.1-127.1.0.1"]).contains("more than 10000"));
        assert!(message(&["::1-::5"]).contains("different address families"));
        assert!(message(&["127.0.0.1", "127.0.0.1-127.0.0.2"]).contains("twice"));
        assert!(message(&["127.0.0.1"]).contains("2 workers and 1 addresses"));
    }
}
