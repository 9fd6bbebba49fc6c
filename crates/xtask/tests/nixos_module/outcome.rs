//! What becomes of a configuration, and of a change of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::nix;

/// Evaluating the module may not take longer than this; it takes a tenth of it.
const LONGEST_EVALUATION: Duration = Duration::from_secs(1);

/// What becomes of definitions below `services.aquatic`, besides `enable`.
fn outcome(lib: &str, definitions: &str) -> Value {
    nix::outcome(lib, &configuration(definitions))
        .unwrap_or_else(|error| panic!("{definitions}: {error}"))
}

fn configuration(definitions: &str) -> String {
    format!("{{ services.aquatic = {{ enable = true; {definitions} }}; }}")
}

/// The values of a directive, in their order.
fn directives<'a>(outcome: &'a Value, unit: &str, name: &str) -> Vec<&'a str> {
    let text = outcome["units"][unit]
        .as_str()
        .unwrap_or_else(|| panic!("no unit {unit}"));
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .collect()
}

fn directive<'a>(outcome: &'a Value, unit: &str, name: &str) -> &'a str {
    let values = directives(outcome, unit, name);
    assert_eq!(values.len(), 1, "{name} of {unit}: {values:?}");
    values[0]
}

#[test]
fn nothing_happens_unless_enabled() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = nix::outcome(&lib, "{ services.aquatic.http.enable = true; }").unwrap();
        for nothing in ["units", "etc", "users", "groups"] {
            assert_eq!(outcome[nothing], json!({}), "{nothing}");
        }
        assert_eq!(outcome["packages"], json!([]));
    }
}

#[test]
fn udp_is_what_one_gets() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(&lib, "");
        let units: Vec<_> = outcome["units"].as_object().unwrap().keys().collect();
        assert_eq!(
            units,
            [
                "aquatic-udp-sockets.service",
                "aquatic-udp.service",
                "aquatic-udp.socket"
            ]
        );
        assert_eq!(outcome["packages"], json!(["aquatic-udp"]));
        assert_eq!(outcome["warnings"], json!([]));
        assert_eq!(outcome["firewall"], json!({ "tcp": [], "udp": [] }));
        assert_eq!(outcome["users"]["aquatic"]["isSystemUser"], true);
        assert_eq!(outcome["users"]["aquatic"]["group"], "aquatic");
        assert!(outcome["groups"]["aquatic"].is_object());
        assert_eq!(
            directive(&outcome, "aquatic-udp.service", "Requires"),
            "aquatic-udp.socket"
        );
        assert_eq!(
            directive(&outcome, "aquatic-udp.service", "User"),
            "aquatic"
        );
        // Otherwise a switch would close the socket while it restarts the service.
        assert_eq!(
            directive(&outcome, "aquatic-udp.service", "X-StopIfChanged"),
            "false"
        );
    }
}

#[test]
fn only_the_users_of_the_default_names_are_created() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(&lib, "user = \"someone\"; group = \"some\";");
        assert_eq!(outcome["users"], json!({}));
        assert_eq!(outcome["groups"], json!({}));
        assert_eq!(
            directive(&outcome, "aquatic-udp.service", "User"),
            "someone"
        );
        assert_eq!(directive(&outcome, "aquatic-udp.service", "Group"), "some");
    }
}

#[test]
fn there_are_as_many_sockets_as_workers() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "udp.settings = { socket_workers = 3; network.address = [ \"127.0.0.1:1\" \"[::1]:2\" ]; \
             network.socket_recv_buffer_size = 4000000; };
             http = { enable = true; settings.socket_workers = 2; \
             settings.network = { address = \"127.0.0.1:3\"; tcp_backlog = 77; }; };",
        );
        assert_eq!(
            directives(&outcome, "aquatic-udp.socket", "ListenDatagram"),
            [
                "127.0.0.1:1",
                "127.0.0.1:1",
                "127.0.0.1:1",
                "[::1]:2",
                "[::1]:2",
                "[::1]:2"
            ]
        );
        assert_eq!(
            directive(&outcome, "aquatic-udp.socket", "ReceiveBuffer"),
            "4000000"
        );
        assert_eq!(
            directive(&outcome, "aquatic-udp.socket", "ReusePort"),
            "true"
        );
        assert_eq!(
            directives(&outcome, "aquatic-http.socket", "ListenStream"),
            ["127.0.0.1:3", "127.0.0.1:3"]
        );
        assert_eq!(directive(&outcome, "aquatic-http.socket", "Backlog"), "77");
    }
}

