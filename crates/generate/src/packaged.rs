//! What packages install for each daemon: its units, which differ only in names, and its
//! configuration, which only sets paths that the service may write to. Also a file with all
//! keys, and the files for tools that build packages.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::daemons::{Listed, Transport};
use super::default_toml;
use super::reference::Reference;

/// A daemon, as packages install it.
#[derive(Debug)]
pub(super) struct Packaged {
    /// The name of its binary, after which everything else is named.
    pub name: &'static str,
    /// Its name without `aquatic-`.
    pub short_name: &'static str,
    /// Its entry in the list of daemons.
    pub listed: Listed,
}

/// Files for debhelper, by the end of the name.
const DEBIAN: &[(&str, &str)] = &[
    ("dirs", include_str!("packaged/deb/dirs")),
    ("docs", include_str!("packaged/deb/docs")),
    ("install", include_str!("packaged/deb/install")),
    ("links", include_str!("packaged/deb/links")),
    (
        "lintian-overrides",
        include_str!("packaged/deb/lintian-overrides"),
    ),
    ("manpages", include_str!("packaged/deb/manpages")),
    ("postinst", include_str!("packaged/deb/postinst")),
    ("postrm", include_str!("packaged/deb/postrm")),
    ("prerm", include_str!("packaged/deb/prerm")),
];

/// Examples for container engines, by path.
const CONTAINERS: &[(&str, &str)] = &[
    (
        "quadlet/@NAME@.container",
        include_str!("packaged/quadlet.container"),
    ),
    (
        "quadlet/@NAME@.socket",
        include_str!("packaged/quadlet.socket"),
    ),
    (
        "kubernetes/@NAME@.yaml",
        include_str!("packaged/kubernetes.yaml"),
    ),
];

impl Packaged {
    /// The service unit.
    pub(super) fn service(&self) -> String {
        self.fill(include_str!("packaged/daemon.service"))
    }

    /// The socket unit.
    pub(super) fn socket(&self) -> String {
        self.fill(include_str!("packaged/daemon.socket"))
    }

    /// The configuration file: only what differs from the defaults of the daemon.
    pub(super) fn configuration(&self) -> String {
        let mut text = self.fill(include_str!("packaged/configuration"));
        for (key, file) in &self.listed.state_files {
            let (section, key) = key.split_once('.').unwrap_or(("", key));
            text.push_str(&format!(
                "\n[{section}]\n{key} = \"/var/lib/{}/{file}\"\n",
                self.name
            ));
        }
        text
    }

    /// The configuration file in the container image.
    pub(super) fn container_configuration(&self) -> String {
        self.fill(include_str!("packaged/container-configuration"))
    }

    /// Examples for container engines: the path below `packaging/container`, and the content.
    pub(super) fn containers(&self) -> impl Iterator<Item = (String, String)> {
        CONTAINERS
            .iter()
            .map(|(path, template)| (self.fill(path), self.fill(template)))
    }

    /// The file with all keys, made from [`Self::reference`].
    ///
    /// # Errors
    ///
    /// If a default cannot be written as TOML.
    pub(super) fn all_keys(&self, reference: &Reference) -> anyhow::Result<String> {
        let head = self.fill(include_str!("packaged/head-of-reference"));
        default_toml::render_below(head.trim_end(), reference)
    }

    /// The configuration with the defaults that packages set.
    ///
    /// # Errors
    ///
    /// If there is no such key.
    pub(super) fn reference(&self, mut reference: Reference) -> anyhow::Result<Reference> {
        self.compare(&mut reference)?;
        for (key, file) in &self.listed.state_files {
            let path = format!("/var/lib/{}/{file}", self.name);
            *default_of(&mut reference, key)? = Value::String(path);
        }
        Ok(reference)
    }

    /// Compares the list with the configuration.
    fn compare(&self, reference: &mut Reference) -> anyhow::Result<()> {
        let end = format!(":{}", self.listed.port);
        let addresses = default_of(reference, "network.address")?;
        let has_port = |address: &Value| address.as_str().is_some_and(|it| it.ends_with(&end));
        ensure!(
            addresses
                .as_array()
                .is_some_and(|all| all.iter().all(has_port)),
            "network.address is {addresses}, which is not port {}",
            self.listed.port
        );
        let has_tls = default_of(reference, "network.enable_tls").is_ok();
        ensure!(has_tls == self.listed.has_tls, "has_tls is {has_tls}");
        Ok(())
    }

