//! `cargo xtask generate`: files that are derived from the config structs,
//! committed, and checked.
//!
//! A config struct is walked once into a [`reference::Reference`]: its sections
//! and keys with their documentation, types, ranges and defaults. Each kind of
//! file is one function from that to a text. Units and manual pages are made of
//! templates, with what [`daemons`] says of each daemon.

#![forbid(unsafe_code)]

mod daemons;
mod default_toml;
mod man;
mod nix_options;
mod packaged;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use aquatic_load_test::command_line::LoadTest;
use aquatic_load_test::http::{self, HttpLoadTest};
use aquatic_load_test::udp::{self, UdpLoadTest};
use aquatic_load_test::ws::{self, WsLoadTest};
use aquatic_service::Daemon;
use clap::Parser;
use schemars::JsonSchema;
use serde::Serialize;

use reference::Reference;

/// A file that is generated.
struct File {
    /// Below the root of the repository.
    path: String,
    content: String,
}

/// All of them.
fn files() -> anyhow::Result<Vec<File>> {
    let mut all = Generated::default();
    all.add("man/aquatic-access-list.5", man::access_list())?;
    all.daemon::<aquatic_http::HttpDaemon, HttpLoadTest, http::Config>(&daemons::HTTP)?;
    all.daemon::<aquatic_udp::UdpDaemon, UdpLoadTest, udp::Config>(&daemons::UDP)?;
    all.daemon::<aquatic_ws::WsDaemon, WsLoadTest, ws::Config>(&daemons::WS)?;
    let settings = nix_options::render(&all.settings);
    all.add("nixos-module/settings.json", settings)?;
    Ok(all.files)
}

#[derive(Default)]
struct Generated {
    files: Vec<File>,
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
        self.files.push(File { path, content });
        Ok(())
    }

    /// Adds what there is for each daemon, and its load test with the configuration
    /// `C`.
    fn daemon<D: Daemon, T: LoadTest, C>(&mut self, about: &daemons::About) -> anyhow::Result<()>
    where
        D::Config: JsonSchema,
        C: JsonSchema + Serialize + Default,
    {
        let (name, load_test) = (D::NAME, T::NAME);
        let short = name.strip_prefix("aquatic-").context("another name")?;
        let reference = Reference::of::<D::Config>()?;
        let load_reference = Reference::of::<C>()?;

        let path = format!("crates/{short}/default.toml");
        self.add(path, default_toml::render(&reference))?;
        let path = format!("crates/load-test/{short}-default.toml");
        self.add(path, default_toml::render(&load_reference))?;

        self.add(format!("man/{name}.8"), man::daemon::<D>(about))?;
        let page = man::configuration::<D>(about, &reference);
        self.add(format!("man/{name}.toml.5"), page)?;
        let page = man::load_test::<T>(about, name, &load_reference);
        self.add(format!("man/{load_test}.1"), page)?;

        let reference = packaged::reference(about, name, reference)?;
        let packaged = format!("packaging/common/{name}");
        let unit = packaged::service(about, name);
        self.add(format!("{packaged}.service"), Ok(unit))?;
        self.add(
            format!("{packaged}.socket"),
            Ok(packaged::socket(about, name)),
        )?;
        let configuration = packaged::configuration(about, name, &reference);
        self.add(format!("{packaged}.toml"), configuration)?;
        self.settings.insert(short, reference);
        Ok(())
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
/// A file cannot be made, read or written, or, with `check`, is stale.
fn run(check: bool) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for File { path, content } in files()? {
        let file = root().join(&path);
        let current = fs::read_to_string(&file).unwrap_or_default();
        if current == content {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            fs::write(&file, content).with_context(|| format!("cannot write {path}"))?;
            println!("wrote {path}");
        }
    }
    if !stale.is_empty() {
        bail!("run `cargo xtask generate`: stale: {}", stale.join(", "));
    }
    Ok(())
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
