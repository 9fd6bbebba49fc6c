//! `cargo xtask generate`: files that are derived from the config structs,
//! committed, and checked.
//!
//! A config struct is walked once into a [`reference::Reference`]: its sections
//! and keys with their documentation, types, ranges and defaults. Each kind of
//! file is made from that by one function. Units, manual pages and the input of tools
//! that build packages are made from templates, with data about each daemon from
//! [`daemons`].

#![forbid(unsafe_code)]

mod daemons;
mod default_toml;
mod man;
mod metrics;
mod monitoring;
mod nix_options;
mod packaged;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use aquatic_load_test::command_line::LoadTest;
use aquatic_load_test::http::{self, HttpLoadTest};
use aquatic_load_test::udp::{self, UdpLoadTest};
use aquatic_load_test::ws::{self, WsLoadTest};
use aquatic_service::Daemon;
use aquatic_service::config::needs_restart;
use clap::Parser;
use schemars::JsonSchema;
use serde::Serialize;

use daemons::{About, List};
use metrics::Described;
use packaged::Packaged;
use reference::Reference;

/// A file that is generated.
struct File {
    /// The path below the root of the repository.
    path: String,
    content: Content,
}

/// The content of a file.
#[derive(PartialEq)]
enum Content {
    Text(String),
    /// A symbolic link.
    LinkTo(PathBuf),
}

/// All generated files.
fn files() -> anyhow::Result<Vec<File>> {
    let mut all = Generated {
        list: daemons::list()?,
        files: Vec::new(),
        daemons: Vec::new(),
        metrics: Vec::new(),
        settings: BTreeMap::new(),
    };
    all.daemon::<aquatic_http::HttpDaemon, HttpLoadTest, http::Config>(&daemons::HTTP)?;
    all.daemon::<aquatic_udp::UdpDaemon, UdpLoadTest, udp::Config>(&daemons::UDP)?;
    all.daemon::<aquatic_ws::WsDaemon, WsLoadTest, ws::Config>(&daemons::WS)?;
    all.of_all()?;
    Ok(all.files)
}

struct Generated {
    list: List,
    files: Vec<File>,
    daemons: Vec<Packaged>,
    metrics: Vec<Described>,
    /// The configurations that packages install, by the short names of daemons.
    settings: BTreeMap<&'static str, Reference>,
}

impl Generated {
    fn add(
        &mut self,
        path: impl Into<String>,
        content: anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let path = path.into();
        let content = content.with_context(|| format!("cannot make {path}"))?;
        let content = Content::Text(content);
        self.files.push(File { path, content });
        Ok(())
    }

    /// Adds the files for a daemon, and for its load test with the configuration `C`.
    fn daemon<D: Daemon, T: LoadTest, C>(&mut self, about: &About) -> anyhow::Result<()>
    where
        D::Config: JsonSchema,
        C: JsonSchema + Serialize + Default,
    {
        let (name, load_test) = (D::NAME, T::NAME);
        metrics::collect::<D>(&mut self.metrics);
        let short_name = name.strip_prefix("aquatic-").context("another name")?;
        let listed = self.list.get(short_name).cloned();
        let listed = listed.with_context(|| format!("no {short_name} in the list of daemons"))?;
        let mut reference = Reference::of::<D::Config>()?;
        reference.note_restarts(needs_restart::<D::Config>);
        let load_reference = Reference::of::<C>()?;

        let path = format!("crates/{short_name}/default.toml");
        self.add(path, default_toml::render(&reference))?;
        let path = format!("crates/load-test/{short_name}-default.toml");
        self.add(path, default_toml::render(&load_reference))?;

        let page = man::daemon::<D>(about, &self.list);
        self.add(format!("man/{name}.8"), page)?;
        let page = man::configuration::<D>(about, &self.list, &reference);
        self.add(format!("man/{name}.toml.5"), page)?;
        let page = man::load_test::<T>(about, &self.list, name, &load_reference);
        self.add(format!("man/{load_test}.1"), page)?;

        self.packaged(
            Packaged {
                name,
                short_name,
                listed,
            },
            reference,
        )
    }

