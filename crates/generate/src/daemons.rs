//! What is said of each daemon that its types do not say.

/// A daemon, as units, configurations and manual pages have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    /// What its units say that it speaks.
    pub protocol: &'static str,
    /// Whether it has connections, and with them certificates.
    pub has_connections: bool,
    /// Files that it writes, by key, below its state directory, besides the
    /// snapshot, which goes there by itself.
    pub files: &'static [(&'static str, &'static str)],
    /// The template of its manual page.
    pub page: &'static str,
    /// Names in the templates of manual pages, between two signs, and what replaces
    /// them.
    pub words: &'static [(&'static str, &'static str)],
}

/// `aquatic-http`.
pub(super) const HTTP: About = About {
    protocol: "HTTP and HTTPS",
    has_connections: true,
    files: &[],
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
    protocol: "UDP",
    has_connections: false,
    files: &[("scrape_exports.path", "scrape-export.txt")],
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
    protocol: "WebSocket",
    has_connections: true,
    files: &[],
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
