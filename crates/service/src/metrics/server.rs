//! A small HTTP server for figures.
//!
//! It is meant for a scraper and a curious operator on the same machine, so it
//! answers one request a connection and knows nothing but `GET` and `HEAD`. A
//! fixed number of threads take connections, each for a limited time, so that
//! nothing that connects can make it grow.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Figures;
use super::process::Process;

/// Threads that serve: as many connections are open at once.
const THREADS: usize = 4;

/// How long one connection may take, from accepting it to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest request that is read, headers included.
const LARGEST_REQUEST: usize = 16 * 1024;

/// How long to wait when no connection can be accepted, for instance because
/// all descriptors are in use.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// What the server asks for its figures.
pub(crate) struct Source {
    /// The daemon's name.
    pub(crate) daemon: &'static str,
    /// About the process.
    pub(crate) process: Arc<Process>,
    /// About the daemon.
    pub(crate) figures: Box<dyn Fn(&mut Figures) + Send + Sync>,
}

/// Starts the threads of the server; they run as long as the process.
pub(crate) fn spawn(listener: TcpListener, source: Source) -> io::Result<()> {
    let listener = Arc::new(listener);
    let source = Arc::new(source);
    for index in 0..THREADS {
        let listener = Arc::clone(&listener);
        let source = Arc::clone(&source);
        thread::Builder::new()
            .name(format!("metrics-{index}"))
            .spawn(move || serve(&listener, &source))?;
    }
    Ok(())
}

fn serve(listener: &TcpListener, source: &Source) {
    loop {
        match listener.accept() {
            Ok((connection, _)) => {
                // A client that goes away in the middle is not our concern, and
                // a panic is logged where it happens: the next one is served.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| answer(connection, source)));
            }
            Err(error) => {
                log::debug!("cannot accept a metrics connection: {error}");
                thread::sleep(PAUSE_AFTER_FAILURE);
            }
        }
    }
}

fn answer(mut connection: TcpStream, source: &Source) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let request = read_head(&mut connection, deadline)?;
    let response = match request {
        Some(head) => respond(&head, source),
        None => Response::text("400 Bad Request", "this is not an HTTP request\n"),
    };
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n{}\r\n",
        response.status,
        response.content_type,
        response.body.len(),
        response.header,
    );
    if !response.is_head {
        bytes.push_str(&response.body);
    }
    write_all(&mut connection, bytes.as_bytes(), deadline)?;
    finish(&mut connection, deadline)
}

struct Response {
    status: &'static str,
    content_type: &'static str,
    header: &'static str,
    body: String,
    is_head: bool,
}

impl Response {
    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            header: "",
            body: body.into(),
            is_head: false,
        }
    }
}

/// What to answer to a request, of which only the first line matters.
fn respond(head: &[u8], source: &Source) -> Response {
    let line = head.split(|&byte| byte == b'\r' || byte == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Response::text("400 Bad Request", "this is not an HTTP request\n");
    };
    if !version.starts_with("HTTP/1.") {
        return Response::text("400 Bad Request", "only HTTP/1.x is spoken here\n");
    }
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let is_head = method == "HEAD";
    let mut response = match path {
        "/metrics" | "/stats.json" | "/health" if !is_head && method != "GET" => Response {
            header: "Allow: GET, HEAD\r\n",
            ..Response::text("405 Method Not Allowed", "only GET and HEAD\n")
        },
        "/metrics" => Response {
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            ..Response::text("200 OK", collect(source).to_prometheus())
        },
        "/stats.json" => Response {
            content_type: "application/json",
            ..Response::text("200 OK", format!("{:#}\n", collect(source).to_json()))
        },
        "/health" => match source.process.ailment() {
            None => Response::text("200 OK", "ok\n"),
            Some(ailment) => Response::text("503 Service Unavailable", ailment + "\n"),
        },
        _ => Response::text(
            "404 Not Found",
            "there are /metrics, /stats.json and /health\n",
        ),
    };
    response.is_head = is_head;
    response
}

