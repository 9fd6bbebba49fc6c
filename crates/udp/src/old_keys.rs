//! Keys of earlier releases of `aquatic-udp`, and how they become current ones.

use aquatic_service::config::old_keys::{self, OldKey};

/// All of them, in the order in which they are translated.
pub(crate) const OLD_KEYS: &[&[OldKey]] = &[
    old_keys::WORKERS,
    old_keys::EVENT_LOOP,
    old_keys::CPU_PINNING,
    old_keys::ADDRESSES,
    STATISTICS,
    CLEANING,
    DEFAULTS,
];

/// `[statistics]` became `[metrics]`, the name in the other daemons.
const STATISTICS: &[OldKey] = &[
    OldKey::Dropped {
        key: "statistics.interval",
        reason: "metrics are counted when they are requested",
    },
    OldKey::Dropped {
        key: "statistics.torrent_peer_histograms",
        reason: "there are no histograms of peers per torrent",
    },
    OldKey::Dropped {
        key: "statistics.print_to_stdout",
        reason: USE_METRICS,
    },
    OldKey::Dropped {
        key: "statistics.write_html_to_file",
        reason: USE_METRICS,
    },
    OldKey::Dropped {
        key: "statistics.html_file_path",
        reason: USE_METRICS,
    },
    OldKey::Moved {
        key: "statistics.peer_clients",
        to: "metrics.peer_clients",
    },
    OldKey::Moved {
        key: "statistics.prometheus_peer_id_prefixes",
        to: "metrics.peer_id_prefixes",
    },
    OldKey::Merged {
        keys: &[
            "statistics.run_prometheus_endpoint",
            "statistics.prometheus_endpoint_address",
        ],
        to: "metrics.address",
        merge: |found| old_keys::endpoint(found, "statistics"),
    },
];

/// Former defaults, which were in effect for keys that a file did not contain.
const DEFAULTS: &[OldKey] = &[
    OldKey::Default {
        key: "socket_workers",
        was: "1",
    },
    OldKey::Default {
        key: "log_level",
        was: "\"error\"",
    },
    OldKey::Default {
        key: "network.address",
        was: "\"0.0.0.0:3000\"",
    },
    OldKey::Default {
        key: "network.socket_recv_buffer_size",
        was: "524288 in release 0.2",
    },
    OldKey::Default {
        key: "protocol.max_response_peers",
        was: "50 in release 0.2",
    },
];

/// Connection ids are checked when they are used.
const CLEANING: &[OldKey] = &[OldKey::Dropped {
    key: "cleaning.connection_cleaning_interval",
    reason: "connection ids take no memory, so there is nothing to clean",
}];

const USE_METRICS: &str = "statistics are served over HTTP; set metrics.address";
