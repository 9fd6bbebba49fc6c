//! The command line of all load tests, and its handling.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use aquatic_service::cli::{Action, ConfigArguments};
use aquatic_service::config::{self, Diagnostic, Loaded, Sources};
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::config::{Config, Duration, ProcessId, Workers};
use crate::report::Report;

/// The parts that differ between load tests.
pub trait LoadTest {
    /// The program's name.
    const NAME: &'static str;
    /// The start of the output of `--help`.
    const ABOUT: &'static str;
    /// The section `transport` of the configuration.
    type Transport;
    /// The section `requests` of the configuration.
    type Requests;
    /// The validated settings.
    type Settings;

    /// Validates a configuration.
    ///
    /// # Errors
    ///
    /// All errors in it.
    fn settings(
        config: &Config<Self::Transport, Self::Requests>,
    ) -> Result<Self::Settings, Vec<Diagnostic>>;

    /// Runs the test.
    ///
    /// # Errors
    ///
    /// If the tracker does not answer, or the machine's limits of sockets or threads are
    /// reached.
    fn run(settings: &Self::Settings) -> anyhow::Result<Report>;
}

/// The body of `main` of a load test.
pub fn main<T: LoadTest>() -> ExitCode
where
    Config<T::Transport, T::Requests>: config::Config,
{
    let matches = command::<T>().get_matches();
    let outcome = Arguments::from_arg_matches(&matches)
        .map_err(anyhow::Error::from)
        .and_then(|arguments| run::<T>(&arguments));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line of a load test; also used for its manual page.
pub fn command<T: LoadTest>() -> clap::Command {
    Arguments::command().name(T::NAME).about(T::ABOUT)
}

#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// Tracker to test, overrides server_address
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<String>,

    /// Process id of the tracker, overrides server_pid
    #[arg(long, value_name = "PID")]
    server_pid: Option<ProcessId>,

    /// Duration of the measurement, overrides duration_seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<Duration>,

    /// Number of worker threads, overrides workers
    #[arg(long, value_name = "COUNT")]
    workers: Option<Workers>,

    /// Announce every peer once before the measurement
    #[arg(long)]
    fill: bool,

    /// Do not show progress
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    /// Overrides values of the file with those of the command line.
    fn apply<Transport, Requests>(&self, config: &mut Config<Transport, Requests>) {
        if let Some(server) = &self.server {
            config.server_address.clone_from(server);
        }
        if let Some(pid) = self.server_pid {
            config.server_pid = pid.into();
        }
        if let Some(seconds) = self.duration {
            config.duration_seconds = seconds;
        }
        if let Some(workers) = self.workers {
            config.workers = workers;
        }
        config.fill |= self.fill;
        config.progress &= !self.quiet;
    }
}

fn run<T: LoadTest>(arguments: &Arguments) -> anyhow::Result<()>
where
    Config<T::Transport, T::Requests>: config::Config,
{
    let action = arguments.config.action();
    if action == Action::PrintDefault {
        return print(<Config<T::Transport, T::Requests> as config::Config>::DEFAULT_TOML);
    }
    let mut loaded: Loaded<Config<T::Transport, T::Requests>> =
        config::load(&Sources::file(arguments.config.config.as_deref()))?;
    for warning in loaded.warnings().lines() {
        eprintln!("{warning}");
    }
    arguments.apply(&mut loaded.config);
    let settings = loaded.settings(T::settings)?;
    if action == Action::PrintEffective {
        return print(&loaded.effective_toml());
    }

    let report = T::run(&settings)?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))
    } else {
        print(&format!("{report}\n"))
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use aquatic_service::config::numbers::{Count, Seconds, ZeroOr};

    use super::*;

    /// Applies a command line to a configuration with values that differ from it.
    fn applied(words: &str) -> (String, [usize; 3], [bool; 2]) {
        let arguments = Arguments::try_parse_from(words.split(' ')).unwrap();
        let mut config = crate::udp::Config {
            server_address: "127.0.0.1:1".to_owned(),
            server_pid: ZeroOr::of::<2>(),
            duration_seconds: Seconds::of::<3>(),
            workers: Count::of::<4>(),
            ..crate::udp::Config::default()
        };
        arguments.apply(&mut config);
        (
            config.server_address,
            [
                config.server_pid.non_zero().map_or(0, NonZeroUsize::get),
                config.duration_seconds.as_usize(),
                config.workers.as_usize(),
            ],
            [config.fill, config.progress],
        )
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let words = "x --server [::1]:4 --server-pid 5 --duration 6 --workers 7 --fill --quiet";
        assert_eq!(
            applied(words),
            ("[::1]:4".to_owned(), [5, 6, 7], [true, false])
        );
    }

    #[test]
    fn what_is_not_said_stays() {
        assert_eq!(
            applied("x --json"),
            ("127.0.0.1:1".to_owned(), [2, 3, 4], [false, true])
        );
    }
}
