//! Valid and hostile requests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use aquatic_http1::MAX_REQUEST_LENGTH;

use super::*;
use crate::lists::Lists;
use crate::metrics::Metric;

fn source(process: &Arc<Process>, help: &'static str) -> Source {
    Source {
        daemon: "aquatic-test",
        process: Arc::clone(process),
        add_metrics: Box::new(move |metrics| metrics.add(&Metric::gauge("peers", help), &[], 3u64)),
        plots: &[],
        overview: Box::new(|_| Overview::default()),
        degraded: Box::new(|| None),
    }
}

fn process() -> Arc<Process> {
    Arc::new(Process::new(None, Lists::default()))
}

fn start() -> (SocketAddr, Arc<Process>) {
    let process = process();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn(listener, source(&process, "Peers")).unwrap();
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

    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
    let text = ask(address, &format!("GET /metrics HTTP/1.1\r\n{accept}"));
    assert!(text.contains("Content-Type: application/openmetrics-text; version=1.0.0"));
    assert!(text.ends_with("\n# EOF\n"), "{text}");

    let text = ask(address, "GET / HTTP/1.1");
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"),
        "{text}"
    );
    assert!(text.ends_with("</html>"), "{text}");

    let text = ask(address, "GET /stats.json?pretty HTTP/1.0");
    let body = text.split("\r\n\r\n").nth(1).unwrap();
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json["aquatic_test_peers"], 3);

    assert!(ask(address, "GET /health HTTP/1.1").ends_with("\r\n\r\nok\n"));
    process.snapshot_failed("disk on fire");
    let text = ask(address, "GET /health HTTP/1.1");
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(
        text.ends_with("ok, but snapshots cannot be written: disk on fire\n"),
        "{text}"
    );
    let stuck = vec![("one".to_owned(), Duration::from_secs(7))];
    process.turn(Instant::now(), 1, stuck);
    let text = ask(address, "GET /health HTTP/1.1");
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert!(text.ends_with("worker one has been stuck for 7 seconds\n"));
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
    assert!(ask(address, "GET /x HTTP/1.1").starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "POST / HTTP/1.1").starts_with("HTTP/1.1 405 "));
    let text = ask(address, "POST /metrics HTTP/1.1");
    assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
    assert!(text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
    assert!(ask(address, "GET /metrics HTTP/2.0").starts_with("HTTP/1.1 400 "));
    assert!(ask(address, "nonsense").starts_with("HTTP/1.1 400 "));
    // Requests without a `Host` header are refused, as by the trackers.
    let without_host = send(address, b"GET /metrics HTTP/1.1\r\n\r\n");
    assert!(without_host.starts_with("HTTP/1.1 400 "));
    assert!(ask(address, "GET http://x:1/health HTTP/1.1").ends_with("\r\n\r\nok\n"));
}

#[test]
fn endless_headers_are_cut_off() {
    let (address, _) = start();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    // The server may stop reading in the middle of this.
    let _ = connection.write_all(&vec![b'x'; 4 * MAX_REQUEST_LENGTH]);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 431 "));
}

#[test]
fn those_who_say_nothing_keep_nobody_out() {
    crate::resource_limits::allow_open_files(4_096);
    let (address, _) = start();
    let connect = || TcpStream::connect(address).unwrap();
    let mut silent: Vec<TcpStream> = (0..1_000).map(|_| connect()).collect();
    for connection in &mut silent {
        // Each begins a request and does not continue it, unless it is closed already.
        let _ = connection.write_all(b"GET /met");
    }
    let begun = Instant::now();
    for _ in 0..20 {
        assert!(ask(address, "GET /metrics HTTP/1.1").starts_with("HTTP/1.1 200 "));
        silent.extend((0..20).map(|_| connect()));
    }
    // Much sooner than any silent connection exceeds its time limit.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn those_who_come_again_and_again_keep_nobody_out() {
    let (address, _) = start();
    let is_over = Arc::new(AtomicBool::new(false));
    let hostile = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || {
            let mut last = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                last.push(TcpStream::connect(address));
                if last.len() == 100 {
                    last.clear();
                }
            }
        })
    };
    for _ in 0..50 {
        assert!(ask(address, "GET /health HTTP/1.1").ends_with("ok\n"));
    }
    is_over.store(true, Ordering::Relaxed);
    hostile.join().unwrap();
}

#[test]
fn those_who_do_not_read_are_bounded() {
    const ANSWER: usize = 4 << 20;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let help: &'static str = "x".repeat(ANSWER).leak();
    let mut server = Server::new(listener, source(&process(), help));
    let mut slow = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        let mut connection = TcpStream::connect(address).unwrap();
        connection
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .unwrap();
        slow.push(connection);
        server.turn();
        let unsent: usize = server.connections.iter().map(Connection::unsent).sum();
        assert!(unsent <= MAX_UNSENT_BYTES + ANSWER, "{unsent}");
        assert!(server.connections.len() <= MAX_CONNECTIONS);
    }
    // A client that reads gets the whole answer.
    let reader = thread::spawn(move || send(address, b"GET /metrics HTTP/1.0\r\n\r\n"));
    while !reader.is_finished() {
        server.turn();
    }
    assert!(reader.join().unwrap().len() > ANSWER);
}

#[test]
fn a_request_may_come_in_pieces_or_with_more_behind_it() {
    let (address, _) = start();
    let mut connection = TcpStream::connect(address).unwrap();
    for byte in b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" {
        connection.write_all(&[*byte]).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");

    // Only the first request is answered; the others do not make the answer get lost.
    let request = "GET /health HTTP/1.0\r\n\r\n".repeat(100);
    let answer = send(address, request.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");

    // An incomplete request is refused.
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn every_state_has_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let mut connection = Connection::new(socket, start);
    let mut deadlines = vec![connection.deadline()];
    let big = || vec![b'x'; 8 << 20];
    client.write_all(b"nonsense\n").unwrap();
    while connection.drive(start, |_| big()).unwrap() == Progress::Open {
        deadlines.push(connection.deadline());
        let read = client.read(&mut [0; 1 << 16]).unwrap();
        if read == 0 {
            break;
        }
    }
    let longest = start + Duration::from_secs(10);
    assert!(deadlines.iter().all(|deadline| *deadline <= longest));
    assert!(connection.is_late(longest));
}
