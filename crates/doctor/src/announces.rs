//! Whole announces, and what the tracker says of itself.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;

use aquatic_service::config::AccessListMode;
use aquatic_service::interfaces;
use aquatic_service::sockets::has_ipv6;

use crate::connection::Connection;
use crate::finding::Finding;
use crate::machine::local;
use crate::names::resolve;
use crate::subject::Subject;
use crate::{Scheme, Url};

/// To how many of its addresses a name is announced.
const MAX_ADDRESSES: usize = 4;

/// Maximum length of the reply about health.
pub(crate) const MAX_HEALTH: usize = 16 << 10;

/// Where to announce, and what.
#[derive(Debug, Clone)]
pub struct Target {
    /// The announce URL.
    pub url: Url,
    /// One of the addresses of its host.
    pub address: SocketAddr,
    /// Whether any certificate will do.
    pub trusts_anyone: bool,
    /// A torrent that nobody has.
    pub info_hash: [u8; 20],
    /// The peers to announce, one after the other.
    pub peers: [Peer; 2],
}

/// A peer that exists only for the announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: [u8; 20],
    /// Its port, at which nobody listens.
    pub port: u16,
}

/// What a peer announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It has come.
    Started,
    /// It leaves.
    Stopped,
}

/// How a tracker has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It has accepted the announces, and passed on the first peer to the second one under
    /// this address.
    Accepted(Seen),
    /// Its access list forbids the torrent.
    Forbidden,
    /// It serves only clients that have a key.
    NeedsKey,
    /// It limits how many requests a source may make.
    RateLimited,
}

/// How a tracker refuses announces that are right otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Refusals {
    /// Its access list forbids the torrent.
    pub forbidden: &'static str,
    /// The URL has no key.
    pub needs_key: &'static str,
    /// There were too many requests.
    pub rate_limit: &'static str,
}

/// The address under which a tracker knows a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// This one.
    As(IpAddr),
    /// The first peer was not in the reply to the second one.
    NotListed,
    /// The protocol does not tell.
    Untold,
}

/// Why there was no answer that a client would understand, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing came back, or that nobody listens.
    Unreachable(String),
    /// The tracker has refused an announce.
    Refused(String),
    /// The tracker has refused an announce because the header in which a proxy names its
    /// client is missing or wrong.
    ProxyHeader(String),
    /// Clients do not accept the certificate.
    Certificate(String),
    /// Something else.
    Other(String),
}

impl From<String> for Trouble {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable(reason)
        | Self::Refused(reason)
        | Self::ProxyHeader(reason)
        | Self::Certificate(reason)
        | Self::Other(reason)) = self;
        formatter.write_str(reason)
    }
}

/// Lets both peers of a target announce themselves, one after the other. Those that were
/// accepted leave again, also after a refusal of the second one. `announce` returns the peers
/// of the reply, or the reason of a refusal, which may be one of `refusals`.
///
/// # Errors
///
/// Why there was no answer that a client would understand.
pub fn announce_both(
    target: &Target,
    refusals: Refusals,
    mut announce: impl FnMut(Peer, Event) -> Result<Result<Vec<SocketAddr>, String>, Trouble>,
) -> Result<Answer, Trouble> {
    let [first, second] = target.peers;
    let peers = match announce(first, Event::Started)? {
        Ok(_) => {
            let peers = announce(second, Event::Started);
            // That a reply is lost does no harm.
            let _ = announce(first, Event::Stopped);
            if let Ok(Ok(_)) = peers {
                let _ = announce(second, Event::Stopped);
            }
            peers?
        }
        Err(reason) if reason == refusals.forbidden => return Ok(Answer::Forbidden),
        Err(reason) if reason == refusals.needs_key => return Ok(Answer::NeedsKey),
        refused => refused,
    };
    if peers == Err(refusals.rate_limit.to_owned()) {
        return Ok(Answer::RateLimited);
    }
    let refused = |reason| Trouble::Refused(format!("it refused an announce: {reason}"));
    let peers = peers.map_err(refused)?;
    let seen = peers.iter().find(|peer| peer.port() == first.port);
    Ok(Answer::Accepted(
        seen.map_or(Seen::NotListed, |peer| Seen::As(peer.ip())),
    ))
}

