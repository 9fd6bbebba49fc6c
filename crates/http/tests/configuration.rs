//! Configuration files of this release and of earlier ones, and what is
//! refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use aquatic_http::HttpDaemon;
use aquatic_http::config::Config;
use aquatic_http::settings::Settings;
use aquatic_service::config::numbers::{Count, Seconds, ZeroOr};
use aquatic_service::config::{Addresses, Loaded, LogLevel};
use aquatic_stream::EventLoop;

#[path = "../../service/tests/of_daemons/configuration.rs"]
mod of_daemons;

fn loaded(text: &str) -> Loaded<Config> {
    of_daemons::loaded::<HttpDaemon>(text)
}

fn settings(text: &str) -> Settings {
    of_daemons::settings::<HttpDaemon>(text)
}

fn errors(text: &str) -> Vec<String> {
    of_daemons::errors::<HttpDaemon>(text)
}

/// The configuration that the sample of an earlier release stands for.
fn sample(address: &[&str]) -> Config {
    let mut config = Config {
        socket_workers: ZeroOr::of::<1>(),
        log_level: LogLevel::Warn,
        ..Config::default()
    };
    config.network.address = Addresses::new(address).unwrap();
    config.protocol.peer_announce_interval = Seconds::of::<120>();
    config.cleaning.torrent_cleaning_interval = Seconds::of::<30>();
    config.privileges.chroot_path = ".".into();
    config.access_list.path = "./access-list.txt".into();
    config
}

const MAX_PEERS: &str = "protocol.max_peers: renamed to protocol.max_response_peers";
const WORKERS: &str = "ignored: there is only one kind of worker, whose number is socket_workers";
const CONNECTIONS: &str = "ignored: connections are closed at their own deadlines";

#[test]
fn the_default_file_is_the_default_configuration() {
    of_daemons::check_default_file::<HttpDaemon>();
}

#[test]
fn default_settings() {
    let settings = settings("");
    assert_eq!(settings.config, Config::default());
    assert_eq!(settings.config.network.address.as_slice().len(), 2);
    assert_eq!(settings.connections.event_loop, EventLoop::Auto);
    assert!(settings.connections.proxy_protocol.is_none());
    assert!(settings.connections.reverse_proxy.is_none());
    assert_eq!(settings.tls, None);
    assert_eq!(settings.process.advice, []);
}

#[test]
fn full_scrapes_for_everyone_are_advised_against() {
    let advice = settings("[protocol]\nfull_scrape_from = ['0.0.0.0/0']\n")
        .process
        .advice;
    let texts: Vec<_> = advice.iter().map(ToString::to_string).collect();
    let expected = "protocol.full_scrape_from: with 0.0.0.0/0, everyone can ask for the counts of \
                    all torrents";
    assert_eq!(texts, [expected]);
}

#[test]
fn release_0_2() {
    let file = loaded(include_str!("compat/0.2.toml"));
    let mut expected = sample(&["0.0.0.0:3000"]);
    expected.socket_workers = ZeroOr::of::<2>();
    expected.network.enable_tls = true;
    expected.network.tls_certificate_path = "./cert.pem".into();
    expected.network.tls_private_key_path = "./key.pem".into();
    expected.access_list.path = "".into();
    assert_eq!(file.config, expected);
    assert_eq!(
        file.warnings().lines(),
        [
            format!("http.toml:2:1: request_workers: {WORKERS}"),
            "http.toml:7:1: network.only_ipv6: merged into network.address: [\"0.0.0.0:3000\"]"
                .to_owned(),
            "http.toml:9:1: network.enable_tls: not set: assuming true, like release 0.2, because \
             a certificate is configured; set enable_tls = true, or false for unencrypted \
             connections"
                .to_owned(),
            format!("http.toml:15:1: {MAX_PEERS}"),
            format!("http.toml:20:1: cleaning.connection_cleaning_interval: {CONNECTIONS}"),
        ]
    );
    // That release had no unencrypted connections.
    assert!(file.settings(Settings::new).unwrap().tls.is_some());
    of_daemons::check_migration::<HttpDaemon>(&file);
}

