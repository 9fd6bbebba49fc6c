//! How NixOS changes units when it switches to another configuration.

use std::fs;
use std::process::Command;

use aquatic_test_harness::nixos_switch::{self, Plan, Units};
use aquatic_test_harness::tools;

use crate::nix::{self, System};

const SERVICE: &str = "aquatic-udp.service";
/// The unit that opens the sockets again.
const HELPER: &str = "aquatic-udp-sockets.service";

/// Definitions of the daemon over UDP. Each differs from the first in one thing.
const CONFIGURATIONS: &[(&str, &str)] = &[
    ("first", ""),
    ("list", "accessList.infoHashes = [ ];"),
    ("settings", "settings.protocol.max_response_peers = 9;"),
    ("cluster", "settings.cluster.local = false;"),
    ("address", "settings.network.address = \"0.0.0.0:5\";"),
    ("workers", "settings.socket_workers = 2;"),
    ("metrics", "settings.metrics.address = \"127.0.0.1:9\";"),
];

/// Those that need other sockets.
const OTHER_SOCKETS: &[&str] = &["address", "workers"];

#[track_caller]
fn units(system: System<'_>, definitions: &str) -> Units {
    let list =
        "{ mode = \"allow\"; infoHashes = [ \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" ]; }";
    let list = if definitions.contains("accessList") {
        list.replace("aaaa", "bbbb")
    } else {
        list.to_owned()
    };
    let definitions = definitions.replace("accessList.infoHashes = [ ];", "");
    let outcome = system.outcome(&format!(
        "{{ services.aquatic = {{ enable = true; udp = {{ accessList = {list}; {definitions} }}; }}; }}"
    ));
    serde_json::from_value(outcome.unwrap()["units"].clone()).unwrap()
}

#[test]
fn a_change_does_as_much_as_it_must() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let system = System::new(&lib);
        let before = units(system, "");
        for (name, definitions) in CONFIGURATIONS {
            let after = units(system, definitions);
            let mut plan = nixos_switch::plan(&before, &after);
            // Only running or new units are started.
            plan.start.clear();
            let (reload, restart): (&[&str], &[&str]) = match *name {
                "first" => (&[], &[]),
                "list" | "settings" => (&[SERVICE], &[]),
                "cluster" => (&[], &[SERVICE]),
                _ => (&[HELPER], &[SERVICE]),
            };
            let expected = Plan {
                reload: reload.iter().map(|&it| it.to_owned()).collect(),
                restart: restart.iter().map(|&it| it.to_owned()).collect(),
                ..Plan::default()
            };
            assert_eq!(plan, expected, "{name}");
            let socket = |units: &Units| units["aquatic-udp.socket"].clone();
            assert_eq!(
                socket(&before) != socket(&after),
                OTHER_SOCKETS.contains(name),
                "{name}"
            );
        }
    }
}

#[test]
fn sockets_are_opened_again_whatever_else_changes() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let first = System::new(&lib);
        // All store paths are different, and the release may be another one.
        let systems = [
            first,
            System {
                generation: '1',
                ..first
            },
            System {
                generation: '1',
                release: nix::RELEASES[3],
                ..first
            },
        ];
        let evaluated = systems.map(|system| {
            CONFIGURATIONS
                .iter()
                .map(|(name, definitions)| (*name, units(system, definitions)))
                .collect::<Vec<_>>()
        });
        let pairs = evaluated[0]
            .iter()
            .flat_map(|before| evaluated.iter().flatten().map(move |after| (before, after)));
        for ((from, before), (to, after)) in pairs {
            let plan = nixos_switch::plan(before, after);
            let case = format!("from {from} to {to}: {plan:?}");
            let has = |units: &[String], name: &str| units.iter().any(|it| it == name);
            // Its restart, or a stop and a start, would come too late.
            assert!(!has(&plan.restart, HELPER), "{case}");
            assert!(!has(&plan.stop, HELPER), "{case}");
            let is_other = before["aquatic-udp.socket"] != after["aquatic-udp.socket"];
            assert!(!is_other || has(&plan.reload, HELPER), "{case}");
            assert!(!is_other || has(&plan.restart, SERVICE), "{case}");
            assert!(!has(&plan.stop, SERVICE), "{case}");
        }
    }
}

/// A machine for the script: its files, and a systemctl that records its arguments.
struct Machine {
    root: tempfile::TempDir,
    script: String,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path).display().to_string();
        let text = fs::read_to_string(nix::root().join("nixos-module/reopen-sockets")).unwrap();
        let script = text
            .replace("/run/current-system/sw/bin", &at("bin"))
            .replace("/etc/aquatic", &at("etc"));
        for directory in ["bin", "etc", "run"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        for name in ["cat", "rm"] {
            let program = tools::find(name).unwrap();
            std::os::unix::fs::symlink(program, root.path().join("bin").join(name)).unwrap();
        }
        let machine = Self { root, script };
        machine.systemctl(true);
        machine
    }

    /// Whether systemctl succeeds, and also whether sockets are active.
    fn systemctl(&self, succeeds: bool) {
        let path = self.root.path().join("bin/systemctl");
        let log = self.root.path().join("log");
        let text = format!("#!/bin/sh\necho \"$@\" >> {}\n{succeeds}\n", log.display());
        fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, mode).unwrap();
    }

    /// Runs the script with these sockets configured; returns whether it succeeds, and the
    /// arguments of systemctl.
    fn run(&self, sockets: &str, metrics: &str) -> (bool, String) {
        let path = |path: &str| self.root.path().join(path);
        fs::write(
            path("etc/aquatic-udp.sockets"),
            format!("{sockets}\n{metrics}\n"),
        )
        .unwrap();
        let _ = fs::remove_file(path("log"));
        let done = Command::new("/bin/sh")
            .args(["-c", &self.script, "reopen-sockets", "aquatic-udp"])
            .env_clear()
            .env("RUNTIME_DIRECTORY", path("run"))
            .output()
            .unwrap();
        let log = fs::read_to_string(path("log")).unwrap_or_default();
        (done.status.success(), log)
    }
}

#[test]
fn only_sockets_that_differ_are_opened_again() {
    let machine = Machine::new();
    let restart = "restart aquatic-udp.socket\n";
    // At boot they are open already.
    let asked = "is-active --quiet aquatic-udp.socket\n";
    assert_eq!(machine.run("a\\b", "none"), (true, asked.to_owned()));
    assert_eq!(machine.run("a\\b", "none"), (true, String::new()));
    assert_eq!(machine.run("c", "none"), (true, restart.to_owned()));
    assert_eq!(machine.run("c", "none"), (true, String::new()));
    // Metrics can be enabled and disabled without affecting the tracker.
    assert_eq!(machine.run("c", "m"), (true, String::new()));
    let stop = "stop aquatic-udp-metrics.socket\n";
    assert_eq!(machine.run("c", "n"), (true, stop.to_owned()));
    assert_eq!(machine.run("c", "none"), (true, String::new()));
    assert_eq!(machine.run("d", "m"), (true, restart.to_owned()));
    // Sockets that could not be opened are tried again, also with the former configuration.
    machine.systemctl(false);
    assert_eq!(machine.run("e", "m"), (false, restart.to_owned()));
    let (is_done, log) = machine.run("d", "m");
    assert_eq!((is_done, log), (false, format!("{asked}{restart}")));
}
