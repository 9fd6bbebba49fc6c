//! What packages install for each daemon: its units, which are the same but for
//! names, and its configuration, which is the default one with paths that a
//! service may write to.

use anyhow::Context;
use serde_json::Value;

use super::default_toml;
use super::reference::Reference;

/// A daemon, as packages install it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Daemon {
    /// Its binary, and what everything else is named after.
    name: &'static str,
    /// What its units say that it speaks.
    protocol: &'static str,
    /// Whether it has connections, and with them certificates.
    has_connections: bool,
    /// Files that it writes, by key, below its state directory, besides the
    /// snapshot, which goes there by itself.
    files: &'static [(&'static str, &'static str)],
}

/// `aquatic-http`.
pub(super) const HTTP: Daemon = Daemon {
    name: "aquatic-http",
    protocol: "HTTP and HTTPS",
    has_connections: true,
    files: &[],
};

/// `aquatic-udp`.
pub(super) const UDP: Daemon = Daemon {
    name: "aquatic-udp",
    protocol: "UDP",
    has_connections: false,
    files: &[("scrape_exports.path", "scrape-export.txt")],
};

/// `aquatic-ws`.
pub(super) const WS: Daemon = Daemon {
    name: "aquatic-ws",
    protocol: "WebSocket",
    has_connections: true,
    files: &[],
};

impl Daemon {
    /// The service unit.
    pub(super) fn service(self) -> String {
        self.fill(include_str!("packaged/daemon.service"))
    }

    /// The socket unit.
    pub(super) fn socket(self) -> String {
        self.fill(include_str!("packaged/daemon.socket"))
    }

    /// The configuration file.
    ///
    /// # Errors
    ///
    /// The configuration has no such key as one that packages set.
    pub(super) fn configuration(self, reference: Reference) -> anyhow::Result<String> {
        let head = self.fill(include_str!("packaged/head-of-configuration"));
        default_toml::render_below(head.trim_end(), &self.reference(reference)?)
    }

    /// The configuration with the defaults that packages set.
    ///
    /// # Errors
    ///
    /// It has no such key.
    pub(super) fn reference(self, mut reference: Reference) -> anyhow::Result<Reference> {
        for (key, file) in self.files {
            let path = format!("/var/lib/{}/{file}", self.name);
            *default_of(&mut reference, key)? = Value::String(path);
        }
        Ok(reference)
    }

    fn fill(self, template: &str) -> String {
        let [checked, reloaded, unchanged] = if self.has_connections {
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
            .replace("@NAME@", self.name)
            .replace("@PROTOCOL@", self.protocol)
    }
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
    use super::*;

    #[test]
    fn units_have_no_gaps() {
        for daemon in [HTTP, UDP, WS] {
            for unit in [daemon.service(), daemon.socket()] {
                let gaps = [
                    "@NAME@",
                    "@PROTOCOL@",
                    "@CHECKED@",
                    "@RELOADED@",
                    "@UNCHANGED@",
                ];
                assert!(!gaps.iter().any(|gap| unit.contains(gap)), "{unit}");
                assert!(unit.contains(daemon.name), "{unit}");
            }
        }
    }

    #[test]
    fn daemons_without_connections_have_no_certificates() {
        let reference = Reference::of::<aquatic_udp::config::Config>().unwrap();
        for text in [UDP.service(), UDP.configuration(reference).unwrap()] {
            assert!(!text.contains("certificate"), "{text}");
        }
        assert!(HTTP.service().contains("certificate"));
    }

    #[test]
    fn keys_that_do_not_exist_are_refused() {
        let reference = || Reference::of::<aquatic_udp::config::Config>().unwrap();
        let daemon = Daemon {
            files: &[("snapshot.no_such_key", "")],
            ..UDP
        };
        let error = daemon.configuration(reference()).unwrap_err();
        assert!(error.to_string().contains("snapshot.no_such_key"));
    }
}
