//! What the aquatic daemons have in common as operating-system services.
//!
//! A daemon implements [`Daemon`] and calls [`run`]; this crate does everything between the
//! operating system and the daemon.
//!
//! * [`cli`], [`config`]: command line and configuration.
//! * [`run`], [`Daemon`], [`Start`]: start, run and stop of a process.
//! * [`sockets`]: sockets inherited from the service manager, or bound.
//! * [`workers`]: worker threads, and detection of threads that end or hang.
//! * [`lists`]: files of an operator that reloads read again. [`access_list`]: those of
//!   torrents.
//! * `list_check`: the subcommand that says what files of lists contain.
//! * [`reload`]: other files that are reloaded on a signal; `tls`: certificates, with the
//!   feature of that name.
//! * [`Replaceable`], [`View`]: settings that a reload replaces while workers use them.
//! * [`snapshot`]: the file that preserves state across restarts.
//! * [`metrics`]: metrics and the status page over HTTP. [`html`]: pages for people.
//! * [`files`]: files that are read and written while the service runs.
//! * [`interfaces`]: the addresses of this machine.
//! * [`clock`]: the time. [`secret`]: unpredictable random numbers.
//! * [`resource_limits`]: limits of the process.
//! * [`destination`]: the server that the daemon connects to, and the sandbox.
//! * [`runtime_directory`]: the directory in which daemons find each other.
//! * `configuration_directory`: the one with their configurations.
//! * [`logging`]: log messages to the journal or standard error.
//! * `generator`: drop-ins for the units of systemd.
//! * `neighbours`: conflicts with the configurations of other daemons.
//! * `privileges`, `signals`, `notify`: privileges, signals, and messages to the service
//!   manager.

pub mod access_list;
pub mod cli;
pub mod clock;
pub mod config;
mod configuration_directory;
mod daemon;
pub mod destination;
pub mod files;
mod generator;
mod host_name;
pub mod html;
pub mod interfaces;
mod lifecycle;
mod list_check;
pub mod lists;
pub mod logging;
pub mod metrics;
mod neighbours;
mod notify;
mod privileges;
pub mod reload;
mod replaceable;
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
pub use generator::{Wanted, wanted_by};
pub use host_name::host_name;
pub use lifecycle::{EXIT_CONFIGURATION, Examinations, program, run};
pub use replaceable::{Replaceable, View};
pub use secrets::secret;
