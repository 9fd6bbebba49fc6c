//! Invariants for every configuration file.

use std::ffi::OsString;
use std::path::Path;

use aquatic_service::config::{self, Checks, Diagnostic, Diagnostics, Environment, Error, Layer};
use aquatic_service::{Daemon, wanted_by};

/// Separates the parts of the input: a file, drop-ins, and variables, which begin with the
/// prefix of variables. TOML cannot contain it.
const SEPARATOR: char = '\u{c}';

/// Panics if an invariant does not hold.
pub(crate) fn check<D: Daemon>(bytes: &[u8])
where
    D::Config: PartialEq,
{
    let text = String::from_utf8_lossy(bytes);
    let (variables, files): (Vec<&str>, Vec<&str>) = text
        .split(SEPARATOR)
        .partition(|part| part.starts_with("AQUATIC_"));
    let variables = variables.iter().map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.to_owned(), OsString::from(value))
    });
    let environment = Environment::new(D::NAME, variables);
    // There is no such file, and so no files of other daemons beside it.
    let path = Path::new("no-such-directory/file.toml");
    let layer = |(number, text): (usize, &&str)| match number {
        0 => Layer::file(*text),
        _ => Layer::drop_in(&path.with_file_name(number.to_string()), *text),
    };
    let layers: Vec<_> = files.iter().enumerate().map(layer).collect();

    let for_sockets = wanted_by::<D>(&layers, path);
    let without_variables =
        config::combine::<D::Config>(Some(path), &layers, &Environment::default());
    if without_variables.is_err()
        && let Ok(wanted) = &for_sockets
    {
        assert!(!wanted.faults.list.is_empty());
    }
    let loaded = match config::combine::<D::Config>(Some(path), &layers, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            assert!(faults.list.iter().all(is_placed), "{faults}");
            assert!(!faults.list.is_empty());
            return;
        }
    };

    let effective = loaded.effective_toml();
    let mut texts = vec![(effective.clone(), &loaded.config)];
    if let (Ok(file), [_]) = (&without_variables, &layers[..]) {
        texts.push((file.migrated_toml(), &file.config));
    }
    for (text, config) in texts {
        let again = parsed::<D>(config::parse(&text, path));
        assert_eq!(again.warnings().lines(), [""; 0], "{text}");
        assert!(again.config == *config, "{text}");
        assert_eq!(again.migrated_toml(), text);
    }
    // It changes nothing above the others, nor below them.
    let mut above = layers.clone();
    above.push(Layer::drop_in(path, effective.clone()));
    let again = parsed::<D>(config::combine(Some(path), &above, &environment));
    assert!(again.config == loaded.config, "{effective}");

    match loaded.settings(D::settings) {
        Ok(_) => {
            if without_variables.is_ok_and(|files| files.config == loaded.config) {
                let wanted = for_sockets.expect("what the daemon takes");
                assert!(wanted.faults.list.is_empty(), "{}", wanted.faults);
                let mut checks = Checks::new();
                assert_eq!(wanted.listening, D::listening(&loaded.config, &mut checks));
                checks.finish(()).expect("they were checked before");
                assert_eq!(wanted.destination, D::destination(&loaded.config));
            }
        }
        Err(Error::Faulty(faults)) => {
            assert!(!faults.list.is_empty());
            assert!(faults.list.iter().all(|fault| fault.key.is_some()));
        }
        Err(error) => panic!("{error}"),
    }
}

/// A file in the current form.
fn parsed<D: Daemon>(
    result: Result<config::Loaded<D::Config>, Diagnostics>,
) -> config::Loaded<D::Config> {
    result.unwrap_or_else(|faults| panic!("{faults}"))
}

/// Whether an error has a position, and a message in one line.
fn is_placed(fault: &Diagnostic) -> bool {
    let is_missing = fault.message.contains(" (the file does not set ");
    let is_of_all = [
        "there are more errors than",
        "there are more variables with errors than",
    ]
    .iter()
    .any(|begin| fault.message.starts_with(begin));
    (fault.position.is_some() || fault.source.is_some() || is_missing || is_of_all)
        && !fault.message.is_empty()
        && !fault.message.contains('\n')
}

/// Up to three files with some edits: a file and its drop-ins.
#[allow(dead_code, reason = "the fuzzer has edits of its own")]
pub(crate) fn edited_layers(files: &[&str], random: &mut impl FnMut(usize) -> usize) -> String {
    let mut layers = Vec::new();
    for _ in 0..=random(3) {
        let file = files[random(files.len())];
        layers.push(edited(file, random));
    }
    layers.join(&SEPARATOR.to_string())
}

/// A file with some mistakes of an editing person, chosen by `random` numbers.
#[allow(dead_code, reason = "the fuzzer has edits of its own")]
fn edited(text: &str, random: &mut impl FnMut(usize) -> usize) -> String {
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
                // Also in the middle of a line.
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
