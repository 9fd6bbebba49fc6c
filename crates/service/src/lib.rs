//! What the aquatic daemons share as operating-system services.
//!
//! A daemon implements [`Daemon`] and calls [`run`]; everything between the
//! operating system and the daemon happens here, once for all of them.
//!
//! * [`cli`], [`config`]: what the operator asks for.
//! * [`run`], [`Daemon`], [`Start`]: the life of a process.
//! * [`sockets`]: taken over from the service manager, or bound.
//! * [`workers`]: threads, watched for life.
//! * [`access_list`]: which torrents are served, with reload.
//! * [`reload`]: what else a signal has read again; `tls`: certificates, with the
//!   feature of that name.
//! * [`snapshot`]: the file that carries state across restarts.
//! * [`metrics`]: metrics over HTTP.
//! * [`files`]: files that are read and written while the service runs.
//! * [`clock`]: the time. [`secret`]: random numbers that nobody can guess.
//! * [`resource_limits`]: what the system allows the process.
//! * [`runtime_directory`]: where daemons find each other.
//! * [`logging`]: the journal, or standard error.
//! * `generator`: the addresses for the socket unit of systemd.
//! * `neighbours`: what other daemons' files claim.
//! * `privileges`, `signals`, `notify`: the rest of the edge.

pub mod access_list;
pub mod cli;
pub mod clock;
pub mod config;
mod daemon;
pub mod files;
mod generator;
mod lifecycle;
pub mod logging;
pub mod metrics;
mod neighbours;
mod notify;
mod privileges;
pub mod reload;
pub mod resource_limits;
pub mod runtime_directory;
mod secrets;
mod signals;
pub mod snapshot;
pub mod sockets;
mod sys;
#[cfg(feature = "tls")]
pub mod tls;
pub mod workers;

pub use daemon::{Daemon, Start};
pub use generator::listening_of;
pub use lifecycle::{EXIT_CONFIGURATION, program, run};
pub use secrets::secret;
