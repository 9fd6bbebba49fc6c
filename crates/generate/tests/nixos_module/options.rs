//! Every option and its type, and errors that name it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::nix;

/// The key whose default differs: systemd opens the sockets, so their number must be known.
const WORKERS: &str = "socket_workers";

/// A key, as the configuration in packages describes it.
struct Key {
    path: String,
    default: Value,
    range: Option<(i64, i64)>,
    choices: Vec<String>,
    /// Whether it is a list of tables.
    has_tables: bool,
}

#[test]
fn every_key_is_an_option_with_its_default_and_documentation() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let options = nix::call("tests/options.nix", &format!("{{ lib = {lib}; }}"));
        let options = options.as_array().expect("a list");
        for option in options {
            assert_eq!(option["isDocumented"], true, "{option}");
        }
        for (daemon, keys) in daemons() {
            let prefix = format!("services.aquatic.{daemon}.settings.");
            let lists = keys.iter().filter(|key| key.has_tables);
            let within: Vec<String> = lists.map(|key| format!("{}.", key.path)).collect();
            let found: BTreeMap<&str, &Value> = options
                .iter()
                .filter_map(|option| {
                    let name = option["name"].as_str()?.strip_prefix(&prefix)?;
                    // The keys of a table in a list have no defaults.
                    let is_inside = within.iter().any(|list| name.starts_with(list));
                    (!is_inside).then_some((name, &option["default"]))
                })
                .collect();
            let names: Vec<&str> = keys.iter().map(|key| key.path.as_str()).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            assert_eq!(
                found.keys().copied().collect::<Vec<_>>(),
                sorted,
                "{daemon}"
            );
            for key in &keys {
                let expected = match key.path.as_str() {
                    WORKERS => json!(1),
                    _ => key.default.clone(),
                };
                assert_eq!(
                    *found[key.path.as_str()],
                    expected,
                    "{daemon}: {}",
                    key.path
                );
            }
        }
    }
}

#[test]
fn every_option_takes_what_it_should_and_nothing_else() {
    if !nix::can_be_evaluated() {
        return;
    }
    let mut cases = Vec::new();
    for (daemon, keys) in daemons() {
        for key in &keys {
            let path = format!("services.aquatic.{daemon}.settings.{}", key.path);
            for (value, is_right) in values(key) {
                cases.push((path.clone(), value, is_right));
            }
        }
    }
    for (path, right, wrong) in [
        ("enable", "true", "\"yes\""),
        ("checkConfig", "false", "0"),
        ("user", "\"someone\"", "5"),
        ("group", "\"someone\"", "null"),
        ("udp.enable", "false", "[ ]"),
        ("udp.openFirewall", "true", "3000"),
        (
            "udp.package",
            "{ type = \"derivation\"; name = \"x\"; outPath = \"/x\"; }",
            "\"x\"",
        ),
        ("udp.settings", "{ }", "\"[network]\""),
        ("udp.accessList", "null", "\"/etc/list\""),
        ("udp.accessList.mode", "\"deny\"", "\"off\""),
        ("udp.accessList.file", "\"/etc/list\"", "\"list\""),
        ("http.useACMEHost", "\"tracker.example.org\"", "true"),
        ("cluster.url", "\"redis://10.0.0.1\"", "6379"),
        ("cluster.local", "false", "\"no\""),
        ("cluster.passwordFile", "\"/run/secrets/a\"", "\"secret\""),
        ("cluster.engine.enable", "true", "{ }"),
        ("cluster.engine.appendOnly", "true", "\"everysec\""),
    ] {
        let path = format!("services.aquatic.{path}");
        cases.push((path.clone(), right.to_owned(), true));
        cases.push((path, wrong.to_owned(), false));
    }
    let hashes = "services.aquatic.udp.accessList.infoHashes";
    for (digits, is_right) in [
        (39, false),
        (40, true),
        (41, false),
        (64, true),
        (65, false),
    ] {
        cases.push((
            hashes.to_owned(),
            format!("[ \"{}\" ]", "aF".repeat(33)[..digits].to_owned()),
            is_right,
        ));
    }
    cases.push((
        hashes.to_owned(),
        format!("[ \"{}\" ]", "g".repeat(40)),
        false,
    ));

    let mut list = String::new();
    for (path, value, _) in &cases {
        let path: Vec<String> = path.split('.').map(|name| format!("\"{name}\"")).collect();
        write!(
            list,
            "{{ path = [ {} ]; value = {value}; }} ",
            path.join(" ")
        )
        .unwrap();
    }
    for lib in nix::libs() {
        let found = nix::call(
            "tests/accepts.nix",
            &format!("{{ lib = {lib}; cases = [ {list}]; }}"),
        );
        let found = found.as_array().expect("a list");
        assert_eq!(found.len(), cases.len());
        let faults: Vec<_> = cases
            .iter()
            .zip(found)
            .filter(|((_, _, is_right), found)| **found != json!(is_right))
            .map(|((path, value, is_right), _)| format!("{path} = {value}: expected {is_right}"))
            .collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[test]
fn errors_name_the_option() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        for (path, value) in [
            // Typos, at every depth.
            ("udp.settings.network.adress", "\"0.0.0.0:1\""),
            ("udp.settings.netwrok", "{ address = \"0.0.0.0:1\"; }"),
            ("udp.accessList.infohashes", "[ ]"),
            ("udp.openFirewal", "true"),
            ("tcp", "{ }"),
            ("cluster.uri", "\"redis://10.0.0.1\""),
            // Keys of single daemons.
            ("cluster.node", "\"one\""),
            // Wrong types of each kind.
            ("http.settings.network.keep_alive", "\"yes\""),
            ("http.settings.network.tcp_backlog", "0"),
            ("udp.settings.log_level", "\"verbose\""),
            ("udp.settings.snapshot.path", "./snapshot"),
            ("udp.settings.network.address", "3000"),
            ("udp.settings.socket_workers", "0"),
            ("udp.accessList", "\"/etc/list\""),
        ] {
            let configuration = format!(
                "{{ services.aquatic = {{ enable = true; http.enable = true; {path} = {value}; }}; }}"
            );
            let error = nix::outcome(&lib, &configuration).unwrap_err();
            let name = format!("`services.aquatic.{path}'");
            assert!(error.contains(&name), "{configuration}: {error}");
        }
    }
}