#[test]
fn the_firewall_opens_where_others_can_reach() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "udp.openFirewall = true; udp.settings.network.address = \
             [ \"0.0.0.0:6969\" \"[::]:6969\" \"[2001:db8::1]:80\" \"127.0.0.1:5\" \"[::1]:6\" ];
             udp.settings.metrics.address = \"0.0.0.0:9000\";
             http = { enable = true; openFirewall = true; };",
        );
        assert_eq!(
            outcome["firewall"],
            json!({ "tcp": [3000], "udp": [6969, 80] })
        );
    }
}

#[test]
fn assertions_say_what_is_wrong() {
    if !nix::can_be_evaluated() {
        return;
    }
    let cases = [
        (
            "udp.settings.privileges.drop_privileges = true;",
            "services.aquatic.udp.settings.privileges.drop_privileges must be false",
        ),
        (
            "udp.accessList.mode = \"allow\";",
            "services.aquatic.udp.accessList needs either infoHashes or file",
        ),
        (
            "udp.accessList = { mode = \"allow\"; infoHashes = [ ]; file = \"/list\"; };",
            "services.aquatic.udp.accessList needs either infoHashes or file",
        ),
        (
            "udp.accessList = { mode = \"deny\"; file = \"${builtins.storeDir}/list\"; };",
            "services.aquatic.udp.accessList.file is in the store",
        ),
        (
            "http.enable = true; http.settings.network.tls_private_key_path = \"${builtins.storeDir}/key\";",
            "services.aquatic.http.settings.network.tls_private_key_path is in the store",
        ),
        (
            "udp.settings.network.address = [ \"0.0.0.0:1\" \"localhost\" ];",
            "services.aquatic.udp.settings.network.address: localhost is not an IP address",
        ),
        (
            "udp.settings.metrics.address = \"127.0.0.1:9000\"; http.enable = true; \
             http.settings.metrics.address = \"127.0.0.1:9000\";",
            "Two daemons cannot share the TCP address 127.0.0.1:9000",
        ),
        (
            "http.enable = true; ws.enable = true; ws.settings.network.address = \"0.0.0.0:3000\";",
            "Two daemons cannot share the TCP address 0.0.0.0:3000",
        ),
    ];
    for lib in nix::libs() {
        for (definitions, message) in cases {
            let error = nix::outcome(&lib, &configuration(definitions)).unwrap_err();
            assert!(
                error.contains("Failed assertions"),
                "{definitions}: {error}"
            );
            assert!(error.contains(message), "{definitions}: {error}");
        }
        // A mode cannot be left out, and a setting cannot contradict the option.
        let error =
            nix::outcome(&lib, &configuration("udp.accessList.infoHashes = [ ];")).unwrap_err();
        assert!(
            error.contains("`services.aquatic.udp.accessList.mode'"),
            "{error}"
        );
        let error = nix::outcome(
            &lib,
            &configuration(
                "udp.accessList = { mode = \"deny\"; infoHashes = [ ]; }; \
                 udp.settings.access_list.mode = \"allow\";",
            ),
        )
        .unwrap_err();
        assert!(
            error.contains("`services.aquatic.udp.settings.access_list.mode'"),
            "{error}"
        );
        // By themselves, they run side by side.
        outcome(&lib, "http.enable = true; ws.enable = true;");
        // Nothing to run is no error, but hardly meant.
        let outcome = outcome(&lib, "udp.enable = false;");
        let warning = outcome["warnings"][0].as_str().unwrap();
        assert!(
            warning.contains("none of its daemons is enabled"),
            "{warning}"
        );
    }
}

#[test]
fn certificates_come_from_acme() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = nix::outcome(
            &lib,
            "{
                services.aquatic = { enable = true; http.enable = true; http.useACMEHost = \"a.example\"; };
                security.acme.certs.\"a.example\".group = \"certs\";
            }",
        )
        .unwrap();
        let config = outcome["etc"]["aquatic/aquatic-http.toml"]
            .as_str()
            .unwrap();
        let config: toml::Table = config.parse().unwrap();
        let network = &config["network"];
        assert_eq!(network["enable_tls"].as_bool(), Some(true));
        let path = |key: &str| network[key].as_str().unwrap().to_owned();
        assert_eq!(
            path("tls_certificate_path"),
            "/var/lib/acme/a.example/fullchain.pem"
        );
        assert_eq!(
            path("tls_private_key_path"),
            "/var/lib/acme/a.example/key.pem"
        );
        assert_eq!(
            outcome["reloadServices"],
            json!({ "a.example": ["aquatic-http.service"] })
        );
        let unit = "aquatic-http.service";
        assert_eq!(directive(&outcome, unit, "SupplementaryGroups"), "certs");
        assert_eq!(directive(&outcome, unit, "Wants"), "acme-a.example.service");
        assert!(directive(&outcome, unit, "After").contains("acme-a.example.service"));
    }
}

