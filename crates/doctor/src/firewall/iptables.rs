//! Rules in the form of iptables-save(8), of iptables-legacy and of iptables-nft.

use std::collections::BTreeSet;

use super::rules::{Chain, Chains, Packet, Rule, Truth, Verdict};

/// Targets that drop.
const DROPPING: [&str; 2] = ["DROP", "REJECT"];

/// The chain that gets packets for this machine.
const INPUT: &str = "INPUT";

/// The table that filters; others change packets.
const FILTER: &str = "filter";

/// What iptables-nft adds to its version, in comments and messages.
const NFTABLES: &str = "(nf_tables)";

/// Chains of ufw have names like `ufw-user-input` and `ufw6-user-input`.
const UFW: [&str; 2] = ["ufw-", "ufw6-"];

/// Parses the table `filter`, and compares its rules with a packet. No chains if the table
/// is not shown completely.
pub(crate) fn parse(text: &str, packet: &Packet) -> Chains {
    let mut chains = Chains::new();
    if incomplete(text).any(|table| table == FILTER) {
        return chains;
    }
    let is_begin = |line: &str| line.strip_prefix('*') == Some(FILTER);
    let table = text.lines().skip_while(|line| !is_begin(line)).skip(1);
    for line in table.take_while(|line| *line != "COMMIT") {
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            let (Some(name), Some(policy)) = (words.next(), words.next()) else {
                continue;
            };
            let drops_the_rest = (name == INPUT).then(|| DROPPING.contains(&policy));
            let chain = Chain {
                rules: Vec::new(),
                drops_the_rest,
            };
            chains.insert(name.to_owned(), chain);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = words(rule);
            let Some((name, words)) = words.split_first() else {
                continue;
            };
            let rule = rule_of(words, packet, &chains);
            chains.entry(name.clone()).or_default().rules.push(rule);
        }
    }
    chains
}

/// Whether the text has the form of iptables-save, and all of it. Nothing is written where
/// there are no tables.
pub(crate) fn is_complete(text: &str) -> bool {
    let begins = text.lines().filter(|line| line.starts_with('*')).count();
    let ends = text.lines().filter(|line| *line == "COMMIT").count();
    let has_form = |line: &str| {
        // Rules with counters begin with a bracket.
        line.is_empty() || line == "COMMIT" || line.starts_with(['#', '*', ':', '-', '['])
    };
    begins == ends && text.lines().all(has_form)
}

/// The tables of nftables that the text shows completely.
pub(crate) fn tables(text: &str) -> BTreeSet<String> {
    let comments: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
    if !comments.iter().copied().any(is_of_nftables) {
        // Of iptables-legacy, whose tables are none of nftables.
        return BTreeSet::new();
    }
    let mut tables: BTreeSet<String> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix('*')?.to_owned()))
        .collect();
    for table in incomplete(text) {
        tables.remove(table);
    }
    tables
}

/// Whether iptables-nft has written this comment or message.
pub(crate) fn is_of_nftables(line: &str) -> bool {
    line.contains(NFTABLES)
}

/// The tables that nft(8) has written, too. iptables-nft leaves out all of such a table, or
/// its own chains of it are shown, which accept everything unless it has rules in them:
/// "Table `filter' is incompatible, use 'nft' tool", "Table `filter' contains incompatible
/// base-chains, use 'nft' tool to list them".
fn incomplete(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (table, what) = line.strip_prefix("# Table `")?.split_once('\'')?;
        what.contains("incompatible").then_some(table)
    })
}

/// Whether ufw has made some of the chains.
pub(crate) fn is_of_ufw(chains: &Chains) -> bool {
    let is_of_ufw = |name: &String| UFW.iter().any(|prefix| name.starts_with(prefix));
    chains.keys().any(is_of_ufw)
}

/// Words, with text in quotation marks as one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    let mut is_escaped = false;
    for one in line.chars() {
        match one {
            _ if is_escaped => {
                words.last_mut().into_iter().for_each(|word| word.push(one));
                is_escaped = false;
            }
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|word| word.push(one)),
        }
    }
    words
}

