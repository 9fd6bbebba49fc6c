//! The life of a daemon's process, from its command line to its exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | stopped when asked to; or printed or checked what was asked for |
//! | 1 | the start, a worker, or the final snapshot failed |
//! | 2 | the command line is wrong |
//! | 75 | no sockets were inherited from the socket unit, which has to be restarted |
//! | 78 | the configuration is invalid, or a file or user that it refers to |
//!
//! `doctor` has exit codes of its own; that of `list-check` and `health` is 1 if something is
//! wrong.
//!
//! The reason is always the last error in the log, and the last status line sent to
//! the service manager.

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::cli::{self, Action, Arguments, DoctorArguments, EXIT_FAILURE, Program};
use crate::config::{self, Checks, Config, Diagnostic, Diagnostics, Faults, Loaded, Sources};
use crate::neighbours::{self, Claim, Claims};
use crate::notify::Notifier;
use crate::signals::Caught;
use crate::sockets::{NoSockets, SOCKET_UNIT, Transport};
use crate::{Daemon, configuration_directory, destination, generator, list_check, logging};

mod attempts;
mod check;
mod first_steps;
mod named_files;
mod startup;
mod supervisor;

use attempts::{Attempts, Decision, Kind};

/// The exit code for an invalid configuration: EX_CONFIG of sysexits.h(3head). Units
/// name it in `RestartPreventExitStatus=`.
pub const EXIT_CONFIGURATION: u8 = 78;

/// The exit code when no sockets were inherited from the socket unit: EX_TEMPFAIL of
/// sysexits.h(3head). Units name it to have the socket unit started again.
const EXIT_NO_SOCKETS: u8 = 75;

/// Subcommands that look at a daemon from outside, and are not part of this crate.
#[derive(Debug, Clone, Copy)]
pub struct Examinations {
    /// `doctor`.
    pub doctor: fn(&Arguments, &DoctorArguments) -> ExitCode,
    /// `health`.
    pub health: fn(&Arguments) -> ExitCode,
}

/// Runs a daemon: the body of its `main`. When started under its name with the suffix
/// `-generator`, the program is a systemd generator instead.
pub fn run<D: Daemon>(examinations: Examinations) -> ExitCode {
    let mut words = env::args_os();
    if generator::is_meant::<D>(words.next().as_deref()) {
        return generator::run::<D>(words);
    }
    let mut arguments = cli::parse(&program::<D>());
    let default = || configuration_directory::file_of(D::NAME);
    arguments.config = arguments.config.or_else(default);
    match &arguments.action {
        Action::Doctor(options) => return (examinations.doctor)(&arguments, options),
        Action::Health => return (examinations.health)(&arguments),
        Action::ListCheck(options) => return list_check::run(options),
        _ => {}
    }
    let is_service = arguments.action == Action::Run;
    let result = logging::init(D::NAME, log::LevelFilter::Info, is_service).and_then(|()| {
        if is_service {
            serve::<D>(&arguments)
        } else {
            act::<D>(&arguments)
        }
    });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(match kind(&error) {
                Kind::Configuration => EXIT_CONFIGURATION,
                Kind::Other if error.is::<NoSockets>() => EXIT_NO_SOCKETS,
                Kind::Other => EXIT_FAILURE,
            })
        }
    };
    log::logger().flush();
    code
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

/// Does what the command line asks for, other than serving.
fn act<D: Daemon>(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.action == Action::PrintDefault {
        return print(D::Config::DEFAULT_TOML);
    }
    let sources = Sources::of_daemon(D::NAME, arguments.config.as_deref());
    let loaded: Loaded<D::Config> = config::load(&sources)?;
    loaded.warnings().log();
    let settings = loaded.settings(D::settings)?;
    match arguments.action {
        Action::Check => {
            let conflicts = conflicts::<D>(&loaded, &settings);
            if !conflicts.list.is_empty() {
                return Err(conflicts.into());
            }
            loaded.located(D::process(&settings).advice.clone()).log();
            // In a container, there may be a file with this path, but no unit.
            let is_packaged = sources.path().is_some_and(neighbours::is_packaged)
                && configuration_directory::file_of(D::NAME).is_none();
            if is_packaged || env::var_os(SOCKET_UNIT).is_some() {
                generator::unseen::<D>(&loaded).log();
            }
            let subject = check::Subject {
                settings: &settings,
                listening: &D::listening(&loaded.config, &mut Checks::new()),
                sources: &sources,
            };
            check::check::<D>(&subject).map_err(|faults| loaded.located(faults.0).into())
        }
        Action::Migrate => migrate::<D>(&sources, &loaded),
        Action::PrintDefault
        | Action::PrintEffective
        | Action::Run
        | Action::Doctor(_)
        | Action::Health
        | Action::ListCheck(_) => print(&loaded.effective_toml()),
    }
}

