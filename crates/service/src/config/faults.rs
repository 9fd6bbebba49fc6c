//! What is wrong with a configuration, and where.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// The most faults that are told of one configuration.
const MAX_FAULTS: usize = 100;

/// The most bytes that are told of a key, which may be anything.
const MAX_KEY_BYTES: usize = 200;

/// The most bytes that are told of what is wrong with one, in which its value may be.
const MAX_MESSAGE_BYTES: usize = 2_000;

/// A place in a file. Both numbers count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the line.
    pub line: usize,
    /// Number of the character in the line.
    pub column: usize,
}

impl Position {
    /// The place of a byte in a text.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where; `None` when the file does not have the key.
    pub position: Option<Position>,
    /// The key with its section, where there is one: `network.address`.
    pub key: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Everything that is wrong with one configuration, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file; `None` for the defaults.
    pub path: Option<PathBuf>,
    /// At least one fault.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().take(MAX_FAULTS).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let line = located(
                self.path.as_deref(),
                fault.position,
                fault.key.as_deref(),
                &fault.message,
            );
            f.write_str(&line)?;
        }
        match self.faults.len().saturating_sub(MAX_FAULTS) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

/// A message as compilers write them: `file:line:column: key: message`.
pub(super) fn located(
    path: Option<&Path>,
    position: Option<Position>,
    key: Option<&str>,
    message: &str,
) -> String {
    let mut line = match path {
        Some(path) => path.display().to_string(),
        None => "default configuration".to_owned(),
    };
    if let Some(position) = position {
        line.push_str(&format!(":{position}"));
    }
    line.push_str(": ");
    if let Some(key) = key {
        line.push_str(&shortened(key, MAX_KEY_BYTES));
        line.push_str(": ");
    }
    line.push_str(&told(message));
    line
}

/// A message with no more of what it repeats than somebody would read.
pub(super) fn told(message: &str) -> Cow<'_, str> {
    shortened(message, MAX_MESSAGE_BYTES)
}

/// A text without its middle, if it is too long. At the end of a message stands what
/// would be right.
fn shortened(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return text.into();
    }
    let end = max_bytes / 3;
    let begin = text.floor_char_boundary(max_bytes - end);
    let end = text.ceil_char_boundary(text.len() - end);
    format!("{}…{}", &text[..begin], &text[end..]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one_and_by_character() {
        let text = "a = 1\nä = 2\n";
        let at = |offset| Position::of(text, offset).to_string();
        assert_eq!(at(0), "1:1");
        assert_eq!(at(4), "1:5");
        assert_eq!(at(6), "2:1");
        assert_eq!(at(8), "2:2");
        assert_eq!(at(1000), "3:1");
    }

    #[test]
    fn a_line_names_file_place_and_key() {
        let faults = Faults {
            path: Some("udp.toml".into()),
            faults: vec![
                Fault {
                    position: Some(Position { line: 2, column: 3 }),
                    key: Some("a.b".to_owned()),
                    message: "wrong".to_owned(),
                },
                Fault {
                    position: None,
                    key: None,
                    message: "worse".to_owned(),
                },
            ],
        };
        assert_eq!(
            faults.to_string(),
            "udp.toml:2:3: a.b: wrong\nudp.toml: worse"
        );
    }

    #[test]
    fn what_is_repeated_is_bounded() {
        let long = "ä".repeat(100_000);
        let fault = |key: &str, message: String| Fault {
            position: Some(Position { line: 2, column: 3 }),
            key: Some(key.to_owned()),
            message,
        };
        let mut faults = Faults {
            path: None,
            faults: vec![fault(&long, format!("\"{long}\" is wrong; write \"x\""))],
        };
        let text = faults.to_string();
        assert!(text.len() < 2_400, "{}", text.len());
        assert!(text.starts_with("default configuration:2:3: ää"), "{text}");
        assert!(text.contains("…") && text.ends_with("is wrong; write \"x\""));

        faults.faults = vec![fault("a", "wrong".to_owned()); 5_000];
        let text = faults.to_string();
        assert_eq!(text.lines().count(), 101);
        assert!(text.ends_with("\nand 4900 more"), "{text}");
        faults.faults.truncate(100);
        assert_eq!(faults.to_string().lines().count(), 100);
    }
}
