//! Keys of earlier releases of `aquatic-http`, and how they become current ones.

use aquatic_service::config::old_keys::{self, OldKey};

/// All of them, in the order in which they are translated.
pub(crate) const OLD_KEYS: &[&[OldKey]] = &[
    old_keys::WORKERS,
    old_keys::EVENT_LOOP,
    old_keys::CPU_PINNING,
    old_keys::ADDRESSES,
    old_keys::TLS,
    old_keys::METRICS,
    old_keys::CONNECTION_CLEANING,
    MEANINGS,
    RENAMED,
];

/// Keys whose meaning has changed.
const MEANINGS: &[OldKey] = &[
    OldKey::Changed {
        key: "network.runs_behind_reverse_proxy",
        tell: |found| {
            let is_on = found.is_true("network.runs_behind_reverse_proxy");
            (is_on && !found.has("network.trusted_proxies")).then_some(
                "earlier releases trusted the header from any source; now it is only trusted from \
                 trusted_proxies, by default the addresses of this machine",
            )
        },
    },
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
        key: "protocol.peer_announce_interval",
        was: "120",
    },
    OldKey::Default {
        key: "cleaning.torrent_cleaning_interval",
        was: "30",
    },
];

/// Keys that have another name in the other daemons.
const RENAMED: &[OldKey] = &[
    OldKey::Renamed {
        key: "network.request_timeout",
        to: "network.message_timeout",
    },
    OldKey::Renamed {
        key: "network.reply_timeout",
        to: "network.write_timeout",
    },
    OldKey::Renamed {
        key: "protocol.max_peers",
        to: "protocol.max_response_peers",
    },
];
