//! Loading of whole files, with a sample configuration.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::numbers::{Bytes, Count};
use super::old_keys::{self, OldKey};
use super::{
    AccessListConfig, Addresses, Checks, Config, Diagnostic, Error, Layer, Loaded, LogLevel,
    MetricsConfig, Sources, load, parse,
};

mod form;
mod layers;
mod recovery;
mod tables;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sample {
    workers: Count<0, 65_535>,
    log_level: LogLevel,
    network: Network,
    access_list: AccessListConfig,
    metrics: MetricsConfig,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            workers: Count::of::<0>(),
            log_level: LogLevel::default(),
            network: Network::default(),
            access_list: AccessListConfig::default(),
            metrics: MetricsConfig::default(),
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Network {
    address: Addresses,
    buffer: Bytes<0, 4_294_967_295>,
    ratio: f64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            address: Addresses::all(3000),
            buffer: Bytes::of::<5>(),
            ratio: 1.5,
        }
    }
}

impl Config for Sample {
    const DEFAULT_TOML: &'static str = r#"# Head.

# How many.
workers = 0 # none
log_level = "info"

# Sockets.
[network]
address = ["0.0.0.0:3000", "[::]:3000"]
buffer = 5
ratio = 1.5

[access_list]
mode = "off"
path = ""
allow_paths = []
deny_paths = []

[metrics]
address = ""
peer_clients = false
peer_id_prefixes = false
largest_torrents = 0
"#;

    const NEED_RESTART: &'static [&'static [&'static str]] = &[];
    const OLD_KEYS: &'static [&'static [OldKey]] = &[
        old_keys::WORKERS,
        old_keys::EVENT_LOOP,
        old_keys::CPU_PINNING,
        old_keys::ADDRESSES,
        &[
            OldKey::Moved {
                key: "network.old_buffer",
                to: "network.buffer",
            },
            OldKey::Moved {
                key: "statistics.peer_clients",
                to: "metrics.peer_clients",
            },
            OldKey::Merged {
                keys: &[
                    "metrics.run_prometheus_endpoint",
                    "metrics.prometheus_endpoint_address",
                ],
                to: "metrics.address",
                merge: |found| old_keys::endpoint(found, "metrics"),
            },
        ],
    ];

    fn invalid(&self) -> Vec<Diagnostic> {
        let mut checks = Checks::new();
        self.access_list.check(&mut checks);
        checks.finish(()).err().unwrap_or_default()
    }
}

fn addresses(texts: &[&str]) -> Addresses {
    Addresses::new(texts).unwrap()
}

