//! What is examined: the facts that several checks need.

use std::env;
use std::path::{Path, PathBuf};

use aquatic_service::Daemon;
use aquatic_service::cli::{Arguments, DoctorArguments};
use aquatic_service::config::{self, AccessListMode, Checks, Sources};
use aquatic_service::sockets::Listening;

use crate::announces::{Answer, Target, Trouble};
use crate::sockets::daemon_processes;
use crate::units::{self, Units, Variable};
use crate::{Scheme, Url};

/// Where packages install configurations.
const PACKAGED: &str = "/etc/aquatic";

/// A daemon that can be examined.
pub trait Patient: Daemon {
    /// The schemes of its announce URLs: the second one, if any, within TLS.
    const SCHEMES: &'static [Scheme];

    /// What checks need to know of the settings, besides what every daemon has.
    fn particulars(settings: &Self::Settings) -> Particulars;

    /// Announces a torrent with a random info hash twice, as two peers, and leaves it again.
    ///
    /// # Errors
    ///
    /// Why there was no answer that a client would understand.
    fn announce(target: &Target) -> Result<Answer, Trouble>;
}

/// What checks need to know of a daemon's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Particulars {
    /// The files of certificate and key, if TLS is enabled.
    pub tls: Option<[PathBuf; 2]>,
    /// The number of files that the process may have to open, if it depends on the settings.
    pub open_files: Option<u64>,
    /// Whether it works on this system for this process to use io_uring, with the reason if
    /// not; `None` if it is not used.
    pub io_uring: Option<Result<(), String>>,
    /// The number of bytes of memory that the process must be able to lock.
    pub locked_memory_bytes: Option<u64>,
    /// Whether clients come through a proxy, which names them.
    pub is_behind_proxy: bool,
    /// Whether only clients that have a key are served.
    pub has_keys: bool,
    /// The number of requests or connections that this machine may make at once; `None` if
    /// that is not limited.
    pub requests_at_once: Option<u64>,
}

/// What is examined.
pub(crate) struct Subject {
    /// The name of the daemon.
    pub(crate) name: &'static str,
    /// This program.
    pub(crate) program: PathBuf,
    /// The configuration file; `None` for the defaults.
    pub(crate) file: Option<PathBuf>,
    /// The file, the drop-ins beside it, and their directory.
    pub(crate) sources: Vec<PathBuf>,
    /// The environment variables of the unit that may set keys, if the configuration is
    /// that of the unit; else, those of this process apply.
    pub(crate) variables: Option<Vec<Variable>>,
    /// What it says; `None` if it is invalid, or [`Self::is_elsewhere`].
    pub(crate) configured: Option<Configured>,
    /// Whether the tracker runs on another machine: there is a URL to examine, but no
    /// configuration, no unit, and no tracker at the default addresses here.
    pub(crate) is_elsewhere: bool,
    /// The announce URL in torrents.
    pub(crate) url: Option<Url>,
    pub(crate) schemes: &'static [Scheme],
    pub(crate) announce: fn(&Target) -> Result<Answer, Trouble>,
    /// The units of the daemon, or why they are unknown.
    pub(crate) units: Result<Units, String>,
}

/// The content of a valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct Configured {
    pub(crate) listening: Listening,
    pub(crate) access_list: AccessListMode,
    /// The files that are read at the start and on reload, without the configuration.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) particulars: Particulars,
}

