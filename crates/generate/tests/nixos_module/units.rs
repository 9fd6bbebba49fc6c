//! Compares the units with those of the packages for other distributions, which differ only
//! in paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::nix;
use crate::programs::{self, program};

/// A unit: the values of each directive, in their order, by section and name.
type Unit = BTreeMap<(String, String), Vec<String>>;

#[test]
fn they_are_those_of_the_packages() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let daemons = daemons();
        let enabled: String = daemons
            .iter()
            .zip(4000..)
            .map(|(name, port)| {
                format!(
                    "{name} = {{ enable = true; settings.network.address = \"0.0.0.0:{port}\"; }}; "
                )
            })
            .collect();
        let outcome = nix::outcome(
            &lib,
            &format!("{{ services.aquatic = {{ enable = true; {enabled} }}; }}"),
        )
        .unwrap();
        // The module has the same daemons as the packages.
        let packaged: Vec<_> = fs::read_dir(nix::root().join("packaging/common"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        for kind in ["service", "socket"] {
            let files = packaged
                .iter()
                .filter(|path| path.extension().is_some_and(|it| it == kind));
            let mut count = 0;
            for path in files {
                count += 1;
                let unit = path.file_name().unwrap().to_string_lossy().into_owned();
                let packaged = fs::read_to_string(path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let mut packaged = parse(&packaged);
                // On NixOS, addresses change with a switch only, and that opens the
                // sockets again.
                packaged.remove(&("Service".to_owned(), "ExecStopPost".to_owned()));
                let mut ours = parse(
                    outcome["units"][&unit]
                        .as_str()
                        .unwrap_or_else(|| panic!("NixOS has no {unit}")),
                );
                // For NixOS, when it switches to another configuration.
                ours.retain(|(_, directive), _| !directive.starts_with("X-"));
                // For every service of a host.
                if let Some(variables) =
                    ours.get_mut(&("Service".to_owned(), "Environment".to_owned()))
                {
                    variables.retain(|it| {
                        !it.starts_with("LOCALE_ARCHIVE=") && !it.starts_with("TZDIR=")
                    });
                }
                for unit in [&mut ours, &mut packaged] {
                    if let Some(variables) =
                        unit.get_mut(&("Service".to_owned(), "Environment".to_owned()))
                    {
                        variables.sort();
                    }
                }
                // Other distributions get these from generators.
                ours.retain(|(_, directive), _| {
                    !["Backlog", "ListenDatagram", "ListenStream", "ReceiveBuffer"]
                        .contains(&directive.as_str())
                });
                assert!(packaged.len() > 5, "{unit}");
                assert_eq!(ours, packaged, "{unit}");
            }
            assert!(count > 1, "{count} units of kind {kind}");
        }
    }
}

#[test]
fn sockets_are_those_of_the_generators() {
    if !nix::can_be_evaluated() {
        return;
    }
    let settings = [
        "",
        "socket_workers = 3; network.address = [ \"127.0.0.1:3000\" \"[2001:db8::1]:6969\" ];",
        "metrics.address = \"127.0.0.1:9000\";",
    ];
    for lib in nix::libs() {
        for name in daemons() {
            for settings in settings {
                let outcome = nix::outcome(
                    &lib,
                    &format!(
                        "{{ services.aquatic = {{ enable = true; \
                         {name} = {{ enable = true; settings = {{ {settings} }}; }}; }}; }}"
                    ),
                );
                compare_with_generator(&name, &outcome.unwrap());
            }
        }
    }
}

#[test]
fn access_is_that_of_the_generators() {
    if !nix::can_be_evaluated() {
        return;
    }
    let urls = [
        "",
        "redis://127.0.0.1",
        "redis://10.0.0.1:7000/1",
        "rediss://[fd00::7]:6380",
        "redis://[::1]",
        "redis://localhost",
        "redis://engine.example/2",
        "redis+sentinel://10.0.0.1,10.0.0.2:7/name/1",
        "rediss+cluster://10.0.0.1:1,[fd00::7]:2",
        // This group exists everywhere.
        "redis+unix:///run/daemon/redis.sock?db=1",
        "redis+unix:///run/daemon-a/redis.sock",
        "redis+unix:///run/no-such-group/redis.sock",
        "redis+unix:///redis.sock",
    ];
    for lib in nix::libs() {
        for url in urls {
            let outcome = nix::outcome(
                &lib,
                &format!(
                    "{{ users.groups.daemon = {{ }}; \
                     services.aquatic = {{ enable = true; cluster.url = \"{url}\"; }}; }}"
                ),
            );
            let outcome = outcome.unwrap_or_else(|error| panic!("{url}: {error}"));
            let units = generated("aquatic-udp", &outcome);
            let drop_in = units
                .path()
                .join("aquatic-udp.service.d/50-destination.conf");
            assert_eq!(drop_in.exists(), !url.is_empty(), "{url}");
            let ours = unit(&outcome, "aquatic-udp.service");
            let words_of = |unit: &Unit, section: &str, directive: &str| {
                let values = unit.get(&(section.to_owned(), directive.to_owned()));
                let words = values.into_iter().flatten().flat_map(|it| it.split(' '));
                words.map(str::to_owned).collect::<BTreeSet<_>>()
            };
            let theirs = match url {
                "" => Unit::new(),
                _ => generated_unit(&drop_in),
            };
            for (section, directive) in [
                ("Unit", "After"),
                ("Service", "PrivateNetwork"),
                ("Service", "RestrictAddressFamilies"),
                ("Service", "IPAddressDeny"),
                ("Service", "IPAddressAllow"),
                ("Service", "SupplementaryGroups"),
            ] {
                let mut expected = words_of(&theirs, section, directive);
                // The values without the drop-in.
                match directive {
                    "After" => {
                        expected
                            .extend(["aquatic-udp.socket", "network.target"].map(str::to_owned));
                    }
                    "PrivateNetwork" if expected.is_empty() => {
                        expected.insert("true".to_owned());
                    }
                    "RestrictAddressFamilies" => {
                        expected.insert("AF_UNIX".to_owned());
                    }
                    _ => {}
                }
                assert_eq!(words_of(&ours, section, directive), expected, "{url}");
            }
            let variable = format!("AQUATIC_CLUSTER_URL={url}");
            assert!(words_of(&ours, "Service", "Environment").contains(&variable));
            assert!(
                url.is_empty() || words_of(&theirs, "Service", "Environment").contains(&variable)
            );
        }
    }
}

/// The output of a daemon's generator for the configuration that was made for it.
fn generated(daemon: &str, outcome: &Value) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let generator = directory.path().join(format!("{daemon}-generator"));
    std::os::unix::fs::symlink(program(daemon), &generator).unwrap();
    let config = directory.path().join("config.toml");
    let text = outcome["etc"][format!("aquatic/{daemon}.toml")]
        .as_str()
        .expect("a file");
    fs::write(&config, text).unwrap();
    let units = tempfile::tempdir().unwrap();
    let arguments = [units.path(), units.path(), units.path(), &config];
    let generated = Command::new(generator).args(arguments).output().unwrap();
    programs::succeeded(&generated, "the generator");
    units
}

