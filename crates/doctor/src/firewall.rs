//! Whether a firewall of this machine lets clients through.
//!
//! This is a heuristic: conditions that are not understood make the result uncertain, which
//! is said, and firewalls of routers and providers are not visible from here.
//!
//! * `firewalld`: is asked itself.
//! * `nftables`, `iptables`: all rules, those of ufw included, compared with a packet by
//!   `rules`.

mod firewalld;
mod iptables;
mod nftables;
mod rules;

use std::collections::BTreeSet;

use aquatic_service::sockets::Transport;

use crate::command::{self, Failure};
use crate::finding::Finding;
use crate::subject::Subject;
use firewalld::Zones;
use rules::{Fate, Packet, Protocol};

/// What the programs of firewalls have said; `None` where there is none.
#[derive(Debug, Default)]
struct Facts {
    /// `firewall-cmd --list-all-zones`, if firewalld is running.
    zones: Option<String>,
    /// `firewall-cmd --get-active-policies`, if it has these.
    policies: Option<String>,
    /// `iptables-save` and `ip6tables-save`, of each variant.
    iptables: [Vec<String>; 2],
    /// `nft -j list ruleset`.
    nftables: Option<String>,
    failures: Vec<ProgramFailure>,
}

/// What could not be examined.
#[derive(Debug)]
struct ProgramFailure {
    program: String,
    /// The program with what it says.
    text: String,
    /// Whether nft shows the same rules.
    is_of_nftables: bool,
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
                facts.failures.push(ProgramFailure {
                    program: program.to_owned(),
                    text: format!("{program}: {line}"),
                    is_of_nftables: iptables::is_of_nftables(&output.stderr),
                });
            }
            None
        }
        Err(Failure::Missing) => None,
        Err(failure) => {
            facts.failures.push(ProgramFailure {
                program: program.to_owned(),
                text: failure.text(program),
                is_of_nftables: false,
            });
            None
        }
    };
    let zones = ask("firewall-cmd", &["--list-all-zones"]);
    let nftables = ask("nft", &["--json", "list", "ruleset"]);
    let iptables = [
        ["iptables-save", "iptables-legacy-save"],
        ["ip6tables-save", "ip6tables-legacy-save"],
    ]
    .map(|variants| variants.iter().filter_map(|it| ask(it, &[])).collect());
    // Releases that have no policies refuse the option, which is no failure.
    let policies = zones.as_ref().and_then(|_| {
        let output = command::run("firewall-cmd", &["--get-active-policies"]).ok()?;
        output.is_success.then_some(output.stdout)
    });
    Facts {
        zones,
        policies,
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
    /// It cannot be determined here: why, and how to find out.
    Unknown(String),
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
    let mut unknown = Vec::new();
    for (name, opinion) in opinions {
        match opinion {
            Opinion::Open => names.push(name),
            Opinion::Closed {
                is_certain: true,
                by,
                advice,
            } => return Finding::wrong(format!("{port} is closed by {by}"), advice),
            Opinion::Closed { by, advice, .. } => uncertain = Some((by, advice)),
            Opinion::Unknown(why) => unknown.push(why),
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
    let of_other_version = iptables(!packet.is_ipv6);
    for failure in &facts.failures {
        let is_seen = failure.is_of_nftables && facts.nftables.is_some();
        if !is_seen && !failure.program.starts_with(of_other_version) {
            unknown.push(format!("{} (root can see all rules)", failure.text));
        }
    }
    if !unknown.is_empty() {
        return Finding::unchecked(format!("{port}: {}", unknown.join("; ")));
    }
    let saved = &facts.iptables[usize::from(packet.is_ipv6)];
    let has_answer = facts.zones.is_some() || facts.nftables.is_some() || !saved.is_empty();
    if !has_answer {
        return Finding::unchecked(format!(
            "{port}: neither nft nor iptables-save is installed, so rules cannot be seen, whoever \
             has made them"
        ));
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
    if let Some(zones) = &facts.zones {
        let zones = firewalld::judge(zones, facts.policies.as_deref(), packet);
        opinions.push(("firewalld", of_zones(zones, packet)));
    }
    let saved = &facts.iptables[usize::from(packet.is_ipv6)];
    let program = iptables(packet.is_ipv6);
    for text in saved {
        if !iptables::is_complete(text) {
            opinions.push((program, not_understood(program)));
            continue;
        }
        let chains = iptables::parse(text, packet);
        if chains.is_empty() {
            continue;
        }
        let advice = if iptables::is_of_ufw(&chains) {
            format!("ufw allow {port}/{protocol}")
        } else {
            format!(
                "{program} -I INPUT -p {protocol} --dport {port} -j ACCEPT, and the same where \
                 your rules are kept"
            )
        };
        opinions.push((program, opinion(program, rules::fate(&chains), advice)));
    }
    if let Some(text) = &facts.nftables {
        let except = nftables::Except {
            firewalld: facts.zones.is_some(),
            iptables: saved.iter().flat_map(|it| iptables::tables(it)).collect(),
        };
        let chains = nftables::parse(text, packet, &except);
        if chains.is_none() {
            opinions.push(("nftables", not_understood("nft")));
        }
        let chains = chains.unwrap_or_default();
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

/// The program for the rules of an IP version.
fn iptables(is_ipv6: bool) -> &'static str {
    if is_ipv6 { "ip6tables" } else { "iptables" }
}

fn not_understood(program: &str) -> Opinion {
    Opinion::Unknown(format!("what {program} prints is not understood"))
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

fn of_zones(zones: Zones, packet: &Packet) -> Opinion {
    let open = |zone: &str| {
        let (port, protocol) = (packet.port, packet.protocol.name());
        format!(
            "firewall-cmd --permanent --zone={zone} --add-port={port}/{protocol} && firewall-cmd \
             --reload"
        )
    };
    match zones {
        Zones::Open => Opinion::Open,
        Zones::Closed(zone) => Opinion::Closed {
            is_certain: true,
            advice: open(&zone),
            by: format!("firewalld, in the zone {zone}"),
        },
        Zones::Unknown { why, zone } => {
            let mut text = format!("{why}: see firewall-cmd --list-all-zones");
            if let Some(zone) = zone {
                text += &format!(", and if clients cannot connect: {}", open(&zone));
            }
            Opinion::Unknown(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rules::UDP;
    use super::*;
    use crate::finding::State;

    const CLOSED: &str = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";

    #[test]
    fn machines_without_rules_are_open() {
        let without_rules = Facts {
            iptables: [vec![String::new()], Vec::new()],
            nftables: Some(r#"{"nftables":[{"metainfo":{}}]}"#.to_owned()),
            ..Facts::default()
        };
        let finding = judge(&without_rules, &UDP);
        assert_eq!(finding.state, State::Ok);
        assert!(
            finding.what.contains("there are no rules"),
            "{}",
            finding.what
        );
    }

    #[test]
    fn what_nobody_says_is_not_known() {
        let nobody = Facts::default();
        let nft = |text: &str| Facts {
            nftables: Some(text.to_owned()),
            ..Facts::default()
        };
        let iptables = |text: &str| Facts {
            iptables: [vec![text.to_owned()], Vec::new()],
            ..nft(r#"{"nftables":[]}"#)
        };
        for facts in [
            nobody,
            nft(""),
            nft("[]"),
            nft(r#"{"nftables":[{"chain"#),
            iptables("garbage\n"),
            iptables("*filter\n:INPUT ACCEPT [0:0]\n"),
        ] {
            let finding = judge(&facts, &UDP);
            assert_eq!(finding.state, State::Unchecked, "{facts:?} {finding:?}");
        }
    }

    #[test]
    fn the_firewall_that_closes_is_named_with_its_command() {
        let iptables = Facts {
            iptables: [vec![CLOSED.to_owned()], Vec::new()],
            ..Facts::default()
        };
        let ufw = CLOSED.replace("COMMIT", ":ufw-user-input - [0:0]\nCOMMIT");
        let ufw = Facts {
            iptables: [vec![ufw], Vec::new()],
            ..Facts::default()
        };
        let firewalld = Facts {
            zones: Some("public (active)\n  target: default\n  ports: \n".to_owned()),
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
            (ufw, "iptables, in the chain INPUT", "ufw allow 3000/udp"),
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
    fn zones_that_are_not_understood_are_not_judged() {
        let zone = "public (active)\n  target: default\n  services: tracker\n";
        let facts = Facts {
            zones: Some(zone.to_owned()),
            ..Facts::default()
        };
        let finding = judge(&facts, &UDP);
        assert_eq!(finding.state, State::Unchecked);
        let open = "--zone=public --add-port=3000/udp";
        assert!(finding.what.contains(open), "{}", finding.what);
    }

    #[test]
    fn rules_that_cannot_be_read_are_not_judged() {
        let failed = |program: &str, saved: &[&str]| Facts {
            iptables: [
                saved.iter().map(|it| (*it).to_owned()).collect(),
                Vec::new(),
            ],
            failures: vec![ProgramFailure {
                program: program.to_owned(),
                text: format!("{program}: Operation not permitted"),
                is_of_nftables: program == "iptables-save",
            }],
            ..Facts::default()
        };
        let open = CLOSED.replace("DROP", "ACCEPT");
        for saved in [&[][..], &[open.as_str()]] {
            let facts = failed("nft", saved);
            assert_eq!(judge(&facts, &UDP).state, State::Unchecked);
        }
        let facts = failed("nft", &[CLOSED]);
        assert_eq!(judge(&facts, &UDP).state, State::Wrong);
        // `UDP` is an IPv4 packet, so the rules for IPv6 do not matter.
        let facts = failed("ip6tables-save", &[""]);
        assert_eq!(judge(&facts, &UDP).state, State::Ok);
        // iptables-save cannot show everything that nft shows.
        let mut facts = failed("iptables-save", &[]);
        assert_eq!(judge(&facts, &UDP).state, State::Unchecked);
        facts.nftables = Some(r#"{"nftables":[]}"#.to_owned());
        assert_eq!(judge(&facts, &UDP).state, State::Ok);
    }
}
