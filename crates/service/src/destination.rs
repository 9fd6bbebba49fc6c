//! The server that a daemon connects to, and how the sandbox of its unit permits that.
//!
//! A packaged service has no access to the network: all its sockets are inherited. If its
//! configuration names a server, the generator writes a drop-in of the service that permits
//! this server and nothing else. systemd applies it at the next start after
//! `systemctl daemon-reload`, so the service may have access to the server of an earlier
//! configuration. The drop-in says which one it is for ([`VARIABLE`]).

use std::env;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Environment variable that is set by units whose sandbox follows the configuration: the
/// URL that the service has access to, empty if there is none.
pub(crate) const VARIABLE: &str = "AQUATIC_CLUSTER_URL";

/// The key of the server in the configuration.
pub(crate) const KEY: &str = "cluster.url";

/// The list of groups.
const GROUPS: &str = "/etc/group";

/// Maximum size of the list of groups.
const MAX_GROUPS_BYTES: u64 = 16 << 20;

/// A server that a daemon connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The URL, as configured. Everyone on the host can read it.
    pub url: String,
    /// Where it is.
    pub place: Place,
    /// The services that it may be if it is on this host: the daemon is started after
    /// them, and stopped before.
    pub services: &'static [&'static str],
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the host with this address or name.
    Host(String),
    /// On hosts that are only known after asking others.
    AnyHost,
    /// Behind a socket of this host.
    Socket(PathBuf),
}

/// What a service has to be permitted.
#[derive(Debug, PartialEq, Eq)]
enum Access {
    /// The network; if there is a value for `IPAddressAllow=`, only these addresses.
    Network {
        families: &'static str,
        only: Option<String>,
        is_local: bool,
    },
    /// Files of this group, if there is one.
    Group(Option<String>),
}

impl Destination {
    /// The drop-in that permits a service to connect, from `[Unit]` on. `None` if the URL
    /// cannot be written into a unit.
    pub(crate) fn drop_in(&self) -> Option<String> {
        let groups = crate::files::read_regular(Path::new(GROUPS), MAX_GROUPS_BYTES);
        self.drop_in_with(&String::from_utf8_lossy(&groups.unwrap_or_default()))
    }

    /// As [`Self::drop_in`], on a host with these groups, in the format of group(5).
    fn drop_in_with(&self, groups: &str) -> Option<String> {
        let Self { url, services, .. } = self;
        if url.contains(char::is_control) {
            return None;
        }
        let access = self.place.access(groups);
        let mut text = String::new();
        if !matches!(&access, Access::Network { is_local, .. } if !is_local) {
            let _ = writeln!(text, "After={}", services.join(" "));
        }
        let url = url.replace('\\', "\\\\").replace('"', "\\\"");
        let url = url.replace('%', "%%");
        let _ = write!(text, "\n[Service]\nEnvironment=\"{VARIABLE}={url}\"\n");
        match access {
            Access::Network { families, only, .. } => {
                let _ = write!(
                    text,
                    "PrivateNetwork=no\nRestrictAddressFamilies={families}\n"
                );
                if let Some(only) = only {
                    let _ = write!(text, "IPAddressDeny=any\nIPAddressAllow={only}\n");
                }
            }
            Access::Group(Some(group)) => {
                let _ = writeln!(text, "SupplementaryGroups={group}");
            }
            Access::Group(None) => {}
        }
        Some(text)
    }
}

impl Place {
    fn access(&self, groups: &str) -> Access {
        let network = |families, only, is_local| Access::Network {
            families,
            only,
            is_local,
        };
        match self {
            // Address filters know no names, and what a name stands for may change. Looking
            // it up takes the name servers, too.
            Self::AnyHost => network("AF_INET AF_INET6", None, false),
            Self::Host(host) => match host.parse::<IpAddr>() {
                Ok(address) => {
                    let families = match address {
                        IpAddr::V4(_) => "AF_INET",
                        IpAddr::V6(_) => "AF_INET6",
                    };
                    network(families, Some(address.to_string()), address.is_loopback())
                }
                Err(_) if host.eq_ignore_ascii_case("localhost") => {
                    network("AF_INET AF_INET6", Some("localhost".to_owned()), true)
                }
                Err(_) => network("AF_INET AF_INET6", None, false),
            },
            Self::Socket(path) => Access::Group(group_of(path, groups).map(str::to_owned)),
        }
    }
}

/// The group that has access to a socket. It may not exist yet, so this is the group that is
/// called like its directory, as that of a service is: `redis` for `/run/redis/redis.sock`.
/// The directory of an instance has the name of the instance, too: `/run/redis-cache`. Only
/// groups that exist count, because a service with any other does not start.
fn group_of<'a>(socket: &'a Path, groups: &str) -> Option<&'a str> {
    let directory = socket.parent()?.file_name()?.to_str()?;
    let exists = |name: &&str| {
        let mut lines = groups.lines();
        lines.any(|line| {
            line.split_once(':')
                .is_some_and(|(group, _)| group == *name)
        })
    };
    let service = directory.split_once('-').map(|(service, _)| service);
    [Some(directory), service]
        .into_iter()
        .flatten()
        .find(exists)
}

/// What to add to the message that a server cannot be reached, if the unit of the service
/// `daemon` does not permit that: how to change it.
pub fn hint(daemon: &str, url: &str) -> Option<String> {
    let permitted = env::var(VARIABLE).ok()?;
    (permitted != url).then(|| format!("the service has no access to it before {}", mend(daemon)))
}

