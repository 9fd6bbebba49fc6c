//! Arguments, configuration files, and messages about errors in them.

use aquatic_test_harness::{Port, Setup};

use crate::tracker::{PROGRAM, UdpTracker as _, new_place};
use crate::wire::{Announce, hash};

#[test]
fn the_default_configuration_can_be_printed_and_loaded() {
    let setup = Setup::new(PROGRAM);
    let printed = setup.run(&["-p"]);
    assert_eq!(printed.status.code(), Some(0));
    setup.write("printed.toml", &printed.stdout);
    let checked = setup.run(&["--check-config", "-c", "printed.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    // The check does not warn about this machine's limit for socket buffers: systemd
    // grants more.
    assert!(!checked.stderr.contains("WARN"), "{}", checked.stderr);
    // With an empty file, the effective configuration is the default.
    setup.write("empty.toml", "");
    let value = |text: &str| text.parse::<Values>().unwrap();
    let effective = setup.run(&["-P", "-c", "empty.toml"]);
    assert_eq!(effective.status.code(), Some(0), "{}", effective.stderr);
    assert_eq!(value(&effective.stdout), value(&printed.stdout));
}

#[test]
fn first_steps_are_printed_at_a_terminal() {
    let setup = Setup::new(PROGRAM);
    let [port, metrics] = [Port::reserve(), Port::reserve()];
    let config = format!(
        "[network]\naddress = '0.0.0.0:{}'\n[metrics]\naddress = '{}'\n",
        port.number(),
        metrics.ipv4()
    );
    let mut terminal = setup.start_on_terminal(&config);
    let shown = terminal.wait_for("To stop: Ctrl-C");
    let url = format!("  udp://127.0.0.1:{}    on this machine\r\n", port.number());
    assert!(shown.contains(&url), "{shown}");
    let page = format!("Status page: http://{}/\r\n", metrics.ipv4());
    assert!(shown.contains(&page), "{shown}");
    assert!(terminal.interrupt().success());

    // Without a terminal, the first steps are not printed.
    let logged = setup.start(&config).stop().stderr;
    assert!(!logged.contains("URLs"), "{logged}");
}

#[test]
fn the_effective_configuration_has_what_was_set() {
    let setup = Setup::new(PROGRAM);
    setup.write("config.toml", "[protocol]\nmax_response_peers = 17\n");
    let printed = setup.run(&["-P", "-c", "config.toml"]);
    assert!(
        printed.stdout.contains("max_response_peers = 17"),
        "{}",
        printed.stdout
    );
}

#[test]
fn a_good_configuration_passes_the_check_without_binding() {
    let place = new_place();
    let tracker = place.start();
    // Checks the file that the running daemon uses.
    let checked = tracker
        .place
        .setup
        .run(&["--check-config", "-c", "config.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
}

#[test]
fn a_bad_configuration_names_the_key_the_line_and_what_would_be_right() {
    let cases: [(&str, &[&str]); 12] = [
        (
            "\n[protocol]\nmax_response_peers = 100000\n",
            &["max_response_peers", ":3", "79"],
        ),
        (
            "\n[protocol]\nmax_response_peers = 0\n",
            &["max_response_peers", ":3", "1"],
        ),
        (
            "[protocol]\nmax_scrape_torrents = \"many\"\n",
            &["max_scrape_torrents", ":2"],
        ),
        (
            "[network]\n\n\naddress = \"here\"\n",
            &["network.address", ":4", "0.0.0.0:3000"],
        ),
        (
            "[network]\naddress = [\"127.0.0.1:1\", \"127.0.0.1:1\"]\n",
            &["network.address", ":2"],
        ),
        (
            "[protocol]\nmax_respones_peers = 3\n",
            &["max_respones_peers", ":2", "max_response_peers"],
        ),
        ("[protcol]\n", &["protcol", ":1", "protocol"]),
        ("socket_workers = -1\n", &["socket_workers", ":1"]),
        ("log_level = \"loud\"\n", &["log_level", ":1", "info"]),
        ("[access_list]\nmode = \"allow\"\n", &["access_list.path"]),
        (
            "[cleaning]\nmax_peer_age = 0\n",
            &["cleaning.max_peer_age", ":2"],
        ),
        ("socket_workers = \n", &[":1"]),
    ];
    for (config, expected) in cases {
        let setup = Setup::new(PROGRAM);
        setup.write("bad.toml", config);
        for action in [
            &["-c", "bad.toml"][..],
            &["--check-config", "-c", "bad.toml"],
        ] {
            let finished = setup.run(action);
            let said = &finished.stderr;
            assert_ne!(finished.status.code(), Some(0), "{config}");
            assert!(said.contains("bad.toml"), "{config}: {said}");
            assert!(!said.contains("panicked"), "{config}: {said}");
            for part in expected {
                let part = part.replace(':', "bad.toml:");
                let part = if part.starts_with("0.0.0.0") {
                    "0.0.0.0:3000"
                } else {
                    &part
                };
                assert!(
                    said.contains(part),
                    "{config}: {part:?} is missing in {said}"
                );
            }
        }
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let setup = Setup::new(PROGRAM);
    let config = "[protocol]\nmax_response_peers = 0\nmax_scrape_torrents = 0\n";
    setup.write("bad.toml", config);
    let said = setup.run(&["-c", "bad.toml"]).stderr;
    assert!(
        said.contains("bad.toml:2") && said.contains("bad.toml:3"),
        "{said}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let setup = Setup::new(PROGRAM);
    let finished = setup.run(&["-c", "missing.toml"]);
    assert_ne!(finished.status.code(), Some(0));
    assert!(
        finished.stderr.contains("missing.toml"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_bad_command_line_is_refused_and_a_good_one_is_explained() {
    let setup = Setup::new(PROGRAM);
    for bad in [
        &["--no-such-option"][..],
        &["-c"],
        &["surplus"],
        &["-p", "-P"],
    ] {
        let finished = setup.run(bad);
        assert_ne!(finished.status.code(), Some(0), "{bad:?}");
        assert!(!finished.stderr.is_empty(), "{bad:?}");
    }
    let help = setup.run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for option in ["-c", "-p", "-P", "--check-config", "--migrate-config"] {
        assert!(help.stdout.contains(option), "{option} in {}", help.stdout);
    }
    let version = setup.run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(
        version.stdout.starts_with("aquatic-udp "),
        "{}",
        version.stdout
    );
}

/// Settings of a printed configuration by section and key, without comments.
#[derive(Debug, PartialEq, Eq)]
struct Values(Vec<String>);

impl std::str::FromStr for Values {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut section = "";
        let mut values = Vec::new();
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                section = line;
            } else {
                values.push(format!("{section} {line}"));
            }
        }
        values.sort();
        Ok(Self(values))
    }
}

#[test]
fn files_that_cannot_be_written_are_found_by_the_check() {
    let setup = Setup::new(PROGRAM);
    let said = |path: &str| {
        let export = "[scrape_exports]\nenable_scrape_exports = true";
        let config = format!("[snapshot]\npath = './swarm'\n{export}\npath = '{path}'\n");
        setup.write("config.toml", config);
        let checked = setup.run(&["--check-config", "-c", "config.toml"]);
        assert!(!checked.status.success(), "{path}: {}", checked.stderr);
        checked.stderr
    };
    let place = "config.toml:5:8: scrape_exports.path: ";
    for (path, what) in [
        ("swarm", "swarm is also the file of snapshot.path"),
        (".", ".: it is a directory, not a regular file"),
        ("no-such-directory/export", "cannot create files next to"),
    ] {
        let said = said(path);
        assert!(said.contains(&format!("{place}{what}")), "{said}");
    }
}
