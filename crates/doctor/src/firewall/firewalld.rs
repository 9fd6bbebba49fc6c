//! firewalld, which is asked itself: which of its rules apply depends on zones of interfaces.

use super::rules::{Packet, Protocol};

/// Services that zones have as they are installed, and web servers, with their ports
/// (`firewall-cmd --info-service`). What others open is not known.
const SERVICES: [(&str, Protocol, [u16; 2]); 7] = [
    ("ssh", Protocol::Tcp, [22, 22]),
    ("cockpit", Protocol::Tcp, [9090, 9090]),
    ("dhcpv6-client", Protocol::Udp, [546, 546]),
    ("mdns", Protocol::Udp, [5353, 5353]),
    ("samba-client", Protocol::Udp, [137, 138]),
    ("http", Protocol::Tcp, [80, 80]),
    ("https", Protocol::Tcp, [443, 443]),
];

/// The policy that is installed with firewalld, which is about ICMPv6 alone.
const INSTALLED_POLICY: &str = "allow-host-ipv6";

/// What firewalld does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Zones {
    /// Every active zone opens the port.
    Open,
    /// None of them does; this is the first.
    Closed(String),
    /// It depends on the zone, or on something that is not understood here: a description.
    Unknown {
        why: String,
        /// A zone that does not open the port, if there is one.
        zone: Option<String>,
    },
}

/// A zone in which interfaces or sources are.
struct Zone {
    name: String,
    is_open: bool,
    /// What may open the port, too.
    others: Vec<String>,
}

/// Judges the output of `firewall-cmd --list-all-zones`, and of `--get-active-policies`,
/// which releases before 0.9 do not have. Rules that may close the port for some clients are
/// ignored, as everywhere.
pub(crate) fn judge(zones: &str, policies: Option<&str>, packet: &Packet) -> Zones {
    let zones: Vec<_> = zones
        .split("\n\n")
        .filter_map(|text| Zone::parse(text, packet))
        .collect();
    let names = |is_open: bool| -> Vec<_> {
        let some = zones.iter().filter(|zone| zone.is_open == is_open);
        some.map(|zone| zone.name.as_str()).collect()
    };
    let [open, closed] = [names(true), names(false)];
    let Some(first) = closed.first() else {
        return if open.is_empty() {
            Zones::Unknown {
                why: "no zone of firewalld is active".to_owned(),
                zone: None,
            }
        } else {
            Zones::Open
        };
    };
    let others = zones.iter().filter(|zone| !zone.is_open);
    let others = others.flat_map(|zone| zone.others.iter().cloned());
    let others: Vec<_> = others
        .chain(policies.into_iter().flat_map(to_this_machine))
        .collect();
    if open.is_empty() && others.is_empty() {
        return Zones::Closed((*first).to_owned());
    }
    let mut why = format!("firewalld does not open it in {}", closed.join(" and "));
    if !open.is_empty() {
        why += &format!(", but in {}", open.join(" and "));
    }
    if !others.is_empty() {
        why += &format!(", unless by {}", others.join(", "));
    }
    Zones::Unknown {
        why,
        zone: Some((*first).to_owned()),
    }
}

impl Zone {
    /// Parses a paragraph; `None` if the zone is not active.
    fn parse(text: &str, packet: &Packet) -> Option<Self> {
        let mut lines = text.lines().skip_while(|line| line.is_empty());
        // "public (active)", or "public (default, active)".
        let (name, marks) = lines.next()?.split_once(' ')?;
        if !marks.contains("active") {
            return None;
        }
        let mut zone = Self {
            name: name.to_owned(),
            is_open: false,
            others: Vec::new(),
        };
        let mut has_rules = false;
        for line in lines {
            let Some((key, value)) = line.trim().split_once(':') else {
                has_rules |= !line.trim().is_empty();
                continue;
            };
            let mut words = value.split_whitespace();
            match key {
                "target" => zone.is_open |= words.any(|word| word == "ACCEPT"),
                "ports" => zone.is_open |= words.any(|port| is_port(port, packet)),
                "services" => {
                    for service in words {
                        match SERVICES.iter().find(|(name, ..)| *name == service) {
                            Some((_, protocol, [first, last])) => {
                                zone.is_open |= *protocol == packet.protocol
                                    && (*first..=*last).contains(&packet.port);
                            }
                            None => zone.others.push(format!("the service {service}")),
                        }
                    }
                }
                "protocols" | "source-ports" | "forward-ports" if words.next().is_some() => {
                    zone.others.push(key.replace('-', " "));
                }
                // One may be in the same line, or contain colons.
                "rich rules" => has_rules |= words.next().is_some(),
                _ => has_rules |= key.trim_start().starts_with("rule "),
            }
        }
        if has_rules {
            zone.others.push("rich rules".to_owned());
        }
        Some(zone)
    }
}

