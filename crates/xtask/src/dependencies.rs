//! Which crates may use which, and whether each external dependency has a reason.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, bail};
use cargo_metadata::DependencyKind;

use crate::commands::metadata;
use crate::root;

/// The crates of this workspace that each crate may use. A protocol does not depend on the
/// swarm, and no pure crate on `service`.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "aquatic_bench",
        &[
            "aquatic_bittorrent",
            "aquatic_cluster",
            "aquatic_load_test",
            "aquatic_udp_protocol",
        ],
    ),
    ("aquatic_bittorrent", &[]),
    ("aquatic_cluster", &["aquatic_bittorrent"]),
    ("aquatic_datagrams", &["aquatic_xdp"]),
    ("aquatic_doctor", &["aquatic_service"]),
    (
        "aquatic_http",
        &[
            "aquatic_bittorrent",
            "aquatic_doctor",
            "aquatic_http_protocol",
            "aquatic_policy",
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
    ("aquatic_keys", &["aquatic_policy"]),
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
    ("aquatic_policy", &["aquatic_bittorrent"]),
    (
        "aquatic_service",
        &["aquatic_bittorrent", "aquatic_http1", "aquatic_policy"],
    ),
    (
        "aquatic_stream",
        &[
            "aquatic_bittorrent",
            "aquatic_doctor",
            "aquatic_policy",
            "aquatic_service",
        ],
    ),
    ("aquatic_swarm", &["aquatic_bittorrent"]),
    (SYSTEM_TESTS, &[TEST_HARNESS]),
    ("aquatic_test_harness", &[]),
    (
        "aquatic_tracker",
        &[
            "aquatic_bittorrent",
            "aquatic_cluster",
            "aquatic_http1",
            "aquatic_policy",
            "aquatic_service",
            "aquatic_swarm",
        ],
    ),
    (
        "aquatic_udp",
        &[
            "aquatic_bittorrent",
            "aquatic_datagrams",
            "aquatic_doctor",
            "aquatic_policy",
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
            "aquatic_cluster",
            "aquatic_doctor",
            "aquatic_policy",
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
    ("aquatic_xdp", &[]),
    ("aquatic_xtask", &[]),
];

/// Crates that may use any other, and that no other may use: generators, benchmarks and
/// tests of several daemons.
const UNRESTRICTED: &[&str] = &["aquatic_cluster_tests", "aquatic_generate", "aquatic_soak"];

/// The tests of packages, which are not in `crates`.
const SYSTEM_TESTS: &str = "aquatic_system_tests";

/// The crate that all tests may use.
const TEST_HARNESS: &str = "aquatic_test_harness";

/// Checks what the crates of the workspace use against [`ALLOWED`] and [`UNRESTRICTED`].
///
/// # Errors
///
/// If a crate uses one that is not allowed, or is in neither table.
pub(crate) fn check_direction() -> anyhow::Result<()> {
    let packages = metadata("Cargo.toml")?.packages;
    let present: BTreeSet<&str> = packages.iter().map(|it| it.name.as_str()).collect();
    let in_table = ALLOWED.iter().map(|(name, _)| *name);
    let in_table: BTreeSet<&str> = in_table.chain(UNRESTRICTED.iter().copied()).collect();
    let mut messages: Vec<String> = present
        .symmetric_difference(&in_table)
        .map(|name| {
            format!(
                "{name} is not both in the workspace and in the tables of {}",
                file!()
            )
        })
        .collect();
    for package in &packages {
        let ours = package.dependencies.iter().filter(|it| it.path.is_some());
        let forbidden = ours.filter(|it| !may_use(&package.name, &it.name, it.kind));
        messages.extend(forbidden.map(|it| format!("{} must not use {}", package.name, it.name)));
    }
    fail_with(messages)
}

/// Checks that there is a comment with the reason above each external dependency.
///
/// # Errors
///
/// If one has no comment.
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

/// Checks that in the code map of ARCHITECTURE.md, each crate comes after all crates that
/// it uses, except in tests.
///
/// # Errors
///
/// If one comes before, or is missing.
pub(crate) fn check_code_map() -> anyhow::Result<()> {
    let path = root().join("ARCHITECTURE.md");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut messages = Vec::new();
    for package in metadata("Cargo.toml")?.packages {
        if package.name.as_str() == SYSTEM_TESTS {
            continue;
        }
        let Some(row) = row_of(&text, &package.name) else {
            messages.push(format!("ARCHITECTURE.md: no row of {}", package.name));
            continue;
        };
        let used = package
            .dependencies
            .iter()
            .filter(|it| it.path.is_some() && it.kind != DependencyKind::Development);
        let misplaced = used.filter(|it| row_of(&text, &it.name).is_none_or(|used| used > row));
        messages.extend(misplaced.map(|it| {
            format!(
                "ARCHITECTURE.md: {} is above {}, which it uses",
                package.name, it.name
            )
        }));
    }
    fail_with(messages)
}

/// The position of a crate's row in the code map.
fn row_of(text: &str, package: &str) -> Option<usize> {
    let name = package.strip_prefix("aquatic_")?.replace('_', "-");
    text.find(&format!("\n| `{name}` | "))
}

fn fail_with(messages: Vec<String>) -> anyhow::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    bail!("{}", messages.join("\n"))
}

/// Whether the table allows one of our crates to use another one.
fn may_use(user: &str, used: &str, kind: DependencyKind) -> bool {
    let mut allowed = ALLOWED.iter().filter(|(name, _)| *name == user);
    allowed.any(|(_, allowed)| allowed.contains(&used))
        || (UNRESTRICTED.contains(&user) && !UNRESTRICTED.contains(&used))
        || (used == TEST_HARNESS && kind == DependencyKind::Development)
}

/// The external dependencies in the manifest of a workspace without a comment above them.
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
            // A line that continues a value is not a name.
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
    fn the_code_map_is_in_order() {
        check_code_map().unwrap();
        let text = "| crate |\n| `http1` | x |\n| `http` | y |\n";
        let row = |package| row_of(text, package);
        assert!(row("aquatic_http1") < row("aquatic_http"));
        assert!(row("aquatic_http1").is_some() && row("aquatic_udp").is_none());
    }

    #[test]
    fn dependencies_have_reasons() {
        check_reasons().unwrap();
    }

    #[test]
    fn other_directions_are_refused() {
        use DependencyKind::{Development, Normal};
        assert!(may_use("aquatic_udp", "aquatic_swarm", Normal));
        assert!(!may_use("aquatic_udp_protocol", "aquatic_swarm", Normal));
        assert!(!may_use(
            "aquatic_udp_protocol",
            "aquatic_swarm",
            Development
        ));
        assert!(may_use("aquatic_udp", TEST_HARNESS, Development));
        assert!(!may_use("aquatic_udp", TEST_HARNESS, Normal));
        assert!(!may_use("aquatic_new", "aquatic_swarm", Normal));
        assert!(may_use("aquatic_soak", "aquatic_swarm", Normal));
        assert!(!may_use("aquatic_udp", "aquatic_soak", Normal));
        assert!(!may_use("aquatic_generate", "aquatic_soak", Normal));
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
