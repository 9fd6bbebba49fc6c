//! The time until an announce to one node is in the replies of another.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aquatic_bittorrent::InfoHash;
use aquatic_load_test::numbers::Count;
use aquatic_load_test::udp::{Config, NetworkConfig};

use super::Bench;
use super::client::{Client, MAX_SCRAPE_TORRENTS, info_hash};
use crate::results::Visible;
use crate::server::Server;
use crate::udp::requests::ANNOUNCES;

/// Mean interval at which a new torrent is announced. Intervals are from half of this to one
/// and a half, so that they are not synchronized with anything.
const INTERVAL: Duration = Duration::from_millis(5);

/// Interval at which the other node is asked for torrents that it does not have yet.
const POLL_INTERVAL: Duration = Duration::from_micros(500);

/// Time until the load is constant.
const LEAD: Duration = Duration::from_millis(500);

/// Maximum number of torrents in a scrape over HTTP, so that the request is one packet.
const MAX_HTTP_SCRAPE_TORRENTS: usize = 16;

/// Maximum time for a torrent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The port of the peers that announce.
const PORT: u16 = 1;

/// The client of the other node.
pub(super) enum Observer {
    Udp(Client),
    Http(BufReader<TcpStream>),
}

/// Announces torrents to one node, under load, and asks the other for them.
///
/// # Errors
///
/// If a node does not answer, or a torrent does not become visible.
pub(super) fn measure(
    bench: &Bench,
    over: &str,
    announced_at: &Server,
    mut observer: Observer,
    kind: u8,
) -> anyhow::Result<Visible> {
    let announces_per_second = bench.scale.announces_per_second;
    let config = bench.load_config(ANNOUNCES);
    let config = Config {
        network: NetworkConfig {
            requests_per_second: Count::nearest(announces_per_second).into(),
            ..config.network
        },
        ..config
    };
    let client = Client::connect(announced_at.address)?;
    let mut times = thread::scope(|scope| {
        let load = scope.spawn(|| bench.load(announced_at, &config));
        thread::sleep(LEAD);
        let times = watch(bench, &client, &mut observer, kind);
        let report = load.join().ok().context("the load has failed")?;
        report?;
        times
    })?;
    times.sort_unstable();
    let at = |quantile: f64| {
        let last = times.len() - 1;
        times[(last as f64 * quantile) as usize].as_secs_f64() * 1e3
    };
    Ok(Visible {
        over: over.to_owned(),
        announces_per_second,
        samples: times.len(),
        p50_milliseconds: at(0.5),
        p99_milliseconds: at(0.99),
        max_milliseconds: at(1.0),
    })
}

/// The times of all torrents, at least one.
fn watch(
    bench: &Bench,
    client: &Client,
    observer: &mut Observer,
    kind: u8,
) -> anyhow::Result<Vec<Duration>> {
    let started = Instant::now();
    let time = Duration::from_secs(bench.seconds.into());
    let mut hidden: VecDeque<(InfoHash, Instant)> = VecDeque::new();
    let mut times = Vec::new();
    let mut number = 0;
    let mut next = started;
    while started.elapsed() < time || !hidden.is_empty() {
        let now = Instant::now();
        if now >= next && hidden.len() < observer.most() && started.elapsed() < time {
            let info_hash = info_hash(kind, number);
            hidden.push_back((info_hash, Instant::now()));
            client.announce(number, info_hash, PORT, true)?;
            number += 1;
            next = now + interval(number);
        }
        while client.announced(false)?.is_some() {}
        let asked: Vec<InfoHash> = hidden.iter().map(|(info_hash, _)| *info_hash).collect();
        let mut seen = observer.ask(&asked)?.into_iter();
        hidden.retain(|(_, announced)| {
            let is_seen = seen.next().unwrap_or(false);
            if is_seen {
                times.push(announced.elapsed());
            }
            !is_seen
        });
        let oldest = hidden.front().map(|(_, announced)| announced.elapsed());
        ensure!(
            oldest.unwrap_or_default() < PATIENCE,
            "a torrent is not known to the other node"
        );
        thread::sleep(POLL_INTERVAL);
    }
    ensure!(!times.is_empty(), "no torrent was announced");
    Ok(times)
}

/// The time to the next torrent.
fn interval(number: u32) -> Duration {
    // Multiples of the golden ratio are spread evenly.
    let fraction = (f64::from(number) * 0.618_033_988_75).fract();
    INTERVAL.mul_f64(0.5 + fraction)
}

impl Observer {
    pub(super) fn udp(node: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self::Udp(Client::connect(node)?))
    }

    pub(super) fn http(node: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(node)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::Http(BufReader::new(stream)))
    }

    /// Number of torrents that it can ask for at once.
    fn most(&self) -> usize {
        match self {
            Self::Udp(_) => MAX_SCRAPE_TORRENTS,
            Self::Http(_) => MAX_HTTP_SCRAPE_TORRENTS,
        }
    }

    /// Whether the node has seeders of each of these torrents.
    fn ask(&mut self, torrents: &[InfoHash]) -> anyhow::Result<Vec<bool>> {
        if torrents.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Udp(client) => client.have_seeders(torrents),
            Self::Http(stream) => {
                let query: Vec<String> = torrents
                    .iter()
                    .map(|it| format!("info_hash={}", escaped(it)))
                    .collect();
                let request = format!(
                    "GET /scrape?{} HTTP/1.1\r\nHost: bench\r\n\r\n",
                    query.join("&")
                );
                stream.get_mut().write_all(request.as_bytes())?;
                let body = read_body(stream)?;
                Ok(torrents.iter().map(|it| has_seeder(&body, it)).collect())
            }
        }
    }
}

fn escaped(info_hash: &InfoHash) -> String {
    let bytes = info_hash.0.iter();
    bytes.map(|byte| format!("%{byte:02x}")).collect()
}

/// The body of a reply over HTTP with a content length.
fn read_body(stream: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "the connection has ended");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().context("a wrong Content-Length")?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// Whether a scrape over HTTP (BEP 48) has a torrent with seeders.
fn has_seeder(body: &[u8], info_hash: &InfoHash) -> bool {
    let key = [b"20:", &info_hash.0[..], b"d8:completei"].concat();
    let found = body.windows(key.len()).position(|it| it == key);
    found.is_some_and(|start| body.get(start + key.len()).is_some_and(|it| *it != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapes_over_http_are_read() {
        let [first, second, third] = [1, 2, 3].map(|number| InfoHash([number; 20]));
        let mut body = b"d5:filesd20:".to_vec();
        body.extend(first.0);
        body.extend(b"d8:completei0e10:downloadedi0e10:incompletei0ee20:");
        body.extend(second.0);
        body.extend(b"d8:completei12e10:downloadedi0e10:incompletei0eeee");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let reply = [head.as_bytes(), &body, b"HTTP"].concat();
        let read = read_body(&mut &reply[..]).unwrap();
        assert_eq!(read, body);
        let seen = [first, second, third].map(|it| has_seeder(&read, &it));
        assert_eq!(seen, [false, true, false]);
        assert!(read_body(&mut &b"HTTP/1.1 200 OK\r\n"[..]).is_err());
    }

    #[test]
    fn intervals_never_keep_step() {
        let intervals: Vec<Duration> = (1..=1000).map(interval).collect();
        let sum: Duration = intervals.iter().sum();
        assert!(intervals.iter().all(|it| *it >= INTERVAL / 2));
        assert!((sum.as_secs_f64() / 1e3 - INTERVAL.as_secs_f64()).abs() < 1e-4);
    }
}