fn loaded(text: &str) -> Loaded<Sample> {
    parse(text, Path::new("f")).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    let faults = parse::<Sample>(text, Path::new("f")).unwrap_err();
    faults.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn without_a_file_the_defaults_are_in_effect() {
    let loaded = load::<Sample>(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Sample::default());
    assert_eq!(loaded.effective_toml(), Sample::DEFAULT_TOML);
    assert_eq!(self::loaded("").config, Sample::default());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.toml");
    let error = load::<Sample>(&Sources::file(Some(&missing))).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
    let expected = format!("cannot read the configuration file {}", missing.display());
    assert_eq!(error.to_string(), expected);

    let reason = |content: &[u8]| {
        let file = directory.path().join("file.toml");
        std::fs::write(&file, content).unwrap();
        let error = load::<Sample>(&Sources::file(Some(&file))).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let large = vec![b'\n'; (1 << 20) + 1];
    assert_eq!(reason(&large), "it is larger than 1048576 bytes");
    assert!(reason(b"\xff\xfe").contains("UTF-8"));
}

#[test]
fn unknown_keys_are_all_reported_with_what_was_probably_meant() {
    let text = "\
worker = 1
bufer = 2
buffer = 3
[network]
adress = \"127.0.0.1:1\"
workers = 1
speed = 9
[netwrk]
buffer = 1
[other]
";
    assert_eq!(
        faults(text),
        [
            "f:1:1: worker: unknown key; did you mean \"workers\"? (the top of the file has: \
             log_level, workers, [access_list], [metrics], [network])",
            "f:2:1: bufer: unknown key (the top of the file has: \
             log_level, workers, [access_list], [metrics], [network])",
            "f:3:1: buffer: unknown key; it belongs in [network] (the top of the file has: \
             log_level, workers, [access_list], [metrics], [network])",
            "f:5:1: network.adress: unknown key; did you mean \"address\"? \
             ([network] has: address, buffer, ratio)",
            "f:6:1: network.workers: unknown key; it belongs at the top of the file, before \
             the first section ([network] has: address, buffer, ratio)",
            "f:7:1: network.speed: unknown key ([network] has: address, buffer, ratio)",
            "f:8:2: netwrk: unknown section; did you mean [network]? (there are: \
             [access_list], [metrics], [network])",
            "f:10:2: other: unknown section (there are: [access_list], [metrics], [network])",
        ]
    );
}

#[test]
fn wrong_types_are_all_reported_with_what_would_be_right() {
    let text = "\
workers = 70000
log_level = \"wran\"
access_list = 1
[network]
address = [1]
buffer = \"much\"
ratio = true
[metrics]
address = 9000
peer_clients = 0x10
";
    assert_eq!(
        faults(text),
        [
            "f:1:11: workers: 70000 is out of range: it must be from 0 to 65535",
            "f:2:13: log_level: \"wran\" is not one of \"off\", \"error\", \"warn\", \"info\", \
             \"debug\", \"trace\"; did you mean \"warn\"?",
            "f:3:15: access_list: must be a section [access_list], not a whole number",
            "f:5:12: network.address: must be a list of strings in quotes",
            "f:6:10: network.buffer: must be a whole number, such as 5, not a string in quotes",
            "f:7:9: network.ratio: must be a number with a fraction, such as 1.5, \
             not true or false",
            "f:9:11: metrics.address: must be a string in quotes, not a whole number",
            "f:10:16: metrics.peer_clients: must be true or false, not a whole number",
        ]
    );
    assert_eq!(
        faults("log_level = ['info']\n"),
        ["f:1:13: log_level: must be a string in quotes, not a list"]
    );
}

#[test]
fn quoted_values_do_not_break_the_line_of_a_message() {
    let text = "[network]\naddress = [a, \"\"\"\n1\r\n2\"\"\", b]\n";
    let faults = parse::<Sample>(text, Path::new("f")).unwrap_err();
    let Diagnostic { message, .. } = &faults.list[0];
    assert!(
        message.starts_with("put each string in quotes"),
        "{message:?}"
    );
    assert!(!message.contains(['\n', '\r']), "{message:?}");

    let text = "log_level = \"\"\"a\n\nb\"\"\"\n";
    let faults = parse::<Sample>(text, Path::new("f")).unwrap_err();
    let [Diagnostic { message, .. }] = &faults.list[..] else {
        panic!("{faults}");
    };
    assert!(
        message.starts_with("\"a  b\" is not one of "),
        "{message:?}"
    );
}

#[test]
fn numbers_out_of_range_are_shown_as_written() {
    assert_eq!(
        faults("workers = -1\nnetwork.buffer = 0xffff_ffff_ffff_ffff_ffff\n"),
        [
            "f:1:11: workers: -1 is out of range: it must be from 0 to 65535",
            "f:2:18: network.buffer: 0xffffffffffffffffffff is out of range: it must be \
             from 0 to 4294967295 bytes",
        ]
    );
}

#[test]
fn an_address_is_one_or_a_list() {
    let one = loaded("[network]\naddress = '127.0.0.1:1'\n").config;
    assert_eq!(one.network.address, addresses(&["127.0.0.1:1"]));
    let two = loaded("[network]\naddress = ['127.0.0.1:1', '[::1]:1']\n").config;
    assert_eq!(two.network.address, addresses(&["127.0.0.1:1", "[::1]:1"]));
    assert_eq!(
        faults("[network]\naddress = ['x', '127.0.0.1:0']\n"),
        [
            "f:2:11: network.address: \"x\" is not an IP address and port; write it like \
             \"0.0.0.0:3000\" or \"[::]:3000\"",
            "f:2:11: network.address: \"127.0.0.1:0\" has port 0; choose a port from 1 to 65535",
        ]
    );
    assert_eq!(
        faults("[network]\naddress = 3000\n"),
        [
            "f:2:11: network.address: must be an address such as \"0.0.0.0:3000\", \
          or a list of addresses, not a whole number"
        ]
    );
}

#[test]
fn faults_of_values_get_the_line_of_their_key() {
    let file = loaded("[access_list]\nmode = 'deny'\n");
    let settings = |config: &Sample| match config.invalid() {
        errors if errors.is_empty() => Ok(()),
        errors => Err(errors),
    };
    let path = "access_list.path: a file of info hashes is required unless access_list.mode is \
                \"off\" (the file does not set access_list.path)";
    assert_eq!(
        file.settings(settings).unwrap_err().to_string(),
        format!("f: {path}")
    );

    // A check of several values is reported along with errors of other values, if the
    // values that it needs are valid.
    assert_eq!(
        faults("[access_list]\nmode = 'deny'\n\n[metrics]\naddress = 'x'\n"),
        [
            &format!("f: {path}"),
            "f:5:11: metrics.address: \"x\" is not an IP address and port; write it like \
             \"127.0.0.1:9000\" or \"[::1]:9000\"",
        ]
    );
    let faults = faults("[access_list]\nmode = 'deny'\npath = 1\n");
    assert_eq!(faults.len(), 1, "{faults:?}");

    let defaults = load::<Sample>(&Sources::default()).unwrap();
    let fail = |_: &Sample| {
        let mut checks = Checks::new();
        checks.fail("workers", "no");
        checks.finish(())
    };
    assert_eq!(
        defaults.settings(fail).unwrap_err().to_string(),
        "default configuration: workers: no"
    );
}

#[test]
fn faults_of_values_name_the_old_key_they_come_from() {
    assert_eq!(
        faults("[network]\nuse_ipv6 = false\naddress_ipv4 = 'x'\n"),
        [
            "f:2:1: network.address: \"x\" is not an IP address and port; write it like \
             \"0.0.0.0:3000\" or \"[::]:3000\" (translated from network.use_ipv6, \
             network.address_ipv4)"
        ]
    );
}

#[test]
fn old_keys_give_a_warning_each_in_the_order_of_the_file() {
    let file = loaded(
        "\
request_workers = 1
worker_channel_size = 0
[network]
old_buffer = 7
poll_timeout_ms = 50
[statistics]
peer_clients = true
[cpu_pinning]
active = false
mode = 'ascending'
",
    );
    assert_eq!(
        file.warnings().lines(),
        [
            "f:1:1: request_workers: ignored: there is only one kind of worker, whose number is \
             socket_workers",
            "f:2:1: worker_channel_size: ignored: requests no longer pass between threads",
            "f:4:1: network.old_buffer: renamed to network.buffer",
            "f:5:1: network.poll_timeout_ms: ignored: chosen by the event loop",
            "f:7:1: statistics.peer_clients: renamed to metrics.peer_clients",
            "f:8:2: cpu_pinning: ignored: leave it to the scheduler, or set CPUAffinity= in the \
             systemd unit",
        ]
    );
    assert_eq!(file.config.network.buffer, Bytes::of::<7>());
    assert!(file.config.metrics.peer_clients);
}

#[test]
fn todays_key_wins_over_the_old_one() {
    let file = loaded("[network]\nold_buffer = 7\nbuffer = 8\n");
    assert_eq!(file.config.network.buffer, Bytes::of::<8>());
    assert_eq!(
        file.warnings().lines(),
        ["f:2:1: network.old_buffer: ignored: network.buffer is also set"]
    );
}

#[test]
fn a_moved_key_of_the_wrong_type_is_reported_where_it_stands() {
    assert_eq!(
        faults("[network]\nold_buffer = true\n"),
        [
            "f:2:14: network.buffer: must be a whole number, such as 5, not true or false \
             (translated from network.old_buffer)"
        ]
    );
    assert_eq!(
        faults("[network]\nuse_ipv4 = 1\naddress_ipv6 = 2\n"),
        [
            "f:2:12: network.use_ipv4: must be true or false",
            "f:3:16: network.address_ipv6: must be a string in quotes",
        ]
    );
}

#[test]
fn an_emptied_or_empty_old_section_is_no_unknown_section() {
    assert_eq!(loaded("[statistics]\n").config, Sample::default());
    assert_eq!(
        loaded("[statistics]\npeer_clients = false\n")
            .warnings()
            .list
            .len(),
        1
    );
    let rest = faults("[statistics]\npeer_clients = false\nother = 1\n");
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert!(
        rest[0].starts_with("f:3:1: statistics.other: unknown key"),
        "{rest:?}"
    );
}

#[test]
fn addresses_of_earlier_releases_become_a_list() {
    let cases: &[(&str, &[&str])] = &[
        // One address, up to release 0.9.
        ("address = '0.0.0.0:1'\nonly_ipv6 = false", &["0.0.0.0:1"]),
        ("address = '0.0.0.0:1'\nonly_ipv6 = true", &["0.0.0.0:1"]),
        ("address = '[::]:1'\nonly_ipv6 = true", &["[::]:1"]),
        (
            "address = '[::]:1'\nonly_ipv6 = false",
            &["[::]:1", "0.0.0.0:1"],
        ),
        ("address = '[::1]:1'\nonly_ipv6 = false", &["[::1]:1"]),
        ("only_ipv6 = true", &["0.0.0.0:3000", "[::]:3000"]),
        // A key for each family.
        (
            "use_ipv4 = true\nuse_ipv6 = true\naddress_ipv4 = '1.2.3.4:1'\naddress_ipv6 = '[::1]:2'",
            &["1.2.3.4:1", "[::1]:2"],
        ),
        ("use_ipv4 = false\naddress_ipv6 = '[::1]:2'", &["[::1]:2"]),
        (
            "use_ipv6 = false\naddress_ipv4 = '1.2.3.4:1'",
            &["1.2.3.4:1"],
        ),
        ("use_ipv6 = false", &["0.0.0.0:3000"]),
        (
            "use_ipv4 = false\nset_only_ipv6 = false",
            &["[::]:3000", "0.0.0.0:3000"],
        ),
        (
            "use_ipv4 = true\nset_only_ipv6 = false",
            &["0.0.0.0:3000", "[::]:3000"],
        ),
        // Both forms.
        ("address = '1.2.3.4:5'\nuse_ipv4 = false", &["1.2.3.4:5"]),
    ];
    for (network, expected) in cases {
        let file = loaded(&format!("[network]\n{network}\n"));
        assert_eq!(
            file.config.network.address,
            addresses(expected),
            "{network}"
        );
        let old_keys = network
            .lines()
            .filter(|line| !line.starts_with("address ="));
        assert_eq!(file.warnings().lines().len(), old_keys.count(), "{network}");
    }
    let none = faults("[network]\nuse_ipv4 = false\nuse_ipv6 = false\n");
    assert!(
        none[0].contains("at least one address is needed"),
        "{none:?}"
    );
    assert_eq!(
        loaded("[network]\naddress = '[::]:1'\nonly_ipv6 = false\n")
            .warnings()
            .lines(),
        ["f:3:1: network.only_ipv6: merged into network.address: [\"[::]:1\", \"0.0.0.0:1\"]"]
    );
}

#[test]
fn an_endpoint_for_prometheus_becomes_the_address_of_metrics() {
    let cases = [
        ("run_prometheus_endpoint = false", ""),
        ("prometheus_endpoint_address = '[::1]:1'", ""),
        ("run_prometheus_endpoint = true", "0.0.0.0:9000"),
        (
            "run_prometheus_endpoint = true\nprometheus_endpoint_address = '[::1]:1'",
            "[::1]:1",
        ),
        (
            "run_prometheus_endpoint = true\naddress = '[::1]:2'",
            "[::1]:2",
        ),
    ];
    for (metrics, expected) in cases {
        let file = loaded(&format!("[metrics]\n{metrics}\n"));
        let address = file.config.metrics.address.0;
        assert_eq!(address, expected.parse().ok(), "{metrics}");
        assert!(!file.warnings().lines().is_empty(), "{metrics}");
    }
}

#[test]
fn the_configuration_in_effect_keeps_the_comments() {
    let file = loaded(
        "workers = 3\n[network]\nuse_ipv6 = false\nbuffer = 9\n[metrics]\naddress = '[::1]:1'\n",
    );
    let expected = Sample::DEFAULT_TOML
        .replace("workers = 0", "workers = 3")
        .replace(r#"["0.0.0.0:3000", "[::]:3000"]"#, r#"["0.0.0.0:3000"]"#)
        .replace("buffer = 5", "buffer = 9")
        .replacen(r#"address = """#, r#"address = "[::1]:1""#, 1);
    assert_eq!(file.effective_toml(), expected);

    let again = loaded(&file.effective_toml());
    assert_eq!(again.config, file.config);
    assert!(again.warnings().list.is_empty());
}