impl Target {
    /// A target at an address of the configuration, whose certificate is for other names.
    pub(crate) fn here(url: Url, address: SocketAddr) -> Result<Self, String> {
        Self::new(url, local(address), true)
    }

    fn new(url: Url, address: SocketAddr, trusts_anyone: bool) -> Result<Self, String> {
        let mut random = [0; 20 + 2 * 12 + 4];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let (info_hash, rest) = random.split_at(20);
        let peer = |index: usize| {
            let mut id = *b"-AD0100-            ";
            id[8..].copy_from_slice(&rest[index * 12..index * 12 + 12]);
            let random = &rest[24 + index * 2..];
            // Even or odd, so that they differ, and in the upper half.
            let port = u16::from_be_bytes([random[0] | 0x80, random[1] & 0xfe]);
            Peer {
                id,
                port: port + u16::from(index == 1),
            }
        };
        Ok(Self {
            url,
            address,
            trusts_anyone,
            info_hash: info_hash.try_into().unwrap_or_default(),
            peers: [peer(0), peer(1)],
        })
    }
}

/// Announces to the addresses of the configuration, from this machine.
pub(crate) fn examine_here(subject: &Subject) -> Vec<Finding> {
    let Some(configured) = &subject.configured else {
        return Vec::new();
    };
    if configured.particulars.is_behind_proxy {
        return vec![Finding::unchecked(
            "only proxies can announce to this tracker; see the public announce, with --url",
        )];
    }
    let has_tls = configured.particulars.tls.is_some();
    let addresses = configured.listening.addresses.iter();
    let addresses = addresses.filter(|address| address.is_ipv4() || has_ipv6());
    at_the_same_time(addresses.copied(), |address| {
        let url = url_here(subject.schemes, has_tls, address);
        url.map(|url| announce_here(subject, url, address))
            .into_iter()
            .collect()
    })
}

/// What is found at each address. None waits for another one that does not answer.
fn at_the_same_time(
    addresses: impl Iterator<Item = SocketAddr>,
    examine: impl Fn(SocketAddr) -> Vec<Finding> + Sync,
) -> Vec<Finding> {
    let examine = &examine;
    thread::scope(|scope| {
        let running: Vec<_> = addresses
            .map(|address| scope.spawn(move || examine(address)))
            .collect();
        let findings = running.into_iter().map(|it| {
            let failed = |_| vec![Finding::failed()];
            it.join().unwrap_or_else(failed)
        });
        findings.flatten().collect()
    })
}

fn announce(subject: &Subject, target: Result<Target, String>) -> Result<Answer, Trouble> {
    (subject.announce)(&target?)
}

/// The announce URL at an address of the configuration, from this machine. A daemon has the
/// second scheme within TLS.
pub(crate) fn url_here(schemes: &[Scheme], has_tls: bool, address: SocketAddr) -> Option<Url> {
    let with_tls = schemes.get(1).filter(|_| has_tls);
    let scheme = *with_tls.or(schemes.first())?;
    let address = local(address);
    Some(Url {
        scheme,
        host: address.ip().to_string(),
        port: address.port(),
        path: default_path(scheme).to_owned(),
    })
}

fn announce_here(subject: &Subject, url: Url, address: SocketAddr) -> Finding {
    let shown = url.to_string();
    match announce(subject, Target::here(url, address)) {
        Ok(answer) => accepted(subject, &shown, answer),
        // Over UDP, what is too much gets no answer; with connections, they are closed.
        Err(reason) if is_limited(subject) => Finding::warning(
            format!(
                "{shown} does not answer from this machine, which it allows fewer requests at \
                 once than this needs: {reason}"
            ),
            EXEMPT,
        ),
        Err(reason) => Finding::wrong(
            format!("{shown} does not answer from this machine: {reason}"),
            format!(
                "{}; if nothing listens, start it",
                subject.how_to_read_log()
            ),
        ),
    }
}