/// Directives of NixOS itself: what a switch to another configuration looks at.
const RESTARTS: &str = "X-Restart-Triggers";
const RELOADS: &str = "X-Reload-Triggers";

#[test]
fn a_change_does_as_much_as_it_must() {
    if !nix::can_be_evaluated() {
        return;
    }
    let service = "aquatic-udp.service";
    let sockets = "aquatic-udp-sockets.service";
    let list = |hash: char| {
        let hash = hash.to_string().repeat(40);
        format!("udp.accessList = {{ mode = \"allow\"; infoHashes = [ \"{hash}\" ]; }};")
    };
    let before_text = list('a');
    // What it changes of the service: nothing, a reload, a restart. And whether
    // the sockets are opened again.
    let cases = [
        (list('a'), None, false),
        (list('b'), Some(RELOADS), false),
        (
            list('a') + "udp.settings.protocol.max_response_peers = 9;",
            Some(RESTARTS),
            false,
        ),
        (
            list('a') + "udp.settings.network.address = \"0.0.0.0:5\";",
            Some(RESTARTS),
            true,
        ),
        (
            list('a') + "udp.settings.socket_workers = 2;",
            Some(RESTARTS),
            true,
        ),
    ];
    for lib in nix::libs() {
        let before = outcome(&lib, &before_text);
        for (text, changed, opens) in &cases {
            let after = outcome(&lib, text);
            for name in [RESTARTS, RELOADS] {
                let is_changed =
                    directive(&before, service, name) != directive(&after, service, name);
                assert_eq!(is_changed, *changed == Some(name), "{name}: {text}");
            }
            // Nothing else differs, which would be a restart.
            let others = |outcome: &Value| -> Vec<String> {
                let text = outcome["units"][service].as_str().unwrap();
                let lines = text.lines().filter(|line| !line.contains("-Triggers="));
                lines.map(str::to_owned).collect()
            };
            assert_eq!(others(&before), others(&after), "{text}");
            let is_opened =
                directive(&before, sockets, RELOADS) != directive(&after, sockets, RELOADS);
            assert_eq!(is_opened, *opens, "{text}");
            let socket = |outcome: &Value| outcome["units"]["aquatic-udp.socket"].clone();
            assert_eq!(socket(&before) != socket(&after), *opens, "{text}");
        }
    }
}

#[test]
fn a_file_of_info_hashes_is_read_where_it_is() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "udp.accessList = { mode = \"deny\"; file = \"/var/lib/list\"; };",
        );
        let config = outcome["etc"]["aquatic/aquatic-udp.toml"].as_str().unwrap();
        assert!(
            config.contains("mode = \"deny\"\npath = \"/var/lib/list\"\n"),
            "{config}"
        );
        assert!(
            outcome["etc"]
                .get("aquatic/aquatic-udp.access-list")
                .is_none()
        );
        assert!(directives(&outcome, "aquatic-udp.service", RELOADS).is_empty());
    }
}

#[test]
fn checks_can_be_switched_off() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let name = "aquatic/aquatic-udp.toml";
        let checked = outcome(&lib, "");
        assert!(
            checked["scripts"][name]
                .as_str()
                .unwrap()
                .contains("aquatic-udp -c")
        );
        let unchecked = outcome(&lib, "checkConfig = false;");
        assert_eq!(unchecked["scripts"], json!({}));
        assert_eq!(checked["etc"][name], unchecked["etc"][name]);
    }
}

#[test]
fn evaluation_is_quick() {
    if !nix::can_be_evaluated() {
        return;
    }
    let appliance = nix::root().join("nixos-module/appliance.nix");
    for lib in nix::libs() {
        let best = (0..3)
            .map(|_| {
                let start = Instant::now();
                nix::outcome(&lib, &appliance.display().to_string()).unwrap();
                start.elapsed()
            })
            .min()
            .unwrap();
        assert!(best < LONGEST_EVALUATION, "{best:?}");
    }
}
