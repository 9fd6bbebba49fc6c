//! Invariants for all lists of client software.

use aquatic_bittorrent::PeerId;
use aquatic_policy::clients::{ClientLine, Clients, MAX_REASON_BYTES, NO_REASON, Prefixes};

/// Longer lists are compared with a plain one only so far.
const MAX_LINES: usize = 200;

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let mut lines = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        match ClientLine::parse(line) {
            Ok(Some(line)) => {
                assert!((1..=20).contains(&line.prefix().len()));
                if let Some(reason) = line.reason() {
                    assert!((1..=MAX_REASON_BYTES).contains(&reason.len()));
                    assert!(!reason.chars().any(char::is_control), "{reason:?}");
                }
                written_again(&line);
                if lines.len() < MAX_LINES {
                    lines.push(line);
                }
            }
            Ok(None) => {}
            // It goes to the log.
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() < 1_000, "{text}");
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    }
    let clients = Clients {
        denied: Prefixes::new(lines.clone()),
        ..Clients::default()
    };
    for line in &lines {
        for last in [0, b'-', 0xff] {
            let mut peer_id = PeerId([last; 20]);
            peer_id.0[..line.prefix().len()].copy_from_slice(line.prefix());
            // Of the longest ones, the first.
            let longest = lines
                .iter()
                .filter(|line| peer_id.0.starts_with(line.prefix()))
                .rev()
                .max_by_key(|line| line.prefix().len());
            let reason = longest.map(|line| line.reason().unwrap_or(NO_REASON));
            assert_eq!(clients.check(&peer_id).err(), reason);
        }
    }
}

/// All bytes can be written, and mean themselves.
fn written_again(line: &ClientLine) {
    for escape in ["%", "\\x"] {
        let bytes = line.prefix().iter();
        let prefix: String = bytes.map(|byte| format!("{escape}{byte:02X}")).collect();
        let text = format!("{prefix} {}", line.reason().unwrap_or_default());
        assert_eq!(ClientLine::parse(text.as_bytes()), Ok(Some(line.clone())));
    }
}
