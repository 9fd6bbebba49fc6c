//! The units of the daemon: whether they run, what was [`edited`] but not applied, the
//! [`environment`] of the service; or the [`running`] process without a unit.

mod edited;
mod environment;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aquatic_service::sockets::Transport;

use crate::command;
use crate::finding::Finding;
use crate::subject::Subject;
pub(crate) use environment::Variable;

/// The properties that are needed (org.freedesktop.systemd1(5)).
const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,UnitFileState,Result,\
                          NeedDaemonReload,StateChangeTimestamp,ActiveEnterTimestamp,ExecStart,\
                          Listen,StatusText,ReloadResult,DropInPaths,MainPID,\
                          Environment,EnvironmentFiles";

/// The properties of a unit. Some occur several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Unit(BTreeMap<String, Vec<String>>);

impl Unit {
    /// The value of a property, empty if it has none.
    fn value(&self, name: &str) -> &str {
        let values = self.0.get(name);
        values
            .and_then(|values| values.first())
            .map_or("", String::as_str)
    }

    fn is_loaded(&self) -> bool {
        self.value("LoadState") == "loaded"
    }

    /// A time in seconds.
    fn time(&self, name: &str) -> Option<SystemTime> {
        let seconds = self.value(name).strip_prefix('@')?;
        Some(UNIX_EPOCH + Duration::from_secs(seconds.parse().ok()?))
    }
}

/// The units of a daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Units {
    service: Unit,
    socket: Unit,
}

/// Asks systemd.
///
/// # Errors
///
/// Why it does not answer, in words.
pub(crate) fn gather(name: &str) -> Result<Units, String> {
    let (service, socket) = (format!("{name}.service"), format!("{name}.socket"));
    let arguments = ["show", "--timestamp=unix", PROPERTIES, &service, &socket];
    match command::run("systemctl", &arguments) {
        Ok(output) if output.is_success => {
            let units = parse(&output.stdout, name);
            if units.service.is_loaded() || units.service.value("LoadState") == "masked" {
                Ok(units)
            } else {
                Err(format!("there is no unit {name}.service"))
            }
        }
        Ok(output) => Err(output.complaint().to_owned()),
        Err(failure) => Err(failure.text("systemctl")),
    }
}

/// Parses the output of `systemctl show`: a paragraph for each unit.
fn parse(text: &str, name: &str) -> Units {
    let mut units = Units::default();
    for paragraph in text.split("\n\n") {
        let mut unit = Unit::default();
        for (key, value) in paragraph.lines().filter_map(|line| line.split_once('=')) {
            let values = unit.0.entry(key.to_owned()).or_default();
            values.push(value.to_owned());
        }
        match unit.value("Id").strip_prefix(name) {
            Some(".service") => units.service = unit,
            Some(".socket") => units.socket = unit,
            _ => {}
        }
    }
    units
}

impl Units {
    /// The configuration file in the command line of the service.
    pub(crate) fn configuration(&self) -> Option<PathBuf> {
        let (_, words) = self.service.value("ExecStart").split_once("argv[]=")?;
        let mut words = words.split(" ; ").next()?.split_whitespace();
        words.find(|word| *word == "-c" || *word == "--config")?;
        words.next().map(PathBuf::from)
    }

    /// The environment variables of the service that may set keys.
    pub(crate) fn variables(&self) -> Vec<Variable> {
        environment::of(&self.service, Path::new("/proc"))
    }

    /// The addresses of the socket unit for a transport; metrics are among them.
    fn addresses(&self, transport: Transport) -> BTreeSet<SocketAddr> {
        let kind = match transport {
            Transport::Udp { .. } => "(Datagram)",
            Transport::Tcp { .. } => "(Stream)",
        };
        let lines = self.socket.0.get("Listen").into_iter().flatten();
        // `Listen=` has all addresses in one line in some versions.
        let words = lines.flat_map(|line| line.split_whitespace());
        let words: Vec<_> = words.collect();
        words
            .windows(2)
            .filter(|pair| pair[1] == kind)
            .filter_map(|pair| pair[0].parse().ok())
            .collect()
    }
}

/// Checks the units, if the configuration is theirs.
pub(crate) fn examine(subject: &Subject) -> Vec<Finding> {
    let units = match &subject.units {
        Ok(units) => units,
        Err(reason) => return without_unit(subject, reason.clone()),
    };
    if !subject.has_unit() {
        let reason = format!("{}.service has another configuration file", subject.name);
        return without_unit(subject, reason);
    }
    let mut findings = state(subject.name, units);
    findings.extend(edited::findings(subject, units));
    if findings.is_empty() {
        findings.push(Finding::ok(format!(
            "{}.service is running what was configured",
            subject.name
        )));
    }
    findings
}

fn without_unit(subject: &Subject, reason: String) -> Vec<Finding> {
    let mut findings = vec![Finding::unchecked(reason)];
    findings.extend(running::findings(subject));
    findings
}

