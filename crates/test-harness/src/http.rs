//! A plain HTTP GET, for the metrics page.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::waiting::PATIENCE;

/// A reply of a server.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and header fields.
    pub head: String,
    /// The body, with its chunks joined.
    pub body: String,
}

impl Response {
    /// The value of a header field, whose name may be in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Requests `path` over a new connection.
///
/// # Panics
/// When there is no connection, or no complete reply.
#[must_use]
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Response {
    let what = format!("GET http://{address}{path}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout above zero is accepted");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    parse(&answer).unwrap_or_else(|| panic!("{what}: not an HTTP answer: {answer:?}"))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let mut response = Response {
        status: status.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    };
    if response.field("transfer-encoding") == Some("chunked") {
        response.body = joined(body)?;
    }
    Some(response)
}

fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..length)?);
        chunks = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let plain = parse("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbody\n").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (200, "body\n"));
        assert_eq!(plain.field("content-type"), Some("text/plain"));
        let chunked = "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().body, "body");
        assert!(parse("nonsense").is_none());
    }
}
