//! Command lines of the daemons, and what they share with other programs.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// The exit code for all failures except invalid command lines.
pub const EXIT_FAILURE: u8 = 1;

/// The exit code for an invalid command line.
pub const EXIT_USAGE: u8 = 2;

/// Name and description of a program.
#[derive(Debug, Clone)]
pub struct Program {
    /// Name of the binary: `aquatic-udp`.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Its version: `env!("CARGO_PKG_VERSION")` of its own package.
    pub version: &'static str,
    /// The port on which it listens by default: "UDP port 3000".
    pub port: String,
}

/// The parsed command line of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The configuration file; `None` for the defaults.
    pub config: Option<PathBuf>,
    /// What to do.
    pub action: Action,
}

/// What a program should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run the service.
    Run,
    /// Print the default configuration.
    PrintDefault,
    /// Print the configuration in effect.
    PrintEffective,
    /// Check everything that can fail at start, and exit.
    Check,
    /// Print the configuration file in the current format.
    Migrate,
    /// Examine everything between a client and the tracker.
    Doctor(DoctorArguments),
    /// Check files of lists.
    ListCheck(ListCheckArguments),
    /// Ask the running daemon whether it is well.
    Health,
}

/// Options of `doctor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct DoctorArguments {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,

    /// Also announce to URL, the announce URL in torrents
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Options of `list-check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ListCheckArguments {
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,

    /// What the files are, if not what most of their lines are
    #[arg(long, value_name = "KIND")]
    pub kind: Option<ListKind>,

    /// Files of lists, directories of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// What a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ListKind {
    /// Info hashes, for the section access_list
    Torrents,
    /// Banned addresses, for the section bans
    Bans,
    /// Starts of peer ids, for the section clients
    Clients,
}

impl ListKind {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torrents => "torrents",
            Self::Bans => "bans",
            Self::Clients => "clients",
        }
    }
}

/// Options about the configuration that every program has. Programs other than daemons
/// flatten this into their own command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ConfigArguments {
    /// Read the configuration from FILE
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Print the default configuration, with comments
    #[arg(short, long, group = "what")]
    pub print_config: bool,

    /// Print the configuration in effect, with defaults for missing keys
    #[arg(short = 'P', long, group = "what")]
    pub print_effective_config: bool,
}

impl ConfigArguments {
    /// The action that these options request.
    pub fn action(&self) -> Action {
        if self.print_config {
            Action::PrintDefault
        } else if self.print_effective_config {
            Action::PrintEffective
        } else {
            Action::Run
        }
    }
}

/// Parses the command line of a daemon. If requested, prints help or the version and exits
/// with 0; if it is invalid, prints an error and exits with 2.
pub fn parse(program: &Program) -> Arguments {
    try_parse_from(program, std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses a command line, which starts with the program's name.
///
/// # Errors
///
/// If the command line is invalid, or help or the version is requested.
pub fn try_parse_from<I, T>(program: &Program, arguments: I) -> Result<Arguments, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command(program).try_get_matches_from(arguments)?;
    let options = DaemonArguments::from_arg_matches(&matches)?;
    let action = if let Some(subcommand) = options.command {
        let asked = [
            "check_config",
            "migrate_config",
            "print_config",
            "print_effective_config",
        ]
        .into_iter()
        .find(|id| matches.get_flag(id));
        if let Some(id) = asked {
            let (option, name) = (id.replace('_', "-"), subcommand.name());
            let text = format!("--{option} cannot be used with {name}");
            return Err(command(program).error(ErrorKind::ArgumentConflict, text));
        }
        match subcommand {
            Command::Doctor(doctor) => Action::Doctor(doctor),
            Command::ListCheck(check) => Action::ListCheck(check),
            Command::Health => Action::Health,
        }
    } else if options.check_config {
        Action::Check
    } else if options.migrate_config {
        Action::Migrate
    } else {
        options.config.action()
    };
    Ok(Arguments {
        config: options.config.config,
        action,
    })
}

/// The command line of a daemon; also used for its manual page.
pub fn command(program: &Program) -> clap::Command {
    DaemonArguments::command()
        .name(program.name)
        .bin_name(program.name)
        .about(program.about)
        .version(program.version)
        .disable_help_subcommand(true)
        .after_help(after_help(program))
}

/// The end of the output of `--help`.
fn after_help(program: &Program) -> String {
    let Program { name, port, .. } = program;
    format!(
        "Without FILE, the defaults are used: {port} on all IPv4 and IPv6 addresses of this \
         machine, all torrents, no metrics, and no snapshot file. There is no default FILE, unless \
         CONFIGURATION_DIRECTORY is set; the packaged service uses \
         /etc/aquatic/{name}.toml.\n\nFiles FILE.d/*.toml override keys of \
         FILE, and variables such as AQUATIC_NETWORK__ADDRESS override both.\n\nManual: man \
         {name}, man {name}.toml"
    )
}

#[derive(Debug, Parser)]
struct DaemonArguments {
    #[command(flatten)]
    config: ConfigArguments,

    /// Check the configuration and the files it refers to, then exit
    #[arg(long, group = "what")]
    check_config: bool,

    /// Convert FILE of an earlier release to the current format, and print it
    #[arg(long, group = "what", requires = "config")]
    migrate_config: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Examine everything between a client and the tracker, and say what to do
    #[command(after_help = AFTER_DOCTOR_HELP)]
    Doctor(DoctorArguments),
    /// Say what files of lists contain, and what is wrong with them
    #[command(after_help = AFTER_LIST_CHECK_HELP)]
    ListCheck(ListCheckArguments),
    /// Ask the running tracker whether it is well: a health check for containers
    #[command(after_help = AFTER_HEALTH_HELP)]
    Health,
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Doctor(_) => "doctor",
            Self::ListCheck(_) => "list-check",
            Self::Health => "health",
        }
    }
}

/// The end of the output of `list-check --help`.
const AFTER_LIST_CHECK_HELP: &str = "\
Lists are those of torrents, banned addresses and clients that the sections access_list, bans \
and clients of the configuration name; their formats are in aquatic-access-list(5). It exits \
with 0 if nothing is wrong with them, and otherwise with 1.";

/// The end of the output of `health --help`.
const AFTER_HEALTH_HELP: &str = "\
It asks for /health at metrics.address of the configuration; if that is not set, it announces to \
the tracker as a client does. It exits with 0 if clients are served, although something else may \
be wrong, which is printed, and otherwise with 1.";

/// The end of the output of `doctor --help`.
const AFTER_DOCTOR_HELP: &str = "\
Nothing is changed, except that a torrent with a random info hash is announced and left \
again. Without -c FILE, the configuration of the installed service is examined. Run it as \
root to see everything. It exits with 0 if nothing is wrong, with 1 after warnings, and with \
2 if something is wrong.";

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        name: "aquatic-test",
        about: "Does nothing.",
        version: "1.2.3",
        port: String::new(),
    };

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let all = std::iter::once("aquatic-test").chain(arguments.iter().copied());
        try_parse_from(&PROGRAM, all)
    }

    fn parsed(arguments: &[&str]) -> (Option<PathBuf>, Action) {
        let arguments = parse(arguments).unwrap();
        (arguments.config, arguments.action)
    }

    #[test]
    fn command_is_well_formed() {
        command(&PROGRAM).debug_assert();
    }

    #[test]
    fn actions() {
        let file = Some(PathBuf::from("f"));
        assert_eq!(parsed(&[]), (None, Action::Run));
        assert_eq!(parsed(&["-c", "f"]), (file.clone(), Action::Run));
        assert_eq!(parsed(&["--config=f"]), (file.clone(), Action::Run));
        assert_eq!(parsed(&["-p"]), (None, Action::PrintDefault));
        assert_eq!(
            parsed(&["-P", "-c", "f"]),
            (file.clone(), Action::PrintEffective)
        );
        assert_eq!(
            parsed(&["--print-effective-config"]),
            (None, Action::PrintEffective)
        );
        assert_eq!(parsed(&["--check-config"]), (None, Action::Check));
        assert_eq!(
            parsed(&["--migrate-config", "-c", "f"]),
            (file.clone(), Action::Migrate)
        );
        let examine = |json, url: Option<&str>| {
            let url = url.map(str::to_owned);
            Action::Doctor(DoctorArguments { json, url })
        };
        assert_eq!(parsed(&["doctor"]), (None, examine(false, None)));
        let asked = (file.clone(), Action::Health);
        assert_eq!(parsed(&["health"]), (None, Action::Health));
        assert_eq!(parsed(&["health", "-c", "f"]), asked);
        let check = |json, kind, files: &[&str]| {
            let files = files.iter().map(PathBuf::from).collect();
            Action::ListCheck(ListCheckArguments { json, kind, files })
        };
        assert_eq!(
            parsed(&["list-check", "a", "-"]).1,
            check(false, None, &["a", "-"])
        );
        let bans = Some(ListKind::Bans);
        let arguments = ["list-check", "--kind", "bans", "--json", "a"];
        assert_eq!(parsed(&arguments).1, check(true, bans, &["a"]));
        let both = (file, examine(true, Some("udp://h:1")));
        for arguments in [
            &["-c", "f", "doctor", "--json", "--url", "udp://h:1"],
            &["doctor", "-c", "f", "--json", "--url=udp://h:1"][..],
        ] {
            assert_eq!(parsed(arguments), both, "{arguments:?}");
        }
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for arguments in [
            &["-p", "-P"][..],
            &["--check-config", "-p"],
            &["--migrate-config"],
            &["-c"],
            &["-c", "a", "-c", "b"],
            &["--no-such-option"],
            &["file"],
            &["help"],
            &["-p", "doctor"],
            &["--check-config", "doctor"],
            &["doctor", "--url"],
            &["list-check"],
            &["list-check", "--kind", "others", "a"],
            &["-p", "list-check", "a"],
            &["health", "a"],
            &["-P", "health"],
            &["--json"],
        ] {
            let error = parse(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }

    #[test]
    fn help_and_version_exit_with_0() {
        let help = parse(&["--help"]).unwrap_err();
        assert_eq!(help.kind(), ErrorKind::DisplayHelp);
        assert_eq!(help.exit_code(), 0);
        assert!(help.to_string().starts_with("Does nothing."));
        assert!(help.to_string().contains("Usage: aquatic-test"));
        for part in [
            "Without FILE",
            "/etc/aquatic/aquatic-test.toml",
            "man aquatic-test",
        ] {
            assert!(help.to_string().contains(part), "{help}");
        }

        let version = parse(&["--version"]).unwrap_err();
        assert_eq!(version.exit_code(), 0);
        assert_eq!(version.to_string(), "aquatic-test 1.2.3\n");
    }
}
