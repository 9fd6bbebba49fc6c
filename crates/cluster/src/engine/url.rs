//! The URL of an engine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const ENGINE_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Maximum length of the path of a Unix socket (unix(7)).
const MAX_PATH_LENGTH: usize = 107;

/// Maximum number of hosts in a URL.
const MAX_SERVERS: usize = 16;

/// The URL of an engine:
///
/// | URL | meaning |
/// |---|---|
/// | `redis://host:6379/0` | an engine; the port and the number of the database are optional |
/// | `redis+unix:///run/valkey/valkey.sock` | a Unix socket; `?db=1` chooses another database |
/// | `redis+sentinel://host:26379,host:26379/name` | the primary `name` of these Sentinels; `/1` after it chooses another database |
/// | `redis+cluster://host:6379,host:6379` | a Redis Cluster with these members |
///
/// With `rediss` instead of `redis`, all connections use TLS. Nothing is percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUrl {
    pub(super) place: Place,
    pub(super) is_encrypted: bool,
    pub(super) database: u32,
    text: String,
}

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a host.
    Server(Server),
    /// At a socket of this host.
    Socket(PathBuf),
    /// Where one of these says that the primary of this name is.
    Sentinels {
        /// Who is asked.
        servers: Vec<Server>,
        /// The name of the primary.
        name: String,
    },
    /// At whichever member of a cluster has our keys, as any of these says.
    Cluster(Vec<Server>),
}

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name, or its address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl EngineUrl {
    /// Where the engine is.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// Why a text is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The scheme is unknown.
    #[error(
        "expected a URL that begins with redis://, rediss://, redis+unix://, redis+sentinel://, \
         rediss+sentinel://, redis+cluster:// or rediss+cluster://"
    )]
    Scheme,
    /// It contains a user name or password, although other users of the host may see it.
    #[error(
        "a URL must not contain a user or a password: they belong into cluster.username and \
         cluster.password_file"
    )]
    Credentials,
    /// A host is missing or invalid.
    #[error(
        "expected a host name or an address instead of \"{0}\"; IPv6 addresses are written [::1]"
    )]
    Host(String),
    /// A port is invalid.
    #[error("expected a port from 1 to 65535 instead of \"{0}\"")]
    Port(String),
    /// A database is not a number.
    #[error("expected the number of a database instead of \"{0}\"")]
    Database(String),
    /// The path of a socket is not absolute.
    #[error("expected an absolute path: redis+unix:///run/redis/redis.sock")]
    Path,
    /// The path of a socket is too long.
    #[error("a socket's path may have {MAX_PATH_LENGTH} bytes, not {0}")]
    LongPath(usize),
    /// The name of the primary is missing.
    #[error("expected the name of the primary: redis+sentinel://host:26379,host:26379/name")]
    Name,
    /// There is more than one host in a URL that has one.
    #[error("expected one host: several are for redis+sentinel:// and redis+cluster://")]
    Several,
    /// There are too many hosts.
    #[error("expected at most {MAX_SERVERS} hosts")]
    TooMany,
    /// Something follows after the database.
    #[error("expected nothing after the database instead of \"{0}\"")]
    Rest(String),
}

