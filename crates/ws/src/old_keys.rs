//! Keys of earlier releases of `aquatic-ws`, and how they become current ones.

use aquatic_service::config::old_keys::{self, OldKey};

/// All of them, in the order in which they are translated.
pub(crate) const OLD_KEYS: &[&[OldKey]] = &[
    old_keys::WORKERS,
    old_keys::EVENT_LOOP,
    old_keys::CPU_PINNING,
    old_keys::ADDRESSES,
    NETWORK,
    old_keys::TLS,
    old_keys::METRICS,
    old_keys::CONNECTION_CLEANING,
    MEANINGS,
];

const NETWORK: &[OldKey] = &[
    OldKey::Dropped {
        key: "network.websocket_write_buffer_size",
        reason: "data is written immediately; network.max_unsent_bytes limits what is queued for a \
                 client",
    },
    OldKey::Dropped {
        key: "network.enable_http_health_checks",
        reason: "/health is always enabled",
    },
];

/// Keys whose meaning has changed.
const MEANINGS: &[OldKey] = &[
    OldKey::Default {
        key: "socket_workers",
        was: "1",
    },
    OldKey::Default {
        key: "log_level",
        was: "\"warn\"",
    },
    OldKey::Default {
        key: "network.address",
        was: "\"0.0.0.0:3000\"",
    },
    OldKey::Default {
        key: "network.websocket_max_frame_size",
        was: "16384",
    },
    OldKey::Default {
        key: "protocol.separate_families",
        was: "always true",
    },
    OldKey::Default {
        key: "cleaning.max_peer_age",
        was: "1800 in release 0.2",
    },
    OldKey::Default {
        key: "cleaning.max_connection_idle",
        was: "300 in release 0.2",
    },
];
