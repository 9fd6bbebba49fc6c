//! The `aquatic-udp` daemon: a BitTorrent tracker over UDP.

pub mod config;
pub mod settings;
