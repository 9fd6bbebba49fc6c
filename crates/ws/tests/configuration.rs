//! Configuration files of this release and of earlier ones, and what is
//! refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use aquatic_service::config::numbers::{Bytes, Count, Seconds, ZeroOr};
use aquatic_service::config::{Addresses, Loaded, LogLevel};
use aquatic_stream::EventLoop;
use aquatic_ws::WsDaemon;
use aquatic_ws::config::Config;
use aquatic_ws::settings::Settings;

#[path = "../../service/tests/of_daemons/configuration.rs"]
mod of_daemons;

fn loaded(text: &str) -> Loaded<Config> {
    of_daemons::loaded::<WsDaemon>(text)
}

fn settings(text: &str) -> Settings {
    of_daemons::settings::<WsDaemon>(text)
}

fn errors(text: &str) -> Vec<String> {
    of_daemons::errors::<WsDaemon>(text)
}

const WORKERS: &str = "ignored: there is only one kind of worker, whose number is socket_workers";
const CONNECTIONS: &str = "ignored: connections are closed at their own deadlines";

#[test]
fn the_default_file_is_the_default_configuration() {
    of_daemons::check_default_file::<WsDaemon>();
}

#[test]
fn default_settings() {
    let settings = settings("");
    assert_eq!(settings.config, Config::default());
    assert_eq!(settings.config.network.address.as_slice().len(), 2);
    assert_eq!(settings.connections.event_loop, EventLoop::Auto);
    assert!(settings.connections.proxy_protocol.is_none());
    assert_eq!(settings.tls, None);
    assert_eq!(settings.process.advice, []);
}

#[test]
fn release_0_2() {
    let file = loaded(include_str!("compat/0.2.toml"));
    let mut expected = Config {
        socket_workers: ZeroOr::of::<2>(),
        log_level: LogLevel::Warn,
        ..Config::default()
    };
    expected.network.address = Addresses::new(&["0.0.0.0:3000"]).unwrap();
    expected.network.enable_tls = true;
    expected.network.tls_certificate_path = "./cert.pem".into();
    expected.network.tls_private_key_path = "./key.pem".into();
    expected.network.own.websocket_max_frame_size = Bytes::of::<16_384>();
    expected.cleaning.max_peer_age = Seconds::of::<1_800>();
    expected.cleaning.max_connection_idle = Seconds::of::<300>();
    expected.privileges.chroot_path = ".".into();
    assert_eq!(file.config, expected);
    assert_eq!(
        file.warnings().lines(),
        [
            "ws.toml: protocol.separate_families: not set: the default was always true, and is now \
             false"
                .to_owned(),
            format!("ws.toml:2:1: request_workers: {WORKERS}"),
            "ws.toml:7:1: network.only_ipv6: merged into network.address: [\"0.0.0.0:3000\"]"
                .to_owned(),
            "ws.toml:9:1: network.enable_tls: not set: assuming true, like release 0.2, because a \
             certificate is configured; set enable_tls = true, or false for unencrypted connections"
                .to_owned(),
            format!("ws.toml:22:1: cleaning.connection_cleaning_interval: {CONNECTIONS}"),
        ]
    );
    // That release had no unencrypted connections.
    assert!(file.settings(Settings::new).unwrap().tls.is_some());
    of_daemons::check_migration::<WsDaemon>(&file);
}

