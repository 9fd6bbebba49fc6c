//! Whether a firewall of this machine lets clients through.
//!
//! This is a heuristic: conditions that are not understood make the result uncertain, which
//! is said, and firewalls of routers and providers are not visible from here.
//!
//! * `managers`: firewalld and ufw, which are asked themselves.
//! * `nftables`, `iptables`: all rules, compared with a packet by `rules`.

mod iptables;
mod managers;
mod nftables;
mod rules;

use std::collections::BTreeSet;

use aquatic_service::sockets::Transport;

use crate::command::{self, Failure};
use crate::finding::Finding;
use crate::subject::Subject;
use managers::Ufw;
use rules::{Fate, Packet, Protocol};

/// What the programs of firewalls have said; `None` where there is none.
#[derive(Debug, Default)]
struct Facts {
    /// `firewall-cmd --list-all-zones`, if firewalld is running.
    firewalld: Option<String>,
    /// `ufw status verbose`.
    ufw: Option<String>,
    /// `iptables-save` and `ip6tables-save`, of each variant.
    iptables: [Vec<String>; 2],
    /// `nft -j list ruleset`.
    nftables: Option<String>,
    /// What could not be examined.
    failures: BTreeSet<String>,
}

/// Checks the firewall for each port and IP version.
pub(crate) fn examine(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    let protocol = match configured.listening.transport {
        Transport::Udp { .. } => Protocol::Udp,
        Transport::Tcp { .. } => Protocol::Tcp,
    };
    let addresses = configured.listening.addresses.iter();
    let reachable = addresses.filter(|address| !address.ip().is_loopback());
    let packets: BTreeSet<_> = reachable.map(|it| (it.is_ipv6(), it.port())).collect();
    if packets.is_empty() {
        return vec![Finding::unchecked(
            "the tracker listens on loopback addresses only, which no firewall concerns",
        )];
    }
    let facts = gather();
    let packets = packets.into_iter().map(|(is_ipv6, port)| Packet {
        protocol,
        port,
        is_ipv6,
    });
    packets.map(|packet| judge(&facts, &packet)).collect()
}

fn gather() -> Facts {
    let mut facts = Facts::default();
    let mut ask = |program: &str, arguments: &[&str]| match command::run(program, arguments) {
        Ok(output) if output.is_success => Some(output.stdout),
        Ok(output) => {
            let line = output.complaint();
            // As firewall-cmd says it, which has no other way to tell.
            if !line.contains("not running") {
                facts.failures.insert(format!("{program}: {line}"));
            }
            None
        }
        Err(Failure::Missing) => None,
        Err(failure) => {
            facts.failures.insert(failure.text(program));
            None
        }
    };
    let firewalld = ask("firewall-cmd", &["--list-all-zones"]);
    let ufw = ask("ufw", &["status", "verbose"]);
    let nftables = ask("nft", &["--json", "list", "ruleset"]);
    let iptables = [
        ["iptables-save", "iptables-legacy-save"],
        ["ip6tables-save", "ip6tables-legacy-save"],
    ]
    .map(|variants| variants.iter().filter_map(|it| ask(it, &[])).collect());
    Facts {
        firewalld,
        ufw,
        iptables,
        nftables,
        ..facts
    }
}

/// What one firewall does with a packet.
enum Opinion {
    Open,
    /// Closed, or perhaps closed; by whom, and what to do.
    Closed {
        is_certain: bool,
        by: String,
        advice: String,
    },
}

fn judge(facts: &Facts, packet: &Packet) -> Finding {
    let port = format!(
        "{} port {} over {}",
        packet.protocol.name().to_uppercase(),
        packet.port,
        if packet.is_ipv6 { "IPv6" } else { "IPv4" }
    );
    let opinions = opinions(facts, packet);
    let mut names = Vec::new();
    let mut uncertain = None;
    for (name, opinion) in opinions {
        match opinion {
            Opinion::Open => names.push(name),
            Opinion::Closed {
                is_certain: true,
                by,
                advice,
            } => return Finding::wrong(format!("{port} is closed by {by}"), advice),
            Opinion::Closed { by, advice, .. } => uncertain = Some((by, advice)),
        }
    }
    if let Some((by, advice)) = uncertain {
        return Finding::warning(
            format!(
                "{port} may be closed by {by}: rules that are not understood here decide, or only \
                 some clients are let through"
            ),
            format!("if clients cannot connect: {advice}"),
        );
    }
    let failures: Vec<_> = facts.failures.iter().map(String::as_str).collect();
    let failures = failures.join("; ");
    if names.is_empty() && !failures.is_empty() {
        return Finding::unchecked(format!("{port}: {failures} (root can see all rules)"));
    }
    let seen = if names.is_empty() {
        "there are no rules".to_owned()
    } else {
        names.join(", ")
    };
    Finding::ok(format!(
        "{port} is open on this machine ({seen}); routers and the provider may have a firewall, too"
    ))
}

