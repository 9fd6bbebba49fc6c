//! What must hold for every file that a daemon is given as its configuration.

use std::path::Path;

use aquatic_service::config::{self, Checks, Diagnostic, Error};
use aquatic_service::{Daemon, wanted_by};

/// Panics when something that must hold does not.
pub(crate) fn check<D: Daemon>(bytes: &[u8])
where
    D::Config: PartialEq,
{
    let text = String::from_utf8_lossy(bytes);
    // There is none of this name, and so none of other daemons beside it.
    let path = Path::new("no-such-directory/file.toml");
    let for_sockets = wanted_by::<D>(&text, path);
    let loaded = match config::parse::<D::Config>(&text, path) {
        Ok(loaded) => loaded,
        Err(faults) => {
            assert!(faults.list.iter().all(is_placed), "{faults}");
            assert!(!faults.list.is_empty());
            if let Ok(wanted) = for_sockets {
                assert!(!wanted.faults.list.is_empty(), "{faults}");
            }
            return;
        }
    };

    let migrated = loaded.migrated_toml();
    for text in [&migrated, &loaded.effective_toml()] {
        let again = config::parse::<D::Config>(text, path).expect("it is in today's form");
        assert_eq!(again.warnings().lines(), [""; 0], "{text}");
        assert!(again.config == loaded.config, "{text}");
        assert_eq!(again.migrated_toml(), *text);
    }

    match loaded.settings(D::settings) {
        Ok(_) => {
            let wanted = for_sockets.expect("what the daemon takes");
            assert!(wanted.faults.list.is_empty(), "{}", wanted.faults);
            let mut checks = Checks::new();
            assert_eq!(wanted.listening, D::listening(&loaded.config, &mut checks));
            checks.finish(()).expect("they were checked before");
            assert_eq!(wanted.destination, D::destination(&loaded.config));
        }
        Err(Error::Faulty(faults)) => {
            assert!(!faults.list.is_empty());
            assert!(faults.list.iter().all(|fault| fault.key.is_some()));
        }
        Err(error @ Error::Read { .. }) => panic!("{error}"),
    }
}

/// Whether a fault has a position by which it can be found.
fn is_placed(fault: &Diagnostic) -> bool {
    let is_missing = fault.message.contains(" (the file does not set ");
    (fault.position.is_some() || is_missing)
        && !fault.message.is_empty()
        && !fault.message.contains('\n')
}

/// A file with some edits, as people make them by mistake: `random` numbers choose.
#[allow(dead_code, reason = "the fuzzer has edits of its own")]
pub(crate) fn edited(text: &str, random: &mut impl FnMut(usize) -> usize) -> String {
    const VALUES: [&str; 14] = [
        "-1",
        "0",
        "99999999999999999999",
        "1.5",
        "yes",
        "127.0.0.1:3000",
        "[::]:3000",
        "\"\"",
        "\"127.0.0.1:3000\"",
        "[\"0.0.0.0:443\", \"127.0.0.1:443\"]",
        "[",
        "\"\"\"",
        "{ a = 1 }",
        "2026-01-01",
    ];
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect();
    for _ in 0..=random(3) {
        let at = random(lines.len());
        let line = lines[at].clone();
        match random(9) {
            0 => lines[at] = line.replace(['"', '\''], ""),
            1 => lines[at] = line.replacen('"', "", 1),
            2 => {
                let other = random(lines.len());
                lines.insert(other, line);
            }
            3 => drop(lines.remove(at)),
            4 => lines.truncate(at + 1),
            5 => {
                // In the middle of a line, too.
                let end = line.char_indices().nth(random(line.len() + 1));
                lines[at].truncate(end.map_or(line.len(), |(index, _)| index));
            }
            6 => {
                let other = random(lines.len());
                lines.swap(at, other);
            }
            _ => {
                if let Some((key, _)) = line.split_once('=') {
                    lines[at] = format!("{key}= {}", VALUES[random(VALUES.len())]);
                }
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n")
}
