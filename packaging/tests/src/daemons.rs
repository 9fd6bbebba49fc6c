//! The daemons, from the list that the packages are made from.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A daemon, and how clients reach it after an installation.
#[derive(Deserialize)]
pub(crate) struct Daemon {
    /// Its package, program and service, such as `aquatic-udp`.
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) transport: Transport,
    pub(crate) port: u16,
    pub(crate) has_tls: bool,
}

/// The transport of a daemon.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Daemon {
    /// Its configuration.
    pub(crate) fn file(&self) -> String {
        format!("/etc/aquatic/{}.toml", self.name)
    }

    /// The prefix of other names, such as `udp-0` of a thread.
    pub(crate) fn short_name(&self) -> &str {
        self.name.trim_start_matches("aquatic-")
    }
}

/// All daemons, by name.
pub(crate) fn all() -> &'static [Daemon] {
    static ALL: LazyLock<Vec<Daemon>> = LazyLock::new(|| {
        let list: BTreeMap<String, Daemon> =
            toml::from_str(include_str!("../../daemons.toml")).expect("a list of daemons");
        let named = |(name, daemon)| Daemon {
            name: format!("aquatic-{name}"),
            ..daemon
        };
        list.into_iter().map(named).collect()
    });
    &ALL
}

/// The daemons that serve connections, and so answer `/health`.
pub(crate) fn with_connections() -> impl DoubleEndedIterator<Item = &'static Daemon> {
    all()
        .iter()
        .filter(|daemon| daemon.transport == Transport::Tcp)
}

/// The daemons with TLS.
pub(crate) fn with_tls() -> impl Iterator<Item = &'static Daemon> {
    all().iter().filter(|daemon| daemon.has_tls)
}

/// Names separated by spaces, for apt and systemctl.
pub(crate) fn names(daemons: impl IntoIterator<Item = &'static Daemon>) -> String {
    let names: Vec<_> = daemons.into_iter().map(|it| it.name.as_str()).collect();
    names.join(" ")
}