/// What to do if the tracker limits this machine.
const EXEMPT: &str = "add this machine to rates.exempt for a while, or raise the limits of [rates]";

/// Whether the configuration allows this machine fewer requests than whole announces are, with
/// some that are repeated.
fn is_limited(subject: &Subject) -> bool {
    const REQUESTS: u64 = 16;

    let configured = subject.configured.as_ref();
    let at_once = configured.and_then(|it| it.particulars.requests_at_once);
    at_once.is_some_and(|at_once| at_once < REQUESTS)
}

/// The path of announces, if the URL has none.
fn default_path(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http | Scheme::Https => "/announce",
        Scheme::Udp | Scheme::Ws | Scheme::Wss => "/",
    }
}

fn accepted(subject: &Subject, to: &str, answer: Answer) -> Finding {
    let mode = subject.configured.as_ref().map(|it| it.access_list);
    let has_keys = subject
        .configured
        .as_ref()
        .is_some_and(|it| it.particulars.has_keys);
    match answer {
        Answer::Accepted(_) => Finding::ok(format!("{to} has answered whole announces")),
        Answer::NeedsKey if !subject.is_elsewhere && has_keys => Finding::ok(format!(
            "{to} has answered, and refused an announce without a key, as configured"
        )),
        Answer::NeedsKey => Finding::warning(
            format!("{to} has refused an announce without a key"),
            "use --url with an announce URL that has one",
        ),
        Answer::RateLimited => Finding::warning(
            format!("{to} has answered, and refused further requests because of a limit of rates"),
            EXEMPT,
        ),
        Answer::Forbidden if mode == Some(AccessListMode::Allow) => Finding::ok(format!(
            "{to} has answered, and refused a random torrent, as its allow list says"
        )),
        Answer::Forbidden if subject.is_elsewhere => Finding::warning(
            format!("{to} has refused a random torrent because of an access list"),
            "right if it has an allow list",
        ),
        Answer::Forbidden => Finding::warning(
            format!("{to} has refused a random torrent because of an access list"),
            "no allow list is configured here: is this the right configuration, or the right URL?",
        ),
    }
}

/// Announces to the public URL.
pub(crate) fn examine_url(subject: &Subject) -> Vec<Finding> {
    let Some(url) = &subject.url else {
        return vec![Finding::unchecked(
            "use --url with the announce URL in torrents",
        )];
    };
    let mut url = url.clone();
    if url.path == "/" {
        default_path(url.scheme).clone_into(&mut url.path);
    }
    // That it cannot be resolved has been said.
    let addresses = resolve(&url).unwrap_or_default();
    let own = interfaces::addresses().into_iter().collect();
    let has_ipv4 = addresses.iter().any(SocketAddr::is_ipv4);
    let addresses = addresses.into_iter().take(MAX_ADDRESSES);
    at_the_same_time(addresses, |address| {
        let to = format!("{url} at {}", address.ip());
        let own_address = local_address(address);
        if address.is_ipv6() && own_address.is_err() {
            let reason = format!("this machine has no IPv6, so {to} is not examined");
            return vec![if has_ipv4 {
                Finding::unchecked(reason)
            } else {
                Finding::warning(reason, "ask on a machine that has IPv6")
            }];
        }
        match announce(subject, Target::new(url.clone(), address, false)) {
            Ok(answer) => {
                let mut findings = vec![accepted(subject, &to, answer)];
                if let Answer::Accepted(seen) = answer
                    && let Ok(local) = own_address
                {
                    findings.push(judge_address(seen, local, address.ip(), &own));
                }
                findings
            }
            Err(trouble) => vec![Finding::wrong(
                format!("{to} does not work: {trouble}"),
                advice(&trouble),
            )],
        }
    })
}

