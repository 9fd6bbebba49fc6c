//! Prefixes of peer ids, compared with a list that is searched from its start.

use super::*;

fn line(text: &str) -> ClientLine {
    ClientLine::parse(text.as_bytes())
        .unwrap()
        .expect("an entry")
}

fn prefixes(lines: &[&str]) -> Prefixes {
    Prefixes::new(lines.iter().copied().map(line).collect())
}

fn peer_id(start: &[u8]) -> PeerId {
    let mut bytes = [b'x'; 20];
    bytes[..start.len()].copy_from_slice(start);
    PeerId(bytes)
}

fn denied(lines: &[&str]) -> Clients {
    Clients {
        denied: prefixes(lines),
        ..Clients::default()
    }
}

#[test]
fn a_line_is_a_prefix_and_a_reason() {
    let parsed = |text: &str| {
        let ClientLine { prefix, reason } = line(text);
        (
            prefix.bytes[..usize::from(prefix.length)].to_vec(),
            reason.map(String::from),
        )
    };
    let reason = |text: &str| Some(text.to_owned());
    assert_eq!(parsed("-XL0012-"), (b"-XL0012-".to_vec(), None));
    assert_eq!(
        parsed("  -XL\t it doesn\u{2019}t share: see rule #4 # remark \r"),
        (
            b"-XL".to_vec(),
            reason("it doesn\u{2019}t share: see rule #4")
        )
    );
    assert_eq!(parsed("-XL# #"), (b"-XL#".to_vec(), None));
    assert_eq!(
        parsed("M7-4-2--\\x00%20%ff\\xFe"),
        (b"M7-4-2--\0 \xff\xfe".to_vec(), None)
    );
    assert_eq!(parsed(&"a".repeat(20)).0, [b'a'; 20]);
    for nothing in ["", "  ", "# -XL", "  #", "#"] {
        assert_eq!(ClientLine::parse(nothing.as_bytes()), Ok(None), "{nothing}");
    }
}

#[test]
fn mistakes_are_named() {
    let error = |text: &[u8]| ClientLine::parse(text).unwrap_err().to_string();
    assert!(error(&[b'a'; 21]).contains("is longer than a peer id"));
    for escape in [
        "%", "%2", "%2g", "a\\", "\\x", "\\x1", "\\y00", "%+1", "100%",
    ] {
        assert!(
            error(escape.as_bytes()).starts_with("expected %NN"),
            "{escape}"
        );
    }
    assert!(error(b"-X\x01").contains("not printable"));
    assert!(error("-Xé".as_bytes()).contains("not printable"));
    assert!(error(b"-XL a\x1bb").contains("control characters"));
    assert!(error(b"-XL \xff").contains("not UTF-8"));
    assert!(error(format!("-XL {}", "é".repeat(101)).as_bytes()).contains("202 bytes"));
    assert!(ClientLine::parse(format!("-XL {}", "é".repeat(100)).as_bytes()).is_ok());
}

#[test]
fn the_longest_denied_prefix_gives_the_reason() {
    let clients = denied(&[
        "-X any X",
        "-XL0012- this version",
        "-XL",
        "-X another line",
        "%00",
    ]);
    assert_eq!(clients.len(), 4);
    let reason = |start: &[u8]| clients.check(&peer_id(start));
    assert_eq!(reason(b"-XT"), Err("any X"));
    assert_eq!(reason(b"-XL0011-"), Err(NO_REASON));
    assert_eq!(reason(b"-XL0012-"), Err("this version"));
    assert_eq!(reason(b"\0"), Err(NO_REASON));
    assert_eq!(reason(b"-"), Ok(()));
    assert_eq!(reason(b"X"), Ok(()));
}

#[test]
fn others_than_the_allowed_are_rejected_and_denied_ones_among_them() {
    let clients = Clients {
        allowed: Some(prefixes(&["-qB", "-TR"])),
        denied: prefixes(&["-qB3 too old"]),
    };
    assert!(!clients.is_off());
    assert_eq!(clients.check(&peer_id(b"-qB4500-")), Ok(()));
    assert_eq!(clients.check(&peer_id(b"-qB3300-")), Err("too old"));
    assert_eq!(clients.check(&peer_id(b"-UT")), Err(NO_REASON));
    let nobody = Clients {
        allowed: Some(Prefixes::default()),
        ..Clients::default()
    };
    assert!(!nobody.is_off());
    assert_eq!(nobody.check(&peer_id(b"-qB")), Err(NO_REASON));
    assert!(Clients::default().is_off());
    assert_eq!(Clients::default().check(&peer_id(b"-qB")), Ok(()));
}

#[test]
fn prefixes_are_found_as_in_a_plain_list() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        // Few different bytes, so that prefixes have others as their prefixes.
        let mut bytes = |most: usize| -> Vec<u8> {
            (0..random.usize(1..=most))
                .map(|_| *random.choice(b"\0aZ\xff").unwrap())
                .collect()
        };
        let listed: Vec<Vec<u8>> = (0..40).map(|_| bytes(20)).collect();
        let probes: Vec<Vec<u8>> = (0..200).map(|_| bytes(20)).chain(listed.clone()).collect();
        let lines = listed.iter().enumerate().map(|(number, prefix)| {
            let escaped: String = prefix.iter().map(|byte| format!("%{byte:02x}")).collect();
            line(&format!("{escaped} {number}"))
        });
        let clients = Clients {
            denied: Prefixes::new(lines.collect()),
            ..Clients::default()
        };
        for probe in probes {
            let id = peer_id(&probe);
            let matching = listed
                .iter()
                .enumerate()
                .filter(|(_, prefix)| id.0.starts_with(prefix));
            // Of the longest ones, the first line.
            let expected = matching
                .max_by_key(|(number, prefix)| (prefix.len(), usize::MAX - number))
                .map(|(number, _)| number.to_string());
            assert_eq!(clients.check(&id).err().map(str::to_owned), expected);
        }
    }
}

#[test]
fn memory_is_known() {
    let lines = (0..MAX_PREFIXES).map(|number| line(&format!("{number:x} {}", "r".repeat(200))));
    let clients = Clients {
        denied: Prefixes::new(lines.collect()),
        ..Clients::default()
    };
    assert_eq!(clients.len(), MAX_PREFIXES);
    assert!(
        clients.memory_bytes() <= 17_000_000,
        "{}",
        clients.memory_bytes()
    );
}
