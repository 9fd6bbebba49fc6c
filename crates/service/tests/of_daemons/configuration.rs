//! Tests of configuration files that are the same for all daemons.

use std::fmt::Debug;
use std::path::PathBuf;

use aquatic_service::Daemon;
use aquatic_service::config::{self, Config as _, Error, Loaded};
use aquatic_test_harness::corpora::replay;

#[path = "../../../fuzz/checks/configuration.rs"]
mod configuration;
#[path = "../../../fuzz/checks/generator.rs"]
mod generator;

/// The name of a file in messages: `udp.toml` for `aquatic-udp`.
fn path<D: Daemon>() -> PathBuf {
    PathBuf::from(D::NAME.trim_start_matches("aquatic-")).with_extension("toml")
}

/// Reads a file without errors.
pub(crate) fn loaded<D: Daemon>(text: &str) -> Loaded<D::Config> {
    config::parse(text, &path::<D>()).unwrap()
}

/// The settings from a file without errors.
pub(crate) fn settings<D: Daemon>(text: &str) -> D::Settings {
    loaded::<D>(text).settings(D::settings).unwrap()
}

/// The errors in a file that has some.
pub(crate) fn errors<D: Daemon>(text: &str) -> Vec<String> {
    let result = config::parse::<D::Config>(text, &path::<D>())
        .map_err(Error::from)
        .and_then(|loaded| loaded.settings(D::settings));
    match result {
        Ok(_) => panic!("no errors in {text}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The default file contains the default values.
pub(crate) fn check_default_file<D: Daemon<Config: PartialEq + Debug>>() {
    let text = D::Config::DEFAULT_TOML;
    let file = loaded::<D>(text);
    assert_eq!(file.warnings().lines(), [""; 0]);
    assert_eq!(file.config, D::Config::default());
    assert_eq!(file.effective_toml(), text);
}

/// `--migrate-config` makes a current file from an old one, with all warnings as comments.
pub(crate) fn check_migration<D: Daemon<Config: PartialEq + Debug>>(old: &Loaded<D::Config>) {
    let text = old.migrated_toml();
    let migrated = loaded::<D>(&text);
    assert_eq!(migrated.warnings().lines(), [""; 0]);
    assert_eq!(migrated.config, old.config);
    assert_eq!(migrated.migrated_toml(), text);
    let comments = text.lines().filter_map(|line| line.strip_prefix('#'));
    let comments: Vec<&str> = comments.flat_map(str::split_whitespace).collect();
    for warning in old.warnings().lines() {
        let words: Vec<&str> = warning.split(' ').skip(1).collect();
        assert!(
            comments.windows(words.len()).any(|part| part == words),
            "{warning}\n{text}"
        );
    }
}

/// Files that fuzzing has found.
pub(crate) fn check_corpora<D: Daemon<Config: PartialEq>>() {
    replay("configuration", configuration::check::<D>);
    replay("generator", generator::check::<D>);
}

/// Files with edits that people make by mistake.
pub(crate) fn check_edits<D: Daemon<Config: PartialEq>>(old_files: [&str; 3]) {
    // The same numbers in each run: a linear congruential generator (Knuth, MMIX).
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below.max(1)
    };
    // Unknown to some daemons.
    let tables = "[[address_map]]\nfrom = '10.0.0.0/8'\nto = '203.0.113.7'\n\
        [[address_map]]\nfrom = '::1'\nto = '2001:db8::1'\n";
    let [a, b, c] = old_files;
    let files = [D::Config::DEFAULT_TOML, a, b, c, tables];
    for _ in 0..3_000 {
        let file = configuration::edited_layers(&files, &mut random);
        configuration::check::<D>(file.as_bytes());
    }
}
