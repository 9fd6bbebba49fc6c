//! What is said of each daemon that its types do not say: by the list of daemons, and
//! in manual pages.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;

/// The list of daemons, `packaging/daemons.toml`, by what follows `aquatic-` in their
/// names.
pub(super) type List = BTreeMap<String, Listed>;

/// A daemon in the list, which says more about its fields.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Listed {
    /// What it is, in one line.
    pub title: String,
    /// What it listens on.
    pub transport: Transport,
    /// The port that it serves by default.
    pub port: u16,
    /// Whether it has certificates.
    pub has_tls: bool,
    /// Files that it writes, by key, below its state directory, besides the
    /// snapshot, which goes there by itself.
    pub state_files: BTreeMap<String, String>,
    /// What package managers say of it.
    pub description: String,
}

/// What a daemon listens on.
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
/// It has a mistake.
pub(super) fn list() -> anyhow::Result<List> {
    toml::from_str(include_str!("../../../packaging/daemons.toml"))
        .context("packaging/daemons.toml")
}

/// What the manual pages of a daemon say.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    /// The template of its page.
    pub page: &'static str,
    /// Names in templates, between two signs, and what replaces them.
    pub words: &'static [(&'static str, &'static str)],
}

/// `aquatic-http`.
pub(super) const HTTP: About = About {
    page: include_str!("man/pages/aquatic-http.8"),
    words: &[
        ("@OVER@", "over HTTP and HTTPS"),
        ("@LISTEN@", "ListenStream"),
        ("@RELOADED@", " and the certificate"),
        ("@OPEN@", ""),
        ("@STATE@", "Torrents, peers and download counts"),
        ("@KEPT@", NO_PEER_FORGOTTEN),
        ("@AND_WORKERS@", "and the number of workers"),
        ("@RESTART@", NO_REQUEST_LOST),
        (
            "@LOAD@",
            "sends a tracker announce and scrape requests over HTTP or HTTPS,\n\
             as the peers of many torrents would, and reports how well it answers.",
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
            "sends a tracker connect, announce and scrape requests as datagrams,\n\
             as the peers of many torrents would, and reports how well it answers.",
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
        ("@RELOADED@", " and the certificate"),
        (
            "@OPEN@",
            ",\nand are closed after\n.Ic close_after_tls_update_grace_period",
        ),
        ("@STATE@", "Download counts"),
        (
            "@KEPT@",
            ".\nPeers are not in it, as they are gone with their connections; they connect and\n\
             announce again",
        ),
        ("@AND_WORKERS@", "and the number of workers"),
        (
            "@RESTART@",
            "; those who are connected connect and announce\nagain",
        ),
        (
            "@LOAD@",
            "sends a WebTorrent tracker announces with offers, answers and scrapes over WebSocket,\n\
             as the peers of many torrents would, and reports how well it answers and relays.",
        ),
        ("@PORT@", "3001"),
    ],
};

/// What a restart costs where clients are not connected all the time.
const NO_REQUEST_LOST: &str = ", and loses no request";

/// What the state of daemons without connections is for.
const NO_PEER_FORGOTTEN: &str = ", so that no peer is forgotten by a\nrestart";
