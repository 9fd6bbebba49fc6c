//! The results of configurations, and of changes to them.

use std::time::{Duration, Instant};

use aquatic_service::config::{Config as _, OldKey};
use serde_json::{Value, json};

use crate::nix;

/// Maximum time to evaluate the module, ten times of what is usual.
const MAX_EVALUATION_TIME: Duration = Duration::from_secs(1);

/// Evaluates definitions below `services.aquatic`, with `enable`.
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
fn ports_may_have_leading_zeros() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "udp = { openFirewall = true; settings.network.address = \"0.0.0.0:03000\"; };",
        );
        assert_eq!(outcome["firewall"]["udp"], json!([3000]));
        assert_eq!(
            directive(&outcome, "aquatic-udp.socket", "ListenDatagram"),
            "0.0.0.0:3000"
        );
    }
}

#[test]
fn every_release_has_what_the_module_sets() {
    if !nix::can_be_evaluated() {
        return;
    }
    let appliance = nix::root().join("nixos-module/appliance.nix");
    for lib in nix::libs() {
        let mut services = Vec::new();
        for release in nix::RELEASES {
            let system = nix::System {
                release,
                ..nix::System::new(&lib)
            };
            let outcome = system
                .outcome(&appliance.display().to_string())
                .unwrap_or_else(|error| panic!("{release}: {error}"));
            services.push(outcome["units"].clone());
            let text = outcome["units"].to_string();
            assert!(!text.contains("PATH="), "{release}: a path with tools");
        }
        assert!(services.iter().all(|units| *units == services[0]));
        // An option that some of them lack is not an option of the oldest.
        let error = nix::outcome(
            &lib,
            "{ systemd.services.x = { enableDefaultPath = false; serviceConfig.ExecStart = \"/x\"; }; }",
        )
        .unwrap_err();
        assert!(
            error.contains("enableDefaultPath' does not exist"),
            "{error}"
        );
    }
}

#[test]
fn a_module_may_be_imported_twice() {
    if !nix::can_be_evaluated() {
        return;
    }
    let module = nix::root().join("nixos-module");
    for lib in nix::libs() {
        nix::outcome(
            &lib,
            &format!(
                "{{ imports = [ {0} {0} {0}/appliance.nix {0}/appliance.nix ]; }}",
                module.display()
            ),
        )
        .unwrap();
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
            "udp.settings.keys.path = \"${builtins.storeDir}/keys\";",
            "services.aquatic.udp.settings.keys.path is in the store",
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
        (
            "http.enable = true; ws.enable = true; ws.settings.network.address = \"203.0.113.7:03000\";",
            "0.0.0.0:3000 in services.aquatic.http.settings.network.address and",
        ),
        (
            "udp.settings.network.address = \"0.0.0.0:65536\";",
            "services.aquatic.udp.settings.network.address: 0.0.0.0:65536 is not an IP address",
        ),
        (
            "udp.settings.privileges.chroot_path = \"/srv\";",
            "services.aquatic.udp.settings.privileges.chroot_path must be empty",
        ),
        (
            "udp.settings.snapshot.path = \"/srv/tracker/snapshot\";",
            "services.aquatic.udp.settings.snapshot.path: the service can only write to /var/lib/aquatic-udp",
        ),
        (
            "udp.settings.snapshot.path = \"/var/lib/aquatic-udp-2/snapshot\";",
            "services.aquatic.udp.settings.snapshot.path: the service can only write to /var/lib/aquatic-udp",
        ),
        (
            "udp.settings.scrape_exports = { enable_scrape_exports = true; path = \"/var/www/export\"; };",
            "services.aquatic.udp.settings.scrape_exports.path: the service can only write to",
        ),
        (
            "udp.accessList = { mode = \"deny\"; file = \"/home/operator/list\"; };",
            "services.aquatic.udp.settings.access_list.path: home directories are not visible to the service",
        ),
        (
            "udp.settings.bans.paths = [ \"/var/lib/bans\" \"/root/bans\" ];",
            "services.aquatic.udp.settings.bans.paths: home directories are not visible to the service",
        ),
        (
            "ws.enable = true; ws.settings.network.tls_certificate_path = \"/root/cert.pem\";",
            "services.aquatic.ws.settings.network.tls_certificate_path: home directories are not",
        ),
        (
            "http.enable = true; http.useACMEHost = \"a.example\";",
            "services.aquatic.http.useACMEHost: there is no certificate a.example",
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
        // An exception of the host is respected, in any form.
        let forced =
            |value: &str| format!("{{ _type = \"override\"; priority = 50; content = {value}; }}");
        for allowed in [
            "ReadWritePaths = [ \"/srv/tracker\" ];",
            "ReadWritePaths = [ \"-/srv/other /srv/tracker/\" ];",
            "ReadWritePaths = \"/srv/other -/srv\";",
            &format!("ProtectSystem = {};", forced("\"full\"")),
            &format!("ProtectSystem = {};", forced("false")),
        ] {
            nix::outcome(
                &lib,
                &format!(
                    "{{ services.aquatic = {{ enable = true; \
                     udp.settings.snapshot.path = \"/srv/tracker/snapshot\"; \
                     udp.accessList = {{ mode = \"deny\"; file = \"/home/operator/list\"; }}; }};
                     systemd.services.aquatic-udp.serviceConfig = {{ {allowed} \
                     ProtectHome = {}; }}; }}",
                    forced("\"read-only\"")
                ),
            )
            .unwrap_or_else(|error| panic!("{allowed}: {error}"));
        }
        // An export that is off is not written.
        outcome(
            &lib,
            "udp.settings.scrape_exports.path = \"/var/www/export\";",
        );
        // By default, they do not share peers.
        outcome(&lib, "http.enable = true; ws.enable = true;");
        // A configuration without daemons is valid, but probably a mistake.
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
                security.acme.certs.\"a.example\" = { group = \"certs\"; dnsProvider = \"hook\"; };
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
    }
}

