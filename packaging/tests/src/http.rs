//! Clients of a tracker over HTTP and HTTPS.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aquatic_test_harness::certificates::AUTHORITY;
use aquatic_test_harness::network::Host;
use nix::sched::{CloneFlags, setns};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks over a connection of its own; returns the body.
#[track_caller]
pub(crate) fn get(host: &Host, server: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    host.run(|| ask(&mut connect(server)?, path, true))
}

/// An announce of a seeder, as a path.
pub(crate) fn announce(torrent: u16, port: u16) -> String {
    format!(
        "/announce?info_hash=aaaaaaaaaaaaaaaaaa{}{}&peer_id=-AA0000-bbbbbbbbbbbb&port={port}&left=0",
        char::from(b'a' + (torrent / 26) as u8),
        char::from(b'a' + (torrent % 26) as u8),
    )
}

/// The certificate that a server shows, which the authority of tests has signed.
#[track_caller]
pub(crate) fn certificate(host: &Host, server: SocketAddr) -> Vec<u8> {
    let mut authorities = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).expect("it is one");
    authorities.add(authority).expect("an authority");
    let config = ClientConfig::builder()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = host.run(|| connect(server)).expect("a connection");
    while session.is_handshaking() {
        session.complete_io(&mut stream).expect("a handshake");
    }
    let chain = session.peer_certificates().expect("the server has one");
    chain[0].as_ref().to_vec()
}

/// Clients that ask again and again, each of whose requests has to be answered.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Report>>,
}

/// What became of requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) answered: usize,
    /// Connections that were found closed before a request on them, which every
    /// client of HTTP copes with by another connection.
    pub(crate) reconnects: usize,
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// Clients with a connection for each request, and as many that keep theirs.
    pub(crate) const CLIENTS: usize = 3;
    /// Asks this long at most, however long a test takes.
    const LONGEST: Duration = Duration::from_secs(60);
    /// The pause of a client between two requests.
    const PAUSE: Duration = Duration::from_millis(2);

    /// Begins to ask.
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

    /// Ends it; returns what the clients with a connection for each request saw,
    /// and what the others did.
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
        let mut sum = Self::default();
        for report in reports {
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
    for_a_while(stop, || {
        report.note(connect(server).and_then(|mut stream| ask(&mut stream, &path, true)));
    });
    report
}

fn over_one_connection(server: SocketAddr, number: usize, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let path = announce(number as u16, 1000 + number as u16);
    let mut kept: Option<TcpStream> = None;
    for_a_while(stop, || {
        if let Some(stream) = &mut kept
            && let Ok(body) = ask(stream, &path, false)
        {
            report.note(Ok(body));
            return;
        }
        report.reconnects += usize::from(kept.take().is_some());
        report.note(connect(server).and_then(|mut stream| {
            let body = ask(&mut stream, &path, false)?;
            kept = Some(stream);
            Ok(body)
        }));
    });
    report
}

fn for_a_while(stop: &AtomicBool, mut ask: impl FnMut()) {
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) && begin.elapsed() < Load::LONGEST {
        ask();
        thread::sleep(Load::PAUSE);
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for `path` and reads the answer, whose length is given.
fn ask(stream: &mut TcpStream, path: &str, is_last: bool) -> io::Result<Vec<u8>> {
    let connection = if is_last { "Connection: close\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: tracker\r\n{connection}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(body) = complete_body(&answer) {
            return Ok(body);
        }
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::Error::other(format!(
                "closed after {} bytes of the answer",
                answer.len()
            )));
        }
        answer.extend(&buffer[..length]);
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
