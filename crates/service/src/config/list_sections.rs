//! Sections that name lists, which all daemons have.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use aquatic_policy::{AddressRange, AddressRanges};

use super::checks::Checks;
use super::texts::Texts;

/// Mode of the access list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum AccessListMode {
    /// The file of `path` is not used.
    #[default]
    Off,
    /// Only torrents on the list are served.
    Allow,
    /// Torrents on the list are not served.
    Deny,
}

/// Allow lists and deny lists of torrents. A torrent is served if it is on an
/// allow list, when there is any, and on no deny list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AccessListConfig {
    /// What the file of path is: an allow list, a deny list, or not used.
    pub mode: AccessListMode,
    /// File with one info hash per line: 40 hexadecimal digits, or 64 for a
    /// version 2 torrent. Blank lines and comments starting with # are allowed.
    /// A reload reads it again. Required unless the mode is "off". It may also be
    /// a directory, as in allow_paths and deny_paths.
    pub path: PathBuf,
    /// More allow lists: files of the same format, or directories, of which all
    /// regular files are read whose names neither begin with a dot nor end with
    /// a tilde.
    pub allow_paths: Vec<PathBuf>,
    /// More deny lists: files or directories. A torrent that is on an allow list
    /// and on a deny list is not served.
    pub deny_paths: Vec<PathBuf>,
}

impl AccessListConfig {
    const PATH: &str = "access_list.path";
    const ALLOW_PATHS: &str = "access_list.allow_paths";
    const DENY_PATHS: &str = "access_list.deny_paths";

    /// The files and directories of allowed torrents, each with its key.
    pub fn allowed(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.of_mode(AccessListMode::Allow)
            .chain(keyed(Self::ALLOW_PATHS, &self.allow_paths))
    }

    /// The files and directories of denied torrents, each with its key.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.of_mode(AccessListMode::Deny)
            .chain(keyed(Self::DENY_PATHS, &self.deny_paths))
    }

    /// All files and directories, each with its key.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.allowed().chain(self.denied())
    }

    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let lists = self.allow_paths.iter_mut().chain(&mut self.deny_paths);
        std::iter::once(&mut self.path).chain(lists)
    }

    fn of_mode(&self, mode: AccessListMode) -> impl Iterator<Item = (&'static str, &Path)> {
        let path = (self.mode == mode).then_some((Self::PATH, self.path.as_path()));
        path.into_iter()
    }

    /// Checks that there is a file if it is needed.
    pub fn check(&self, checks: &mut Checks) {
        if self.mode != AccessListMode::Off && self.path.as_os_str().is_empty() {
            checks.fail(
                Self::PATH,
                "a file of info hashes is required unless access_list.mode is \"off\"",
            );
        }
        check_paths(Self::ALLOW_PATHS, &self.allow_paths, checks);
        check_paths(Self::DENY_PATHS, &self.deny_paths, checks);
    }
}

/// Bans by address. Announces and scrapes of banned addresses are answered with
/// an error. Behind a trusted reverse proxy, the address of the client counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BansConfig {
    /// Files of banned addresses, or directories of them. A line has a network
    /// such as `192.0.2.0/24`, a range such as `192.0.2.1-192.0.2.9`, or one
    /// address, of IPv4 or IPv6, or is one of a P2P plain text list
    /// (PeerGuardian) or of an ipfilter.dat list. A reload reads them again.
    pub paths: Vec<PathBuf>,
    /// Addresses and networks that are never banned, whatever the files say,
    /// such as your own.
    pub except: Texts<AddressRange>,
}

impl BansConfig {
    const PATHS: &str = "bans.paths";

    /// The files and directories, each with its key.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        keyed(Self::PATHS, &self.paths)
    }

    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.paths.iter_mut()
    }

    /// What is never banned.
    pub fn except(&self) -> AddressRanges {
        self.except.iter().copied().collect()
    }

    /// Checks that no path is empty, and warns if nobody of a family can be banned.
    pub fn check(&self, checks: &mut Checks) {
        check_paths(Self::PATHS, &self.paths, checks);
        warn_of_all("bans.except", &self.except, "nobody is banned", checks);
    }
}

/// Warns if an exception is for all addresses, so that a rule has no effect on them.
pub(super) fn warn_of_all(
    key: &str,
    except: &Texts<AddressRange>,
    effect: &str,
    checks: &mut Checks,
) {
    for all in except.iter().filter(|range| range.prefix_length() == 0) {
        let family = match all.first() {
            IpAddr::V4(_) => "IPv4",
            IpAddr::V6(_) => "IPv6",
        };
        let text = format!("with {all}, which is every {family} address, {effect} over {family}");
        checks.advise(key, text);
    }
}

