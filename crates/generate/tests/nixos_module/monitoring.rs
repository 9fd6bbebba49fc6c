//! What Prometheus and Grafana of a host are configured with.

use serde_json::{Value, json};

use crate::nix;

/// What becomes of definitions below `services`, with two daemons.
fn outcome(lib: &str, definitions: &str) -> Value {
    let outcome = nix::outcome(
        lib,
        &format!(
            "{{ services = {{ aquatic.enable = true; aquatic.http.enable = true; {definitions} }}; }}"
        ),
    );
    outcome.unwrap()
}

/// The address of the metrics of a daemon.
fn metrics_address(outcome: &Value, daemon: &str) -> String {
    let text = outcome["etc"][format!("aquatic/aquatic-{daemon}.toml")].as_str();
    let table: toml::Table = text.expect("a file").parse().unwrap();
    table["metrics"]["address"].as_str().unwrap().to_owned()
}

#[test]
fn prometheus_reads_the_metrics_of_all_daemons() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "prometheus.enable = true; aquatic.monitoring.prometheus.enable = true; \
             aquatic.udp.settings.metrics.address = \"[::]:9100\";",
        );
        assert_eq!(outcome["warnings"], json!([]));
        assert_eq!(metrics_address(&outcome, "http"), "127.0.0.1:9001");
        assert_eq!(metrics_address(&outcome, "udp"), "[::]:9100");
        let scraped = json!([{
            "job_name": "aquatic",
            "static_configs": [{ "targets": ["127.0.0.1:9001", "[::1]:9100"] }],
        }]);
        assert_eq!(outcome["prometheus"]["scrapeConfigs"], scraped);
        let rules = outcome["prometheus"]["ruleFiles"][0].as_str().unwrap();
        assert!(rules.contains("alert: AquaticDown"), "{rules}");
    }
}

#[test]
fn grafana_has_the_dashboard() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "prometheus.enable = true; grafana.enable = true; \
             aquatic.monitoring = { prometheus.enable = true; grafana.enable = true; };",
        );
        let Value::Object(provision) = &outcome["grafana"]["provision"] else {
            panic!("{outcome}");
        };
        let provider = &provision["dashboards"]["settings"]["providers"][0];
        assert_eq!(provider["options"]["path"], "/etc/aquatic/dashboards");
        let source = &provision["datasources"]["settings"]["datasources"][0];
        assert_eq!(source["url"], "http://127.0.0.1:9090");
        let dashboard = outcome["etc"]["aquatic/dashboards/aquatic.json"].as_str();
        let dashboard: Value = serde_json::from_str(dashboard.unwrap()).unwrap();
        assert_eq!(dashboard["uid"], "aquatic");
    }
}

#[test]
fn nothing_is_monitored_unless_asked_for() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(&lib, "");
        assert_eq!(metrics_address(&outcome, "udp"), "");
        assert_eq!(outcome["prometheus"]["scrapeConfigs"], json!([]));
        let providers = &outcome["grafana"]["provision"]["dashboards"]["settings"]["providers"];
        assert_eq!(*providers, json!([]));
    }
}

#[test]
fn a_server_that_is_missing_is_named() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "aquatic.monitoring = { prometheus.enable = true; grafana.enable = true; };",
        );
        let warnings = outcome["warnings"].as_array().unwrap();
        let [first, second] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert!(first.to_string().contains("services.prometheus.enable"));
        assert!(second.to_string().contains("services.grafana.enable"));
    }
}
