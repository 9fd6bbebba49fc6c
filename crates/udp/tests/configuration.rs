//! Configuration files of this release and of earlier ones, and what is
//! refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::time::Duration;

use aquatic_service::config::numbers::{Count, Number, ZeroOr};
use aquatic_service::config::{AccessListMode, Addresses, Loaded, LogLevel};
use aquatic_udp::UdpDaemon;
use aquatic_udp::config::Config;
use aquatic_udp::settings::Settings;

#[path = "../../service/tests/of_daemons/configuration.rs"]
mod of_daemons;

fn loaded(text: &str) -> Loaded<Config> {
    of_daemons::loaded::<UdpDaemon>(text)
}

fn settings(text: &str) -> Settings {
    of_daemons::settings::<UdpDaemon>(text)
}

fn errors(text: &str) -> Vec<String> {
    of_daemons::errors::<UdpDaemon>(text)
}

/// The configuration that the sample of an earlier release stands for.
fn sample(address: &[&str]) -> Config {
    let mut config = Config {
        socket_workers: ZeroOr::of::<1>(),
        log_level: LogLevel::Error,
        ..Config::default()
    };
    config.network.address = Addresses::new(address).unwrap();
    config.privileges.chroot_path = ".".into();
    config.access_list.path = "./access-list.txt".into();
    config
}

#[test]
fn the_default_file_is_the_default_configuration() {
    of_daemons::check_default_file::<UdpDaemon>();
}

#[test]
fn default_settings() {
    let settings = settings("");
    assert_eq!(settings.config, Config::default());
    assert_eq!(settings.config.network.address.as_slice().len(), 2);
    assert_eq!(settings.process.log_level, LogLevel::Info);
    assert!(!settings.process.privileges.drop_privileges);
    assert_eq!(settings.process.lists.paths().count(), 0);
    assert_eq!(settings.process.metrics_address, None);
    assert_eq!(settings.process.advice, []);
}

#[test]
fn release_0_2() {
    let file = loaded(include_str!("compat/0.2.toml"));
    let mut expected = sample(&["0.0.0.0:3000"]);
    expected.socket_workers = ZeroOr::of::<2>();
    expected.network.socket_recv_buffer_size = ZeroOr::of::<524_288>();
    expected.protocol.max_response_peers = Number::of::<50>();
    expected.access_list.path = "".into();
    assert_eq!(file.config, expected);

    let workers = "ignored: there is only one kind of worker, whose number is socket_workers";
    let channels = "ignored: requests no longer pass between threads";
    let event_loop = "ignored: chosen by the event loop";
    let interval = "ignored: metrics are counted when they are requested";
    let metrics = "ignored: statistics are served over HTTP; set metrics.address";
    let connections = "ignored: connection ids take no memory, so there is nothing to clean";
    let scrapes = "ignored: scrapes are answered at once and never wait";
    let pinning = "ignored: leave it to the scheduler, or set CPUAffinity= in the systemd unit";
    assert_eq!(
        file.warnings().lines(),
        [
            format!("udp.toml:2:1: request_workers: {workers}"),
            format!("udp.toml:4:1: worker_channel_size: {channels}"),
            format!("udp.toml:5:1: request_channel_recv_timeout_ms: {channels}"),
            "udp.toml:9:1: network.only_ipv6: merged into network.address: [\"0.0.0.0:3000\"]"
                .to_owned(),
            format!("udp.toml:11:1: network.poll_event_capacity: {event_loop}"),
            format!("udp.toml:12:1: network.poll_timeout_ms: {event_loop}"),
            format!("udp.toml:20:1: statistics.interval: {interval}"),
            format!("udp.toml:21:1: statistics.print_to_stdout: {metrics}"),
            format!("udp.toml:22:1: statistics.write_html_to_file: {metrics}"),
            format!("udp.toml:23:1: statistics.html_file_path: {metrics}"),
            format!("udp.toml:26:1: cleaning.connection_cleaning_interval: {connections}"),
            format!("udp.toml:28:1: cleaning.pending_scrape_cleaning_interval: {scrapes}"),
            format!("udp.toml:31:1: cleaning.max_pending_scrape_age: {scrapes}"),
            format!("udp.toml:42:2: cpu_pinning: {pinning}"),
        ]
    );
    assert!(file.settings(Settings::new).is_ok());
    of_daemons::check_migration::<UdpDaemon>(&file);
}

/// The warnings about `[statistics]` of releases 0.9 and 2026, with the line of
/// the section's head.
fn statistics_warnings(head: usize) -> Vec<String> {
    let metrics = "ignored: statistics are served over HTTP; set metrics.address";
    let off = "ignored: the endpoint was disabled, as it is without metrics.address";
    [
        (
            "interval",
            "ignored: metrics are counted when they are requested",
        ),
        (
            "torrent_peer_histograms",
            "ignored: there are no histograms of peers per torrent",
        ),
        ("peer_clients", "renamed to metrics.peer_clients"),
        ("print_to_stdout", metrics),
        ("write_html_to_file", metrics),
        ("html_file_path", metrics),
        ("run_prometheus_endpoint", off),
        ("prometheus_endpoint_address", off),
        (
            "prometheus_peer_id_prefixes",
            "renamed to metrics.peer_id_prefixes",
        ),
    ]
    .into_iter()
    .zip(head + 1..)
    .map(|((key, what), line)| format!("udp.toml:{line}:1: statistics.{key}: {what}"))
    .collect()
}

