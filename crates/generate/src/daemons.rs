//! Data about each daemon that is not in its types: the list of daemons, and texts of manual
//! pages.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;

/// The list of daemons, `packaging/daemons.toml`, by their names without `aquatic-`.
pub(super) type List = BTreeMap<String, Listed>;

/// A daemon in the list, which documents the fields.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Listed {
    /// A description in one line.
    pub title: String,
    /// Its transport.
    pub transport: Transport,
    /// Its default port.
    pub port: u16,
    /// The port of its metrics where several daemons have some.
    pub metrics_port: u16,
    /// Whether it supports TLS.
    pub has_tls: bool,
    /// Whether it shares its peers with the other daemons that have this.
    pub shares_peers: bool,
    /// Files that it writes below its state directory, by key, in addition to the
    /// snapshot, which is there by default.
    pub state_files: BTreeMap<String, String>,
    /// Its description in packages.
    pub description: String,
}

/// The transport of a daemon.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// Reads the list.
///
/// # Errors
///
/// If it is invalid.
pub(super) fn list() -> anyhow::Result<List> {
    toml::from_str(include_str!("../../../packaging/daemons.toml"))
        .context("packaging/daemons.toml")
}

/// Texts in the manual pages of a daemon.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    /// The template of its page.
    pub page: &'static str,
    /// Names in templates, and their replacements.
    pub words: &'static [(&'static str, &'static str)],
}

/// `aquatic-http`.
pub(super) const HTTP: About = About {
    page: include_str!("man/pages/aquatic-http.8"),
    words: &[
        ("@OVER@", "over HTTP and HTTPS"),
        ("@LISTEN@", "ListenStream"),
        ("@SEE_CLUSTER@", ".Xr aquatic-cluster 7 ,\n"),
        ("@RELOADED@", " and the certificate"),
        ("@OPEN@", ""),
        ("@STATE@", "Torrents, peers and download counts"),
        ("@KEPT@", NO_PEER_FORGOTTEN),
        ("@AND_WORKERS@", "and the number of workers"),
        ("@RESTART@", NO_REQUEST_LOST),
        (
            "@LOAD@",
            "sends announce and scrape requests to a tracker over HTTP or HTTPS, simulating the\n\
             peers of many torrents, and reports throughput, latency and losses.",
        ),
        ("@PORT@", "3000"),
    ],
};

/// `aquatic-udp`.
pub(super) const UDP: About = About {
    page: include_str!("man/pages/aquatic-udp.8"),
    words: &[
        ("@OVER@", "over UDP"),
        ("@LISTEN@", "ListenDatagram"),
        ("@SEE_CLUSTER@", ".Xr aquatic-cluster 7 ,\n"),
        ("@RELOADED@", ""),
        (
            "@STATE@",
            "Torrents, peers, download counts and the key of connection ids",
        ),
        ("@KEPT@", NO_PEER_FORGOTTEN),
        (
            "@AND_WORKERS@",
            "the number of workers and\n.Ic socket_recv_buffer_size",
        ),
        ("@RESTART@", NO_REQUEST_LOST),
        (
            "@LOAD@",
            "sends connect, announce and scrape requests to a UDP tracker, simulating the peers\n\
             of many torrents, and reports throughput, latency and losses.",
        ),
        ("@PORT@", "3000"),
    ],
};

/// `aquatic-ws`.
pub(super) const WS: About = About {
    page: include_str!("man/pages/aquatic-ws.8"),
    words: &[
        ("@OVER@", "for WebTorrent"),
        ("@LISTEN@", "ListenStream"),
        ("@SEE_CLUSTER@", ".Xr aquatic-cluster 7 ,\n"),
        ("@RELOADED@", " and the certificate"),
        (
            "@OPEN@",
            ",\nand are closed after\n.Ic close_after_tls_update_grace_period",
        ),
        ("@STATE@", "Download counts"),
        (
            "@KEPT@",
            ".\nPeers are not saved, because they exist only as long as their connections; they\n\
             reconnect and announce again",
        ),
        ("@AND_WORKERS@", "and the number of workers"),
        (
            "@RESTART@",
            "; connected clients reconnect and announce\nagain",
        ),
        (
            "@LOAD@",
            "sends announces with offers, answers and scrapes to a WebTorrent tracker over\n\
             WebSocket, simulating the peers of many torrents, and reports throughput, latency\n\
             and losses of replies and relayed messages.",
        ),
        ("@PORT@", "3001"),
    ],
};

/// The effect of a restart on clients without persistent connections.
const NO_REQUEST_LOST: &str = ", and no request is lost";

/// The purpose of the state of daemons without persistent connections.
const NO_PEER_FORGOTTEN: &str = ", so that peers survive a restart";
