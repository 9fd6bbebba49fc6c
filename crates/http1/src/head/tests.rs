//! Valid requests, and malformed ones.

use proptest::prelude::*;

use super::*;

/// The result of reading all of the bytes at once.
fn whole(bytes: &[u8]) -> Reading<'_> {
    // Leaks the buffer; there are few of them.
    Reading::of(bytes, Box::leak(Box::new(HeaderBuffer::new())))
}

/// Checks that bytes that arrive in pieces, which end at `ends`, are read like all of
/// them at once.
fn check_pieces(bytes: &[u8], ends: &[usize]) {
    let mut headers = HeaderBuffer::new();
    let whole = Reading::of(bytes, &mut headers);
    let mut ends: Vec<usize> = ends.iter().map(|end| end % (bytes.len() + 1)).collect();
    ends.sort_unstable();
    for end in ends {
        let mut headers = HeaderBuffer::new();
        let part = Reading::of(&bytes[..end], &mut headers);
        if part != Reading::Incomplete {
            assert_eq!(part, whole);
            return;
        }
    }
}

fn head(request: &str) -> Head<'_> {
    match whole(request.as_bytes()) {
        Reading::Complete { head, length } => {
            assert_eq!(length, request.len());
            head
        }
        other => panic!("{request:?}: {other:?}"),
    }
}

fn fault(request: &[u8]) -> HttpFault {
    match whole(request) {
        Reading::Fault(fault) => fault,
        other => panic!("{request:?}: {other:?}"),
    }
}

#[test]
fn reads_requests_of_clients() {
    let request = "GET /announce?x=y HTTP/1.1\r\nHost: tracker.test:3000\r\n\
        User-Agent: Transmission/4.0.6\r\nAccept: */*\r\nAccept-Encoding: deflate, gzip\r\n\r\n";
    let found = head(request);
    let expected = Head {
        method: Method::Get,
        target: Target::split(b"/announce?x=y"),
        version: Version::Http11,
        keeps_alive: true,
        has_body: false,
        host: Some("tracker.test:3000"),
        headers: found.headers,
    };
    assert_eq!(found, expected);
    assert_eq!(found.headers.len(), 4);
    assert_eq!(head(&request.replace("\r\n", "\n")), expected);
    assert_eq!(head(&format!("\r\n\n{request}")), expected);
    assert_eq!(
        head(&request.replace("GET", "HEAD")),
        Head {
            method: Method::Head,
            ..expected
        }
    );
    let shortest = "GET /announce?x=y HTTP/1.1\r\nHost: tracker.test:3000\r\n\r\n";
    assert_eq!(
        head(shortest),
        Head {
            headers: &expected.headers[..1],
            ..expected
        }
    );
    for method in ["POST", "OPTIONS", "get", "PUT", "CONNECT"] {
        let request = request.replace("GET", method);
        assert_eq!(head(&request).method, Method::Other);
    }
}

#[test]
fn a_target_may_have_raw_bytes() {
    let request = b"GET /announce?info_hash=\x00\x01\x7f\x80\xff\t\"<>{}|\\^` HTTP/1.0\r\n\r\n";
    let Reading::Complete { head, .. } = whole(request) else {
        panic!();
    };
    assert_eq!(
        head.target.query,
        b"info_hash=\x00\x01\x7f\x80\xff\t\"<>{}|\\^`"
    );
}

#[test]
fn connections_stay_open_when_both_versions_say_so() {
    let keeps_alive = |version: &str, headers: &str| {
        head(&format!("GET / HTTP/{version}\r\nHost: x\r\n{headers}\r\n")).keeps_alive
    };
    assert!(keeps_alive("1.1", ""));
    assert!(!keeps_alive("1.1", "connection: Close\r\n"));
    assert!(!keeps_alive("1.1", "Connection: Keep-Alive , close\r\n"));
    assert!(!keeps_alive(
        "1.1",
        "Connection: TE\r\nConnection: close\r\n"
    ));
    assert!(keeps_alive("1.1", "Connection: TE\r\n"));
    assert!(!keeps_alive("1.0", ""));
    assert!(keeps_alive("1.0", "Connection: keep-alive\r\n"));
    assert!(!keeps_alive("1.0", "Connection: close, keep-alive\r\n"));
    assert!(keeps_alive("1.9", ""));

    // Bodies are not read, so requests with one end the connection.
    assert!(keeps_alive("1.1", "Content-Length: 0\r\n"));
    assert!(!keeps_alive("1.1", "Content-Length: 5\r\n"));
    assert!(keeps_alive("1.1", "Content-Length: 00, 0\r\n"));
    assert!(!keeps_alive("1.1", "Content-Length: 5 ,5\r\n"));
    assert!(!keeps_alive("1.1", "Transfer-Encoding: chunked\r\n"));
    // Without a body, the expectation has no effect.
    assert!(keeps_alive("1.1", "Expect: 100-continue\r\n"));
}

