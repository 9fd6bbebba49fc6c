//! What black-box tests of the daemons share: starting one with a config of its
//! own, awaiting that it is ready, talking to it, ending it, and networks of
//! several hosts for tests with real BitTorrent clients.
//!
//! All functions panic with a readable message when something goes wrong, so that the
//! test fails. None depends on a tracker protocol, or on keys of the configuration that
//! only one daemon has: the test names the binary and writes the rest of the
//! configuration.
//!
//! - [`setup`]: a directory, a binary and an environment; starts [`daemon::Daemon`]s.
//! - [`daemon`]: a running daemon and its messages to its service manager.
//! - [`terminal`]: a program that is started on a terminal.
//! - [`tracker`]: a daemon with ports of its own, and its metrics.
//! - [`doctor`]: the findings of a daemon's `doctor`.
//! - [`lists`]: what all trackers do with lists of their operator.
//! - [`process`]: any child process with its output, ended when dropped.
//! - [`notify`]: the receiving end of `NOTIFY_SOCKET`.
//! - [`ports`]: port numbers that no other test uses at the same time.
//! - [`network`]: hosts in network namespaces behind one bridge.
//! - [`http`] and [`prometheus`]: reading the metrics page.
//! - `connection`: bytes over TCP, with or without TLS; requires the feature `tls`,
//!   because it needs rustls.
//! - `records`: TLS records that no library sends; requires the same feature.
//! - [`certificates`]: certificates for TLS servers, and the authority that signed them.
//! - [`privileges`]: checks that a process has dropped its privileges.
//! - [`odd_machines`]: daemons on machines that lack something.
//! - [`clients`]: BitTorrent clients. [`browser`]: pages in headless Chromium.
//! - [`transfer`]: a file transferred between two clients that find each other through a
//!   tracker.
//! - [`corpora`]: inputs that the fuzzer has found.
//! - `target`: the container image under test, if it is one.
//! - [`tools`]: programs that a test needs, and skipping without them.
//! - [`nix_expressions`]: evaluates expressions of the language Nix.
//! - [`nixos_switch`]: what NixOS does when it switches to another configuration.
//! - [`waiting`]: awaiting a condition until a deadline.
#![forbid(unsafe_code)]

pub mod browser;
pub mod certificates;
pub mod clients;
#[cfg(feature = "tls")]
pub mod connection;
pub mod corpora;
pub mod daemon;
pub mod doctor;
mod exports;
mod health;
pub mod http;
pub mod lists;
pub mod manual;
pub mod network;
pub mod nix_expressions;
pub mod nixos_switch;
pub mod notify;
pub mod odd_machines;
pub mod ports;
pub mod privileges;
pub mod process;
pub mod prometheus;
#[cfg(feature = "tls")]
pub mod records;
mod reloads;
pub mod setup;
mod target;
pub mod terminal;
pub mod tools;
pub mod tracker;
pub mod transfer;
pub mod waiting;

pub use daemon::Daemon;
pub use network::Network;
pub use nix::sys::signal::Signal;
pub use ports::Port;
pub use process::Process;
pub use setup::Setup;
pub use waiting::{PATIENCE, eventually};