/// The address from which this machine sends to another one; nothing is sent.
fn local_address(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

/// What to do about an announce that failed.
fn advice(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::ProxyHeader(_) => {
            "let the proxy send the address of its client in the header of \
             network.reverse_proxy_ip_header_name; in nginx: proxy_set_header X-Forwarded-For \
             $proxy_add_x_forwarded_for;"
        }
        Trouble::Unreachable(_) => {
            "see the findings about sockets, firewall and DNS; behind NAT, forward the port, and \
             ask from outside, because some routers do not forward what comes from inside"
        }
        Trouble::Refused(_) => {
            "the tracker is there, and says why: compare this with its limits and access lists"
        }
        Trouble::Certificate(_) => {
            "see the finding about the certificate; behind a proxy, that of the proxy counts"
        }
        Trouble::Other(_) => {
            "compare the URL with the configuration of the tracker, and of the proxy, if there is \
             one"
        }
    }
}

/// Judges the address under which the tracker knows us, who have connected from `local` to
/// `to`.
fn judge_address(seen: Seen, local: IpAddr, to: IpAddr, own: &BTreeSet<IpAddr>) -> Finding {
    const PROXY: &str = "let the proxy send the client's address (in nginx: proxy_set_header \
                         X-Forwarded-For $proxy_add_x_forwarded_for;), and set \
                         network.runs_behind_reverse_proxy = true and network.trusted_proxies";
    match seen {
        // A router sends what comes back to itself under the public address.
        Seen::As(address) if address == local || address == to => Finding::ok(format!(
            "the tracker knows this client as {address}, which is right"
        )),
        Seen::As(address) if address.is_loopback() || own.contains(&address) => Finding::wrong(
            format!(
                "the tracker takes this client, which is {local}, for {address}, so a proxy does \
                 not say where its clients are, or is not believed, and all peers are useless"
            ),
            PROXY,
        ),
        Seen::As(address) => Finding::warning(
            format!("the tracker knows this client, which is {local}, as {address}"),
            format!("right if {address} is the address of your router; if it is a proxy: {PROXY}"),
        ),
        Seen::NotListed => Finding::warning(
            "the second announce did not list the peer of the first one",
            "if the URL leads to several trackers, let them share one swarm: man aquatic-cluster",
        ),
        Seen::Untold => Finding::unchecked(
            "WebTorrent does not tell under which address the tracker knows a client",
        ),
    }
}

/// Asks the running tracker for its own opinion, if it has an address for metrics.
pub(crate) fn examine_health(subject: &Subject) -> Vec<Finding> {
    let metrics = subject
        .configured
        .as_ref()
        .and_then(|it| it.listening.metrics);
    let Some(address) = metrics.map(local) else {
        return Vec::new();
    };
    vec![match own_page(address, "/health", MAX_HEALTH) {
        Ok((status, text)) => judge_health(status, &text, subject.how_to_read_log()),
        Err(reason) => Finding::warning(
            format!("the metrics at {address} cannot be read: {reason}"),
            format!(
                "after a change of metrics.address: {}",
                subject.how_to_reopen()
            ),
        ),
    }]
}

/// Judges the reply, which is "ok", "ok, but" with what does not work, or not of status 200.
fn judge_health(status: u16, text: &str, advice: String) -> Finding {
    let what = format!("the tracker says: {text}");
    match (status, text) {
        (200, "ok") => Finding::ok(what),
        (200, _) => Finding::warning(what, advice),
        _ => Finding::wrong(what, advice),
    }
}

/// The status and the text of a page of the tracker's metrics server, which may have this
/// many bytes with its head.
pub(crate) fn own_page(
    address: SocketAddr,
    path: &str,
    max_bytes: usize,
) -> Result<(u16, String), String> {
    let address = local(address);
    let url = Url {
        scheme: Scheme::Http,
        host: address.ip().to_string(),
        port: address.port(),
        path: path.to_owned(),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        url.authority()
    );
    let target = Target::new(url, address, true)?;
    let mut connection = Connection::open(&target).map_err(|trouble| trouble.to_string())?;
    connection.send(request.as_bytes())?;
    let mut reply = Vec::new();
    connection.read_until(&mut reply, max_bytes, |_| false)?;
    let reply = String::from_utf8_lossy(&reply);
    let parts = reply.split_once("\r\n\r\n");
    let (head, body) = parts.ok_or("the answer is not HTTP")?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((
        status.ok_or("the answer is not HTTP")?,
        body.trim().to_owned(),
    ))
}

#[cfg(test)]
mod tests;