#[test]
fn release_0_9() {
    let file = loaded(include_str!("compat/0.9.toml"));
    assert_eq!(file.config, sample(&["0.0.0.0:3000"]));

    let mut expected = vec![
        "udp.toml:6:1: network.only_ipv6: merged into network.address: [\"0.0.0.0:3000\"]"
            .to_owned(),
        "udp.toml:8:1: network.poll_timeout_ms: ignored: chosen by the event loop".to_owned(),
        "udp.toml:9:1: network.resend_buffer_max_len: ignored: replies that cannot be sent \
         immediately are not queued"
            .to_owned(),
    ];
    expected.extend(statistics_warnings(16));
    assert_eq!(file.warnings().lines(), expected);
    assert!(file.settings(Settings::new).is_ok());
    of_daemons::check_migration::<UdpDaemon>(&file);
}

#[test]
fn release_2026() {
    let file = loaded(include_str!("compat/2026.toml"));
    assert_eq!(file.config, sample(&["0.0.0.0:3000", "[::]:3000"]));

    let address = "merged into network.address: [\"0.0.0.0:3000\", \"[::]:3000\"]";
    let mut expected = vec![
        format!("udp.toml:5:1: network.use_ipv4: {address}"),
        format!("udp.toml:6:1: network.use_ipv6: {address}"),
        format!("udp.toml:7:1: network.address_ipv4: {address}"),
        format!("udp.toml:8:1: network.address_ipv6: {address}"),
        "udp.toml:10:1: network.poll_timeout_ms: ignored: chosen by the event loop".to_owned(),
        "udp.toml:11:1: network.resend_buffer_max_len: ignored: replies that cannot be sent \
         immediately are not queued"
            .to_owned(),
        format!("udp.toml:12:1: network.set_only_ipv6: {address}"),
    ];
    expected.extend(statistics_warnings(19));
    assert_eq!(file.warnings().lines(), expected);
    assert!(file.settings(Settings::new).is_ok());
    of_daemons::check_migration::<UdpDaemon>(&file);
}

#[test]
fn every_value_becomes_a_setting() {
    let settings = settings(
        "\
socket_workers = 3
log_level = 'debug'
[network]
address = '127.0.0.1:3001'
socket_recv_buffer_size = 0
believe_ip_from = ['10.0.0.0/8']
reject_special_addresses = true
[[address_map]]
from = '192.168.0.0/16'
to = '5.5.5.5'
[protocol]
max_scrape_torrents = 120
max_response_peers = 242
peer_announce_interval = 600
[limits]
max_torrents = 1
max_peers_per_torrent = 2
max_peers_per_ip = 3
[cleaning]
torrent_cleaning_interval = 4
max_peer_age = 700
max_connection_age = 6
[privileges]
drop_privileges = true
chroot_path = '/var/empty'
user = 'tracker'
group = 'trackers'
[access_list]
mode = 'allow'
path = 'list'
[metrics]
address = '127.0.0.1:9000'
peer_clients = true
peer_id_prefixes = true
[snapshot]
path = 'swarm'
interval_seconds = 7
[scrape_exports]
enable_scrape_exports = true
frequency = 2
path = 'export'
",
    );
    let config = settings.config;
    assert_eq!(config.socket_workers, ZeroOr::of::<3>());
    let addresses = ["127.0.0.1:3001".parse().unwrap()];
    assert_eq!(config.network.address.as_slice(), addresses);
    assert_eq!(config.network.socket_recv_buffer_size, ZeroOr::ZERO);
    let rules = config.address_rules();
    assert!(rules.believe([10, 0, 0, 1].into()) && rules.reject_special);
    assert_eq!(
        rules.stored([192, 168, 0, 1].into()),
        Ok([5, 5, 5, 5].into())
    );
    assert_eq!(config.protocol.max_scrape_torrents.as_usize(), 120);
    assert_eq!(config.protocol.max_response_peers.as_usize(), 242);
    assert_eq!(config.protocol.peer_announce_interval.as_u32(), 600);
    assert_eq!(config.limits.max_torrents, Count::of::<1>());
    assert_eq!(config.limits.max_peers_per_torrent, Count::of::<2>());
    assert_eq!(config.limits.max_peers_per_ip, ZeroOr::of::<3>());
    let seconds = Duration::from_secs;
    let cleaning = config.cleaning;
    assert_eq!(cleaning.torrent_cleaning_interval.duration(), seconds(4));
    assert_eq!(cleaning.max_peer_age.duration(), seconds(700));
    assert_eq!(cleaning.max_connection_age.duration(), seconds(6));
    assert!(config.metrics.peer_clients && config.metrics.peer_id_prefixes);
    assert!(config.scrape_exports.enable_scrape_exports);
    assert_eq!(config.scrape_exports.path, Path::new("export"));
    assert_eq!(config.scrape_exports.frequency.duration(), seconds(120));

    let process = settings.process;
    assert_eq!(process.log_level, LogLevel::Debug);
    assert_eq!(process.privileges.chroot(), Some(Path::new("/var/empty")));
    assert_eq!(process.privileges.user, "tracker");
    assert_eq!(process.privileges.group, "trackers");
    assert_eq!(process.lists.access_list.mode, AccessListMode::Allow);
    let path = ("access_list.path", Path::new("list"));
    assert_eq!(process.lists.paths().collect::<Vec<_>>(), [path]);
    assert_eq!(
        process.metrics_address,
        Some("127.0.0.1:9000".parse().unwrap())
    );
    let snapshot = process.snapshot.unwrap();
    assert_eq!(snapshot.path, Path::new("swarm"));
    assert_eq!(snapshot.interval, seconds(7));
    assert_eq!(process.advice, []);
}

