//! What NixOS does with units when it switches from one configuration to another.
//!
//! The rules are those of switch-to-configuration-ng in nixpkgs for services and sockets.
//! Its order is: stop, make systemd read the units again, reload, restart, start.

use std::collections::BTreeMap;

/// The text of each unit in `/etc/systemd/system`, by name.
pub type Units = BTreeMap<String, String>;

/// The units that each step of a switch affects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Units to stop before systemd reads the new configuration.
    pub stop: Vec<String>,
    /// Units to reload.
    pub reload: Vec<String>,
    /// Units to restart in one step.
    pub restart: Vec<String>,
    /// Units to start at the end: those that were stopped, and those that targets want.
    pub start: Vec<String>,
}

/// Keys of `[Unit]` for which a switch does not restart a unit.
const IGNORED: &[&str] = &[
    "X-Reload-Triggers",
    "Description",
    "Documentation",
    "OnFailure",
    "OnSuccess",
    "OnFailureJobMode",
    "IgnoreOnIsolate",
    "StopWhenUnneeded",
    "RefuseManualStart",
    "RefuseManualStop",
    "AllowIsolate",
    "CollectMode",
    "SourcePath",
];

/// The plan of a switch, if all units of the former configuration are active.
#[must_use]
pub fn plan(from: &Units, to: &Units) -> Plan {
    let mut plan = Plan::default();
    for (name, before) in from {
        let Some(after) = to.get(name) else {
            plan.stop.push(name.clone());
            continue;
        };
        let after = parse(after);
        match difference(&parse(before), &after) {
            Difference::None => {}
            Difference::Reload => plan.reload.push(name.clone()),
            Difference::Restart => plan.replace(name, &after, from, to),
        }
    }
    for (name, text) in to {
        if text.contains("\nWantedBy=") && !plan.start.contains(name) {
            plan.start.push(name.clone());
        }
    }
    plan
}

impl Plan {
    /// Adds a unit that has changed.
    fn replace(&mut self, name: &str, after: &Unit, from: &Units, to: &Units) {
        let is_set = |key: &str, default: bool| {
            let value = after.get("Service").and_then(|section| section.get(key));
            let last = value.and_then(|values| values.last());
            last.map_or(default, |value| {
                ["1", "yes", "true", "on"].contains(&value.as_str())
            })
        };
        let Some(base) = name.strip_suffix(".service") else {
            // Sockets are not restarted.
            return;
        };
        if is_set("X-ReloadIfChanged", false) {
            self.reload.push(name.to_owned());
        } else if !is_set("X-RestartIfChanged", true) {
        } else if !is_set("X-StopIfChanged", true) {
            self.restart.push(name.to_owned());
        } else {
            self.stop.push(name.to_owned());
            let socket = format!("{base}.socket");
            if from.contains_key(&socket) {
                self.stop.push(socket.clone());
            }
            let activates = from.contains_key(&socket) && to.contains_key(&socket);
            self.start
                .push(if activates { socket } else { name.to_owned() });
        }
    }
}

enum Difference {
    None,
    Reload,
    Restart,
}

/// The values of a unit, by section and key.
type Unit = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn difference(before: &Unit, after: &Unit) -> Difference {
    let mut result = Difference::None;
    let none = BTreeMap::new();
    let sections = before.keys().chain(after.keys());
    for section in sections {
        let of = |unit: &Unit| unit.get(section).unwrap_or(&none).clone();
        let (before, after) = (of(before), of(after));
        for key in before.keys().chain(after.keys()) {
            if before.get(key) == after.get(key) {
                continue;
            }
            if section != "Unit" || !IGNORED.contains(&key.as_str()) {
                return Difference::Restart;
            }
            // The removal of a trigger causes no reload.
            if key == "X-Reload-Triggers" && after.contains_key(key) {
                result = Difference::Reload;
            }
        }
    }
    result
}

fn parse(text: &str) -> Unit {
    let mut unit = Unit::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=') {
            // A switch ignores the section `[Install]`.
            if section != "Install" && !key.starts_with(['#', ';']) {
                let keys = unit.entry(section.to_owned()).or_default();
                keys.entry(key.to_owned())
                    .or_default()
                    .push(value.to_owned());
            }
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: &[(&str, &str)]) -> Units {
        units
            .iter()
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    }

    #[test]
    fn triggers_reload_and_everything_else_restarts() {
        let of = |text: &str| units(&[("a.service", text)]);
        let before =
            of("[Unit]\nX-Reload-Triggers=1\n[Service]\nX-StopIfChanged=false\nExecStart=x\n");
        let cases = [
            (
                "[Unit]\nX-Reload-Triggers=1\n[Service]\nX-StopIfChanged=false\nExecStart=x\n",
                [0, 0, 0],
            ),
            (
                "[Unit]\nDescription=x\nX-Reload-Triggers=1\n[Service]\nX-StopIfChanged=false\nExecStart=x\n",
                [0, 0, 0],
            ),
            (
                "[Unit]\nX-Reload-Triggers=2\n[Service]\nX-StopIfChanged=false\nExecStart=x\n",
                [0, 1, 0],
            ),
            (
                "[Unit]\nX-Reload-Triggers=2\n[Service]\nX-StopIfChanged=false\nExecStart=y\n",
                [0, 0, 1],
            ),
            (
                "[Unit]\nAfter=y\n[Service]\nX-StopIfChanged=false\nExecStart=x\n",
                [0, 0, 1],
            ),
            (
                "[Unit]\nX-Reload-Triggers=2\n[Service]\nExecStart=x\n",
                [1, 0, 0],
            ),
            (
                "[Unit]\nX-Reload-Triggers=2\n[Service]\nX-ReloadIfChanged=true\n",
                [0, 1, 0],
            ),
            (
                "[Unit]\nX-Reload-Triggers=2\n[Service]\nX-RestartIfChanged=false\n",
                [0, 0, 0],
            ),
        ];
        for (after, expected) in cases {
            let plan = plan(&before, &of(after));
            let found = [plan.stop.len(), plan.reload.len(), plan.restart.len()];
            assert_eq!(found, expected, "{after}");
            assert_eq!(plan.start.len(), plan.stop.len(), "{after}");
        }
    }

    #[test]
    fn sockets_are_left_alone_unless_they_are_gone() {
        let before = units(&[("a.socket", "[Socket]\nListenStream=1\n")]);
        let after = units(&[(
            "a.socket",
            "[Socket]\nListenStream=2\n\n[Install]\nWantedBy=sockets.target\n",
        )]);
        let expected = Plan {
            start: vec!["a.socket".to_owned()],
            ..Plan::default()
        };
        assert_eq!(plan(&before, &after), expected);
        assert_eq!(plan(&before, &Units::new()).stop, ["a.socket"]);
    }

    #[test]
    fn the_socket_of_a_service_is_stopped_with_it() {
        let of = |value: &str| {
            units(&[
                ("a.service", &format!("[Service]\nExecStart={value}\n")),
                ("a.socket", "[Socket]\nListenStream=1\n"),
            ])
        };
        let plan = plan(&of("x"), &of("y"));
        assert_eq!(plan.stop, ["a.service", "a.socket"]);
        assert_eq!(plan.start, ["a.socket"]);
    }
}