fn rule_of(words: &[String], packet: &Packet, chains: &Chains) -> Rule {
    let mut applies = Truth::Yes;
    let mut verdict = Verdict::Continue;
    let mut words = words.iter().map(String::as_str).peekable();
    let mut is_inverted = false;
    while let Some(word) = words.next() {
        if word == "!" {
            is_inverted = true;
            continue;
        }
        let mut value = || words.next().unwrap_or_default();
        let is_met = match word {
            // Names an extension, whose options follow.
            "-m" | "--match" => {
                let _ = value();
                continue;
            }
            "-j" | "-g" => {
                verdict = verdict_of(value(), word == "-g", chains);
                // What follows are options of the target.
                break;
            }
            "-p" => protocol(value(), packet),
            "--dport" | "--dports" => ports(value(), packet.port),
            // A client's port is any.
            "--sport" | "--sports" => any_of(value()),
            "-i" => interface(value()),
            "--ctstate" | "--state" => Truth::from(value().split(',').any(|state| state == "NEW")),
            "--dst-type" => Truth::from(value() == "LOCAL"),
            // Of TCP: the packet only begins a connection.
            "--syn" => Truth::Yes,
            "--tcp-flags" => {
                let (mask, set) = (value(), words.next().unwrap_or_default());
                Truth::from(mask.split(',').any(|flag| flag == "SYN") && set == "SYN")
            }
            "--comment" => {
                let _ = value();
                continue;
            }
            _ if word.starts_with('-') => {
                // Of an option that is not known, neither the meaning nor the number of
                // values is.
                while words
                    .peek()
                    .is_some_and(|word| !word.starts_with('-') && *word != "!")
                {
                    words.next();
                }
                Truth::Unknown
            }
            _ => Truth::Unknown,
        };
        applies = applies.and(if is_inverted { is_met.not() } else { is_met });
        is_inverted = false;
    }
    Rule { applies, verdict }
}

/// All chains are declared before the rules.
fn verdict_of(target: &str, is_goto: bool, chains: &Chains) -> Verdict {
    match target {
        "ACCEPT" => Verdict::Accept,
        "RETURN" => Verdict::Return,
        _ if DROPPING.contains(&target) => Verdict::Drop,
        // Extensions log, count or mark.
        _ if !chains.contains_key(target) => Verdict::Continue,
        chain if is_goto => Verdict::Goto(chain.to_owned()),
        chain => Verdict::Jump(chain.to_owned()),
    }
}

fn protocol(name: &str, packet: &Packet) -> Truth {
    let number = match packet.protocol {
        super::Protocol::Tcp => "6",
        super::Protocol::Udp => "17",
    };
    Truth::from(name == "all" || name == packet.protocol.name() || name == number)
}

/// Ports as `80`, `80:90` or `80,443`.
fn ports(text: &str, port: u16) -> Truth {
    Truth::from(text.split(',').any(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let first = first.parse().unwrap_or(0);
        let last = last.parse().unwrap_or(u16::MAX);
        (first..=last).contains(&port)
    }))
}

/// Whether the ports are those from which clients send.
fn any_of(text: &str) -> Truth {
    let is_low = |range: &str| {
        let last = range.rsplit(':').next().unwrap_or(range);
        last.parse::<u16>().is_ok_and(|last| last < 1024)
    };
    if text.split(',').all(is_low) {
        Truth::No
    } else {
        Truth::Unknown
    }
}

