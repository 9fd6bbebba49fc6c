//! `cargo xtask generate`: files that are derived from the config structs,
//! committed, and checked.
//!
//! A config struct is walked once into a [`reference::Reference`]: its sections
//! and keys with their documentation, types, ranges and defaults. Each kind of
//! file is one function from that to a text. Units are made of templates.

#![forbid(unsafe_code)]

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
use clap::Parser;

use reference::Reference;

/// A file that is generated.
struct Target {
    /// Path below the root of the repository.
    file: &'static str,
    /// Makes its content.
    content: fn() -> anyhow::Result<String>,
}

/// All of them; a line each.
const TARGETS: &[Target] = &[
    Target {
        file: "crates/http/default.toml",
        content: || default_toml::render(&Reference::of::<aquatic_http::config::Config>()?),
    },
    Target {
        file: "crates/load-test/http-default.toml",
        content: || default_toml::render(&Reference::of::<aquatic_load_test::http::Config>()?),
    },
    Target {
        file: "crates/load-test/udp-default.toml",
        content: || default_toml::render(&Reference::of::<aquatic_load_test::udp::Config>()?),
    },
    Target {
        file: "crates/load-test/ws-default.toml",
        content: || default_toml::render(&Reference::of::<aquatic_load_test::ws::Config>()?),
    },
    Target {
        file: "crates/udp/default.toml",
        content: || default_toml::render(&Reference::of::<aquatic_udp::config::Config>()?),
    },
    Target {
        file: "crates/ws/default.toml",
        content: || default_toml::render(&Reference::of::<aquatic_ws::config::Config>()?),
    },
    Target {
        file: "man/aquatic-access-list.5",
        content: || man::access_list(include_str!("man/pages/aquatic-access-list.5")),
    },
    Target {
        file: "man/aquatic-http-load-test.1",
        content: || {
            let page = include_str!("man/pages/aquatic-http-load-test.1");
            man::load_test::<aquatic_load_test::http::HttpLoadTest, aquatic_load_test::http::Config>(
                page,
            )
        },
    },
    Target {
        file: "man/aquatic-http.8",
        content: || {
            let page = include_str!("man/pages/aquatic-http.8");
            man::daemon::<aquatic_http::HttpDaemon>(page, man::HTTP_WORDS)
        },
    },
    Target {
        file: "man/aquatic-http.toml.5",
        content: || {
            let page = include_str!("man/pages/aquatic-http.toml.5");
            man::configuration::<aquatic_http::HttpDaemon>(page, man::HTTP_WORDS)
        },
    },
    Target {
        file: "man/aquatic-udp-load-test.1",
        content: || {
            let page = include_str!("man/pages/aquatic-udp-load-test.1");
            man::load_test::<aquatic_load_test::udp::UdpLoadTest, aquatic_load_test::udp::Config>(
                page,
            )
        },
    },
    Target {
        file: "man/aquatic-udp.8",
        content: || {
            let page = include_str!("man/pages/aquatic-udp.8");
            man::daemon::<aquatic_udp::UdpDaemon>(page, man::UDP_WORDS)
        },
    },
    Target {
        file: "man/aquatic-udp.toml.5",
        content: || {
            let page = include_str!("man/pages/aquatic-udp.toml.5");
            man::configuration::<aquatic_udp::UdpDaemon>(page, man::UDP_WORDS)
        },
    },
    Target {
        file: "man/aquatic-ws-load-test.1",
        content: || {
            let page = include_str!("man/pages/aquatic-ws-load-test.1");
            man::load_test::<aquatic_load_test::ws::WsLoadTest, aquatic_load_test::ws::Config>(page)
        },
    },
    Target {
        file: "man/aquatic-ws.8",
        content: || {
            let page = include_str!("man/pages/aquatic-ws.8");
            man::daemon::<aquatic_ws::WsDaemon>(page, man::WS_WORDS)
        },
    },
    Target {
        file: "man/aquatic-ws.toml.5",
        content: || {
            let page = include_str!("man/pages/aquatic-ws.toml.5");
            man::configuration::<aquatic_ws::WsDaemon>(page, man::WS_WORDS)
        },
    },
    Target {
        file: "nixos-module/settings.json",
        content: || {
            let http = packaged::HTTP.reference(Reference::of::<aquatic_http::config::Config>()?)?;
            let udp = packaged::UDP.reference(Reference::of::<aquatic_udp::config::Config>()?)?;
            let ws = packaged::WS.reference(Reference::of::<aquatic_ws::config::Config>()?)?;
            nix_options::render(&BTreeMap::from([("http", http), ("udp", udp), ("ws", ws)]))
        },
    },
    Target {
        file: "packaging/common/aquatic-http.service",
        content: || Ok(packaged::HTTP.service()),
    },
    Target {
        file: "packaging/common/aquatic-http.socket",
        content: || Ok(packaged::HTTP.socket()),
    },
    Target {
        file: "packaging/common/aquatic-http.toml",
        content: || packaged::HTTP.configuration(Reference::of::<aquatic_http::config::Config>()?),
    },
    Target {
        file: "packaging/common/aquatic-udp.service",
        content: || Ok(packaged::UDP.service()),
    },
    Target {
        file: "packaging/common/aquatic-udp.socket",
        content: || Ok(packaged::UDP.socket()),
    },
    Target {
        file: "packaging/common/aquatic-udp.toml",
        content: || packaged::UDP.configuration(Reference::of::<aquatic_udp::config::Config>()?),
    },
    Target {
        file: "packaging/common/aquatic-ws.service",
        content: || Ok(packaged::WS.service()),
    },
    Target {
        file: "packaging/common/aquatic-ws.socket",
        content: || Ok(packaged::WS.socket()),
    },
    Target {
        file: "packaging/common/aquatic-ws.toml",
        content: || packaged::WS.configuration(Reference::of::<aquatic_ws::config::Config>()?),
    },
];

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
    for target in TARGETS {
        let path = root().join(target.file);
        let content = (target.content)().with_context(|| format!("cannot make {}", target.file))?;
        let current = fs::read_to_string(&path).unwrap_or_default();
        if current == content {
            continue;
        }
        if check {
            stale.push(target.file);
        } else {
            fs::write(&path, content).with_context(|| format!("cannot write {}", target.file))?;
            println!("wrote {}", target.file);
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
