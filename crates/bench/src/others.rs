//! Other trackers over UDP, as they are installed, under the same load as `aquatic-udp`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use aquatic_load_test::numbers::{Count, Seconds};
use aquatic_load_test::udp::Config;
use aquatic_load_test::{Report, info_hash};

use crate::load;
use crate::machine::Cores;
use crate::results::{Conditions, Others, TrackerMemory};
use crate::rows::{self, Label, Sample};
use crate::server::{Programs, Server, free_udp_address};
use crate::udp::daemon::{Daemon, Options};
use crate::udp::requests::{ANNOUNCES, ANNOUNCES_NAME, MIXED, MIXED_NAME, Shares, load_config};

const AQUATIC: &str = "aquatic-udp";

/// Torrents; each has two peers. A tracker in JavaScript takes half a minute to learn of
/// them.
const TORRENTS: u32 = 100_000;
const QUICK_TORRENTS: u32 = 1_000;

/// A tracker that is measured.
struct Other {
    name: &'static str,
    version: String,
    server: Server,
}

/// A load on one of them.
struct Contest<'a> {
    tracker: &'a Other,
    load: (&'static str, Shares),
}

/// Measures those that are installed; `None` if none is.
///
/// # Errors
///
/// One does not answer as it should.
pub(crate) fn measure(conditions: Conditions, quick: bool) -> anyhow::Result<Option<Others>> {
    let bench = Bench {
        programs: Programs::build(&conditions.profile, &["aquatic_udp"])?,
        torrents: if quick { QUICK_TORRENTS } else { TORRENTS },
        seconds: conditions.seconds,
        runs: conditions.runs,
    };
    let own = Other {
        name: AQUATIC,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server: Daemon::start(&bench.programs, &Options::default())?.server,
    };
    let mut trackers = vec![own];
    trackers.extend(bench.opentracker()?);
    trackers.extend(bench.bittorrent_tracker()?);
    if trackers.len() == 1 {
        return Ok(None);
    }
    bench.measure(&trackers, conditions).map(Some)
}

struct Bench {
    programs: Programs,
    torrents: u32,
    seconds: u32,
    runs: usize,
}

impl Bench {
    fn measure(&self, trackers: &[Other], conditions: Conditions) -> anyhow::Result<Others> {
        let mut memory = Vec::new();
        for tracker in trackers {
            self.fill(tracker)?;
            memory.push(tracker.server.resident_bytes()?);
        }
        let loads = [(MIXED_NAME, MIXED), (ANNOUNCES_NAME, ANNOUNCES)];
        let contests: Vec<Contest<'_>> = loads
            .into_iter()
            .flat_map(|load| {
                trackers
                    .iter()
                    .map(move |tracker| Contest { tracker, load })
            })
            .collect();
        let label = |contest: &Contest<'_>| Label {
            load: contest.load.0.to_owned(),
            server: contest.tracker.name.to_owned(),
            bar: (contest.load.0 == MIXED_NAME).then(|| contest.tracker.name.to_owned()),
        };
        let mut rows = rows::measure(self.runs, &contests, label, |contest| {
            let config = Config {
                duration_seconds: Seconds::nearest(self.seconds),
                warm_up_seconds: Seconds::nearest(1),
                ..self.config(contest.load.1)
            };
            Sample::of(&self.load(contest.tracker, &config)?)
        })?;
        rows::compare(&mut rows, &contests, "aquatic", |one, other| {
            one.load.0 == other.load.0 && other.tracker.name == AQUATIC
        });
        let own = memory.first().copied().unwrap_or(1);
        let memory = trackers
            .iter()
            .zip(memory)
            .map(|(tracker, bytes)| TrackerMemory {
                server: tracker.name.to_owned(),
                version: tracker.version.clone(),
                bytes,
                ratio: bytes as f64 / own as f64,
            });
        Ok(Others {
            conditions,
            torrents: self.torrents,
            peers: self.peers(),
            rows,
            memory: memory.collect(),
        })
    }

    fn peers(&self) -> u32 {
        2 * self.torrents
    }

    fn config(&self, shares: Shares) -> Config {
        Config {
            workers: Count::nearest(1_usize),
            ..load_config(self.torrents, self.peers(), shares)
        }
    }

    fn load(&self, tracker: &Other, config: &Config) -> anyhow::Result<Report> {
        let server = &tracker.server;
        let program = "aquatic-udp-load-test";
        load::run(
            &self.programs,
            program,
            Cores::Load,
            server,
            server.address,
            config,
        )
        .context(tracker.name)
    }

    /// Announces every peer once.
    fn fill(&self, tracker: &Other) -> anyhow::Result<()> {
        eprintln!("announcing {} peers to {}", self.peers(), tracker.name);
        let config = Config {
            fill: true,
            duration_seconds: Seconds::of::<1>(),
            warm_up_seconds: Seconds::of::<0>(),
            // What follows the filling leaves the peers alone.
            ..self.config(Shares(1, 0, 0))
        };
        self.load(tracker, &config).map(drop)
    }

    /// The package of Debian, which only serves torrents in a list.
    fn opentracker(&self) -> anyhow::Result<Option<Other>> {
        let program = Path::new("/usr/bin/opentracker");
        if !program.exists() {
            eprintln!("opentracker is not installed");
            return Ok(None);
        }
        // It is root there, and then somebody else.
        let directory = self.programs.scratch().join("opentracker");
        fs::create_dir(&directory)?;
        for directory in [self.programs.scratch(), &directory] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        }
        let seed = self.config(MIXED).population.seed;
        let list: String = (0..self.torrents)
            .map(|torrent| format!("{}\n", info_hash(seed, torrent)))
            .collect();
        fs::write(directory.join("list"), list)?;
        let address = free_udp_address()?;
        let mut command = Cores::Server.command(program);
        command.args(["-i", &address.ip().to_string()]);
        command.args(["-P", &address.port().to_string()]);
        command
            .args(["-u", "nobody", "-w", "list", "-d"])
            .arg(&directory);
        command.current_dir(&directory);
        let version = output(Command::new("dpkg-query").args([
            "--show",
            "--showformat=${source:Upstream-Version}",
            "opentracker",
        ]))?;
        Ok(Some(Other {
            name: "opentracker",
            version,
            server: Server::other(command, address)?,
        }))
    }

    /// The package of npm that the tests of aquatic-ws use.
    fn bittorrent_tracker(&self) -> anyhow::Result<Option<Other>> {
        let package =
            crate::root().join("crates/test-harness/node/node_modules/bittorrent-tracker");
        let Some(node) = find("node").filter(|_| package.exists()) else {
            eprintln!("bittorrent-tracker is not installed");
            return Ok(None);
        };
        let manifest = fs::read_to_string(package.join("package.json"))?;
        let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
        let version = manifest["version"]
            .as_str()
            .context("a package without a version")?;
        let address = free_udp_address()?;
        let mut command = Cores::Server.command(&node);
        command.arg(package.join("bin/cmd.js"));
        command.args(["--udp", "--silent", "--port", &address.port().to_string()]);
        Ok(Some(Other {
            name: "bittorrent-tracker",
            version: version.to_owned(),
            server: Server::other(command, address)?,
        }))
    }
}

/// What a program prints.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?} has failed");
    Ok(String::from_utf8(output.stdout)?)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut paths = std::env::split_paths(&path).map(|it| it.join(program));
    paths.find(|it| it.is_file())
}