/// The warnings about `[metrics]` of releases 0.9 and 2026, with the line of
/// the section's head.
fn metrics_warnings(head: usize) -> Vec<String> {
    let off = "ignored: the endpoint was disabled, as it is without metrics.address";
    let counts = "ignored: torrents are counted when metrics are requested";
    [
        ("run_prometheus_endpoint", off),
        ("prometheus_endpoint_address", off),
        ("torrent_count_update_interval", counts),
    ]
    .into_iter()
    .zip(head + 1..)
    .map(|((key, what), line)| format!("http.toml:{line}:1: metrics.{key}: {what}"))
    .collect()
}

#[test]
fn release_0_9() {
    let file = loaded(include_str!("compat/0.9.toml"));
    assert_eq!(file.config, sample(&["0.0.0.0:3000"]));
    let mut expected = vec![
        format!("http.toml:2:1: swarm_workers: {WORKERS}"),
        "http.toml:7:1: network.only_ipv6: merged into network.address: [\"0.0.0.0:3000\"]"
            .to_owned(),
        format!("http.toml:19:1: {MAX_PEERS}"),
        format!("http.toml:24:1: cleaning.connection_cleaning_interval: {CONNECTIONS}"),
    ];
    expected.extend(metrics_warnings(38));
    assert_eq!(file.warnings().lines(), expected);
    assert!(file.settings(Settings::new).is_ok());
    of_daemons::check_migration::<HttpDaemon>(&file);
}

#[test]
fn release_2026() {
    let file = loaded(include_str!("compat/2026.toml"));
    assert_eq!(file.config, sample(&["0.0.0.0:3000", "[::]:3000"]));
    let address = "merged into network.address: [\"0.0.0.0:3000\", \"[::]:3000\"]";
    let mut expected = vec![
        format!("http.toml:2:1: swarm_workers: {WORKERS}"),
        format!("http.toml:6:1: network.use_ipv4: {address}"),
        format!("http.toml:7:1: network.use_ipv6: {address}"),
        format!("http.toml:8:1: network.address_ipv4: {address}"),
        format!("http.toml:9:1: network.address_ipv6: {address}"),
        format!("http.toml:18:1: network.set_only_ipv6: {address}"),
        format!("http.toml:22:1: {MAX_PEERS}"),
        format!("http.toml:27:1: cleaning.connection_cleaning_interval: {CONNECTIONS}"),
    ];
    expected.extend(metrics_warnings(41));
    assert_eq!(file.warnings().lines(), expected);
    assert!(file.settings(Settings::new).is_ok());
    of_daemons::check_migration::<HttpDaemon>(&file);
}

#[test]
fn every_value_becomes_a_setting() {
    let settings = settings(
        "\
socket_workers = 3
[network]
address = '127.0.0.1:3001'
event_loop = 'glommio'
tcp_backlog = 4
enable_tls = true
tls_certificate_path = 'cert.pem'
tls_private_key_path = 'key.pem'
keep_alive = false
believe_ip_from = ['10.0.0.0/8']
reject_special_addresses = true
max_connections = 5
max_connections_per_ip = 6
handshake_timeout = 7
message_timeout = 8
write_timeout = 9
runs_behind_reverse_proxy = true
reverse_proxy_ip_header_name = 'X-Real-IP'
trusted_proxies = ['192.0.2.0/24']
[[address_map]]
from = '192.168.0.0/16'
to = '5.5.5.5'
[protocol]
max_scrape_torrents = 10
max_response_peers = 11
peer_announce_interval = 600
min_announce_interval = 60
[limits]
max_torrents = 12
max_peers_per_torrent = 13
max_peers_per_ip = 14
[cleaning]
torrent_cleaning_interval = 15
max_peer_age = 700
max_connection_idle = 16
",
    );
    let number = |number| NonZeroUsize::new(number).unwrap();
    let seconds = Duration::from_secs;
    let config = settings.config;
    assert_eq!(config.socket_workers, ZeroOr::of::<3>());
    let addresses = ["127.0.0.1:3001".parse().unwrap()];
    assert_eq!(config.network.address.as_slice(), addresses);
    assert_eq!(config.network.tcp_backlog, Count::of::<4>());
    assert_eq!(settings.tls.unwrap().key, Path::new("key.pem"));
    assert!(!config.network.own.keep_alive);
    let rules = config.address_rules();
    assert!(rules.believe([10, 0, 0, 1].into()) && rules.reject_special);
    assert_eq!(
        rules.stored([192, 168, 0, 1].into()),
        Ok([5, 5, 5, 5].into())
    );
    let connections = settings.connections;
    assert_eq!(connections.event_loop, EventLoop::Glommio);
    assert_eq!(connections.limits.max_connections, number(5));
    assert_eq!(connections.limits.max_connections_per_ip, Some(number(6)));
    assert_eq!(connections.limits.handshake_timeout, seconds(7));
    assert_eq!(connections.limits.message_timeout, seconds(8));
    assert_eq!(connections.limits.write_timeout, seconds(9));
    assert_eq!(connections.limits.idle_timeout, seconds(16));
    let proxy = connections.reverse_proxy.unwrap();
    assert_eq!(proxy.header.name(), "X-Real-IP");
    assert!(proxy.trusted.contains([192, 0, 2, 77].into()));
    assert!(!proxy.trusted.contains([127, 0, 0, 1].into()));
    assert_eq!(config.protocol.max_scrape_torrents, Count::of::<10>());
    assert_eq!(config.protocol.max_response_peers, Count::of::<11>());
    assert_eq!(config.protocol.peer_announce_interval, Seconds::of::<600>());
    assert_eq!(config.protocol.min_announce_interval, Seconds::of::<60>());
    assert_eq!(config.limits.max_torrents, Count::of::<12>());
    assert_eq!(config.limits.max_peers_per_torrent, Count::of::<13>());
    assert_eq!(config.limits.max_peers_per_ip, ZeroOr::of::<14>());
    assert_eq!(
        config.cleaning.torrent_cleaning_interval,
        Seconds::of::<15>()
    );
    assert_eq!(config.cleaning.max_peer_age, Seconds::of::<700>());
}

