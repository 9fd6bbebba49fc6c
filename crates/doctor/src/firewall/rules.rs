//! Chains of rules, and what becomes of a packet in them.
//!
//! A parser has already compared each rule with the packet. Where it does not know a
//! condition, it says so, and the rule may apply or not: a rule that may accept makes the
//! result uncertain, and one that may drop is ignored, because it is meant for some clients
//! (limits, lists of addresses), not for all.

use std::collections::BTreeMap;

/// A packet of a new connection from some client far away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) is_ipv6: bool,
}

/// A request of a UDP tracker over IPv4.
#[cfg(test)]
pub(crate) const UDP: Packet = Packet {
    protocol: Protocol::Udp,
    port: 3000,
    is_ipv6: false,
};

/// Its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
}

impl Protocol {
    /// As all firewalls write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Whether a condition is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    Yes,
    No,
    Unknown,
}

impl Truth {
    /// Whether both are met.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    /// The opposite.
    pub(crate) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(is_met: bool) -> Self {
        if is_met { Self::Yes } else { Self::No }
    }
}

/// What a rule does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    /// The next rule decides: counters, log messages and marks.
    Continue,
}

/// A rule, compared with the packet.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) applies: Truth,
    pub(crate) verdict: Verdict,
}

/// A chain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    pub(crate) rules: Vec<Rule>,
    /// Whether the chain itself gets packets for this machine, and then drops those that
    /// no rule decides about; `None` for a chain that others jump to.
    pub(crate) drops_the_rest: Option<bool>,
}

/// The chains of one table, by name.
pub(crate) type Chains = BTreeMap<String, Chain>;

/// What becomes of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    /// Dropped in this chain, unless a rule that was not understood accepts it before.
    Dropped {
        chain: String,
        is_certain: bool,
    },
}

/// Maximum depth of jumps; the kernel allows 16.
const MAX_DEPTH: usize = 16;

/// What becomes of a packet in all chains that get it, each of which can drop it.
pub(crate) fn fate(chains: &Chains) -> Fate {
    let mut uncertain = None;
    for (name, chain) in chains {
        let Some(drops_the_rest) = chain.drops_the_rest else {
            continue;
        };
        let mut walk = Walk {
            chains,
            may_be_accepted: false,
        };
        let end = walk.through(name, 0);
        let dropping = match end {
            End::Accepted => None,
            End::Dropped(chain) => Some(chain),
            End::Returned => drops_the_rest.then(|| name.clone()),
        };
        match dropping {
            Some(chain) if !walk.may_be_accepted => {
                return Fate::Dropped {
                    chain,
                    is_certain: true,
                };
            }
            Some(chain) => uncertain = Some(chain),
            None => {}
        }
    }
    match uncertain {
        Some(chain) => Fate::Dropped {
            chain,
            is_certain: false,
        },
        None => Fate::Accepted,
    }
}

enum End {
    Accepted,
    /// By a rule of this chain.
    Dropped(String),
    Returned,
}

struct Walk<'a> {
    chains: &'a Chains,
    may_be_accepted: bool,
}

impl Walk<'_> {
    fn through(&mut self, name: &str, depth: usize) -> End {
        let Some(chain) = self.chains.get(name).filter(|_| depth <= MAX_DEPTH) else {
            return End::Returned;
        };
        for rule in &chain.rules {
            let is_certain = match rule.applies {
                Truth::No => continue,
                Truth::Yes => true,
                Truth::Unknown => false,
            };
            match (&rule.verdict, is_certain) {
                (Verdict::Continue, _) | (Verdict::Drop | Verdict::Return, false) => {}
                (Verdict::Accept, true) => return End::Accepted,
                (Verdict::Accept, false) => self.may_be_accepted = true,
                (Verdict::Drop, true) => return End::Dropped(name.to_owned()),
                (Verdict::Return, true) => return End::Returned,
                (Verdict::Jump(to) | Verdict::Goto(to), true) => {
                    let end = self.through(to, depth + 1);
                    let is_goto = matches!(rule.verdict, Verdict::Goto(_));
                    if is_goto || !matches!(end, End::Returned) {
                        return end;
                    }
                }
                (Verdict::Jump(to) | Verdict::Goto(to), false) => {
                    if let End::Accepted = self.through(to, depth + 1) {
                        self.may_be_accepted = true;
                    }
                }
            }
        }
        End::Returned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(drops_the_rest: Option<bool>, rules: &[(Truth, Verdict)]) -> Chain {
        let rules = rules.iter().cloned();
        Chain {
            rules: rules
                .map(|(applies, verdict)| Rule { applies, verdict })
                .collect(),
            drops_the_rest,
        }
    }

    fn fate_in(chains: &[(&str, Chain)]) -> Fate {
        let chains = chains.iter().cloned();
        fate(
            &chains
                .map(|(name, chain)| (name.to_owned(), chain))
                .collect(),
        )
    }

    fn dropped(chain: &str, is_certain: bool) -> Fate {
        Fate::Dropped {
            chain: chain.to_owned(),
            is_certain,
        }
    }

    #[test]
    fn the_policy_decides_last() {
        assert_eq!(fate_in(&[]), Fate::Accepted);
        assert_eq!(
            fate_in(&[("input", chain(Some(false), &[]))]),
            Fate::Accepted
        );
        assert_eq!(
            fate_in(&[("input", chain(Some(true), &[]))]),
            dropped("input", true)
        );
        // No packet reaches this chain.
        assert_eq!(fate_in(&[("other", chain(None, &[]))]), Fate::Accepted);
    }

    #[test]
    fn rules_decide_in_order() {
        use Truth::*;
        use Verdict::*;
        for (rules, expected) in [
            (vec![(No, Drop), (Yes, Accept), (Yes, Drop)], Fate::Accepted),
            (
                vec![(Yes, Continue), (Yes, Drop), (Yes, Accept)],
                dropped("input", true),
            ),
            (vec![(Unknown, Accept)], dropped("input", false)),
            (vec![(Unknown, Drop), (Yes, Accept)], Fate::Accepted),
            (vec![(Yes, Return), (Yes, Accept)], dropped("input", true)),
            (
                vec![(Yes, Jump("sub".into())), (Yes, Accept)],
                dropped("sub", true),
            ),
            (
                vec![(No, Jump("sub".into())), (Yes, Accept)],
                Fate::Accepted,
            ),
            (
                vec![(Yes, Jump("back".into())), (Yes, Accept)],
                Fate::Accepted,
            ),
            (
                vec![(Yes, Goto("back".into())), (Yes, Accept)],
                dropped("input", true),
            ),
            (
                vec![(Unknown, Jump("good".into()))],
                dropped("input", false),
            ),
            (
                vec![(Yes, Jump("input".into())), (Yes, Accept)],
                Fate::Accepted,
            ),
            (
                vec![(Yes, Jump("none".into())), (Yes, Accept)],
                Fate::Accepted,
            ),
        ] {
            let chains = [
                ("input", chain(Some(true), &rules)),
                ("sub", chain(None, &[(Yes, Drop)])),
                ("back", chain(None, &[(Yes, Return)])),
                ("good", chain(None, &[(Yes, Accept)])),
            ];
            assert_eq!(fate_in(&chains), expected, "{rules:?}");
        }
    }

    #[test]
    fn each_chain_of_a_hook_can_drop() {
        let accepts = chain(Some(true), &[(Truth::Yes, Verdict::Accept)]);
        let drops = chain(Some(false), &[(Truth::Yes, Verdict::Drop)]);
        assert_eq!(fate_in(&[("a", accepts), ("b", drops)]), dropped("b", true));
    }
}