fn collect(source: &Source) -> Figures {
    let mut figures = Figures::new(source.daemon);
    source.process.figures(&mut figures);
    (source.figures)(&mut figures);
    figures
}

/// Reads up to the blank line; `None` when it does not come in time or in size.
fn read_head(connection: &mut TcpStream, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        connection.set_read_timeout(Some(remaining(deadline)?))?;
        let read = connection.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..read]);
        if contains(&head, b"\r\n\r\n") || contains(&head, b"\n\n") {
            return Ok(Some(head));
        }
        if read == 0 || head.len() > LARGEST_REQUEST {
            return Ok(None);
        }
    }
}

fn write_all(connection: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        connection.set_write_timeout(Some(remaining(deadline)?))?;
        let written = connection.write(bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Says that the answer is complete, and waits for the client to say the same:
/// closing with bytes unread would make the kernel reset the connection, and
/// the client could lose the answer.
fn finish(connection: &mut TcpStream, deadline: Instant) -> io::Result<()> {
    connection.shutdown(std::net::Shutdown::Write)?;
    let mut buffer = [0; 2048];
    loop {
        connection.set_read_timeout(Some(remaining(deadline)?))?;
        if connection.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::access_list::{AccessList, Handle};

    fn start() -> (SocketAddr, Arc<Process>) {
        let process = Arc::new(Process::new(None, Arc::new(Handle::new(AccessList::Off))));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let source = Source {
            daemon: "aquatic-test",
            process: Arc::clone(&process),
            figures: Box::new(|figures| figures.gauge("peers", "Peers", &[], 3u64)),
        };
        spawn(listener, source).unwrap();
        (address, process)
    }

    fn send(address: SocketAddr, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(request).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    fn ask(address: SocketAddr, line: &str) -> String {
        send(address, format!("{line}\r\nHost: x\r\n\r\n").as_bytes())
    }

    #[test]
    fn serves_each_form() {
        let (address, process) = start();

        let text = ask(address, "GET /metrics HTTP/1.1");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\naquatic_test_peers 3\n"), "{text}");
        assert!(text.contains("Content-Type: text/plain; version=0.0.4"));

        let text = ask(address, "GET /stats.json?pretty HTTP/1.0");
        let body = text.split("\r\n\r\n").nth(1).unwrap();
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["aquatic_test_peers"], 3);

        assert!(ask(address, "GET /health HTTP/1.1").ends_with("\r\n\r\nok\n"));
        let stuck = vec![("one".to_owned(), Duration::from_secs(7))];
        process.turn(Instant::now(), 1, stuck);
        let text = ask(address, "GET /health HTTP/1.1");
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.ends_with("worker one has not moved for 7 seconds\n"));
    }

    #[test]
    fn a_head_request_gets_the_length_only() {
        let (address, _) = start();
        let text = ask(address, "HEAD /health HTTP/1.1");
        assert!(text.contains("\r\nContent-Length: 3\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let (address, _) = start();
        assert!(ask(address, "GET / HTTP/1.1").starts_with("HTTP/1.1 404 "));
        let text = ask(address, "POST /metrics HTTP/1.1");
        assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
        assert!(text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
        assert!(ask(address, "GET /metrics HTTP/2.0").starts_with("HTTP/1.1 400 "));
        assert!(ask(address, "nonsense").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn endless_headers_are_cut_off() {
        let (address, _) = start();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        // The server may stop reading in the middle of this.
        let _ = connection.write_all(&vec![b'x'; 4 * LARGEST_REQUEST]);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 400 "));
    }

    #[test]
    fn an_idle_connection_stops_no_other() {
        let (address, _) = start();
        let _idle = TcpStream::connect(address).unwrap();
        assert!(ask(address, "GET /health HTTP/1.1").starts_with("HTTP/1.1 200 "));
    }
}
