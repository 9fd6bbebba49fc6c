//! The effects of options of clusters.

use serde_json::{Value, json};

use crate::nix;

/// Evaluates definitions below `services.aquatic`, with a daemon over UDP and one over HTTP.
fn outcome(lib: &str, definitions: &str) -> Result<Value, String> {
    nix::outcome(
        lib,
        &format!(
            "{{ services.aquatic = {{ enable = true; http.enable = true; {definitions} }}; }}"
        ),
    )
}

/// The section for clusters in the configuration of a daemon.
fn section(outcome: &Value, daemon: &str) -> toml::Table {
    let text = outcome["etc"][format!("aquatic/aquatic-{daemon}.toml")].as_str();
    let table: toml::Table = text.expect("a file").parse().unwrap();
    table["cluster"].as_table().unwrap().clone()
}

fn unit<'a>(outcome: &'a Value, daemon: &str) -> &'a str {
    let unit = &outcome["units"][format!("aquatic-{daemon}.service")];
    unit.as_str().expect("a unit")
}

fn has_line(unit: &str, line: &str) -> bool {
    unit.lines().any(|other| other == line)
}

#[test]
fn keys_are_those_of_all_daemons() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "cluster = { url = \"redis://10.0.0.1\"; namespace = \"a\"; }; \
             http.settings.cluster = { namespace = \"b\"; node = \"c\"; };",
        )
        .unwrap();
        for (daemon, namespace, node) in [("udp", "a", ""), ("http", "b", "c")] {
            let section = section(&outcome, daemon);
            assert_eq!(section["url"].as_str(), Some("redis://10.0.0.1"));
            assert_eq!(section["namespace"].as_str(), Some(namespace));
            assert_eq!(section["node"].as_str(), Some(node));
            assert_eq!(section["password_file"].as_str(), Some(""));
            assert!(has_line(unit(&outcome, daemon), "IPAddressAllow=10.0.0.1"));
        }
        assert_eq!(outcome["redis"]["servers"], json!({}));
    }
}

#[test]
fn the_password_is_a_credential() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let password = "cluster = { url = \"redis://a\"; passwordFile = \"/run/secrets/a\"; };";
        let own = "http.settings.cluster.password_file = \"/etc/other\";";
        let outcome = outcome(&lib, &format!("{password} {own}")).unwrap();
        let line = "LoadCredential=cluster-password:/run/secrets/a";
        assert!(has_line(unit(&outcome, "udp"), line));
        assert_eq!(
            section(&outcome, "udp")["password_file"].as_str(),
            Some("/run/credentials/aquatic-udp.service/cluster-password")
        );
        assert_eq!(
            section(&outcome, "http")["password_file"].as_str(),
            Some("/etc/other")
        );
    }
}

#[test]
fn a_password_in_the_store_is_refused() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let file = "cluster.passwordFile = \"/nix/store/x-password\";";
        let error = outcome(&lib, file).unwrap_err();
        assert!(
            error.contains("services.aquatic.cluster.passwordFile"),
            "{error}"
        );
    }
}

#[test]
fn an_engine_is_a_server_of_this_host() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(&lib, "cluster.engine.enable = true;").unwrap();
        assert_eq!(outcome["redis"]["package"], "valkey");
        let server = &outcome["redis"]["servers"]["aquatic"];
        assert_eq!(server["enable"], true);
        assert_eq!(server["appendOnly"], false);
        assert_eq!(server["settings"]["maxmemory-policy"], "noeviction");
        for daemon in ["udp", "http"] {
            let url = "redis+unix:///run/redis-aquatic/redis.sock";
            assert_eq!(section(&outcome, daemon)["url"].as_str(), Some(url));
            let unit = unit(&outcome, daemon);
            assert!(
                has_line(unit, "SupplementaryGroups=redis-aquatic"),
                "{unit}"
            );
            assert!(has_line(unit, "PrivateNetwork=true"), "{unit}");
            let mut lines = unit.lines();
            let after = lines.find(|line| line.starts_with("After=")).unwrap();
            assert!(after.contains("redis-aquatic.service"), "{after}");
        }
    }
}

#[test]
fn an_engine_can_be_redis_and_write_to_disk() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let configuration = "{ pkgs, ... }: { services.aquatic = { enable = true; \
             cluster.engine = { enable = true; package = pkgs.redis; appendOnly = true; }; }; }";
        let outcome = nix::outcome(&lib, configuration).unwrap();
        assert_eq!(outcome["redis"]["package"], "redis");
        assert_eq!(outcome["redis"]["servers"]["aquatic"]["appendOnly"], true);
    }
}