    /// Files for debhelper: the end of the name, and the content.
    pub(super) fn debian(&self) -> impl Iterator<Item = (&'static str, String)> {
        let filled = |(end, template): &(&'static str, &str)| (*end, self.fill(template));
        DEBIAN.iter().map(filled)
    }

    fn fill(&self, template: &str) -> String {
        let checked = if self.listed.has_tls {
            "configuration, the access list or a certificate"
        } else {
            "configuration or the access list"
        };
        let [shared_directory, runtime_directories, remove_socket] = if self.listed.shares_peers {
            [SHARED_DIRECTORY, "@NAME@ aquatic", REMOVE_SOCKET]
        } else {
            ["", "@NAME@", ""]
        };
        let [listen, transport, queue] = match self.listed.transport {
            Transport::Tcp => ["ListenStream", "TCP", BACKLOG],
            Transport::Udp => ["ListenDatagram", "UDP", RECEIVE_BUFFER],
        };
        template
            .replace("@LISTEN@", listen)
            .replace("@QUEUE@", queue)
            .replace("@TRANSPORT@", transport)
            .replace("@PORT@", &self.listed.port.to_string())
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
            .replace("@SHARED_DIRECTORY@", shared_directory)
            .replace("@RUNTIME_DIRECTORIES@", runtime_directories)
            .replace("@REMOVE_SOCKET@", remove_socket)
            .replace("@CHECKED@", checked)
            .replace("@MADE@", MADE)
            .replace("@NAME@", self.name)
            .replace("@METRICS_PORT@", &self.listed.metrics_port.to_string())
            .replace("@UNDERSCORED@", &self.name.replace('-', "_"))
            .replace("@SHORT_NAME@", self.short_name)
            .replace("@TITLE@", &self.listed.title)
            .replace("@DESCRIPTION@", self.listed.description.trim_end())
            .replace("@INDENTED_DESCRIPTION@", &self.indented_description())
    }

    /// The description in the form of `control`, with a dot for a blank line.
    fn indented_description(&self) -> String {
        let lines = self.listed.description.lines().map(|line| match line {
            "" => " .".to_owned(),
            _ => format!(" {line}"),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The directive for the shared directory, in units of daemons that share their peers.
const SHARED_DIRECTORY: &str = "\
# The second directory has the sockets over which daemons share their peers. All units
# have to preserve it: otherwise whichever stops would remove the sockets of the others.
";

/// What holds requests that arrive while a container is started.
const BACKLOG: &str =
    "# Holds connections that are opened while the container is started.\nBacklog=4096";

/// The same for datagrams.
const RECEIVE_BUFFER: &str = "\
# Holds requests that arrive while the container is started. For a user, the kernel grants at
# most net.core.rmem_max.
ReceiveBuffer=8M";

/// What package scripts do after the removal of such a daemon.
const REMOVE_SOCKET: &str = "    \
    # Those of other daemons stay, and so does the directory then.
    rm -f /run/aquatic/@NAME@.sock
    rmdir /run/aquatic 2> /dev/null || true
";

/// The first lines of generated files.
const MADE: &str = "Made by `cargo xtask generate` from packaging/daemons.toml.";

/// Debian's `control`.
pub(super) fn control(daemons: &[Packaged]) -> String {
    let paragraph = |daemon: &Packaged| {
        let filled = daemon.fill(include_str!("packaged/deb/control-of-daemon"));
        filled.trim_end().to_owned()
    };
    let depends = |daemon: &Packaged| format!(" {} (>= ${{source:Version}}),", daemon.name);
    include_str!("packaged/deb/control")
        .replace("@MADE@", MADE)
        .replace("@DAEMONS@", &of_each(daemons, "\n\n", paragraph))
        .replace("@DEPENDS@", &of_each(daemons, "\n", depends))
}

/// The spec of the RPM packages.
pub(super) fn spec(daemons: &[Packaged]) -> String {
    let sections = |daemon: &Packaged| {
        let filled = daemon.fill(include_str!("packaged/rpm/of-daemon"));
        filled.trim_end().to_owned()
    };
    let requires = |daemon: &Packaged| {
        let package = daemon.short_name;
        format!("Requires:       %{{name}}-{package} = %{{version}}-%{{release}}")
    };
    let load_test = |daemon: &Packaged| format!("{}-load-test", daemon.name);
    include_str!("packaged/rpm/aquatic.spec")
        .replace("@MADE@", MADE)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@REQUIRES@", &of_each(daemons, "\n", requires))
        .replace("@NAMES@", &of_each(daemons, " ", |it| it.name.to_owned()))
        .replace("@LOAD_TESTS@", &of_each(daemons, " ", load_test))
        .replace("@DAEMONS@", &of_each(daemons, "\n\n", sections))
}

/// The table of daemons of `crates/service/src/neighbours.rs`.
pub(super) fn neighbours(daemons: &[Packaged]) -> String {
    let entry = |daemon: &Packaged| {
        let protocol = match daemon.listed.transport {
            Transport::Tcp => "Tcp",
            Transport::Udp => "Udp",
        };
        include_str!("packaged/neighbour")
            .replace("@PROTOCOL@", protocol)
            .replace("@NAME@", daemon.name)
            .replace("@PORT@", &daemon.listed.port.to_string())
    };
    format!(
        "//! {MADE}\n\nuse super::{{Neighbour, Protocol}};\n\n\
         /// All daemons.\npub(super) const DAEMONS: &[Neighbour] = &[\n{}];\n",
        of_each(daemons, "", entry)
    )
}

/// The list of daemons of `crates/tracker/src/cluster/daemons.rs`.
pub(super) fn sharing_peers(daemons: &[Packaged]) -> String {
    let sharing = daemons.iter().filter(|it| it.listed.shares_peers);
    let names: Vec<_> = sharing.map(|it| format!("{:?}", it.name)).collect();
    format!(
        "//! {MADE}\n\n/// The daemons whose swarms are alike, and so can be one.\n\
         pub(super) const DAEMONS: &[&str] = &[{}];\n",
        names.join(", ")
    )
}

/// A text for each daemon, joined.
fn of_each(daemons: &[Packaged], between: &str, say: impl Fn(&Packaged) -> String) -> String {
    let said: Vec<_> = daemons.iter().map(say).collect();
    said.join(between)
}

/// The value of a key in a file.
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
    use super::super::daemons;
    use super::*;

    fn packaged(short_name: &'static str) -> Packaged {
        Packaged {
            name: "aquatic-x",
            short_name,
            listed: daemons::list().unwrap()[short_name].clone(),
        }
    }

    fn udp_keys() -> Reference {
        Reference::of::<aquatic_udp::config::Config>().unwrap()
    }

    #[test]
    fn templates_have_no_gaps() {
        let daemons = ["http", "udp", "ws"].map(packaged);
        let mut texts = vec![control(&daemons), neighbours(&daemons), spec(&daemons)];
        for daemon in &daemons {
            texts.extend([daemon.service(), daemon.socket(), daemon.configuration()]);
            texts.push(daemon.container_configuration());
            texts.extend(daemon.containers().map(|(_, text)| text));
            texts.extend(daemon.debian().map(|(_, text)| text));
        }
        for text in texts {
            // An address has one, too.
            let is_gap = |word: &str| word.matches('@').count() > 1;
            assert!(!text.split_whitespace().any(is_gap), "{text}");
        }
    }

    #[test]
    fn daemons_without_tls_have_no_certificates() {
        let udp = packaged("udp");
        let all_keys = udp.all_keys(&udp_keys()).unwrap();
        for text in [udp.service(), udp.configuration(), all_keys] {
            // Of its own; an engine may have some.
            let of_engine = ["tls_ca_path", "with certificates in PEM format"];
            let mut lines = text.lines().filter(|line| line.contains("certificate"));
            let is_of_engine = |line: &str| of_engine.iter().any(|it| line.contains(it));
            assert!(lines.all(is_of_engine), "{text}");
        }
        assert!(packaged("http").service().contains("certificate"));
    }

    #[test]
    fn a_list_that_differs_from_the_configuration_is_refused() {
        assert!(packaged("udp").reference(udp_keys()).is_ok());
        let refused = |change: fn(&mut Listed)| {
            let mut udp = packaged("udp");
            change(&mut udp.listed);
            udp.reference(udp_keys()).unwrap_err().to_string()
        };
        assert!(refused(|it| it.port = 1).contains("not port 1"));
        assert!(refused(|it| it.has_tls = true).contains("has_tls is false"));
        let no_such_key = |listed: &mut Listed| {
            let file = ("snapshot.no_such_key".to_owned(), String::new());
            listed.state_files.extend([file]);
        };
        assert!(refused(no_such_key).contains("snapshot.no_such_key"));
    }

    #[test]
    fn blank_lines_of_descriptions_are_dots() {
        let mut udp = packaged("udp");
        udp.listed.description = "One.\n\nTwo.\n".to_owned();
        assert_eq!(udp.indented_description(), " One.\n .\n Two.");
    }
}