/// Prints the configuration file alone in the current format: with the values of its drop-ins
/// they would no longer be needed, but still override it.
fn migrate<D: Daemon>(sources: &Sources, all: &Loaded<D::Config>) -> anyhow::Result<()> {
    let file: Loaded<D::Config> = config::load(&Sources::file(sources.path()))?;
    for drop_in in all.outdated_drop_ins() {
        log::warn!(
            "only the file of -c is converted: in {}, rename the keys above yourself",
            drop_in.display()
        );
    }
    print(&file.migrated_toml())
}

/// Serves; when it cannot, the service manager is sent the reason.
fn serve<D: Daemon>(arguments: &Arguments) -> anyhow::Result<()> {
    let mut notifier = Notifier::from_environment();
    let mut caught = Caught::register()?;
    let mut attempts = Attempts::from_environment();
    let decision = attempts.wait(|line| notifier.status(line), || caught.take_stop());
    if decision == Decision::Stop {
        return Ok(());
    }
    let sources = Sources::of_daemon(D::NAME, arguments.config.as_deref());
    let mut watched = sources.paths();
    let mut ready = None;
    let serve = || {
        let loaded: Loaded<D::Config> = config::load(&sources)?;
        let settings = loaded.settings(D::settings)?;
        // Not before, so that a file with errors does not fill the log with warnings.
        loaded.warnings().log();
        let process = D::process(&settings);
        watched.extend(process.lists.paths().map(|(_, path)| path.to_owned()));
        watched.extend(D::read_files(&settings).into_iter().map(|(_, path)| path));
        log::set_max_level(process.log_level.into());
        loaded.located(process.advice.clone()).log();
        // The sockets may well be open already, so this is no reason not to serve.
        conflicts::<D>(&loaded, &settings).log();
        if env::var_os(SOCKET_UNIT).is_some() {
            generator::unseen::<D>(&loaded).log();
        }
        let destination = D::destination(&loaded.config);
        destination::warn_of_difference(D::NAME, destination.as_ref());
        let config = toml::Table::try_from(&loaded.config)?;
        let sources = sources.clone();
        let supervisor = startup::start::<D>(settings, sources, config, caught, &mut notifier)
            .map_err(|error| located(&loaded, error))?;
        ready = Some(Instant::now());
        let listening = D::listening(&loaded.config, &mut Checks::new());
        first_steps::tell(supervisor.daemon(), &listening);
        supervisor.run()
    };
    let result = serve().map_err(for_service::<D>);
    match &result {
        Ok(()) => attempts.forget(),
        Err(error) => {
            let reason = format!("{error:#}");
            notifier.status(&format!("failed: {reason}"));
            let watched: Vec<&Path> = watched.iter().map(AsRef::as_ref).collect();
            let served = ready.map(|ready| ready.elapsed());
            attempts.failed(kind(error), &reason, served, &watched);
        }
    }
    result
}

/// Shortens the errors of a configuration for the log of a service.
fn for_service<D: Daemon>(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<config::Error>() {
        Ok(config::Error::Faulty(errors)) => errors.for_service(D::NAME).into(),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// What other daemons with a configuration beside this one claim as well.
fn conflicts<D: Daemon>(loaded: &Loaded<D::Config>, settings: &D::Settings) -> Diagnostics {
    let Some(path) = &loaded.path else {
        return loaded.located(Vec::new());
    };
    let listening = D::listening(&loaded.config, &mut Checks::new());
    let mut claims = Claims::of(&listening);
    claims.files = named_files::written::<D>(settings, Path::to_owned)
        .into_iter()
        .map(|(key, what)| Claim { key, what })
        .collect();
    let conflicts = neighbours::conflicts(D::NAME, path, &claims);
    loaded.located(conflicts.into_iter().map(|one| one.error).collect())
}

/// Adds the positions of keys in the file, if the error is about keys.
fn located<C: Config>(loaded: &Loaded<C>, error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast::<Diagnostic>() {
        Ok(error) => return loaded.located(vec![error]).into(),
        Err(error) => error,
    };
    match error.downcast::<Faults>() {
        Ok(Faults(errors)) => loaded.located(errors).into(),
        Err(error) => error,
    }
}

fn kind(error: &anyhow::Error) -> Kind {
    let is_configuration = error.is::<config::Error>()
        || error.is::<Diagnostics>()
        || error.is::<Diagnostic>()
        || error.is::<Faults>();
    if is_configuration {
        Kind::Configuration
    } else {
        Kind::Other
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // `aquatic-udp -p | head` has got what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
