//! The name that clients know the tracker by.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use aquatic_service::interfaces;

use crate::Url;
use crate::finding::Finding;
use crate::machine::public_ipv6;
use crate::subject::Subject;

/// How many of the machine's addresses are shown.
const MAX_SHOWN: usize = 4;

/// Compares the addresses of the URL's host with those of the machine.
pub(crate) fn examine(subject: &Subject) -> Vec<Finding> {
    let Some(url) = &subject.url else {
        return vec![Finding::unchecked(
            "the public name is not known: use --url with the announce URL in torrents",
        )];
    };
    let own: BTreeSet<_> = interfaces::addresses().into_iter().collect();
    let has_public_ipv6 = own.iter().copied().any(|it| public_ipv6(it).is_some());
    let serves_ipv6 = subject.configured.as_ref().is_some_and(|configured| {
        configured
            .listening
            .addresses
            .iter()
            .any(SocketAddr::is_ipv6)
    });
    if let Some(address) = url.address() {
        return vec![judge_address(address, &own, subject.is_elsewhere)];
    }
    match resolve(url) {
        Ok(found) => {
            let found: BTreeSet<_> = found.iter().map(SocketAddr::ip).collect();
            if subject.is_elsewhere {
                let all = words(found);
                return vec![Finding::ok(format!("{} is {all}", url.host))];
            }
            let needs_ipv6 = has_public_ipv6 && serves_ipv6;
            judge_names(&url.host, &found, &own, needs_ipv6)
        }
        Err(reason) => vec![Finding::wrong(
            format!("{} cannot be resolved: {reason}", url.host),
            "if this machine can resolve other names, add an A and an AAAA record with the public \
             addresses of the tracker to the zone; if not, see /etc/resolv.conf",
        )],
    }
}

/// The addresses of the URL's host.
pub(crate) fn resolve(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let found = (url.host.as_str(), url.port).to_socket_addrs();
    let found: BTreeSet<_> = found.map_err(|error| error.to_string())?.collect();
    Ok(found.into_iter().collect())
}

/// Whether the address may be used on the Internet; roughly, as for what a warning says.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => !(it.is_private() || it.is_loopback() || it.is_link_local()),
        IpAddr::V6(_) => public_ipv6(address).is_some(),
    }
}

fn words(addresses: impl IntoIterator<Item = IpAddr>) -> String {
    let words: Vec<_> = addresses.into_iter().map(|it| it.to_string()).collect();
    words.join(" and ")
}

/// Judges a URL with an address instead of a name.
fn judge_address(address: IpAddr, own: &BTreeSet<IpAddr>, is_elsewhere: bool) -> Finding {
    let what = format!("the URL has an address, {address}, so it needs no DNS");
    if is_elsewhere || own.contains(&address) && !address.is_loopback() {
        return Finding::ok(what);
    }
    if address.is_loopback() {
        return Finding::warning(
            format!("{what}, but only this machine can reach it"),
            "use --url with the announce URL in torrents",
        );
    }
    Finding::warning(
        format!("{what}; it is not an address of this machine"),
        "right if a router forwards the port to this machine, or a proxy is there; otherwise \
         correct the URL",
    )
}

fn judge_names(
    host: &str,
    found: &BTreeSet<IpAddr>,
    own: &BTreeSet<IpAddr>,
    needs_ipv6: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let local = words(found.iter().copied().filter(IpAddr::is_loopback));
    let others = words(
        found
            .iter()
            .copied()
            .filter(|it| !it.is_loopback() && !own.contains(it)),
    );
    if !local.is_empty() {
        findings.push(Finding::warning(
            format!("{host} is {local} on this machine, so what clients see was not examined"),
            "if /etc/hosts says so, run this on another machine, too, with --url",
        ));
    }
    if !others.is_empty() {
        let public = own.iter().copied().filter(|it| is_public(*it));
        let public = words(public.take(MAX_SHOWN));
        let have = if public.is_empty() {
            "which has no public address, so it is probably behind NAT".to_owned()
        } else {
            format!("which has {public}")
        };
        findings.push(Finding::warning(
            format!("{host} is {others}, which is not an address of this machine, {have}"),
            "right if a router forwards the port to this machine, or a proxy is there; otherwise \
             correct the A and AAAA records",
        ));
    }
    if needs_ipv6 && !found.iter().any(IpAddr::is_ipv6) {
        findings.push(Finding::warning(
            format!("{host} has no AAAA record, so clients do not use IPv6"),
            "add an AAAA record with the IPv6 address of this machine",
        ));
    }
    if findings.is_empty() {
        let all = words(found.iter().copied());
        findings.push(Finding::ok(format!("{host} is {all}: this machine")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|it| it.parse().unwrap()).collect()
    }

    #[test]
    fn names_are_compared_with_the_machine() {
        let own = set(&["127.0.0.1", "203.0.113.5", "2001:db8::5"]);
        for (found, needs_ipv6, expected) in [
            (&["203.0.113.5", "2001:db8::5"][..], true, State::Ok),
            (&["203.0.113.5"], false, State::Ok),
            (&["203.0.113.5"], true, State::Warning),
            (&["203.0.113.5", "203.0.113.6"], false, State::Warning),
            (&["127.0.1.1"], false, State::Warning),
        ] {
            let findings = judge_names("t.example", &set(found), &own, needs_ipv6);
            assert_eq!(findings[0].state, expected, "{findings:?}");
        }
        for (address, is_elsewhere, expected) in [
            ("203.0.113.5", false, State::Ok),
            ("203.0.113.6", false, State::Warning),
            ("203.0.113.6", true, State::Ok),
            ("127.0.0.1", false, State::Warning),
        ] {
            let finding = judge_address(address.parse().unwrap(), &own, is_elsewhere);
            assert_eq!(finding.state, expected, "{finding:?}");
        }
        let private = set(&["192.168.1.2", "127.0.0.1"]);
        let behind_nat = &judge_names("t.example", &set(&["203.0.113.5"]), &private, false)[0];
        assert!(
            behind_nat.what.contains("behind NAT"),
            "{}",
            behind_nat.what
        );
    }
}