/// Clients come in over any interface but that for the machine itself.
fn interface(name: &str) -> Truth {
    if name == "lo" {
        Truth::No
    } else {
        Truth::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Fate, UDP, fate};
    use super::*;

    fn table(rules: &str) -> String {
        format!(
            "# Generated by iptables-save v1.8.9\n*nat\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n\
             :INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:LOGDROP - [0:0]\n\
             -A INPUT -i lo -j ACCEPT\n\
             -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n{rules}\
             -A LOGDROP -j LOG --log-prefix \"dropped: \"\n-A LOGDROP -j DROP\nCOMMIT\n"
        )
    }

    #[track_caller]
    fn fate_with(rules: &str) -> Fate {
        fate(&parse(&table(rules), &UDP))
    }

    fn dropped(chain: &str, is_certain: bool) -> Fate {
        Fate::Dropped {
            chain: chain.to_owned(),
            is_certain,
        }
    }

    #[test]
    fn open_ports_are_found() {
        for rule in [
            "-A INPUT -p udp -m udp --dport 3000 -j ACCEPT\n",
            "-A INPUT -p udp -m multiport --dports 53,3000:3010 -j ACCEPT\n",
            "-A INPUT -p udp -m udp --dport 3000 -m comment --comment \"a -j DROP\" -j ACCEPT\n",
            "-A INPUT ! -p tcp -j ACCEPT\n",
            "-A INPUT -p udp -m conntrack --ctstate NEW -m udp --dport 3000 -j ACCEPT\n",
            "-A INPUT ! -i lo -p udp -m conntrack --ctstate NEW -m udp --dport 3000 -j ACCEPT\n",
        ] {
            assert_eq!(fate_with(rule), Fate::Accepted, "{rule}");
            // This rule is the one that accepts the packet.
            let without = rule.replace("-j ACCEPT\n", "-j LOG\n");
            assert_eq!(fate_with(&without), dropped("INPUT", true), "{without}");
            let closing = rule.replace("-j ACCEPT\n", "-j LOGDROP\n");
            assert_eq!(fate_with(&closing), dropped("LOGDROP", true), "{closing}");
        }
    }

    #[test]
    fn closed_ports_are_found() {
        for rule in [
            "",
            "-A INPUT -p tcp -m tcp --dport 3000 -j ACCEPT\n",
            "-A INPUT -p udp -m udp --dport 3001:3010 -j ACCEPT\n",
            "-A INPUT -p udp -m udp --sport 67 -j ACCEPT\n",
            "-A INPUT -p udp -m udp ! --dport 3000 -j ACCEPT\n",
        ] {
            assert_eq!(fate_with(rule), dropped("INPUT", true), "{rule}");
        }
        let rules = "-A INPUT -j LOGDROP\n-A INPUT -p udp --dport 3000 -j ACCEPT\n";
        assert_eq!(fate_with(rules), dropped("LOGDROP", true));
    }

    #[test]
    fn what_is_not_known_is_uncertain() {
        for rule in [
            "-A INPUT -s 192.0.2.0/24 -p udp -m udp --dport 3000 -j ACCEPT\n",
            "-A INPUT -m set --match-set clients src -p udp -j ACCEPT\n",
        ] {
            assert_eq!(fate_with(rule), dropped("INPUT", false), "{rule}");
        }
        assert_eq!(
            fate_with("-A INPUT -m limit --limit 5/sec -p tcp -j ACCEPT\n"),
            dropped("INPUT", true)
        );
    }

    #[test]
    fn tables_that_nft_has_written_are_not_shown() {
        // Output of iptables-save 1.8.9 when nft has added a chain to the table `ip
        // filter`.
        let incomplete = "\
# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.
# Generated by iptables-save v1.8.9 (nf_tables) on Mon Nov 30 11:08:56 2026
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
COMMIT
# Completed on Mon Nov 30 11:08:56 2026
";
        assert!(parse(incomplete, &UDP).is_empty());
        assert_eq!(tables(incomplete), BTreeSet::from(["nat".to_owned()]));
        let (_, complete) = incomplete.split_once('\n').unwrap();
        assert_eq!(fate(&parse(complete, &UDP)), Fate::Accepted);
        let both = BTreeSet::from(["filter".to_owned(), "nat".to_owned()]);
        assert_eq!(tables(complete), both);
        let legacy = complete.replace(" (nf_tables)", "");
        assert_eq!(tables(&legacy), BTreeSet::new());
        assert_eq!(parse(&legacy, &UDP).len(), 3);
    }

    #[test]
    fn rules_of_ufw_are_understood() {
        let ufw = |user: &str| {
            format!(
                "*filter\n:INPUT DROP [0:0]\n:ufw-before-input - [0:0]\n:ufw-not-local - [0:0]\n\
                 :ufw-user-input - [0:0]\n:ufw-after-input - [0:0]\n\
                 -A INPUT -j ufw-before-input\n-A INPUT -j ufw-after-input\n\
                 -A ufw-before-input -i lo -j ACCEPT\n\
                 -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
                 -A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n\
                 -A ufw-before-input -p icmp -m icmp --icmp-type 3 -j ACCEPT\n\
                 -A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT\n\
                 -A ufw-before-input -j ufw-not-local\n\
                 -A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT\n\
                 -A ufw-before-input -j ufw-user-input\n\
                 -A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN\n\
                 -A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN\n\
                 -A ufw-not-local -j DROP\n{user}COMMIT\n"
            )
        };
        let open = ufw("-A ufw-user-input -p udp -m udp --dport 3000 -j ACCEPT\n");
        assert_eq!(fate(&parse(&open, &UDP)), Fate::Accepted);
        let closed = parse(&ufw(""), &UDP);
        assert_eq!(fate(&closed), dropped("INPUT", true));
        assert!(is_of_ufw(&closed) && !is_of_ufw(&parse(&table(""), &UDP)));
    }
}