/// What each firewall that has rules does with a packet.
fn opinions(facts: &Facts, packet: &Packet) -> Vec<(&'static str, Opinion)> {
    let mut opinions = Vec::new();
    let protocol = packet.protocol.name();
    let port = packet.port;
    if let Some(text) = &facts.firewalld {
        let zones = managers::firewalld_zones(text, packet);
        let closed = zones.into_iter().find(|(_, is_open)| !is_open);
        let opinion = closed.map_or(Opinion::Open, |(zone, _)| Opinion::Closed {
            is_certain: true,
            by: format!("firewalld, in the zone {zone}"),
            advice: format!(
                "firewall-cmd --permanent --zone={zone} --add-port={port}/{protocol} && \
                 firewall-cmd --reload"
            ),
        });
        opinions.push(("firewalld", opinion));
    }
    let ufw = facts.ufw.as_ref().map(|text| managers::ufw(text, packet));
    let advice_of_ufw = format!("ufw allow {port}/{protocol}");
    match ufw {
        None | Some(Ufw::Inactive) => {}
        Some(Ufw::Open) => opinions.push(("ufw", Opinion::Open)),
        Some(other) => opinions.push((
            "ufw",
            Opinion::Closed {
                is_certain: other == Ufw::Closed,
                by: "ufw".to_owned(),
                advice: advice_of_ufw,
            },
        )),
    }
    let saved = &facts.iptables[usize::from(packet.is_ipv6)];
    for text in saved {
        let chains = iptables::parse(text, packet);
        if chains.is_empty() {
            continue;
        }
        let program = if packet.is_ipv6 {
            "ip6tables"
        } else {
            "iptables"
        };
        let advice = format!(
            "{program} -I INPUT -p {protocol} --dport {port} -j ACCEPT, and the same where your \
             rules are kept"
        );
        opinions.push((program, opinion(program, rules::fate(&chains), advice)));
    }
    if let Some(text) = &facts.nftables {
        let except = nftables::Except {
            firewalld: facts.firewalld.is_some(),
            iptables: !saved.is_empty(),
        };
        let chains = nftables::parse(text, packet, except).unwrap_or_default();
        if !chains.is_empty() {
            let fate = rules::fate(&chains);
            let chain = match &fate {
                Fate::Dropped { chain, .. } => chain.as_str(),
                Fate::Accepted => "",
            };
            let advice = format!(
                "nft insert rule {chain} {protocol} dport {port} accept, and the same in \
                 /etc/nftables.conf"
            );
            opinions.push(("nftables", opinion("nftables", fate, advice)));
        }
    }
    opinions
}

fn opinion(name: &str, fate: Fate, advice: String) -> Opinion {
    match fate {
        Fate::Accepted => Opinion::Open,
        Fate::Dropped { chain, is_certain } => Opinion::Closed {
            is_certain,
            by: format!("{name}, in the chain {chain}"),
            advice,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    const UDP: Packet = Packet {
        protocol: Protocol::Udp,
        port: 3000,
        is_ipv6: false,
    };

    const CLOSED: &str = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";

    #[test]
    fn machines_without_rules_are_open() {
        let finding = judge(&Facts::default(), &UDP);
        assert_eq!(finding.state, State::Ok);
        assert!(
            finding.what.contains("there are no rules"),
            "{}",
            finding.what
        );
    }

    #[test]
    fn the_firewall_that_closes_is_named_with_its_command() {
        let iptables = Facts {
            iptables: [vec![CLOSED.to_owned()], Vec::new()],
            ..Facts::default()
        };
        let ufw = Facts {
            ufw: Some("Status: active\nDefault: deny (incoming)\n".to_owned()),
            ..Facts::default()
        };
        let firewalld = Facts {
            firewalld: Some("public (active)\n  target: default\n  ports: \n".to_owned()),
            ..Facts::default()
        };
        let nftables = Facts {
            nftables: Some(
                r#"{"nftables":[{"chain":{"family":"inet","table":"t","name":"c","type":"filter","hook":"input","prio":0,"policy":"drop"}}]}"#
                    .to_owned(),
            ),
            ..Facts::default()
        };
        for (facts, by, advice) in [
            (
                iptables,
                "iptables, in the chain INPUT",
                "-p udp --dport 3000",
            ),
            (ufw, "ufw", "ufw allow 3000/udp"),
            (
                firewalld,
                "zone public",
                "--zone=public --add-port=3000/udp",
            ),
            (
                nftables,
                "nftables, in the chain inet t c",
                "nft insert rule inet t c udp dport 3000",
            ),
        ] {
            let finding = judge(&facts, &UDP);
            assert_eq!(finding.state, State::Wrong);
            assert!(finding.what.contains(by), "{}", finding.what);
            assert!(
                finding.advice.as_ref().unwrap().contains(advice),
                "{:?}",
                finding.advice
            );
        }
    }

    #[test]
    fn rules_that_cannot_be_read_are_not_judged() {
        let facts = Facts {
            failures: BTreeSet::from(["nft: Operation not permitted".to_owned()]),
            ..Facts::default()
        };
        assert_eq!(judge(&facts, &UDP).state, State::Unchecked);
    }
}