#[test]
fn requests_without_an_end_or_a_server_are_refused() {
    let with = |version: &str, headers: &str| {
        let request = format!("GET / HTTP/{version}\r\n{headers}\r\n");
        match whole(request.as_bytes()) {
            Reading::Complete { head, .. } => Ok(head.host.map(str::to_owned)),
            Reading::Fault(fault) => Err(fault),
            Reading::Incomplete => panic!("{request}"),
        }
    };
    for host in ["x", "tracker.test:3000", "[2001:db8::1]:80", "a_b.test"] {
        let expected = Ok(Some(host.to_owned()));
        assert_eq!(with("1.1", &format!("Host: {host}\r\n")), expected);
        assert_eq!(with("1.0", &format!("hOsT:{host} \r\n")), expected);
    }
    // The header may be empty, and with HTTP/1.0 it may be missing.
    assert_eq!(with("1.1", "Host:\r\n"), Ok(None));
    assert_eq!(with("1.0", ""), Ok(None));
    for headers in [
        "",
        "Hosts: x\r\n",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\na: b\r\nhost:\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: <b>\r\n",
        "Host: user@host\r\n",
        "Host: \u{e9}\r\n",
        &format!("Host: {}\r\n", "a".repeat(300)),
    ] {
        assert_eq!(with("1.1", headers), Err(HttpFault::Host), "{headers}");
        let is_missing = !headers.contains("Host:");
        assert_eq!(with("1.0", headers).is_ok(), is_missing, "{headers}");
    }
    for length in [
        "", "+5", "-5", "5 5", "0x5", "5.0", "5,", ",5", "5, 6", "0, 5", "five", "5;",
    ] {
        for version in ["1.0", "1.1"] {
            let headers = format!("Host: x\r\nContent-Length: {length}\r\n");
            assert_eq!(with(version, &headers), Err(HttpFault::Length), "{length}");
        }
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\ncontent-length: +5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: \r\n",
    ] {
        let headers = format!("Host: x\r\n{lines}");
        assert_eq!(with("1.1", &headers), Err(HttpFault::Length), "{lines}");
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 05\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Transfer-Encoding: gzip, Chunked\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        assert!(!head(&request).keeps_alive, "{lines}");
    }
}

#[test]
fn knows_which_server_is_asked() {
    let asked = |target: &str, headers: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{headers}\r\n");
        let head = head(&request);
        (head.scheme(), head.host.map(str::to_owned))
    };
    let a = || Some("a".to_owned());
    assert_eq!(asked("/", "Host: a\r\n"), (None, a()));
    assert_eq!(
        asked("/", "Host: a\r\nX-Forwarded-Proto: HTTPS\r\n"),
        (Some(Scheme::Https), a())
    );
    assert_eq!(
        asked("/", "Host: a\r\nX-Forwarded-Proto: https, http\r\n"),
        (Some(Scheme::Http), a())
    );
    assert_eq!(
        asked("/", "Host: a\r\nX-Forwarded-Proto: wss\r\n"),
        (None, a())
    );
    assert_eq!(
        asked("HTTPS://a/x", "Host: b\r\n"),
        (Some(Scheme::Https), a())
    );
    assert_eq!(
        asked("http://u@a", "Host: b\r\n"),
        (Some(Scheme::Http), None)
    );
    assert_eq!(
        asked("http:///x", "Host: b\r\n"),
        (Some(Scheme::Http), None)
    );
}

#[test]
fn finds_headers() {
    let value = |headers: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let value = head(&request).value("x-forwarded-for");
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(value("").as_deref(), None);
    assert_eq!(value("X-FORWARDED-FOR: a, b \r\n").as_deref(), Some("a, b"));
    assert_eq!(
        value("x-forwarded-for: a\r\nX-Forwarded-For: b\r\n").as_deref(),
        Some("b")
    );
    assert_eq!(value("X-Forwarded-For:\r\n").as_deref(), Some(""));
    assert_eq!(value("X-Forwarded-Fox: a\r\n").as_deref(), None);
}

#[test]
fn finds_elements_of_lists() {
    let has = |headers: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        head(&request).has_token("Upgrade", "websocket")
    };
    assert!(has("upgrade: WebSocket\r\n"));
    assert!(has("Upgrade: h2c , websocket\r\n"));
    assert!(has("Upgrade: h2c\r\nA: b\r\nUpgrade: websocket\r\n"));
    assert!(!has("Upgrade: h2c\r\n"));
    assert!(!has("Upgrade: websocket2\r\n"));
    assert!(!has("A: websocket\r\n"));
}