/// Client software that is served, by the first bytes of peer ids. A client is
/// served if it is on an allow list, when there is any, and on no deny list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClientsConfig {
    /// Files of clients that are served, or directories of them: others are
    /// rejected. A line has the start of peer ids, such as `-qB5`, with bytes
    /// that are not printable as `%NN`. What follows after a space is ignored.
    /// A reload reads them again.
    pub allow_paths: Vec<PathBuf>,
    /// Files of clients that are rejected, or directories of them. A line has
    /// the start of peer ids, and after a space the reason that users of the
    /// client get to see. Of several that match, the longest counts.
    pub deny_paths: Vec<PathBuf>,
}

impl ClientsConfig {
    const ALLOW_PATHS: &str = "clients.allow_paths";
    const DENY_PATHS: &str = "clients.deny_paths";

    /// The files and directories of allowed clients, each with its key.
    pub fn allowed(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        keyed(Self::ALLOW_PATHS, &self.allow_paths)
    }

    /// The files and directories of denied clients, each with its key.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        keyed(Self::DENY_PATHS, &self.deny_paths)
    }

    /// All files and directories, each with its key.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.allowed().chain(self.denied())
    }

    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.allow_paths.iter_mut().chain(&mut self.deny_paths)
    }

    /// Checks that no path is empty.
    pub fn check(&self, checks: &mut Checks) {
        check_paths(Self::ALLOW_PATHS, &self.allow_paths, checks);
        check_paths(Self::DENY_PATHS, &self.deny_paths, checks);
    }
}

/// Paths with their key.
fn keyed<'a>(
    key: &'static str,
    paths: &'a [PathBuf],
) -> impl Iterator<Item = (&'static str, &'a Path)> {
    paths.iter().map(move |path| (key, path.as_path()))
}

fn check_paths(key: &str, paths: &[PathBuf], checks: &mut Checks) {
    if paths.iter().any(|path| path.as_os_str().is_empty()) {
        checks.fail(key, "a path is empty; expected files or directories");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(check: impl FnOnce(&mut Checks)) -> Vec<String> {
        let mut checks = Checks::new();
        check(&mut checks);
        let faults = checks.finish(()).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_exception_for_everybody_is_a_warning() {
        let advice = |networks: &[&str]| {
            let mut checks = Checks::new();
            let except = networks.iter().map(|it| (*it).to_owned()).collect();
            let config = BansConfig {
                except: Texts::new(except).unwrap(),
                ..BansConfig::default()
            };
            config.check(&mut checks);
            let advice = checks.take_advice();
            advice.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(advice(&["10.0.0.0/8", "0.0.0.0/1", "::/1", "::"]), [""; 0]);
        let texts = advice(&["0.0.0.0/0", "::/0"]);
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("bans.except"), "{texts:?}");
        assert!(
            texts[0].ends_with("nobody is banned over IPv4"),
            "{texts:?}"
        );
        assert!(
            texts[1].ends_with("nobody is banned over IPv6"),
            "{texts:?}"
        );
    }

    #[test]
    fn access_list_needs_a_file_unless_off() {
        let mut config = AccessListConfig::default();
        assert_eq!(faults(|checks| config.check(checks)), [""; 0]);
        config.mode = AccessListMode::Deny;
        assert_eq!(faults(|checks| config.check(checks)).len(), 1);
        config.path = "list".into();
        assert_eq!(faults(|checks| config.check(checks)), [""; 0]);
        let path = ("access_list.path", Path::new("list"));
        assert_eq!(config.denied().collect::<Vec<_>>(), [path]);
        assert_eq!(config.allowed().count(), 0);
        config.mode = AccessListMode::Off;
        assert_eq!(config.paths().count(), 0);
    }

    #[test]
    fn the_path_is_one_more_of_its_mode() {
        let mut config = AccessListConfig {
            mode: AccessListMode::Allow,
            path: "a".into(),
            allow_paths: vec!["b".into(), "c".into()],
            deny_paths: vec!["d".into()],
        };
        let names = |paths: &mut dyn Iterator<Item = (&'static str, &Path)>| {
            let names = paths.map(|(_, path)| path.to_str().unwrap().to_owned());
            names.collect::<String>()
        };
        assert_eq!(names(&mut config.allowed()), "abc");
        assert_eq!(names(&mut config.denied()), "d");
        config.mode = AccessListMode::Deny;
        assert_eq!(names(&mut config.allowed()), "bc");
        assert_eq!(names(&mut config.denied()), "ad");
        config.mode = AccessListMode::Off;
        assert_eq!(names(&mut config.paths()), "bcd");
        config.paths_mut().for_each(|path| *path = PathBuf::new());
        assert_eq!(
            faults(|checks| config.check(checks)),
            ["allow", "deny"].map(|it| format!(
                "access_list.{it}_paths: a path is empty; expected files or directories"
            ))
        );
    }
}
