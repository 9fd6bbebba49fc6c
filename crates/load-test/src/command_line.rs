//! The command line that all load tests share, and what they do with it.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use aquatic_service::cli::{Action, ConfigArguments};
use aquatic_service::config::{self, Config, Invalid, Loaded};
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::report::Report;

/// What differs from load test to load test.
pub trait LoadTest {
    /// The program's name.
    const NAME: &'static str;
    /// What `--help` begins with.
    const ABOUT: &'static str;
    /// What the user wrote.
    type Config: Config;
    /// The same, valid by type.
    type Settings;

    /// The keys that the command line can override.
    fn overridable(config: &mut Self::Config) -> Overridable<'_>;

    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    fn settings(config: &Self::Config) -> Result<Self::Settings, Vec<Invalid>>;

    /// Does the test.
    ///
    /// # Errors
    ///
    /// When the tracker does not answer, and when the machine refuses sockets
    /// or threads.
    fn run(settings: &Self::Settings) -> anyhow::Result<Report>;
}

/// Keys of a configuration that the command line can override.
#[derive(Debug)]
pub struct Overridable<'a> {
    /// Address and port of the tracker.
    pub server_address: &'a mut String,
    /// The tracker's process, or 0.
    pub server_pid: &'a mut u32,
    /// How long to measure.
    pub duration_seconds: &'a mut u32,
    /// Number of threads.
    pub workers: &'a mut usize,
    /// Whether to announce every peer before measuring.
    pub fill: &'a mut bool,
    /// Whether to write a line each second.
    pub progress: &'a mut bool,
}

/// The body of `main` of a load test.
pub fn main<T: LoadTest>() -> ExitCode {
    let matches = Arguments::command()
        .name(T::NAME)
        .about(T::ABOUT)
        .get_matches();
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

#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// Instead of server_address: the tracker to test
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<String>,

    /// Instead of server_pid: the tracker's process id
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Instead of duration_seconds: how long to measure
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,

    /// Instead of workers: the number of threads
    #[arg(long, value_name = "COUNT")]
    workers: Option<usize>,

    /// Announce every peer once before measuring
    #[arg(long)]
    fill: bool,

    /// Write no progress lines
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    /// Puts what the command line says in place of what the file says.
    fn apply(&self, config: Overridable<'_>) {
        if let Some(server) = &self.server {
            config.server_address.clone_from(server);
        }
        if let Some(pid) = self.server_pid {
            *config.server_pid = pid;
        }
        if let Some(seconds) = self.duration {
            *config.duration_seconds = seconds;
        }
        if let Some(workers) = self.workers {
            *config.workers = workers;
        }
        *config.fill |= self.fill;
        *config.progress &= !self.quiet;
    }
}

fn run<T: LoadTest>(arguments: &Arguments) -> anyhow::Result<()> {
    let action = arguments.config.action();
    if action == Action::PrintDefault {
        return print(T::Config::DEFAULT_TOML);
    }
    let mut loaded: Loaded<T::Config> = config::load(arguments.config.config.as_deref())?;
    for warning in &loaded.warnings {
        eprintln!("{warning}");
    }
    arguments.apply(T::overridable(&mut loaded.config));
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
    use super::*;

    /// What a command line makes of other values.
    fn applied(words: &str) -> (String, [u32; 3], [bool; 2]) {
        let arguments = Arguments::try_parse_from(words.split(' ')).unwrap();
        let mut server = "127.0.0.1:1".to_owned();
        let (mut server_pid, mut duration_seconds, mut workers) = (2, 3, 4);
        let (mut fill, mut progress) = (false, true);
        arguments.apply(Overridable {
            server_address: &mut server,
            server_pid: &mut server_pid,
            duration_seconds: &mut duration_seconds,
            workers: &mut workers,
            fill: &mut fill,
            progress: &mut progress,
        });
        (
            server,
            [server_pid, duration_seconds, workers as u32],
            [fill, progress],
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
