//! Rules in the JSON of `nft -j list ruleset` (libnftables-json(5)).

use std::collections::BTreeSet;

use serde_json::Value;

use super::rules::{Chain, Chains, Packet, Rule, Truth, Verdict};

/// Families of tables that see packets of an IP version.
fn sees(family: &str, packet: &Packet) -> bool {
    match family {
        "inet" => true,
        "ip" => !packet.is_ipv6,
        "ip6" => packet.is_ipv6,
        _ => false,
    }
}

/// The hooks that a packet for this machine passes.
const HOOKS: [&str; 2] = ["prerouting", "input"];

/// The table of firewalld, which is asked itself.
const FIREWALLD: &str = "firewalld";

/// Which tables are left out.
#[derive(Debug, Default)]
pub(crate) struct Except {
    pub(crate) firewalld: bool,
    /// Those that iptables-save has shown, in a form that is easier to understand.
    pub(crate) iptables: BTreeSet<String>,
}

/// Parses all tables, and compares their rules with a packet. Chains are named
/// `FAMILY TABLE CHAIN`. `None` if it is not such JSON.
pub(crate) fn parse(text: &str, packet: &Packet, except: &Except) -> Option<Chains> {
    let ruleset: Value = serde_json::from_str(text).ok()?;
    let mut chains = Chains::new();
    for object in ruleset.get("nftables")?.as_array()? {
        if let Some(chain) = object.get("chain") {
            let Some(name) = name(chain, "name", packet, except) else {
                continue;
            };
            let is_filter = text_of(chain, "type") == "filter";
            let is_passed = HOOKS.contains(&text_of(chain, "hook"));
            let drops = text_of(chain, "policy") == "drop";
            let entry: &mut Chain = chains.entry(name).or_default();
            entry.drops_the_rest = (is_filter && is_passed).then_some(drops);
        } else if let Some(rule) = object.get("rule")
            && let Some(name) = name(rule, "chain", packet, except)
        {
            let table = name.rsplit_once(' ').map_or("", |(table, _)| table);
            let parsed = rule_of(rule, table, packet);
            chains.entry(name).or_default().rules.push(parsed);
        }
    }
    Some(chains)
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The full name of a chain, unless its table is left out.
fn name(object: &Value, key: &str, packet: &Packet, except: &Except) -> Option<String> {
    let (family, table) = (text_of(object, "family"), text_of(object, "table"));
    let is_left_out = !sees(family, packet)
        || (except.firewalld && table == FIREWALLD)
        || (family != "inet" && except.iptables.contains(table));
    (!is_left_out).then(|| format!("{family} {table} {}", text_of(object, key)))
}

fn rule_of(rule: &Value, table: &str, packet: &Packet) -> Rule {
    let mut applies = Truth::Yes;
    let mut verdict = Verdict::Continue;
    let statements = rule.get("expr").and_then(Value::as_array);
    for statement in statements.into_iter().flatten() {
        let Some((kind, value)) = statement.as_object().and_then(|it| it.iter().next()) else {
            continue;
        };
        let chain = || format!("{table} {}", text_of(value, "target"));
        match kind.as_str() {
            "match" => applies = applies.and(matches(value, packet)),
            "accept" => verdict = Verdict::Accept,
            "drop" | "reject" => verdict = Verdict::Drop,
            "jump" => verdict = Verdict::Jump(chain()),
            "goto" => verdict = Verdict::Goto(chain()),
            "return" => verdict = Verdict::Return,
            "counter" | "log" | "comment" | "mangle" | "notrack" | "queue" | "nftrace" => {}
            "vmap" => {
                let (met, chosen) = chosen(value, table, packet);
                applies = applies.and(met);
                verdict = chosen;
            }
            // Limits, sets that rules change, and extensions of iptables.
            _ => applies = applies.and(Truth::Unknown),
        }
    }
    Rule { applies, verdict }
}

/// The verdict of a map, if the key of the packet is known.
fn chosen(vmap: &Value, table: &str, packet: &Packet) -> (Truth, Verdict) {
    let unknown = (Truth::Unknown, Verdict::Accept);
    let (Some(key), Some(data)) = (vmap.get("key"), vmap.get("data")) else {
        return unknown;
    };
    let Some(key) = key_of(key) else {
        return unknown;
    };
    let Some(pairs) = data.get("set").and_then(Value::as_array) else {
        return unknown;
    };
    for pair in pairs {
        let (Some(element), Some(verdict)) = (pair.get(0), pair.get(1)) else {
            return unknown;
        };
        match is_value(key, element, packet) {
            Truth::No => {}
            Truth::Unknown => return unknown,
            Truth::Yes => {
                let Some((kind, value)) = verdict.as_object().and_then(|it| it.iter().next())
                else {
                    return unknown;
                };
                let chain = format!("{table} {}", text_of(value, "target"));
                let verdict = match kind.as_str() {
                    "accept" => Verdict::Accept,
                    "drop" => Verdict::Drop,
                    "jump" => Verdict::Jump(chain),
                    "goto" => Verdict::Goto(chain),
                    "return" => Verdict::Return,
                    _ => Verdict::Continue,
                };
                return (Truth::Yes, verdict);
            }
        }
    }
    (Truth::No, Verdict::Continue)
}

/// What an expression reads from a packet.
#[derive(Debug, Clone, Copy)]
enum Key {
    DestinationPort,
    /// The port is that of TCP or UDP; so the protocol must be that.
    PortOf(super::Protocol),
    Protocol,
    IpVersion,
    Interface,
    ConnectionState,
    DestinationType,
}

fn key_of(left: &Value) -> Option<Key> {
    if let Some(payload) = left.get("payload") {
        return match (text_of(payload, "protocol"), text_of(payload, "field")) {
            ("udp", "dport") => Some(Key::PortOf(super::Protocol::Udp)),
            ("tcp", "dport") => Some(Key::PortOf(super::Protocol::Tcp)),
            ("th", "dport") => Some(Key::DestinationPort),
            ("ip", "protocol") | ("ip6", "nexthdr") => Some(Key::Protocol),
            _ => None,
        };
    }
    if let Some(meta) = left.get("meta") {
        return match text_of(meta, "key") {
            "l4proto" => Some(Key::Protocol),
            "nfproto" => Some(Key::IpVersion),
            "iif" | "iifname" => Some(Key::Interface),
            _ => None,
        };
    }
    if let Some(ct) = left.get("ct") {
        return (text_of(ct, "key") == "state").then_some(Key::ConnectionState);
    }
    let fib = left.get("fib")?;
    (text_of(fib, "result") == "type").then_some(Key::DestinationType)
}

fn matches(value: &Value, packet: &Packet) -> Truth {
    let (Some(left), Some(right)) = (value.get("left"), value.get("right")) else {
        return Truth::Unknown;
    };
    let Some(key) = key_of(left) else {
        return of_other_protocol(left, packet);
    };
    let is_met = is_value(key, right, packet);
    match text_of(value, "op") {
        "==" | "in" => is_met,
        // Where the protocol is another one, the port is not compared at all.
        "!=" if matches!(key, Key::PortOf(other) if other != packet.protocol) => Truth::No,
        "!=" => is_met.not(),
        _ => Truth::Unknown,
    }
}

/// A condition on a field of a protocol implies that the packet is of that protocol.
fn of_other_protocol(left: &Value, packet: &Packet) -> Truth {
    let protocol = left.get("payload").map_or("", |it| text_of(it, "protocol"));
    let is_other = match protocol {
        "udp" | "tcp" => protocol != packet.protocol.name(),
        "ip" | "icmp" => packet.is_ipv6 || protocol == "icmp",
        "ip6" | "icmpv6" => !packet.is_ipv6 || protocol == "icmpv6",
        "sctp" | "dccp" | "igmp" | "esp" | "ah" => true,
        _ => false,
    };
    if is_other { Truth::No } else { Truth::Unknown }
}

/// Whether the packet's value of a key is one of `right`.
fn is_value(key: Key, right: &Value, packet: &Packet) -> Truth {
    if let Some(set) = right.get("set").or(right.is_array().then_some(right)) {
        let elements = set.as_array().into_iter().flatten();
        let all: Vec<_> = elements.map(|one| is_value(key, one, packet)).collect();
        return if all.contains(&Truth::Yes) {
            Truth::Yes
        } else if all.contains(&Truth::Unknown) {
            Truth::Unknown
        } else {
            Truth::No
        };
    }
    match key {
        Key::PortOf(protocol) => {
            Truth::from(protocol == packet.protocol).and(port(right, packet.port))
        }
        Key::DestinationPort => port(right, packet.port),
        Key::Protocol => match right.as_str() {
            Some(name) => Truth::from(name == packet.protocol.name()),
            None => Truth::Unknown,
        },
        Key::IpVersion => match right.as_str() {
            Some(name) => Truth::from(name == if packet.is_ipv6 { "ipv6" } else { "ipv4" }),
            None => Truth::Unknown,
        },
        Key::Interface => match right.as_str() {
            Some("lo") => Truth::No,
            _ => Truth::Unknown,
        },
        Key::ConnectionState => match right.as_str() {
            Some(name) => Truth::from(name == "new" || name == "untracked"),
            None => Truth::Unknown,
        },
        Key::DestinationType => match right.as_str() {
            Some(name) => Truth::from(name == "local"),
            None => Truth::Unknown,
        },
    }
}

/// A port or a range of them. Names of sets begin with `@`, and their elements are
/// elsewhere.
fn port(right: &Value, port: u16) -> Truth {
    if let Some(number) = right.as_u64() {
        return Truth::from(number == u64::from(port));
    }
    let range = right.get("range").and_then(Value::as_array);
    if let Some([first, last]) = range.map(Vec::as_slice)
        && let (Some(first), Some(last)) = (first.as_u64(), last.as_u64())
    {
        return Truth::from((first..=last).contains(&u64::from(port)));
    }
    Truth::Unknown
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Fate, Protocol, UDP, fate};
    use super::*;

    /// A ruleset as nft(8) prints it, with the policy `drop` and these rules.
    fn ruleset(rules: &[&str]) -> String {
        let rules: String = rules
            .iter()
            .map(|expr| {
                format!(
                    r#",{{"rule":{{"family":"inet","table":"filter","chain":"input","handle":4,"expr":[{expr}]}}}}"#
                )
            })
            .collect();
        format!(
            r#"{{"nftables":[{{"metainfo":{{"version":"1.0.6","json_schema_version":1}}}},
            {{"table":{{"family":"inet","name":"filter","handle":1}}}},
            {{"chain":{{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0,"policy":"drop"}}}},
            {{"chain":{{"family":"inet","table":"filter","name":"output","handle":2,"type":"filter","hook":"output","prio":0,"policy":"drop"}}}},
            {{"rule":{{"family":"inet","table":"filter","chain":"input","handle":3,"expr":[{{"match":{{"op":"==","left":{{"meta":{{"key":"iifname"}}}},"right":"lo"}}}},{{"accept":null}}]}}}},
            {{"rule":{{"family":"inet","table":"filter","chain":"input","handle":3,"expr":[{{"vmap":{{"key":{{"ct":{{"key":"state"}}}},"data":{{"set":[["invalid",{{"drop":null}}],["established",{{"accept":null}}]]}}}}}}]}}}}
            {rules}]}}"#
        )
    }

    const DPORT: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":RIGHT}},{"accept":null}"#;

    fn dport(right: &str) -> String {
        DPORT.replace("RIGHT", right)
    }

    fn fate_with(rules: &[&str], packet: &Packet) -> Fate {
        fate(&parse(&ruleset(rules), packet, &Except::default()).unwrap())
    }

    fn dropped(is_certain: bool) -> Fate {
        Fate::Dropped {
            chain: "inet filter input".to_owned(),
            is_certain,
        }
    }

    #[test]
    fn open_ports_are_found() {
        for right in ["3000", r#"{"set":[53,3000]}"#, r#"{"range":[2999,3001]}"#] {
            assert_eq!(fate_with(&[&dport(right)], &UDP), Fate::Accepted, "{right}");
        }
        let tcp = Packet {
            protocol: Protocol::Tcp,
            ..UDP
        };
        assert_eq!(fate_with(&[&dport("3000")], &tcp), dropped(true));
        let not = dport("3000").replace("==", "!=");
        assert_eq!(fate_with(&[&not], &tcp), dropped(true));
        let l4proto = r#"{"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":{"set":["tcp","udp"]}}},{"match":{"op":"==","left":{"payload":{"protocol":"th","field":"dport"}},"right":3000}},{"accept":null}"#;
        assert_eq!(fate_with(&[l4proto], &UDP), Fate::Accepted);
        let counted = format!(
            r#"{{"counter":{{"packets":0,"bytes":0}}}},{}"#,
            dport("3000")
        );
        assert_eq!(fate_with(&[&counted], &UDP), Fate::Accepted);
    }

    #[test]
    fn closed_ports_are_found() {
        assert_eq!(fate_with(&[], &UDP), dropped(true));
        for right in ["3001", r#"{"set":[53,{"range":[3001,4000]}]}"#] {
            assert_eq!(fate_with(&[&dport(right)], &UDP), dropped(true), "{right}");
        }
        let icmp = r#"{"match":{"op":"==","left":{"payload":{"protocol":"icmp","field":"type"}},"right":"echo-request"}},{"accept":null}"#;
        assert_eq!(fate_with(&[icmp], &UDP), dropped(true));
    }

    #[test]
    fn what_is_not_known_is_uncertain() {
        let source = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"192.0.2.0","len":24}}}},{"accept":null}"#;
        assert_eq!(fate_with(&[source], &UDP), dropped(false));
        assert_eq!(fate_with(&[&dport(r#""@ports""#)], &UDP), dropped(false));
        let ipv6 = Packet {
            is_ipv6: true,
            ..UDP
        };
        assert_eq!(fate_with(&[source], &ipv6), dropped(true));
    }

    #[test]
    fn tables_can_be_left_out() {
        let text = ruleset(&[]).replace("\"inet\"", "\"ip\"");
        let except = Except {
            firewalld: true,
            iptables: BTreeSet::from(["filter".to_owned()]),
        };
        assert!(parse(&text, &UDP, &except).unwrap().is_empty());
        let all = Except::default();
        assert!(!parse(&text, &UDP, &all).unwrap().is_empty());
        let text = ruleset(&[]).replace("\"filter\",", "\"firewalld\",");
        assert!(parse(&text, &UDP, &except).unwrap().is_empty());
        assert!(parse("no JSON", &UDP, &all).is_none());
        assert!(parse("{}", &UDP, &all).is_none());
    }
}
