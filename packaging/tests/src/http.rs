//! Clients of a tracker over HTTP.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aquatic_test_harness::network::Host;
use nix::sched::{CloneFlags, setns};

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request over a separate connection; returns the body.
#[track_caller]
pub(crate) fn get(host: &Host, server: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    host.run(|| Ok(ask(&mut connect(server)?, path, true)?))
}

/// An announce of a seeder, as a path.
pub(crate) fn announce(torrent: u16, port: u16) -> String {
    let info_hash = info_hash(torrent);
    let info_hash = String::from_utf8_lossy(&info_hash);
    format!("/announce?info_hash={info_hash}&peer_id=-AA0000-bbbbbbbbbbbb&port={port}&left=0")
}

/// A scrape of a torrent, as a path.
pub(crate) fn scrape(torrent: u16) -> String {
    let info_hash = info_hash(torrent);
    format!("/scrape?info_hash={}", String::from_utf8_lossy(&info_hash))
}

/// The info hash of a torrent, in letters.
pub(crate) fn info_hash(torrent: u16) -> [u8; 20] {
    let mut info_hash = [b'a'; 20];
    info_hash[18] += (torrent / 26) as u8;
    info_hash[19] += (torrent % 26) as u8;
    info_hash
}

/// Clients that send requests repeatedly, all of which have to be answered.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Report>>,
}

/// The results of requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) answered: usize,
    /// Persistent connections that were closed instead of a reply, after which every HTTP client
    /// opens another one.
    pub(crate) reconnects: usize,
    pub(crate) failures: Vec<String>,
    /// Whether all clients continued until they were stopped.
    pub(crate) ran_to_the_end: bool,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection was closed before its first byte.
    Closed,
    /// Anything else, such as an incomplete reply.
    Other(io::Error),
}

impl Load {
    /// Number of clients with a connection per request, and of clients with persistent ones.
    pub(crate) const CLIENTS: usize = 3;
    /// Maximum duration, if it is not stopped.
    const LONGEST: Duration = Duration::from_secs(60);
    /// The pause of a client between two requests.
    const PAUSE: Duration = Duration::from_millis(2);

    /// Starts the clients.
    #[track_caller]
    pub(crate) fn start(host: &Host, server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let namespace = std::fs::File::open(host.namespace()).expect("the host is there");
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may");
                if number < Self::CLIENTS {
                    each_on_its_own(server, number, &stop)
                } else {
                    over_one_connection(server, number, &stop)
                }
            })
        };
        let clients = (0..2 * Self::CLIENTS).map(client).collect();
        Self { stop, clients }
    }

    /// Stops it; returns the results of the clients with a connection per request, and of the
    /// others.
    pub(crate) fn stop(self) -> (Report, Report) {
        self.stop.store(true, Ordering::Relaxed);
        let mut reports: Vec<_> = self
            .clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"))
            .collect();
        let kept = reports.split_off(Self::CLIENTS);
        (Report::sum(reports), Report::sum(kept))
    }
}

impl Report {
    fn sum(reports: Vec<Self>) -> Self {
        let mut sum = Self {
            ran_to_the_end: true,
            ..Self::default()
        };
        for report in reports {
            sum.ran_to_the_end &= report.ran_to_the_end;
            sum.answered += report.answered;
            sum.reconnects += report.reconnects;
            sum.failures.extend(report.failures);
        }
        sum
    }

    fn note(&mut self, answer: io::Result<Vec<u8>>) {
        match answer {
            Ok(body) if body.starts_with(b"d8:complete") => self.answered += 1,
            Ok(body) => self
                .failures
                .push(String::from_utf8_lossy(&body).into_owned()),
            Err(error) => self.failures.push(error.to_string()),
        }
    }
}

fn each_on_its_own(server: SocketAddr, number: usize, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let path = announce(number as u16, 1000 + number as u16);
    report.ran_to_the_end = until_stopped(stop, || {
        let answer = connect(server).and_then(|mut stream| Ok(ask(&mut stream, &path, true)?));
        report.note(answer);
    });
    report
}

fn over_one_connection(server: SocketAddr, number: usize, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let path = announce(number as u16, 1000 + number as u16);
    let mut kept: Option<TcpStream> = None;
    report.ran_to_the_end = until_stopped(stop, || {
        if let Some(mut stream) = kept.take() {
            match ask(&mut stream, &path, false) {
                Err(Fault::Closed) => report.reconnects += 1,
                answer => {
                    kept = answer.is_ok().then_some(stream);
                    return report.note(answer.map_err(io::Error::from));
                }
            }
        }
        report.note(connect(server).and_then(|mut stream| {
            let body = ask(&mut stream, &path, false)?;
            kept = Some(stream);
            Ok(body)
        }));
    });
    report
}

/// Sends requests repeatedly; returns whether it was stopped in time.
fn until_stopped(stop: &AtomicBool, mut ask: impl FnMut()) -> bool {
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if begin.elapsed() > Load::LONGEST {
            return false;
        }
        ask();
        thread::sleep(Load::PAUSE);
    }
    true
}

pub(crate) fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Requests `path` and reads the reply, which has a content length.
pub(crate) fn ask(
    stream: &mut (impl io::Read + io::Write),
    path: &str,
    is_last: bool,
) -> Result<Vec<u8>, Fault> {
    let connection = if is_last { "Connection: close\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: tracker\r\n{connection}\r\n");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let mut arrived = stream.write_all(request.as_bytes()).map(|()| None);
    loop {
        match arrived {
            Ok(None) => {}
            Ok(Some(0)) if answer.is_empty() => return Err(Fault::Closed),
            Err(error) if answer.is_empty() && is_end(&error) => return Err(Fault::Closed),
            Ok(Some(0)) => {
                let said = format!("closed after {} bytes of the answer", answer.len());
                return Err(Fault::Other(io::Error::other(said)));
            }
            Ok(Some(length)) => answer.extend(&buffer[..length]),
            Err(error) => return Err(Fault::Other(error)),
        }
        if let Some(body) = complete_body(&answer) {
            return Ok(body);
        }
        arrived = stream.read(&mut buffer).map(Some);
    }
}

/// Whether an error says that the other side has closed the connection.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed => Self::new(ErrorKind::ConnectionReset, "closed before an answer"),
            Fault::Other(error) => error,
        }
    }
}

fn complete_body(answer: &[u8]) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?
        .trim()
        .parse()
        .ok()?;
    let body = &answer[end + 4..];
    (body.len() >= length).then(|| body[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// The result if a server sends this and closes the connection.
    fn answer(sent: &'static [u8]) -> Result<Vec<u8>, Fault> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let (mut client, _) = server.accept().unwrap();
            let mut request = [0; 1024];
            assert!(client.read(&mut request).unwrap() > 0);
            client.write_all(sent).unwrap();
        });
        let answer = ask(&mut connect(address).unwrap(), "/", false);
        serving.join().unwrap();
        answer
    }

    #[test]
    fn only_what_has_no_answer_may_be_asked_again() {
        assert!(matches!(answer(b""), Err(Fault::Closed)));
        for part in [&b"H"[..], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"] {
            assert!(matches!(answer(part), Err(Fault::Other(_))));
        }
        let whole = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(whole.unwrap(), b"ab");
    }
}