/// The daemons that the module knows, each with its keys.
fn daemons() -> Vec<(String, Vec<Key>)> {
    let names = nix::evaluate(&format!(
        "builtins.attrNames (import {}/nixos-module/daemons.nix)",
        nix::root().display()
    ))
    .unwrap();
    let names = names.as_array().expect("a list");
    assert!(names.len() > 1);
    names
        .iter()
        .map(|name| {
            let name = name.as_str().expect("a name");
            (name.to_owned(), keys(name))
        })
        .collect()
}

/// The keys of a daemon, with their comments.
fn keys(daemon: &str) -> Vec<Key> {
    let path = nix::root().join(format!("packaging/common/reference/aquatic-{daemon}.toml"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut keys = Vec::new();
    let mut section = String::new();
    let (mut range, mut choices) = (None, Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# [[") {
            keys.push(Key {
                path: name.trim_end_matches(']').to_owned(),
                default: json!([]),
                range: None,
                choices: Vec::new(),
                has_tables: true,
            });
        } else if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some(indented) = line.strip_prefix('#') {
            // "0, or from 4 to 8 bytes.": values in between are left to the daemon.
            let comment = indented.trim_start_matches(' ');
            let or_zero = comment.strip_prefix("0, or from ");
            if let Some((least, most)) = comment
                .strip_prefix("From ")
                .or(or_zero)
                .and_then(|it| it.split_once(" to "))
            {
                // A unit may follow.
                let most = most.split([' ', '.']).next().unwrap_or(most);
                let least = if or_zero.is_some() { "0" } else { least };
                range = least.parse().ok().zip(most.parse().ok());
            } else if let Some(choice) = indented.strip_prefix("   \"") {
                choices.extend(choice.split('"').next().map(str::to_owned));
            }
        } else if let Some((name, _)) = line.split_once(" = ") {
            let table: toml::Table = line.parse().unwrap();
            keys.push(Key {
                path: format!("{section}{name}"),
                default: serde_json::to_value(&table[name]).unwrap(),
                range: range.take(),
                choices: std::mem::take(&mut choices),
                has_tables: false,
            });
        } else {
            (range, choices) = (None, Vec::new());
        }
    }
    assert!(keys.len() > 20, "{daemon}");
    keys
}

/// Values as Nix, and whether the key should accept them.
fn values(key: &Key) -> Vec<(String, bool)> {
    let mut values = Vec::new();
    let mut add = |value: &str, is_right| values.push((value.to_owned(), is_right));
    add("{ a = 1; }", false);
    add("null", false);
    match &key.default {
        Value::Bool(_) => {
            add("true", true);
            add("false", true);
            add("1", false);
            add("\"true\"", false);
        }
        Value::Number(_) => {
            let (least, most) = key.range.expect("a range of every number");
            let least = if key.path == WORKERS { 1 } else { least };
            add(&least.to_string(), true);
            add(&most.to_string(), true);
            add(&format!("({})", least - 1), false);
            add(&(most + 1).to_string(), false);
            add("1.5", false);
            add("\"1\"", false);
            add("true", false);
        }
        Value::String(_) if key.choices.is_empty() => {
            add("\"text\"", true);
            add("3", false);
            add("[ \"text\" ]", false);
            // Its contents would be copied to the store.
            add("/etc/key.pem", false);
        }
        Value::String(_) => {
            for choice in &key.choices {
                add(&format!("\"{choice}\""), true);
            }
            add("\"no such choice\"", false);
            add("0", false);
        }
        Value::Array(_) if key.has_tables => {
            add("[ { from = \"one\"; to = \"other\"; } ]", true);
            add("[ { from = \"one\"; } ]", false);
            add(
                "[ { from = \"one\"; to = \"other\"; too = \"a\"; } ]",
                false,
            );
            add("[ { from = 3; to = \"other\"; } ]", false);
            add("[ 3 ]", false);
            add("3", false);
        }
        Value::Array(_) => {
            add("[ \"one\" \"other\" ]", true);
            add("[ 3 ]", false);
            add("3", false);
            if key.path == "network.address" {
                add("\"one\"", true);
            }
        }
        Value::Null | Value::Object(_) => panic!("{}: {}", key.path, key.default),
    }
    values
}
