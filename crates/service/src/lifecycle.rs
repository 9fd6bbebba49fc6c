//! The life of a daemon's process, from its command line to its exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | asked to stop, and stopped well; or printed or checked what was asked for |
//! | 1 | the configuration is wrong, or the start, a worker, or the last snapshot failed |
//! | 2 | the command line is wrong |
//!
//! The reason is always the last error in the log.

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::cli::{self, Action, Arguments, EXIT_FAILURE, Program};
use crate::config::{self, Checks, Config, Loaded};
use crate::sockets::Transport;
use crate::{Daemon, generator, logging};

mod check;
mod startup;
mod supervisor;

/// Runs a daemon: all of its `main`. Started under its name with `-generator`
/// behind, the program is a generator of systemd instead.
pub fn run<D: Daemon>() -> ExitCode {
    let mut words = env::args_os();
    if generator::is_meant::<D>(words.next().as_deref()) {
        return generator::run::<D>(words);
    }
    let arguments = cli::parse(&program::<D>());
    let result = logging::init(D::NAME, log::LevelFilter::Info).and_then(|()| act::<D>(&arguments));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// A daemon, as its command line presents it.
pub fn program<D: Daemon>() -> Program {
    let listening = D::listening(&D::Config::default(), &mut Checks::new());
    let kind = match listening.transport {
        Transport::Udp { .. } => "UDP",
        Transport::Tcp { .. } => "TCP",
    };
    let port = listening.addresses.first().map_or(0, SocketAddr::port);
    Program {
        name: D::NAME,
        about: D::ABOUT,
        version: env!("CARGO_PKG_VERSION"),
        port: format!("{kind} port {port}"),
    }
}

fn act<D: Daemon>(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.action == Action::PrintDefault {
        return print(D::Config::DEFAULT_TOML);
    }
    let loaded: Loaded<D::Config> = config::load(arguments.config.as_deref())?;
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let settings = loaded.settings(D::settings)?;
    match arguments.action {
        Action::PrintDefault | Action::PrintEffective => print(&loaded.effective_toml()),
        Action::Migrate => print(&loaded.migrated_toml()),
        Action::Check => check::check::<D>(&settings),
        Action::Run => {
            log::set_max_level(D::process(&settings).log_level);
            for warning in &D::process(&settings).advice {
                log::warn!("{warning}");
            }
            startup::start::<D>(settings)?.run()
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // `aquatic-udp -p | head` has got what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