#[test]
fn releases_0_9_and_2026() {
    for text in [
        include_str!("compat/0.9.toml"),
        include_str!("compat/2026.toml"),
    ] {
        let file = loaded(text);
        let mut expected = Config {
            socket_workers: ZeroOr::of::<1>(),
            log_level: LogLevel::Warn,
            ..Config::default()
        };
        expected.network.address = Addresses::new(&["0.0.0.0:3000"]).unwrap();
        expected.network.own.websocket_max_frame_size = Bytes::of::<16_384>();
        expected.privileges.chroot_path = ".".into();
        expected.access_list.path = "./access-list.txt".into();
        assert_eq!(file.config, expected);

        let off = "ignored: the endpoint was disabled, as it is without metrics.address";
        let old = [
            ("swarm_workers", WORKERS),
            (
                "network.only_ipv6",
                "merged into network.address: [\"0.0.0.0:3000\"]",
            ),
            (
                "network.websocket_write_buffer_size",
                "ignored: data is written immediately; network.max_unsent_bytes limits what is \
                 queued for a client",
            ),
            (
                "network.enable_http_health_checks",
                "ignored: /health is always enabled",
            ),
            ("cleaning.connection_cleaning_interval", CONNECTIONS),
            ("metrics.run_prometheus_endpoint", off),
            ("metrics.prometheus_endpoint_address", off),
            (
                "metrics.torrent_count_update_interval",
                "ignored: torrents are counted when metrics are requested",
            ),
        ];
        let lines = file.warnings().lines();
        let (families, warnings) = lines.split_first().unwrap();
        assert!(
            families.contains("separate_families: not set"),
            "{families}"
        );
        assert_eq!(warnings.len(), old.len(), "{lines:#?}");
        for (warning, (key, what)) in warnings.iter().zip(old) {
            assert!(warning.ends_with(&format!(": {key}: {what}")), "{warning}");
        }
        assert!(file.settings(Settings::new).is_ok());
        of_daemons::check_migration::<WsDaemon>(&file);
    }
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
allowed_origins = ['https://Example.org', 'http://localhost:8080']
websocket_max_message_size = 50000
websocket_max_frame_size = 60000
max_unsent_bytes = 20000
max_connections = 5
max_connections_per_ip = 6
handshake_timeout = 7
message_timeout = 8
write_timeout = 9
proxy_protocol = true
trusted_proxies = ['192.0.2.0/24']
[protocol]
max_scrape_torrents = 10
max_offers = 11
peer_announce_interval = 600
separate_families = true
[limits]
max_torrents = 12
max_peers_per_torrent = 13
max_torrents_per_connection = 14
[cleaning]
torrent_cleaning_interval = 15
max_peer_age = 700
max_offer_age = 16
max_connection_idle = 18
close_after_tls_update_grace_period = 19
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
    let origins = &config.network.own.allowed_origins;
    assert!(origins[0].is(b"https://example.org") && origins[1].is(b"HTTP://localhost:8080"));
    assert!(!origins[0].is(b"https://example.com") && origins.len() == 2);
    assert_eq!(settings.size_limits.message, 50_000);
    // The limit of a frame is never higher than that of a message.
    assert_eq!(settings.size_limits.frame, 50_000);
    let connections = settings.connections;
    assert_eq!(connections.event_loop, EventLoop::Glommio);
    assert_eq!(connections.limits.max_connections, number(5));
    assert_eq!(connections.limits.max_connections_per_ip, Some(number(6)));
    assert_eq!(connections.limits.handshake_timeout, seconds(7));
    assert_eq!(connections.limits.message_timeout, seconds(8));
    assert_eq!(connections.limits.write_timeout, seconds(9));
    assert_eq!(connections.limits.max_unsent_bytes, Some(number(20_000)));
    assert_eq!(connections.limits.idle_timeout, seconds(9));
    let proxies = connections.proxy_protocol.unwrap();
    assert!(proxies.contains([192, 0, 2, 77].into()));
    assert_eq!(config.protocol.max_scrape_torrents, Count::of::<10>());
    assert_eq!(config.protocol.max_offers, Count::of::<11>());
    assert_eq!(config.protocol.peer_announce_interval.as_u32(), 600);
    assert!(config.protocol.separate_families);
    assert_eq!(config.limits.max_torrents, Count::of::<12>());
    assert_eq!(config.limits.max_peers_per_torrent, Count::of::<13>());
    assert_eq!(config.limits.max_torrents_per_connection, Count::of::<14>());
    let cleaning = config.cleaning;
    assert_eq!(cleaning.torrent_cleaning_interval.duration(), seconds(15));
    assert_eq!(cleaning.max_peer_age.duration(), seconds(700));
    assert_eq!(cleaning.max_offer_age.duration(), seconds(16));
    let grace = cleaning.close_after_tls_update_grace_period;
    assert_eq!(grace.duration(), seconds(19));
}

#[test]
fn all_errors_are_reported_with_their_line() {
    let faults = errors(
        "\
[network]
enable_tls = true
tls_certificate_path = 'cert.pem'
allowed_origins = ['https://example.org/', 'example.org', 'https://*.org']
proxy_protocol = true
trusted_proxies = []
max_connections = 0
websocket_max_message_size = 10
max_unsent_bytes = 99999999999999999999
[protocol]
max_offers = 0
[cleaning]
max_connection_idle = 1
",
    );
    for fault in [
        "network.tls_private_key_path: a PEM file is required when enable_tls is true",
        "ws.toml:4:19: network.allowed_origins: \"https://example.org/\" is not an origin",
        "ws.toml:4:19: network.allowed_origins: \"example.org\" is not an origin",
        "ws.toml:4:19: network.allowed_origins: \"https://*.org\" is not an origin",
        "network.trusted_proxies: at least one address is required",
        "ws.toml:7:19: network.max_connections: 0 is out of range",
        "ws.toml:8:30: network.websocket_max_message_size: 10 is out of range",
        "ws.toml:9:20: network.max_unsent_bytes: 99999999999999999999 is out of range: it must be \
         from 16384 to 268435456 bytes",
        "ws.toml:11:14: protocol.max_offers: 0 is out of range",
        "ws.toml:13:23: cleaning.max_connection_idle: 1 is out of range",
    ] {
        assert!(
            faults.iter().any(|line| line.contains(fault)),
            "{fault}\n{faults:#?}"
        );
    }
}

#[test]
fn files_found_by_fuzzing() {
    of_daemons::check_corpora::<WsDaemon>();
}

#[test]
fn files_with_mistakes() {
    of_daemons::check_edits::<WsDaemon>([
        include_str!("compat/0.2.toml"),
        include_str!("compat/0.9.toml"),
        include_str!("compat/2026.toml"),
    ]);
}

#[test]
fn a_cluster_has_one_swarm_for_all_families() {
    let cluster = "[cluster]\nurl = 'redis://engine.example'\n";
    let url = &settings(cluster).config.cluster.url;
    assert_eq!(url, "redis://engine.example");
    let errors = errors(&format!("[protocol]\nseparate_families = true\n{cluster}"));
    let [line] = &errors[..] else {
        panic!("{errors:?}");
    };
    assert!(line.contains("protocol.separate_families"), "{line}");
    settings("[protocol]\nseparate_families = true\n");
}