#[test]
fn replies_have_to_fit_into_a_datagram() {
    let ipv4 = "network.address = '0.0.0.0:3000'\nprotocol.max_response_peers = ";
    let max_peers = |text: String| {
        settings(&text)
            .config
            .protocol
            .max_response_peers
            .as_usize()
    };
    assert_eq!(max_peers(format!("{ipv4}242")), 242);
    assert_eq!(
        errors(&format!("{ipv4}243")),
        [
            "udp.toml:2:31: protocol.max_response_peers: 243 is out of range: it must be from \
             1 to 242 (79 when an IPv6 address is served)"
        ]
    );

    let ipv6 = "network.address = ['0.0.0.0:3000', '[::1]:3000']\nprotocol.max_response_peers = ";
    assert_eq!(max_peers(format!("{ipv6}79")), 79);
    assert_eq!(
        errors(&format!("{ipv6}80")),
        [
            "udp.toml:2:31: protocol.max_response_peers: 80 is out of range: a reply to an IPv6 \
             client has room for 79 peers, so it must be from 1 to 79 unless all of \
             network.address is IPv4"
        ]
    );
    assert_eq!(
        errors("protocol.max_scrape_torrents = 121"),
        [
            "udp.toml:1:32: protocol.max_scrape_torrents: 121 is out of range: \
          it must be from 1 to 120"
        ]
    );
}

#[test]
fn all_wrong_values_are_reported_by_line() {
    let lines = errors(
        "\
[cleaning]
max_peer_age = 0
max_connection_age = 3601
torrent_cleaning_interval = 0
[network]
address = ['127.0.0.1:1', '127.0.0.1:1']
socket_recv_buffer_size = 1
[protocol]
max_scrape_torrents = 0
max_response_peers = 0
peer_announce_interval = 10801
[limits]
max_torrents = 0
max_peers_per_torrent = 0
max_peers_per_ip = 2_000_000_000
[access_list]
mode = 'deny'
[metrics]
address = '9000'
[snapshot]
interval_seconds = 0
[scrape_exports]
enable_scrape_exports = true
frequency = 0
path = ''
",
    );
    let numbers: Vec<Option<usize>> = lines
        .iter()
        .map(|line| line.split(':').nth(1)?.parse().ok())
        .collect();
    let expected = [2, 3, 4, 6, 7, 9, 10, 11, 13, 14, 15, 19, 21, 24, 25];
    // The path of the access list is not in the file.
    assert_eq!(numbers[0], None, "{lines:#?}");
    assert_eq!(numbers[1..], expected.map(Some), "{lines:#?}");
}

#[test]
fn probable_mistakes_give_advice() {
    let advice = |text: &str| {
        let file = loaded(text);
        let settings = file.settings(Settings::new).unwrap();
        file.located(settings.process.advice).lines()
    };
    assert_eq!(
        advice("[protocol]\npeer_announce_interval = 299\n"),
        [
            "udp.toml:2:26: protocol.peer_announce_interval: 299 is short: public tracker lists \
             require 300 or more"
        ]
    );
    assert_eq!(
        advice("[cleaning]\nmax_peer_age = 900\n"),
        [
            "udp.toml:2:16: cleaning.max_peer_age: 900 is short: peers expire before they announce \
             again, unless it is longer than protocol.peer_announce_interval, which is 900"
        ]
    );
    assert_eq!(
        advice("[metrics]\naddress = '0.0.0.0:9000'\n"),
        [
            "udp.toml:2:11: metrics.address: 0.0.0.0:9000 is not a loopback address, so the \
             metrics may be readable from other machines"
        ]
    );
}

#[test]
fn files_found_by_fuzzing() {
    of_daemons::check_corpora::<UdpDaemon>();
}

#[test]
fn files_with_mistakes() {
    of_daemons::check_edits::<UdpDaemon>([
        include_str!("compat/0.2.toml"),
        include_str!("compat/0.9.toml"),
        include_str!("compat/2026.toml"),
    ]);
}