/// What is wrong with the state of the units.
fn state(name: &str, units: &Units) -> Vec<Finding> {
    let Units { service, socket } = units;
    let mut findings = Vec::new();
    if service.value("LoadState") == "masked" {
        findings.push(Finding::wrong(
            format!("{name}.service is masked, so it cannot be started"),
            format!("systemctl unmask {name}.service"),
        ));
    }
    match (service.value("ActiveState"), socket.value("ActiveState")) {
        ("active" | "reloading", _) => {}
        ("failed", _) => findings.push(Finding::wrong(
            format!(
                "{name}.service has failed ({}){}",
                service.value("Result"),
                said(service)
            ),
            format!("see why: journalctl -u {name} -n 30; then systemctl restart {name}"),
        )),
        ("activating", _) if service.value("SubState").starts_with("start") => {
            findings.push(Finding::warning(
                format!("{name}.service is being started{}", said(service)),
                "ask again in a few seconds",
            ));
        }
        ("activating", _) => findings.push(Finding::wrong(
            format!(
                "{name}.service waits to be started again ({}){}",
                service.value("SubState"),
                said(service)
            ),
            format!("see why: journalctl -u {name} -n 30"),
        )),
        (inactive, "active") => findings.push(Finding::warning(
            format!("{name}.service is {inactive}; the first request to its sockets starts it"),
            format!("systemctl start {name}"),
        )),
        (inactive, sockets) => findings.push(Finding::wrong(
            format!("{name}.service is {inactive}, and {name}.socket {sockets}"),
            format!("systemctl start {name}; to start it at every boot: systemctl enable {name}.service {name}.socket"),
        )),
    }
    for unit in [service, socket] {
        let id = unit.value("Id");
        if unit.value("UnitFileState") == "disabled" {
            findings.push(Finding::warning(
                format!("{id} is disabled: a boot does not start it"),
                format!("systemctl enable {id}"),
            ));
        }
    }
    if !matches!(service.value("ReloadResult"), "" | "success") {
        findings.push(Finding::warning(
            format!("the last reload of {name}.service has failed, and changed nothing"),
            format!("see why: journalctl -u {name} -n 30; then systemctl reload {name}"),
        ));
    }
    findings
}

fn said(service: &Unit) -> String {
    match service.value("StatusText") {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    const SHOWN: &str = "\
ExecStart={ path=/usr/bin/aquatic-udp ; argv[]=/usr/bin/aquatic-udp -c /etc/aquatic/aquatic-udp.toml ; ignore_errors=no ; pid=0 }
Result=success
StatusText=udp: 0 torrents
Id=aquatic-udp.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no
StateChangeTimestamp=@1000
ActiveEnterTimestamp=@1000
DropInPaths=/run/generated.conf /etc/a.conf

Id=aquatic-udp.socket
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no
Listen=0.0.0.0:3000 (Datagram)
Listen=0.0.0.0:3000 (Datagram)
Listen=[::]:3000 (Datagram)
Listen=127.0.0.1:9000 (Stream)
";

    pub(super) fn units(changes: &[(&str, &str)]) -> Units {
        let mut text = SHOWN.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        parse(&text, "aquatic-udp")
    }

    fn states(changes: &[(&str, &str)]) -> Vec<(State, String)> {
        let findings = state("aquatic-udp", &units(changes));
        findings.into_iter().map(|it| (it.state, it.what)).collect()
    }

    #[test]
    fn the_configuration_is_that_of_the_command_line() {
        let path = units(&[]).configuration();
        assert_eq!(path, Some("/etc/aquatic/aquatic-udp.toml".into()));
        assert_eq!(
            units(&[(" -c /etc/aquatic/aquatic-udp.toml", "")]).configuration(),
            None
        );
    }

    #[test]
    fn states_are_judged() {
        assert_eq!(states(&[]), []);
        for (change, state, text) in [
            (
                ("ActiveState=active", "ActiveState=failed"),
                State::Wrong,
                "has failed",
            ),
            (
                (
                    "ActiveState=active\nSubState=running",
                    "ActiveState=activating\nSubState=auto-restart",
                ),
                State::Wrong,
                "waits to be started again",
            ),
            (
                (
                    "ActiveState=active\nSubState=running",
                    "ActiveState=activating\nSubState=start",
                ),
                State::Warning,
                "is being started",
            ),
            (
                ("ActiveState=active", "ActiveState=inactive"),
                State::Warning,
                "first request",
            ),
            (
                ("LoadState=loaded", "LoadState=masked"),
                State::Wrong,
                "masked",
            ),
            (
                ("UnitFileState=enabled", "UnitFileState=disabled"),
                State::Warning,
                "disabled",
            ),
            (
                ("Result=success", "Result=success\nReloadResult=exit-code"),
                State::Warning,
                "reload",
            ),
        ] {
            let found = states(&[change]);
            assert_eq!(found[0].0, state, "{found:?}");
            assert!(found[0].1.contains(text), "{found:?}");
        }
    }
}
