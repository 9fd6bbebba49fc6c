//! What the process knows of itself, in words.

use aquatic_policy::bans::Bans;
use aquatic_policy::clients::Clients;
use serde::Serialize;

use super::Overview;
use super::words::{Unit, date, duration, relative};
use crate::access_list::AccessList;
use crate::lists::List as _;
use crate::metrics::process::Process;

/// Facts about one thing.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    title: &'static str,
    facts: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    value: String,
    /// The point in time that the value is about.
    date: Option<String>,
}

impl Fact {
    fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            date: None,
        }
    }

    /// A point in time, in seconds since 1970.
    fn at(name: &'static str, then: u64, now: u64) -> Self {
        Self {
            date: Some(date(then)),
            ..Self::new(name, relative(then, now))
        }
    }
}

/// All facts at this time, in seconds since 1970.
pub(super) fn groups(process: &Process, overview: &Overview, now: u64) -> Vec<Group> {
    [
        Some(of_process(process)),
        Some(of_reload(process, now)),
        of_access_list(process, now),
        of_other_lists(process, now),
        of_certificates(overview, now),
        of_links(overview),
        of_snapshot(process, now),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_process(process: &Process) -> Group {
    let uptime = Fact {
        date: Some(date(process.started_at())),
        ..Fact::new("Running for", duration(process.uptime()))
    };
    Group {
        title: "Process",
        facts: vec![
            Fact::new("Version", env!("CARGO_PKG_VERSION")),
            uptime,
            Fact::new("Process id", std::process::id().to_string()),
            Fact::new("Workers", process.workers().to_string()),
        ],
    }
}

fn of_reload(process: &Process, now: u64) -> Group {
    let last = process.last_reload();
    let mut facts = Vec::new();
    match last.ended_at {
        None => facts.push(Fact::new("Last reload", "none since the start")),
        Some(ended_at) => {
            facts.push(Fact::at("Last reload", ended_at, now));
            let result = match last.failures.is_empty() {
                true if last.partial.is_some() => "only the files that the configuration names",
                true => "succeeded",
                false => "failed, and the previous state is still in effect",
            };
            facts.push(Fact::new("Result", result));
        }
    }
    let reasons = last.failures.into_iter().chain(last.partial);
    facts.extend(reasons.map(|reason| Fact::new("Reason", reason)));
    if !last.needs_restart.is_empty() {
        let keys = last.needs_restart.join(", ");
        facts.push(Fact::new("Changed, but needs a restart", keys));
    }
    Group {
        title: "Reload",
        facts,
    }
}

fn of_access_list(process: &Process, now: u64) -> Option<Group> {
    let list = &process.lists().access_list;
    let current = list.current();
    let mode = match &**current {
        AccessList::Off => return None,
        AccessList::Allow(_) => "only torrents on the list are served",
        AccessList::Deny(_) => "torrents on the list are not served",
    };
    Some(Group {
        title: "Access list",
        facts: vec![
            Fact::new("Mode", mode),
            Fact::new("Entries", Unit::Count.show(current.len() as f64)),
            Fact::at("Loaded", list.loaded_at(), now),
        ],
    })
}

/// Bans and clients, which have no mode.
fn of_other_lists(process: &Process, now: u64) -> Option<Group> {
    let others = process.lists().facts().into_iter();
    let facts: Vec<Fact> = others
        .filter(|list| list.what != AccessList::WHAT)
        .flat_map(|list| {
            let entries = Unit::Count.show(list.entries as f64);
            let size = Unit::Bytes.show(list.memory_bytes as f64);
            let what = match list.what {
                Bans::WHAT => "Banned ranges",
                Clients::WHAT => "Client prefixes",
                other => other,
            };
            [
                Fact::new(what, format!("{entries}, {size}")),
                Fact::at("Loaded", list.loaded_at, now),
            ]
        })
        .collect();
    (!facts.is_empty()).then_some(Group {
        title: "Bans and clients",
        facts,
    })
}

fn of_certificates(overview: &Overview, now: u64) -> Option<Group> {
    let facts: Vec<Fact> = overview
        .certificates
        .iter()
        .flat_map(|certificate| {
            let file = Fact::new("File", certificate.path.display().to_string());
            let expiry = certificate.expires_at.map(|then| match then > now {
                true => Fact::at("Expires", then, now),
                false => Fact::at("Expired", then, now),
            });
            [Some(file), expiry]
        })
        .flatten()
        .collect();
    (!facts.is_empty()).then_some(Group {
        title: "TLS certificate",
        facts,
    })
}

fn of_links(overview: &Overview) -> Option<Group> {
    let links = overview.links.as_ref()?;
    Some(Group {
        title: "Cluster",
        facts: vec![Fact::new("State", links)],
    })
}

fn of_snapshot(process: &Process, now: u64) -> Option<Group> {
    let snapshot = process.snapshot();
    let taken = snapshot
        .taken_at
        .map(|then| Fact::at("Last one", then, now));
    let size = snapshot
        .bytes
        .map(|bytes| Fact::new("Size", Unit::Bytes.show(bytes as f64)));
    let time = snapshot
        .duration
        .map(|time| Fact::new("Written in", Unit::Seconds.show(time.as_secs_f64())));
    let unsaved = snapshot.unsaved.map(|reason| Fact::new("Fails", reason));
    let facts: Vec<Fact> = [taken, size, time, unsaved].into_iter().flatten().collect();
    (!facts.is_empty()).then_some(Group {
        title: "Snapshot",
        facts,
    })
}
