//! What packages install for each daemon: its units, which are the same but for
//! names, and its configuration, which is the default one with paths that a
//! service may write to.

use anyhow::Context;
use serde_json::Value;

use super::daemons::About;
use super::default_toml;
use super::reference::Reference;

/// The service unit.
pub(super) fn service(about: &About, name: &str) -> String {
    fill(about, name, include_str!("packaged/daemon.service"))
}

/// The socket unit.
pub(super) fn socket(about: &About, name: &str) -> String {
    fill(about, name, include_str!("packaged/daemon.socket"))
}

/// The configuration file, of what [`reference`] makes.
///
/// # Errors
///
/// A default is nothing that TOML can say.
pub(super) fn configuration(
    about: &About,
    name: &str,
    reference: &Reference,
) -> anyhow::Result<String> {
    let head = fill(about, name, include_str!("packaged/head-of-configuration"));
    default_toml::render_below(head.trim_end(), reference)
}

/// The configuration with the defaults that packages set.
///
/// # Errors
///
/// It has no such key.
pub(super) fn reference(
    about: &About,
    name: &str,
    mut reference: Reference,
) -> anyhow::Result<Reference> {
    for (key, file) in about.files {
        let path = format!("/var/lib/{name}/{file}");
        *default_of(&mut reference, key)? = Value::String(path);
    }
    Ok(reference)
}

fn fill(about: &About, name: &str, template: &str) -> String {
    let [checked, reloaded, unchanged] = if about.has_connections {
        [
            "configuration, the access list or a certificate",
            "Access list and certificates are",
            "addresses and workers",
        ]
    } else {
        [
            "configuration or the access list",
            "The access list is",
            "addresses, workers and receive buffers",
        ]
    };
    template
        .replace("@CHECKED@", checked)
        .replace("@RELOADED@", reloaded)
        .replace("@UNCHANGED@", unchanged)
        .replace("@NAME@", name)
        .replace("@PROTOCOL@", about.protocol)
}

/// The value that a key has in the file.
fn default_of<'r>(reference: &'r mut Reference, full: &str) -> anyhow::Result<&'r mut Value> {
    let (section, key) = full.split_once('.').unwrap_or(("", full));
    reference
        .sections
        .iter_mut()
        .filter(|it| it.name == section)
        .flat_map(|it| &mut it.keys)
        .find(|it| it.name == key)
        .map(|it| &mut it.default)
        .with_context(|| format!("there is no key {full}"))
}

#[cfg(test)]
mod tests {
    use super::super::daemons::{HTTP, UDP, WS};
    use super::*;

    #[test]
    fn units_have_no_gaps() {
        for about in [HTTP, UDP, WS] {
            for unit in [service(&about, "aquatic-x"), socket(&about, "aquatic-x")] {
                let gaps = [
                    "@NAME@",
                    "@PROTOCOL@",
                    "@CHECKED@",
                    "@RELOADED@",
                    "@UNCHANGED@",
                ];
                assert!(!gaps.iter().any(|gap| unit.contains(gap)), "{unit}");
                assert!(unit.contains("aquatic-x"), "{unit}");
            }
        }
    }

    #[test]
    fn daemons_without_connections_have_no_certificates() {
        let reference = Reference::of::<aquatic_udp::config::Config>().unwrap();
        let configuration = configuration(&UDP, "aquatic-udp", &reference).unwrap();
        for text in [service(&UDP, "aquatic-udp"), configuration] {
            assert!(!text.contains("certificate"), "{text}");
        }
        assert!(service(&HTTP, "aquatic-http").contains("certificate"));
    }

    #[test]
    fn keys_that_do_not_exist_are_refused() {
        let about = About {
            files: &[("snapshot.no_such_key", "")],
            ..UDP
        };
        let keys = Reference::of::<aquatic_udp::config::Config>().unwrap();
        let error = reference(&about, "aquatic-udp", keys).unwrap_err();
        assert!(error.to_string().contains("snapshot.no_such_key"));
    }
}