impl Subject {
    /// Gathers the facts.
    ///
    /// # Errors
    ///
    /// If the URL is not one of this daemon.
    pub(crate) fn new<D: Patient>(
        arguments: &Arguments,
        options: &DoctorArguments,
    ) -> Result<Self, String> {
        let url = options.url.as_deref().map(Url::parse).transpose()?;
        if let Some(url) = &url
            && !D::SCHEMES.contains(&url.scheme)
        {
            let names: Vec<_> = D::SCHEMES.iter().map(|scheme| scheme.name()).collect();
            return Err(format!(
                "{url} is not an announce URL of {}, which begins with {}://",
                D::NAME,
                names.join(":// or ")
            ));
        }
        let units = units::gather(D::NAME);
        let file = arguments.config.clone().or_else(|| {
            let of_unit = units.as_ref().ok().and_then(Units::configuration);
            of_unit.or_else(packaged_file::<D>)
        });
        let of_unit = units.as_ref().ok().filter(|it| is_of(it, file.as_deref()));
        let variables = of_unit.map(Units::variables);
        let mut sources = Sources::of_daemon(D::NAME, file.as_deref());
        if let Some(variables) = &variables {
            sources = sources.with_variables(D::NAME, variables.iter().cloned());
        }
        let configured = configured::<D>(&sources);
        let runs_here = || {
            let listening = configured.as_ref().map(|it| &it.listening);
            listening.is_some_and(|it| !daemon_processes(D::NAME, it).is_empty())
        };
        let is_elsewhere =
            url.is_some() && units.is_err() && sources.are_defaults() && !runs_here();
        Ok(Self {
            name: D::NAME,
            program: env::current_exe().unwrap_or_else(|_| D::NAME.into()),
            configured: configured.filter(|_| !is_elsewhere),
            variables,
            is_elsewhere,
            file,
            sources: sources.paths(),
            url,
            schemes: D::SCHEMES,
            announce: D::announce,
            units,
        })
    }

    /// Whether the examined configuration is that of the unit.
    pub(crate) fn has_unit(&self) -> bool {
        let units = self.units.as_ref();
        units.is_ok_and(|it| is_of(it, self.file.as_deref()))
    }

    /// Where the log is.
    pub(crate) fn how_to_read_log(&self) -> String {
        if self.has_unit() {
            format!("see what it logs: journalctl -u {}", self.name)
        } else {
            "see what it logs to standard error".to_owned()
        }
    }

    /// The command that opens the sockets of the configuration.
    pub(crate) fn how_to_reopen(&self) -> String {
        let name = self.name;
        if self.has_unit() {
            format!("systemctl daemon-reload && systemctl restart {name}.socket")
        } else {
            format!("restart {name}")
        }
    }
}

/// The configuration that a package has installed, if one has.
pub(crate) fn packaged_file<D: Daemon>() -> Option<PathBuf> {
    let packaged = Path::new(PACKAGED).join(format!("{}.toml", D::NAME));
    packaged.exists().then_some(packaged)
}

/// Whether the file is the configuration of the unit.
fn is_of(units: &Units, file: Option<&Path>) -> bool {
    let (Some(ours), Some(theirs)) = (file, units.configuration()) else {
        return false;
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(ours) == real(&theirs)
}

fn configured<D: Patient>(sources: &Sources) -> Option<Configured> {
    // The errors are those of --check-config.
    let loaded: config::Loaded<D::Config> = config::load(sources).ok()?;
    let settings = loaded.settings(D::settings).ok()?;
    let process = D::process(&settings);
    let lists = process.lists.paths();
    let lists = lists.map(|(_, path)| path.to_owned());
    let others = D::read_files(&settings).into_iter().map(|(_, path)| path);
    Some(Configured {
        listening: D::listening(&loaded.config, &mut Checks::new()),
        access_list: process.lists.access_list.mode,
        files: lists.chain(others).collect(),
        particulars: D::particulars(&settings),
    })
}

/// A subject for tests: a UDP tracker that listens nowhere, without a unit.
#[cfg(test)]
pub(crate) fn sample() -> Subject {
    use aquatic_service::sockets::Transport;

    Subject {
        name: "aquatic-udp",
        program: "aquatic-udp".into(),
        file: None,
        sources: Vec::new(),
        variables: None,
        configured: Some(Configured {
            listening: Listening {
                addresses: Vec::new(),
                workers: None,
                transport: Transport::Udp {
                    receive_buffer_bytes: None,
                },
                metrics: None,
            },
            access_list: AccessListMode::Off,
            files: Vec::new(),
            particulars: Particulars::default(),
        }),
        is_elsewhere: false,
        url: None,
        schemes: &[Scheme::Udp],
        announce: |_| Err(Trouble::Unreachable("nobody".to_owned())),
        units: Err("there is no systemd".to_owned()),
    }
}
