//! Former keys of several programs, except addresses.

use super::{Found, Merged, OldKey};

/// Types of workers, and channels between them, that no longer exist.
pub const WORKERS: &[OldKey] = &[
    OldKey::Dropped {
        key: "request_workers",
        reason: ONE_KIND_OF_WORKER,
    },
    OldKey::Dropped {
        key: "swarm_workers",
        reason: ONE_KIND_OF_WORKER,
    },
    OldKey::Dropped {
        key: "worker_channel_size",
        reason: NO_CHANNELS,
    },
    OldKey::Dropped {
        key: "request_channel_recv_timeout_ms",
        reason: NO_CHANNELS,
    },
    OldKey::Dropped {
        key: "cleaning.pending_scrape_cleaning_interval",
        reason: NO_PENDING_SCRAPES,
    },
    OldKey::Dropped {
        key: "cleaning.max_pending_scrape_age",
        reason: NO_PENDING_SCRAPES,
    },
];

/// Details of event loops that are no longer configurable.
pub const EVENT_LOOP: &[OldKey] = &[
    OldKey::Dropped {
        key: "network.poll_event_capacity",
        reason: "chosen by the event loop",
    },
    OldKey::Dropped {
        key: "network.poll_timeout_ms",
        reason: "chosen by the event loop",
    },
    OldKey::Dropped {
        key: "network.use_io_uring",
        reason: "the event loop is chosen when the program is built",
    },
    OldKey::Dropped {
        key: "network.ring_size",
        reason: "chosen by the event loop",
    },
    OldKey::Dropped {
        key: "network.resend_buffer_max_len",
        reason: "replies that cannot be sent immediately are not queued",
    },
];

/// Workers used to be pinned to CPU cores.
pub const CPU_PINNING: &[OldKey] = &[OldKey::Dropped {
    key: "cpu_pinning",
    reason: "leave it to the scheduler, or set CPUAffinity= in the systemd unit",
}];

/// Before release 0.2, connections always used TLS. So a file with a certificate or key,
/// but without the switch, means TLS.
pub const TLS: &[OldKey] = &[OldKey::Implied {
    key: "network.enable_tls",
    imply: |found| {
        let is_set = |key: &&str| {
            let texts = found.texts(key).unwrap_or_default();
            texts.iter().any(|path| !path.is_empty())
        };
        let key = [
            "network.tls_certificate_path",
            "network.tls_private_key_path",
        ]
        .into_iter()
        .find(|key| is_set(key))?;
        Some((
            key,
            "not set: assuming true, like release 0.2, because a certificate is configured; set \
             enable_tls = true, or false for unencrypted connections",
        ))
    },
}];

/// The metrics endpoint had a switch, and metrics were collected at intervals.
pub const METRICS: &[OldKey] = &[
    OldKey::Merged {
        keys: &[
            "metrics.run_prometheus_endpoint",
            "metrics.prometheus_endpoint_address",
        ],
        to: "metrics.address",
        merge: |found| endpoint(found, "metrics"),
    },
    OldKey::Dropped {
        key: "metrics.torrent_count_update_interval",
        reason: "torrents are counted when metrics are requested",
    },
];

/// Connections have their own deadlines.
pub const CONNECTION_CLEANING: &[OldKey] = &[OldKey::Dropped {
    key: "cleaning.connection_cleaning_interval",
    reason: "connections are closed at their own deadlines",
}];

/// Makes `metrics.address` from the switch and the address for Prometheus in `section`.
pub fn endpoint(found: &mut Found<'_, '_>, section: &str) -> Merged {
    const OLD_DEFAULT: &str = "0.0.0.0:9000";

    let run = found.boolean(&format!("{section}.run_prometheus_endpoint"));
    let address = found.text(&format!("{section}.prometheus_endpoint_address"));
    if found.has("metrics.address") {
        Merged::Nothing("metrics.address is also set")
    } else if run == Some(true) {
        let address = address.unwrap_or_else(|| OLD_DEFAULT.to_owned());
        Merged::Text(address)
    } else {
        Merged::Nothing("the endpoint was disabled, as it is without metrics.address")
    }
}

const ONE_KIND_OF_WORKER: &str = "there is only one kind of worker, whose number is socket_workers";
const NO_CHANNELS: &str = "requests no longer pass between threads";
const NO_PENDING_SCRAPES: &str = "scrapes are answered at once and never wait";
