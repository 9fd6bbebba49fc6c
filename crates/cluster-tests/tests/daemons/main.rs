//! Black-box tests of linked daemons that are started by hand, without a service manager.

mod accounting;
mod client;
mod engine;
mod failover;
mod limits;
mod load;
mod meeting;
mod monitoring;
mod pair;
mod peers;
mod real_clients;
mod restarts;
mod web_torrent;
#[path = "../../../ws/tests/black_box/wire.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests of one tracker, which use more of it, are where it is at home"
)]
mod wire;