impl FromStr for EngineUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let (is_encrypted, form) = match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("redis", form) => (false, form),
            ("rediss", form) if form != "unix" => (true, form),
            _ => return Err(UrlError::Scheme),
        };
        let (place, database) = match form {
            "" if !scheme.contains('+') => one_server(rest)?,
            "unix" => socket(rest)?,
            "sentinel" => sentinels(rest)?,
            "cluster" => {
                let (hosts, rest) = authority(rest)?;
                // A Redis Cluster has only one database.
                nothing(rest)?;
                (Place::Cluster(servers(hosts, ENGINE_PORT)?), 0)
            }
            _ => return Err(UrlError::Scheme),
        };
        Ok(Self {
            place,
            is_encrypted,
            database,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        write!(formatter, "{host}:{port}")
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn one_server(rest: &str) -> Result<(Place, u32), UrlError> {
    let (hosts, path) = authority(rest)?;
    if hosts.contains(',') {
        return Err(UrlError::Several);
    }
    let server = server(hosts, ENGINE_PORT)?;
    Ok((Place::Server(server), database(path)?))
}

fn sentinels(rest: &str) -> Result<(Place, u32), UrlError> {
    let (hosts, path) = authority(rest)?;
    let (name, path) = path.split_once('/').unwrap_or((path, ""));
    if name.is_empty() {
        return Err(UrlError::Name);
    }
    let servers = servers(hosts, SENTINEL_PORT)?;
    let name = name.to_owned();
    Ok((Place::Sentinels { servers, name }, database(path)?))
}

fn socket(rest: &str) -> Result<(Place, u32), UrlError> {
    let (path, database) = match rest.split_once("?db=") {
        Some((path, number)) => (path, database(number)?),
        None => (rest, 0),
    };
    if !path.starts_with('/') {
        return Err(UrlError::Path);
    }
    if path.len() > MAX_PATH_LENGTH {
        return Err(UrlError::LongPath(path.len()));
    }
    Ok((Place::Socket(path.into()), database))
}

/// Splits off the hosts from the path that follows them.
fn authority(rest: &str) -> Result<(&str, &str), UrlError> {
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    if hosts.contains('@') {
        return Err(UrlError::Credentials);
    }
    Ok((hosts, path))
}

fn servers(hosts: &str, port: u16) -> Result<Vec<Server>, UrlError> {
    let servers: Vec<_> = hosts
        .split(',')
        .map(|host| server(host, port))
        .collect::<Result<_, _>>()?;
    if servers.len() > MAX_SERVERS {
        return Err(UrlError::TooMany);
    }
    Ok(servers)
}

pub(super) fn server(text: &str, default_port: u16) -> Result<Server, UrlError> {
    let bad_host = || UrlError::Host(text.to_owned());
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(bad_host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| bad_host())?;
        match port {
            "" => (host, None),
            port => (host, Some(port.strip_prefix(':').ok_or_else(bad_host)?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let is_part_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_part_of_name) {
        return Err(bad_host());
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(number) if number > 0 => number,
            _ => return Err(UrlError::Port(port.to_owned())),
        },
    };
    let host = host.to_owned();
    Ok(Server { host, port })
}

fn database(text: &str) -> Result<u32, UrlError> {
    let (number, rest) = text.split_once('/').unwrap_or((text, ""));
    nothing(rest)?;
    match number {
        "" => Ok(0),
        _ => number
            .parse()
            .map_err(|_| UrlError::Database(number.to_owned())),
    }
}

fn nothing(rest: &str) -> Result<(), UrlError> {
    match rest {
        "" => Ok(()),
        _ => Err(UrlError::Rest(rest.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Place, bool, u32), UrlError> {
        let url = text.parse::<EngineUrl>()?;
        assert_eq!(url.to_string(), text);
        Ok((url.place, url.is_encrypted, url.database))
    }

    fn at(host: &str, port: u16) -> Server {
        let host = host.to_owned();
        Server { host, port }
    }

    #[test]
    fn urls_are_parsed() {
        let one = |host: &str, port| Place::Server(at(host, port));
        for (text, expected) in [
            ("redis://cache", (one("cache", 6379), false, 0)),
            ("redis://10.0.0.1:7000/", (one("10.0.0.1", 7000), false, 0)),
            (
                "rediss://a-b.example/3",
                (one("a-b.example", 6379), true, 3),
            ),
            ("redis://[::1]:7000/2", (one("::1", 7000), false, 2)),
            ("redis://[fd00::7]", (one("fd00::7", 6379), false, 0)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        let path = || Place::Socket("/run/valkey.sock".into());
        let text = "redis+unix:///run/valkey.sock";
        assert_eq!(parse(text), Ok((path(), false, 0)));
        let text = "redis+unix:///run/valkey.sock?db=2";
        assert_eq!(parse(text), Ok((path(), false, 2)));

        let place = Place::Sentinels {
            servers: vec![at("a", 26379), at("b", 7)],
            name: "main".into(),
        };
        let text = "rediss+sentinel://a,b:7/main/1";
        assert_eq!(parse(text), Ok((place, true, 1)));
        let place = Place::Cluster(vec![at("a", 6379), at("::1", 7)]);
        let text = "redis+cluster://a,[::1]:7";
        assert_eq!(parse(text), Ok((place, false, 0)));
    }

    #[test]
    fn errors_are_specific() {
        use UrlError::*;
        let text = |it: &str| it.to_owned();
        let long = format!("redis+unix:///{}", "x".repeat(107));
        let many = format!("redis+cluster://{}", ["a"; MAX_SERVERS + 1].join(","));
        for (url, expected) in [
            ("", Scheme),
            ("cache:6379", Scheme),
            ("http://cache", Scheme),
            ("redis+://cache", Scheme),
            ("redis+what://cache", Scheme),
            ("rediss+unix:///run/x", Scheme),
            ("redis://me:secret@cache", Credentials),
            ("redis://", Host(text(""))),
            ("redis:///0", Host(text(""))),
            ("redis://a b", Host(text("a b"))),
            ("redis://[::1", Host(text("[::1"))),
            ("redis://[::x]", Host(text("[::x]"))),
            ("redis://[::1]7", Host(text("[::1]7"))),
            ("redis://::1", Host(text("::1"))),
            ("redis://a:0", Port(text("0"))),
            ("redis://a:", Port(text(""))),
            ("redis://a:65536", Port(text("65536"))),
            ("redis://a/x", Database(text("x"))),
            ("redis://a/0/x", Rest(text("x"))),
            ("redis://a,b", Several),
            ("redis+unix://run/x", Path),
            (&long, LongPath(108)),
            ("redis+unix:///run/x?db=a", Database(text("a"))),
            ("redis+sentinel://a", Name),
            ("redis+sentinel://a/", Name),
            ("redis+cluster://a,,b", Host(text(""))),
            ("redis+cluster://a/1", Rest(text("1"))),
            (&many, TooMany),
        ] {
            assert_eq!(parse(url), Err(expected), "{url}");
        }
    }
}