/// The active policies about packets to this machine.
fn to_this_machine(policies: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut name = "";
    for line in policies.lines() {
        if !line.starts_with(' ') {
            name = line.trim();
        } else if let Some(zones) = line.trim().strip_prefix("egress-zones:")
            && zones.split_whitespace().any(|zone| zone == "HOST")
            && name != INSTALLED_POLICY
        {
            found.push(format!("the policy {name}"));
        }
    }
    found
}

/// Whether `3000/udp` or `3000-3010/udp` includes the port.
fn is_port(text: &str, packet: &Packet) -> bool {
    let Some((ports, protocol)) = text.split_once('/') else {
        return false;
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return false;
    };
    protocol == packet.protocol.name() && (first..=last).contains(&packet.port)
}

#[cfg(test)]
mod tests {
    use super::super::rules::UDP;
    use super::*;

    const HTTPS: Packet = Packet {
        protocol: Protocol::Tcp,
        port: 443,
        is_ipv6: true,
    };

    /// Zones as firewall-cmd(1) prints them; the second and third have interfaces.
    const ZONES: &str = "\
block
  target: %%REJECT%%
  icmp-block-inversion: no
  interfaces: 
  sources: 
  services: 
  ports: 3000/udp
  rich rules: 

public (default, active)
  target: default
  icmp-block-inversion: no
  interfaces: eth0
  sources: 
  services: cockpit dhcpv6-client ssh
  ports: PORTS
  protocols: 
  forward: yes
  masquerade: no
  forward-ports: 
  source-ports: 
  icmp-blocks: 
  rich rules: 

work (active)
  target: default
  interfaces: eth1
  services: ssh
  ports: MORE
  protocols: 
  rich rules: 

";

    const POLICIES: &str = "\
allow-host-ipv6
  ingress-zones: ANY
  egress-zones: HOST
docker-forwarding
  ingress-zones: ANY
  egress-zones: docker
";

    fn zones(public: &str, work: &str) -> String {
        ZONES.replace("PORTS", public).replace("MORE", work)
    }

    #[track_caller]
    fn expect_unknown(zones: &str, policies: Option<&str>, text: &str) {
        match judge(zones, policies, &UDP) {
            Zones::Unknown { why, .. } => assert!(why.contains(text), "{why}"),
            other => panic!("{other:?} although {text}"),
        }
    }

    #[test]
    fn ports_are_open_in_all_active_zones() {
        for ports in ["3000/udp 80/tcp", "2990-3010/udp"] {
            let zones = zones(ports, "3000/udp");
            assert_eq!(judge(&zones, Some(POLICIES), &UDP), Zones::Open, "{ports}");
        }
        let accepting = zones("", "").replace("target: default", "target: ACCEPT");
        assert_eq!(judge(&accepting, None, &UDP), Zones::Open);
        let web = zones("", "").replace("ssh", "https");
        assert_eq!(judge(&web, None, &HTTPS), Zones::Open);
    }

    #[test]
    fn ports_are_closed_in_all_active_zones() {
        let closed = Zones::Closed("public".to_owned());
        for ports in ["", "3000/tcp", "3001-3010/udp"] {
            let zones = zones(ports, "");
            assert_eq!(judge(&zones, None, &UDP), closed, "{ports}");
            assert_eq!(judge(&zones, Some(POLICIES), &UDP), closed, "{ports}");
        }
    }

    #[test]
    fn what_is_not_understood_is_uncertain() {
        let text = "does not open it in public, but in work";
        expect_unknown(&zones("", "3000/udp"), None, text);
        let closed = zones("", "");
        for (from, to, text) in [
            (
                "services: ssh",
                "services: ssh tracker",
                "unless by the service tracker",
            ),
            ("protocols: ", "protocols: udp", "unless by protocols"),
            (
                "forward-ports: ",
                "forward-ports: port=3000:proto=udp:toport=3001:toaddr=",
                "unless by forward ports",
            ),
            (
                "rich rules: \n",
                "rich rules: \n\trule port port=\"3000\" protocol=\"udp\" accept\n",
                "unless by rich rules",
            ),
            (
                "rich rules: \n",
                "rich rules: \n\trule family=\"ipv6\" source address=\"2001:db8::/32\" accept\n",
                "unless by rich rules",
            ),
        ] {
            let at = closed.find("public").unwrap();
            let (before, zone) = closed.split_at(at);
            assert!(zone.contains(from), "{from}");
            let changed = format!("{before}{}", zone.replacen(from, to, 1));
            expect_unknown(&changed, None, text);
        }
        let policy = POLICIES.replace("allow-host-ipv6", "guests");
        expect_unknown(&closed, Some(&policy), "unless by the policy guests");
        expect_unknown("", None, "no zone of firewalld is active");
    }

    #[test]
    fn rules_about_some_clients_do_not_close_open_ports() {
        let banned = zones("3000/udp", "3000/udp").replacen(
            "rich rules: \n\nwork",
            "rich rules: \n\trule family=\"ipv4\" source address=\"192.0.2.1\" reject\n\nwork",
            1,
        );
        assert!(banned.contains("reject"));
        assert_eq!(judge(&banned, None, &UDP), Zones::Open);
    }
}