/// Warns if the unit of the service `daemon` permits access to another server than the
/// configured one.
pub(crate) fn warn_of_difference(daemon: &str, configured: Option<&Destination>) {
    let Ok(permitted) = env::var(VARIABLE) else {
        return;
    };
    if let Some(text) = difference(&permitted, configured, daemon) {
        log::warn!("{text}");
    }
}

fn difference(permitted: &str, configured: Option<&Destination>, daemon: &str) -> Option<String> {
    let configured = configured.map_or("", |it| &it.url);
    if configured == permitted {
        return None;
    }
    let text = match (configured, permitted) {
        (url, "") => format!("the service has no access to {url}"),
        ("", url) => format!("the service still has access to {url}, which is not configured"),
        (url, other) => format!("the service has access to {other} instead of {url}"),
    };
    Some(format!(
        "{text}: run {} to apply the configuration",
        mend(daemon)
    ))
}

fn mend(daemon: &str) -> String {
    format!("`systemctl daemon-reload && systemctl restart {daemon}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "root:x:0:\nredis:x:106:aquatic\nvalkey-a:x:107:\n";

    fn at(url: &str, place: Place) -> Destination {
        Destination {
            url: url.to_owned(),
            place,
            services: &["redis.service", "valkey.service"],
        }
    }

    fn host(name: &str) -> Place {
        Place::Host(name.to_owned())
    }

    /// The lines of the section of the service, except the variable.
    fn lines(place: Place) -> Vec<String> {
        let text = at("x", place).drop_in_with(GROUPS).unwrap();
        let (_, lines) = text.split_once("\n[Service]\n").unwrap();
        let lines = lines.lines().map(str::to_owned);
        lines.filter(|it| !it.contains(VARIABLE)).collect()
    }

    #[test]
    fn only_the_configured_address_is_reached() {
        for (address, family) in [
            ("10.0.0.1", "AF_INET"),
            ("127.0.0.1", "AF_INET"),
            ("::1", "AF_INET6"),
            ("fd00::7", "AF_INET6"),
            ("localhost", "AF_INET AF_INET6"),
        ] {
            let expected = [
                "PrivateNetwork=no".to_owned(),
                format!("RestrictAddressFamilies={family}"),
                "IPAddressDeny=any".to_owned(),
                format!("IPAddressAllow={address}"),
            ];
            assert_eq!(lines(host(address)), expected, "{address}");
        }
    }

    #[test]
    fn hosts_with_unknown_addresses_are_reached() {
        for place in [host("engine.example"), Place::AnyHost] {
            let expected = [
                "PrivateNetwork=no",
                "RestrictAddressFamilies=AF_INET AF_INET6",
            ];
            assert_eq!(lines(place), expected);
        }
    }

    #[test]
    fn sockets_need_a_group_and_no_network() {
        for (path, group) in [
            ("/run/redis/redis-server.sock", Some("redis")),
            ("/run/redis-cache/redis-server.sock", Some("redis")),
            ("/run/valkey-a/valkey.sock", Some("valkey-a")),
            ("/run/valkey-b/valkey.sock", None),
            ("/run/valkey.sock", None),
            ("/redis.sock", None),
        ] {
            let group = group.map(|it| format!("SupplementaryGroups={it}"));
            let expected: Vec<_> = group.into_iter().collect();
            assert_eq!(lines(Place::Socket(path.into())), expected, "{path}");
        }
    }

    #[test]
    fn servers_of_this_host_are_started_before() {
        let after = "After=redis.service valkey.service\n\n[Service]\n";
        for (place, is_local) in [
            (host("127.0.0.1"), true),
            (host("::1"), true),
            (host("localhost"), true),
            (Place::Socket("/run/redis/redis.sock".into()), true),
            (host("10.0.0.1"), false),
            (host("engine.example"), false),
            (Place::AnyHost, false),
        ] {
            let text = at("x", place.clone()).drop_in_with(GROUPS).unwrap();
            assert_eq!(text.starts_with(after), is_local, "{place:?}");
            assert!(is_local || text.starts_with("\n[Service]\n"), "{text}");
        }
    }

    #[test]
    fn urls_stay_what_they_are() {
        let path = "/run/100% \"a\\b\"/x.sock";
        let url = format!("redis+unix://{path}");
        let text = at(&url, Place::Socket(path.into())).drop_in_with(GROUPS);
        let line =
            "\nEnvironment=\"AQUATIC_CLUSTER_URL=redis+unix:///run/100%% \\\"a\\\\b\\\"/x.sock\"\n";
        assert!(text.unwrap().contains(line));

        let url = "redis+unix:///run/x\nExecStart=/bin/sh";
        let place = Place::Socket("/run/x\nExecStart=/bin/sh".into());
        assert_eq!(at(url, place).drop_in_with(GROUPS), None);
    }

    #[test]
    fn differences_are_explained() {
        let one = at("redis://one", host("one"));
        let text = |permitted, configured| difference(permitted, configured, "aquatic-test");
        assert_eq!(text("", None), None);
        assert_eq!(text("redis://one", Some(&one)), None);
        let end = ": run `systemctl daemon-reload && systemctl restart aquatic-test` to apply \
                   the configuration";
        for (permitted, configured, begin) in [
            ("", Some(&one), "the service has no access to redis://one"),
            (
                "redis://two",
                None,
                "the service still has access to redis://two, which is not configured",
            ),
            (
                "redis://two",
                Some(&one),
                "the service has access to redis://two instead of redis://one",
            ),
        ] {
            let expected = format!("{begin}{end}");
            assert_eq!(text(permitted, configured), Some(expected));
        }
    }
}