    /// Adds the files that packages install for a daemon.
    fn packaged(&mut self, daemon: Packaged, reference: Reference) -> anyhow::Result<()> {
        let Packaged {
            name, short_name, ..
        } = daemon;
        let reference = daemon.reference(reference).context(name)?;
        let common = format!("packaging/common/{name}");
        self.add(format!("{common}.service"), Ok(daemon.service()))?;
        self.add(format!("{common}.socket"), Ok(daemon.socket()))?;
        self.add(format!("{common}.toml"), Ok(daemon.configuration()))?;
        let path = format!("packaging/container/root/etc/aquatic/{name}.toml");
        self.add(path, Ok(daemon.container_configuration()))?;
        for (path, text) in daemon.containers() {
            self.add(format!("packaging/container/{path}"), Ok(text))?;
        }
        let path = format!("packaging/common/reference/{name}.toml");
        self.add(path, daemon.all_keys(&reference))?;
        for (end, text) in daemon.debian() {
            self.add(format!("packaging/deb/{name}.{end}"), Ok(text))?;
        }
        for end in ["service", "socket"] {
            self.files.push(File {
                path: format!("packaging/deb/{name}.{end}"),
                content: Content::LinkTo(format!("../common/{name}.{end}").into()),
            });
        }
        self.settings.insert(short_name, reference);
        self.daemons.push(daemon);
        Ok(())
    }

    /// Adds the files about all daemons.
    fn of_all(&mut self) -> anyhow::Result<()> {
        for name in self.list.keys() {
            ensure!(
                self.settings.contains_key(name.as_str()),
                "{name} is in packaging/daemons.toml, and not in {}",
                file!()
            );
        }
        let path = "crates/service/src/neighbours/daemons.rs";
        self.add(path, Ok(packaged::neighbours(&self.daemons)))?;
        let path = "crates/tracker/src/cluster/daemons.rs";
        self.add(path, Ok(packaged::sharing_peers(&self.daemons)))?;
        for (name, template) in man::SHARED {
            let page = man::shared(template, &self.list, &self.metrics);
            self.add(format!("man/{name}"), page)?;
        }
        let page = man::keys(&self.list);
        self.add("man/aquatic-keys.1", page)?;
        let rules = monitoring::rules(&self.metrics);
        self.add("packaging/monitoring/aquatic-rules.yml", rules)?;
        let dashboard = monitoring::dashboard(&self.metrics);
        self.add("packaging/monitoring/aquatic-dashboard.json", dashboard)?;
        let settings = nix_options::render(&self.settings);
        self.add("nixos-module/settings.json", settings)?;
        let control = packaged::control(&self.daemons);
        self.add("packaging/deb/control", Ok(control))?;
        let spec = packaged::spec(&self.daemons);
        self.add("packaging/rpm/aquatic.spec", Ok(spec))
    }
}

/// Write the files that are derived from the config structs
#[derive(Parser)]
#[command(name = "cargo xtask generate", bin_name = "cargo xtask generate")]
struct Arguments {
    /// Write nothing, and fail when a file is not current
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes all generated files; with `check`, only compares them.
///
/// # Errors
///
/// If a file cannot be made, read or written, or is stale (with `check`).
fn run(check: bool) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for File { path, content } in files()? {
        let file = root().join(&path);
        if current(&file).is_some_and(|current| current == content) {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            write(&file, &content).with_context(|| format!("cannot write {path}"))?;
            println!("wrote {path}");
        }
    }
    if !stale.is_empty() {
        bail!("run `cargo xtask generate`: stale: {}", stale.join(", "));
    }
    Ok(())
}

/// The current content of a file; `None` if it cannot be read.
fn current(file: &Path) -> Option<Content> {
    match fs::read_link(file) {
        Ok(target) => Some(Content::LinkTo(target)),
        Err(_) => fs::read_to_string(file).ok().map(Content::Text),
    }
}

/// Replaces a file; if it is a link, replaces the link.
fn write(file: &Path, content: &Content) -> io::Result<()> {
    if file.is_symlink() || file.exists() {
        fs::remove_file(file)?;
    }
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    match content {
        Content::Text(text) => fs::write(file, text),
        Content::LinkTo(target) => symlink(target, file),
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_files_are_current() {
        run(true).unwrap();
    }
}