#[test]
fn what_is_left_at_the_end() {
    for (bytes, fault) in [
        (&b""[..], None),
        (b"\r\n\n", None),
        (b"GET", Some(HttpFault::Incomplete)),
        (b"\r\n ", Some(HttpFault::Incomplete)),
    ] {
        assert_eq!(HttpFault::at_end(bytes), fault, "{bytes:?}");
    }
}

#[test]
fn requests_follow_each_other() {
    let first = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let all = [&first[..], b"GET /scrape HTTP/1.0\r\n\r\nGET"].concat();
    let Reading::Complete { length, .. } = whole(&all) else {
        panic!();
    };
    assert_eq!(length, first.len());
    let Reading::Complete { head, length } = whole(&all[length..]) else {
        panic!();
    };
    assert_eq!(head.target.path, b"/scrape");
    assert_eq!(all[first.len() + length..], *b"GET");
    assert_eq!(whole(b"GET"), Reading::Incomplete);
}

#[test]
fn says_at_once_what_is_no_http() {
    for bytes in [
        &b"\x13BitTorrent protocol"[..],
        b"\x00",
        b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
        b"GET /\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/1.x\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET  HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1 \r\n",
        b" GET / HTTP/1.1\r\n",
        b"\r\r\n",
        b"hello\n",
        b"amethodthatislongerthanany",
    ] {
        assert_eq!(fault(bytes), HttpFault::NotHttp, "{bytes:?}");
    }
    assert_eq!(fault(b"\x16\x03\x01\x02\x00\x01"), HttpFault::Tls);
    assert_eq!(fault(b"GET / HTTP/1.1\r\nno header\r\n"), HttpFault::Header);
    assert_eq!(
        fault(b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n"),
        HttpFault::Header
    );
    assert_eq!(fault(b"GET / HTTP/1.1\r\na: \0\r\n\r\n"), HttpFault::Header);
}

#[test]
fn the_start_of_a_request_is_no_fault() {
    let request = b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for end in 0..request.len() {
        assert_eq!(whole(&request[..end]), Reading::Incomplete, "{end}");
    }
}

#[test]
fn has_bounds() {
    let with_headers = |count| {
        let mut request = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
        for number in 1..count {
            request.extend(format!("x-{number}: y\r\n").into_bytes());
        }
        request.extend(b"\r\n");
        request
    };
    assert!(matches!(whole(&with_headers(64)), Reading::Complete { .. }));
    assert_eq!(fault(&with_headers(65)), HttpFault::TooManyHeaders);

    let of_length = |length: usize| {
        let around = "GET / HTTP/1.0\r\nx: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.0\r\nx: {}\r\n\r\n",
            "y".repeat(length - around)
        )
        .into_bytes()
    };
    let longest = of_length(MAX_REQUEST_LENGTH);
    assert!(matches!(whole(&longest), Reading::Complete { .. }));
    let longer = of_length(MAX_REQUEST_LENGTH + 1);
    assert_eq!(fault(&longer), HttpFault::TooLong);
    assert_eq!(
        whole(&longer[..MAX_REQUEST_LENGTH - 1]),
        Reading::Incomplete
    );
    assert_eq!(fault(&longer[..MAX_REQUEST_LENGTH]), HttpFault::TooLong);
    assert_eq!(
        fault(&b"\r\n".repeat(MAX_REQUEST_LENGTH / 2)),
        HttpFault::TooLong
    );
}

/// Bytes that resemble a request.
fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"GET /announce?info_hash=%aa HTTP/1.1\r\n"[..]),
        Just(&b"HEAD / HTTP/1.0\n"[..]),
        Just(&b"GET "[..]),
        Just(&b"Connection: close\r\n"[..]),
        Just(&b"Host: tracker.test\r\n"[..]),
        Just(&b"Content-Length: 5\r\n"[..]),
        Just(&b"X-Forwarded-For: 192.0.2.1\r\n"[..]),
        Just(&b"a: b"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\n"[..]),
        Just(&b"\r"[..]),
        Just(&b" "[..]),
        Just(&b"\x16"[..]),
        Just(&b"\xff"[..]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_do_not_matter(
        request in nearly_a_request(),
        ends in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        check_pieces(&request, &ends);
    }

    #[test]
    fn byte_by_byte_is_the_same(request in nearly_a_request()) {
        let ends: Vec<usize> = (0..=request.len()).collect();
        check_pieces(&request, &ends);
    }

    #[test]
    fn any_bytes_end(bytes: Vec<u8>, ends: Vec<usize>) {
        check_pieces(&bytes, &ends);
    }
}
