//! Made by `cargo xtask generate` from packaging/daemons.toml.

/// The daemons whose swarms are alike, and so can be one.
pub(super) const DAEMONS: &[&str] = &["aquatic-http", "aquatic-udp"];