/// Compares sockets with those that the generator of a daemon makes of the configuration
/// that was made for it.
fn compare_with_generator(name: &str, outcome: &Value) {
    let daemon = format!("aquatic-{name}");
    let units = generated(&daemon, outcome);
    let units = units.path();
    let drop_in = units.join(format!("{daemon}.socket.d/50-addresses.conf"));
    let ours = unit(outcome, &format!("{daemon}.socket"));
    let mut theirs = generated_unit(&drop_in);
    // A removed unit is stopped by the switch itself.
    theirs.retain(|(_, directive), _| directive != "Conflicts");
    assert!(theirs.len() > 1, "{theirs:?}");
    for (directive, values) in &theirs {
        assert_eq!(ours.get(directive), Some(values), "{directive:?}");
    }
    let metrics = format!("{daemon}-metrics.socket");
    let file = units.join(&metrics);
    assert_eq!(outcome["units"].get(&metrics).is_some(), file.exists());
    if file.exists() {
        assert_eq!(unit(outcome, &metrics), generated_unit(&file));
        let service = unit(outcome, &format!("{daemon}.service"));
        let drop_in = generated_unit(&units.join(format!("{daemon}.service.d/50-metrics.conf")));
        for (directive, values) in drop_in {
            let all: Vec<&str> = service[&directive]
                .iter()
                .flat_map(|it| it.split(' '))
                .collect();
            assert!(all.contains(&values[0].as_str()), "{directive:?}: {all:?}");
        }
    }
}

fn unit(outcome: &Value, name: &str) -> Unit {
    parse(
        outcome["units"][name]
            .as_str()
            .unwrap_or_else(|| panic!("no unit {name}")),
    )
}

/// A unit that a generator made, without the name of the file it is made from.
fn generated_unit(path: &Path) -> Unit {
    let mut unit = parse(&fs::read_to_string(path).unwrap());
    unit.retain(|(_, directive), _| directive != "SourcePath");
    unit
}

fn daemons() -> Vec<String> {
    let daemons = nix::evaluate(&format!(
        "builtins.attrNames (import {}/nixos-module/daemons.nix)",
        nix::root().display()
    ));
    serde_json::from_value(daemons.unwrap()).unwrap()
}

fn parse(text: &str) -> Unit {
    let mut unit = Unit::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name;
            continue;
        }
        let (directive, value) = line.split_once('=').expect("a directive");
        unit.entry((section.to_owned(), directive.to_owned()))
            .or_default()
            .push(plain(value));
    }
    unit
}

/// A value without paths, in a normal form.
fn plain(value: &str) -> String {
    let words = value.split(' ').map(|word| match word {
        "yes" => "true",
        "no" => "false",
        word if word.starts_with('/') => match word.rsplit_once("/bin/") {
            Some((_, name)) => name,
            None => word,
        },
        word => word.trim_matches('"'),
    });
    words.collect::<Vec<_>>().join(" ")
}