#[test]
fn lists_are_read_where_they_are_and_beside_that_of_info_hashes() {
    if !nix::can_be_evaluated() {
        return;
    }
    for lib in nix::libs() {
        let outcome = outcome(
            &lib,
            "udp = {
               accessList = { mode = \"deny\"; file = \"/var/lib/list\"; };
               settings.access_list.allow_paths = [ \"/var/lib/allowed.d\" ];
               settings.bans = { paths = [ \"/etc/bans.d\" \"/var/lib/more\" ];
                                 except = [ \"192.168.0.0/16\" ]; };
               settings.clients.deny_paths = [ \"/etc/clients\" ];
             };",
        );
        let text = outcome["etc"]["aquatic/aquatic-udp.toml"].as_str().unwrap();
        let config: toml::Table = text.parse().unwrap();
        let paths = |section: &str, key: &str| {
            let paths = config[section][key].as_array().unwrap().iter();
            let paths = paths.map(|path| path.as_str().unwrap());
            paths.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            config["access_list"]["path"].as_str(),
            Some("/var/lib/list")
        );
        assert_eq!(paths("access_list", "allow_paths"), "/var/lib/allowed.d");
        assert_eq!(paths("bans", "paths"), "/etc/bans.d /var/lib/more");
        assert_eq!(paths("bans", "except"), "192.168.0.0/16");
        assert_eq!(paths("clients", "deny_paths"), "/etc/clients");
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
        assert!(best < MAX_EVALUATION_TIME, "{best:?}");
    }
}

#[test]
fn settings_that_were_renamed_are_taken_by_their_former_names() {
    if !nix::can_be_evaluated() {
        return;
    }
    let renamed: Vec<(&str, &str)> = aquatic_http::config::Config::OLD_KEYS
        .iter()
        .copied()
        .flatten()
        .filter_map(|old| match *old {
            OldKey::Renamed { key, to } => Some((key, to)),
            _ => None,
        })
        .collect();
    assert!(!renamed.is_empty());
    for lib in nix::libs() {
        for (key, to) in &renamed {
            let outcome = outcome(
                &lib,
                &format!("http = {{ enable = true; settings.{key} = 9; }};"),
            );
            let config = outcome["etc"]["aquatic/aquatic-http.toml"].as_str();
            let config: toml::Table = config.unwrap().parse().unwrap();
            let value = |path: &str| {
                let (section, key) = path.split_once('.').unwrap();
                config[section].get(key).cloned()
            };
            assert_eq!(value(to), Some(9.into()), "{to}");
            assert_eq!(value(key), None, "{key}");
        }
    }
}
