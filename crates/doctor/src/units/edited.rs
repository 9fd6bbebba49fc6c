//! What was edited but not applied: the units themselves, and what the service reads.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aquatic_service::sockets::Listening;

use super::{Unit, Units};
use crate::finding::Finding;
use crate::subject::Subject;

/// Where operators put drop-ins of units. Those of generators are written anew by each
/// daemon-reload, so their times say nothing.
const OF_OPERATORS: &str = "/etc/systemd/system";

/// The times of units have no fractions of a second.
pub(super) const PRECISION: Duration = Duration::from_secs(1);

/// All of it.
pub(super) fn findings(subject: &Subject, units: &Units) -> Vec<Finding> {
    let name = subject.name;
    let mut findings = Vec::new();
    for one in [&units.service, &units.socket] {
        let directory = Path::new(OF_OPERATORS).join(format!("{}.d", one.value("Id")));
        findings.extend(unit(one, &with_times(drop_ins(&directory))));
    }
    if let Some(configured) = &subject.configured {
        findings.extend(other_addresses(name, units, &configured.listening));
        let read = subject.sources.iter().chain(&configured.files).cloned();
        findings.extend(files(name, units, &with_times(read)));
    }
    findings
}

fn drop_ins(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "conf"))
}

/// The files that exist, each with the time of its last change.
pub(super) fn with_times(paths: impl IntoIterator<Item = PathBuf>) -> Vec<(SystemTime, PathBuf)> {
    let changed = |path: &Path| fs::metadata(path).ok()?.modified().ok();
    let paths = paths.into_iter();
    paths
        .filter_map(|path| Some((changed(&path)?, path)))
        .collect()
}

/// Whether a unit has changed since systemd has read it, or since it was started. systemd 252
/// does not notice the first drop-in of a unit.
fn unit(unit: &Unit, drop_ins: &[(SystemTime, PathBuf)]) -> Option<Finding> {
    let id = unit.value("Id");
    let read: BTreeSet<_> = unit.value("DropInPaths").split_whitespace().collect();
    let is_read = |path: &Path| path.to_str().is_some_and(|path| read.contains(path));
    let is_outdated =
        unit.value("NeedDaemonReload") == "yes" || drop_ins.iter().any(|(_, path)| !is_read(path));
    if is_outdated {
        return Some(Finding::warning(
            format!("the unit {id} was edited but not applied"),
            format!("systemctl daemon-reload && systemctl restart {id}"),
        ));
    }
    let started = unit.time("ActiveEnterTimestamp")? + PRECISION;
    let (_, path) = drop_ins.iter().find(|(changed, _)| *changed > started)?;
    (unit.value("ActiveState") == "active").then(|| {
        Finding::warning(
            format!(
                "{} was edited but not applied: {id} was started before",
                path.display()
            ),
            format!("systemctl restart {id}"),
        )
    })
}

/// Whether the addresses of the configuration are not those of the socket unit.
fn other_addresses(name: &str, units: &Units, listening: &Listening) -> Option<Finding> {
    if !units.socket.is_loaded() {
        return None;
    }
    let mut of_unit = units.addresses(listening.transport);
    let configured: BTreeSet<_> = listening.addresses.iter().copied().collect();
    if let Some(metrics) = listening.metrics {
        of_unit.remove(&metrics);
    }
    if of_unit.is_empty() || of_unit == configured {
        return None;
    }
    let words = |addresses: &BTreeSet<SocketAddr>| {
        let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        words.join(" and ")
    };
    Some(Finding::warning(
        format!(
            "network.address was edited but not applied: it is {}, but {name}.socket has {}",
            words(&configured),
            words(&of_unit)
        ),
        format!("systemctl daemon-reload && systemctl restart {name}.socket"),
    ))
}

/// Which files were changed after the service had read them.
fn files(name: &str, units: &Units, files: &[(SystemTime, PathBuf)]) -> Vec<Finding> {
    let service = &units.service;
    let read = service.time("StateChangeTimestamp");
    let (Some(read), "active") = (read, service.value("ActiveState")) else {
        return Vec::new();
    };
    let read = read + PRECISION;
    let later = files.iter().filter(|(changed, _)| *changed > read);
    later
        .map(|(_, path)| {
            Finding::warning(
                format!(
                    "{} was edited but not applied: it is newer than the last start or reload of \
                     {name}.service",
                    path.display()
                ),
                format!(
                    "systemctl reload {name}; what a reload does not apply needs systemctl \
                     restart {name}"
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use aquatic_service::sockets::Transport;

    use super::super::tests::units;
    use super::*;

    #[test]
    fn drop_ins_that_were_not_applied_are_found() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let text = |units: &Units, drop_ins: &[(SystemTime, PathBuf)]| {
            unit(&units.service, drop_ins).map_or(String::new(), |it| it.what)
        };
        let read = [(at(500), PathBuf::from("/etc/a.conf"))];
        let sound = units(&[]);
        assert_eq!(text(&sound, &read), "");
        let edited = units(&[("NeedDaemonReload=no", "NeedDaemonReload=yes")]);
        assert!(text(&edited, &read).contains("edited but not applied"));
        let new = [(at(500), PathBuf::from("/etc/b.conf"))];
        assert!(text(&sound, &new).contains("edited but not applied"));
        let changed = [(at(1500), PathBuf::from("/etc/a.conf"))];
        assert!(text(&sound, &changed).contains("was started before"));
    }

    #[test]
    fn addresses_that_were_not_applied_are_found() {
        let mut listening = Listening {
            addresses: vec![
                "0.0.0.0:3000".parse().unwrap(),
                "[::]:3000".parse().unwrap(),
            ],
            workers: None,
            transport: Transport::Udp {
                receive_buffer_bytes: None,
            },
            metrics: Some("127.0.0.1:9000".parse().unwrap()),
        };
        let units = units(&[]);
        assert_eq!(other_addresses("aquatic-udp", &units, &listening), None);
        listening.addresses[0].set_port(6969);
        let finding = other_addresses("aquatic-udp", &units, &listening).unwrap();
        assert!(
            finding.what.contains("edited but not applied"),
            "{}",
            finding.what
        );
        assert!(finding.what.contains("0.0.0.0:6969"), "{}", finding.what);
    }

    #[test]
    fn files_that_are_newer_than_the_last_reload_are_found() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let files = [
            (at(999), "old".into()),
            (at(1000), "same".into()),
            (at(1002), "new".into()),
        ];
        let found = super::files("aquatic-udp", &units(&[]), &files);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.starts_with("new was edited but not applied"));
        let stopped = units(&[("ActiveState=active", "ActiveState=failed")]);
        assert_eq!(super::files("aquatic-udp", &stopped, &files), []);
    }
}