#[test]
fn the_minimum_interval_is_at_most_the_interval() {
    let protocol = settings("protocol.peer_announce_interval = 120")
        .config
        .protocol;
    assert_eq!(protocol.min_interval(), Seconds::of::<120>());
    let protocol = settings("protocol.peer_announce_interval = 900")
        .config
        .protocol;
    assert_eq!(protocol.min_interval(), Seconds::of::<300>());
}

#[test]
fn all_errors_are_reported_with_their_line() {
    let faults = errors(
        "\
[network]
enable_tls = true
tls_certificate_path = 'cert.pem'
runs_behind_reverse_proxy = true
reverse_proxy_ip_header_name = 'X Y'
proxy_protocol = true
trusted_proxies = ['10.0.0.1/8', 'proxy']
max_connections = 0
[protocol]
max_response_peers = 0
min_announce_interval = 0
",
    );
    for fault in [
        "network.tls_private_key_path: a PEM file is required when enable_tls is true",
        "http.toml:5:32: network.reverse_proxy_ip_header_name: \"X Y\" is not a valid header name",
        "http.toml:6:18: network.proxy_protocol: ",
        "http.toml:7:19: network.trusted_proxies: 10.0.0.1/8 has bits beyond the prefix",
        "http.toml:7:19: network.trusted_proxies: \"proxy\" is no IP address",
        "http.toml:8:19: network.max_connections: 0 is out of range",
        "http.toml:10:22: protocol.max_response_peers: 0 is out of range",
        "http.toml:11:25: protocol.min_announce_interval: 0 is out of range",
    ] {
        assert!(
            faults.iter().any(|line| line.contains(fault)),
            "{fault}\n{faults:#?}"
        );
    }
}

#[test]
fn an_empty_list_of_proxies_is_an_error() {
    for key in ["runs_behind_reverse_proxy", "proxy_protocol"] {
        let faults = errors(&format!("[network]\n{key} = true\ntrusted_proxies = []\n"));
        assert!(
            faults
                .iter()
                .any(|line| line.contains("network.trusted_proxies: at least one")),
            "{faults:?}"
        );
    }
}

#[test]
fn tls_is_enabled_by_a_certificate_unless_the_file_disables_it() {
    let is_on = |text: &str| {
        let file = loaded(&format!("[network]\n{text}"));
        (
            file.config.network.enable_tls,
            file.warnings().lines().len(),
        )
    };
    let both = "tls_certificate_path = 'c'\ntls_private_key_path = 'k'";
    assert_eq!(is_on(both), (true, 1));
    assert_eq!(is_on("tls_private_key_path = 'k'"), (true, 1));
    let none = "tls_certificate_path = ''\ntls_private_key_path = ''";
    assert_eq!(is_on(none), (false, 0));
    assert_eq!(is_on(&format!("{both}\nenable_tls = false")), (false, 0));
    assert_eq!(is_on(&format!("{both}\nenable_tls = true")), (true, 0));
    assert_eq!(is_on(""), (false, 0));
}

