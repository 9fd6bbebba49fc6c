//! Which crate may know which, and why each foreign one is there.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::check::cargo_command;
use crate::root;

/// Which crates of ours each crate may use, and no other. A protocol never sees
/// the swarm, and nothing pure sees the process edge.
const ALLOWED: &[(&str, &[&str])] = &[
    ("aquatic_bench", &["aquatic_load_test"]),
    ("aquatic_bittorrent", &[]),
    ("aquatic_datagrams", &[]),
    // No crate uses this one, and it generates from the others.
    (
        "aquatic_generate",
        &[
            "aquatic_http",
            "aquatic_load_test",
            "aquatic_service",
            "aquatic_udp",
            "aquatic_ws",
        ],
    ),
    (
        "aquatic_http",
        &[
            "aquatic_bittorrent",
            "aquatic_http_protocol",
            "aquatic_service",
            "aquatic_stream",
            "aquatic_swarm",
            "aquatic_tracker",
        ],
    ),
    ("aquatic_http1", &[]),
    (
        "aquatic_http_protocol",
        &["aquatic_bittorrent", "aquatic_http1"],
    ),
    (
        "aquatic_load_test",
        &[
            "aquatic_bittorrent",
            "aquatic_datagrams",
            "aquatic_service",
            "aquatic_udp_protocol",
            "aquatic_ws_protocol",
        ],
    ),
    ("aquatic_service", &["aquatic_bittorrent", "aquatic_http1"]),
    // No crate uses this one, and it drives the others.
    (
        "aquatic_soak",
        &[
            "aquatic_bittorrent",
            "aquatic_http",
            "aquatic_service",
            "aquatic_stream",
            "aquatic_swarm",
            "aquatic_udp",
            "aquatic_udp_protocol",
            "aquatic_ws",
        ],
    ),
    ("aquatic_stream", &["aquatic_bittorrent", "aquatic_service"]),
    ("aquatic_swarm", &["aquatic_bittorrent"]),
    ("aquatic_system_tests", &[TEST_HARNESS]),
    ("aquatic_test_harness", &[]),
    (
        "aquatic_tracker",
        &["aquatic_bittorrent", "aquatic_service", "aquatic_swarm"],
    ),
    (
        "aquatic_udp",
        &[
            "aquatic_bittorrent",
            "aquatic_datagrams",
            "aquatic_service",
            "aquatic_swarm",
            "aquatic_tracker",
            "aquatic_udp_protocol",
        ],
    ),
    ("aquatic_udp_protocol", &["aquatic_bittorrent"]),
    (
        "aquatic_ws",
        &[
            "aquatic_bittorrent",
            "aquatic_service",
            "aquatic_stream",
            "aquatic_swarm",
            "aquatic_tracker",
            "aquatic_ws_protocol",
        ],
    ),
    (
        "aquatic_ws_protocol",
        &["aquatic_bittorrent", "aquatic_http1"],
    ),
    ("aquatic_xtask", &[]),
];

/// What tests may use besides.
const TEST_HARNESS: &str = "aquatic_test_harness";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Absent, `dev` or `build`.
    kind: Option<String>,
    /// Where it is, if it is one of ours.
    path: Option<String>,
}

/// Checks what the crates of the workspace use against [`ALLOWED`].
///
/// # Errors
///
/// A crate uses what it may not, or stands in no line of the table.
pub(crate) fn check_direction() -> anyhow::Result<()> {
    let output = cargo_command()
        .args(["metadata", "--no-deps", "--format-version=1"])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read cargo metadata")?;
    fail_with(violations(&metadata.packages))
}

/// Checks that a comment above each foreign dependency says what it is for.
///
/// # Errors
///
/// One has no comment.
pub(crate) fn check_reasons() -> anyhow::Result<()> {
    let path = root().join("Cargo.toml");
    let manifest =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fail_with(
        without_reason(&manifest)
            .map(|name| format!("Cargo.toml: no comment above {name} says what it is for"))
            .collect(),
    )
}

fn fail_with(messages: Vec<String>) -> anyhow::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    bail!("{}", messages.join("\n"))
}

fn violations(packages: &[Package]) -> Vec<String> {
    let mut messages = Vec::new();
    for package in packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            messages.push(format!(
                "{} is not in the table of crates/xtask/src/dependencies.rs",
                package.name
            ));
            continue;
        };
        let ours = package.dependencies.iter().filter(|it| it.path.is_some());
        for dependency in ours {
            let name = dependency.name.as_str();
            let is_harness_of_tests =
                name == TEST_HARNESS && dependency.kind.as_deref() == Some("dev");
            if !(allowed.contains(&name) || is_harness_of_tests) {
                messages.push(format!("{} must not use {name}", package.name));
            }
        }
    }
    let present: BTreeSet<&str> = packages.iter().map(|it| it.name.as_str()).collect();
    for (name, _) in ALLOWED {
        if !present.contains(name) {
            messages.push(format!("{name} is in the table, but not in the workspace"));
        }
    }
    messages
}

/// The foreign dependencies in the manifest of a workspace that have no comment
/// above them.
fn without_reason(manifest: &str) -> impl Iterator<Item = &str> {
    let above = std::iter::once("").chain(manifest.lines());
    above
        .zip(manifest.lines())
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(above, line)| {
            let (name, _) = line.split_once('=')?;
            let name = name.trim();
            let ours = name.starts_with("aquatic_");
            // A line that continues a value over several lines is no name.
            let is_name = !line.starts_with([' ', '#', ']', '}']);
            (is_name && !ours && !above.starts_with('#')).then_some(name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_use_what_they_may() {
        check_direction().unwrap();
    }

    #[test]
    fn dependencies_have_reasons() {
        check_reasons().unwrap();
    }

    #[test]
    fn other_directions_are_refused() {
        let package = |name: &str, dependency: &str, kind: Option<&str>| Package {
            name: name.to_owned(),
            dependencies: vec![Dependency {
                name: dependency.to_owned(),
                kind: kind.map(str::to_owned),
                path: Some("crates/somewhere".to_owned()),
            }],
        };
        let first = |package| violations(&[package]).remove(0);

        assert_eq!(
            first(package("aquatic_udp_protocol", "aquatic_swarm", None)),
            "aquatic_udp_protocol must not use aquatic_swarm"
        );
        assert_eq!(
            first(package("aquatic_udp", TEST_HARNESS, None)),
            "aquatic_udp must not use aquatic_test_harness"
        );
        assert!(first(package("aquatic_new", "aquatic_swarm", None)).contains("not in the table"));

        let harness = package("aquatic_udp", TEST_HARNESS, Some("dev"));
        let about_udp = |message: &String| message.starts_with("aquatic_udp ");
        assert!(!violations(&[harness]).iter().any(about_udp));
    }

    #[test]
    fn missing_reasons_are_found() {
        let manifest = "\
[workspace.dependencies]
aquatic_swarm = { path = \"crates/swarm\" }
# Why.
one = \"1\"
two = { version = \"2\", features = [
    \"x\",
] }
[profile.release]
three = 3
";
        assert!(without_reason(manifest).eq(["two"]));
    }
}
