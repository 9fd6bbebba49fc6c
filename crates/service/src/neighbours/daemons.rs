//! Made by `cargo xtask generate` from packaging/daemons.toml.

use super::{Neighbour, Protocol};

/// All daemons.
pub(super) const DAEMONS: &[Neighbour] = &[
    Neighbour {
        name: "aquatic-http",
        protocol: Protocol::Tcp,
        port: 3000,
    },
    Neighbour {
        name: "aquatic-udp",
        protocol: Protocol::Udp,
        port: 3000,
    },
    Neighbour {
        name: "aquatic-ws",
        protocol: Protocol::Tcp,
        port: 3001,
    },
];