#[test]
fn keys_with_another_meaning_are_reported() {
    let behind_proxy = "[network]\nruns_behind_reverse_proxy = true\n";
    let told = loaded(behind_proxy).warnings().lines();
    let begin = "http.toml:2:1: network.runs_behind_reverse_proxy: earlier releases trusted";
    assert!(told.len() == 1 && told[0].starts_with(begin), "{told:?}");
    let today = format!("{behind_proxy}trusted_proxies = ['::1']\n");
    assert_eq!(loaded(&today).warnings().lines(), [""; 0]);

    // One key shows that the file was written for an earlier release.
    let told = loaded("swarm_workers = 1\nlog_level = 'info'\n")
        .warnings()
        .lines();
    let expected = [
        "http.toml: socket_workers: not set: the default was 1, and is now 0",
        "http.toml: network.address: not set: the default was \"0.0.0.0:3000\", and is now \
         [\"0.0.0.0:3000\", \"[::]:3000\"]",
        "http.toml: protocol.peer_announce_interval: not set: the default was 120, and is now 900",
        "http.toml: cleaning.torrent_cleaning_interval: not set: the default was 30, and is now 120",
    ];
    assert_eq!(told[..4], expected);
    assert_eq!(loaded("log_level = 'info'\n").warnings().lines(), [""; 0]);
}

#[test]
fn keys_of_release_1_0_that_have_another_name() {
    let old = "[network]\nrequest_timeout = 7\nreply_timeout = 8\n[protocol]\nmax_peers = 9\n";
    let file = loaded(old);
    assert_eq!(file.config.network.message_timeout, Seconds::of::<7>());
    assert_eq!(file.config.network.write_timeout, Seconds::of::<8>());
    assert_eq!(file.config.protocol.max_response_peers, Count::of::<9>());
    // There are no warnings about defaults that changed before release 1.0.
    assert_eq!(
        file.warnings().lines(),
        [
            "http.toml:2:1: network.request_timeout: renamed to network.message_timeout",
            "http.toml:3:1: network.reply_timeout: renamed to network.write_timeout",
            &format!("http.toml:5:1: {MAX_PEERS}"),
        ]
    );
    of_daemons::check_migration::<HttpDaemon>(&file);

    assert_eq!(
        errors("[network]\nreply_timeout = 601\n"),
        [
            "http.toml:2:17: network.write_timeout: 601 is out of range: it must be from 1 to 600 \
             seconds (translated from network.reply_timeout)"
        ]
    );
    let both = loaded("[protocol]\nmax_peers = 1\nmax_response_peers = 2\n");
    assert_eq!(both.config.protocol.max_response_peers, Count::of::<2>());
    assert_eq!(
        both.warnings().lines(),
        ["http.toml:2:1: protocol.max_peers: ignored: protocol.max_response_peers is also set"]
    );
}

#[test]
fn a_number_is_reported_with_its_range_however_far_off_it_is() {
    for value in [
        "0",
        "-1",
        "10801",
        "4294967296",
        "-9223372036854775808",
        "99999999999999999999",
    ] {
        let text = format!("[protocol]\npeer_announce_interval = {value}\n");
        let expected = format!(
            "http.toml:2:26: protocol.peer_announce_interval: {value} is out of range: it must be \
             from 1 to 10800 seconds"
        );
        assert_eq!(errors(&text), [expected]);
    }
}

#[test]
fn metrics_have_a_port_of_their_own() {
    let text = "[network]\naddress = '0.0.0.0:3000'\n[metrics]\naddress = '127.0.0.1:3000'\n";
    assert_eq!(
        errors(text),
        [
            "http.toml:4:11: metrics.address: 127.0.0.1:3000 is already used by 0.0.0.0:3000 of \
             network.address; choose another port"
        ]
    );
}

#[test]
fn files_found_by_fuzzing() {
    of_daemons::check_corpora::<HttpDaemon>();
}

#[test]
fn files_with_mistakes() {
    of_daemons::check_edits::<HttpDaemon>([
        include_str!("compat/0.2.toml"),
        include_str!("compat/0.9.toml"),
        include_str!("compat/2026.toml"),
    ]);
}
