//! Errors, warnings and advice about a configuration, with their positions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

/// Maximum number of diagnostics that are reported for one configuration.
const MAX_TOLD: usize = 100;

/// Maximum number of errors of a file that are examined, because each is compared with much
/// of it. Together with the one that says so, all of them are reported.
pub(super) const MAX_EXAMINED: usize = MAX_TOLD - 1;

/// Maximum number of diagnostics that a service reports: a start may be tried again and
/// again.
const MAX_TOLD_BY_SERVICE: usize = 8;

/// Maximum length of a key in a message, since it may be anything.
const MAX_KEY_BYTES: usize = 200;

/// Maximum length of a message, since it may contain a value.
const MAX_MESSAGE_BYTES: usize = 2_000;

/// A position in a file. Both numbers count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line number.
    pub line: usize,
    /// Number of the character in the line.
    pub column: usize,
}

impl Position {
    /// The position of a byte in a text.
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

/// What sets a value, besides the configuration file itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A file that is merged over the configuration file.
    DropIn(PathBuf),
    /// An environment variable, by its name.
    Variable(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropIn(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// The severity of a [`Diagnostic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// A key has another meaning or another name than in earlier releases.
    Warning,
    /// A value can be used, but is probably a mistake.
    Advice,
}

impl From<Severity> for log::Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Error => Self::Error,
            Severity::Warning | Severity::Advice => Self::Warn,
        }
    }
}

/// An error, warning or advice about a configuration.
///
/// As an [`Error`](std::error::Error), it is about something that a key names: a file, a
/// user, a directory. [`run`](crate::run) adds the position of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The severity.
    pub severity: Severity,
    /// What sets the value; `None` for the configuration file.
    pub source: Option<Source>,
    /// The position there; `None` if no file contains the key, or the position is not known
    /// yet.
    pub position: Option<Position>,
    /// The key with its section, if there is one: `network.address`.
    pub key: Option<String>,
    /// What is wrong, and how to correct it, in one line.
    pub message: String,
}

impl Diagnostic {
    /// An error in the value of `key`, without a position, which [`Loaded`](super::Loaded)
    /// adds.
    pub fn error(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(Severity::Error, Some(key.into()), message)
    }

    /// Like [`error`](Self::error), for a value that can be used but is probably a mistake.
    pub fn advice(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(Severity::Advice, Some(key.into()), message)
    }

    /// Like [`error`](Self::error), for a key with another meaning or name than before.
    pub(super) fn warning(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(Severity::Warning, Some(key.into()), message)
    }

    /// A syntax error of the file.
    pub(super) fn without_key(message: impl fmt::Display) -> Self {
        Self::new(Severity::Error, None, message)
    }

    fn new(severity: Severity, key: Option<String>, message: impl fmt::Display) -> Self {
        Self {
            severity,
            source: None,
            position: None,
            key,
            // It may quote the file, where texts can have several lines.
            message: message.to_string().replace(['\n', '\r'], " "),
        }
    }

    /// Whether this has the same key as `other`, or mentions it.
    pub(super) fn speaks_of(&self, other: &Self) -> bool {
        let Some(key) = &other.key else { return false };
        self.key.as_ref() == Some(key) || self.message.contains(key.as_str())
    }

    /// Orders by source and position.
    pub(super) fn compare_places(&self, other: &Self) -> Ordering {
        // The order of the variants of `Source` is that in which they apply.
        let places = self.source.cmp(&other.source);
        places.then(self.position.cmp(&other.position))
    }

    /// Adds the position of a byte in the file's text.
    pub(super) fn at(mut self, text: &str, offset: usize) -> Self {
        self.position = Some(Position::of(text, offset));
        self
    }

    /// Adds what sets the value. The text of a variable was made from its value, so positions
    /// there mean nothing to its user.
    pub(super) fn set_in(mut self, source: Option<&Source>) -> Self {
        if matches!(source, Some(Source::Variable(_))) {
            self.position = None;
        }
        self.source = source.cloned();
        self
    }

    /// Whether the place of the value is known.
    pub(super) fn is_placed(&self) -> bool {
        self.source.is_some() || self.position.is_some()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{}: ", shortened(key, MAX_KEY_BYTES))?;
        }
        f.write_str(&shortened(&self.message, MAX_MESSAGE_BYTES))
    }
}

// The message includes its causes, so there is no source to be printed again.
impl std::error::Error for Diagnostic {}

/// Errors that were found together, without positions, which [`run`](crate::run) adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Diagnostic>);

impl Faults {
    /// Adds an error: its diagnostics, if it consists of such.
    pub(crate) fn add(&mut self, error: anyhow::Error) {
        match error.downcast::<Diagnostic>() {
            Ok(error) => self.0.push(error),
            Err(error) => match error.downcast::<Self>() {
                Ok(several) => self.0.extend(several.0),
                Err(error) => self.0.push(Diagnostic::without_key(format!("{error:#}"))),
            },
        }
    }

    /// Returns the value if there are no errors; otherwise adds them, and returns `None`.
    pub fn keep<T>(&mut self, result: Result<T, impl Into<anyhow::Error>>) -> Option<T> {
        result.map_err(|error| self.add(error.into())).ok()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for Faults {}

/// All diagnostics of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The file; `None` for the defaults.
    pub path: Option<PathBuf>,
    /// In the order of their positions.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Those about the configuration in the file at `path`; sorts them.
    pub(crate) fn new(path: Option<&Path>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by(Diagnostic::compare_places);
        Self {
            path: path.map(Path::to_path_buf),
            list,
        }
    }

    /// One line per diagnostic, like those of compilers: `file:line:column: key: message`.
    /// If there are too many, only the first ones are included.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .list
            .iter()
            .take(MAX_TOLD)
            .map(|one| self.line(one))
            .collect();
        if let more @ 1.. = self.list.len().saturating_sub(MAX_TOLD) {
            lines.push(format!("and {more} more"));
        }
        lines
    }

    /// The first ones, followed by how many there are in total, and the command that shows
    /// them.
    pub(crate) fn for_service(mut self, program: &str) -> Self {
        if let more @ 1.. = self.list.len().saturating_sub(MAX_TOLD_BY_SERVICE) {
            self.list.truncate(MAX_TOLD_BY_SERVICE);
            let command = match &self.path {
                Some(path) => format!("{program} --check-config -c {}", path.display()),
                None => format!("{program} --check-config"),
            };
            let more = format!("and {more} more ({command} shows all)");
            self.list.push(Diagnostic::without_key(more));
        }
        self
    }

    /// Logs each as a message.
    pub(crate) fn log(&self) {
        for one in &self.list {
            log::log!(one.severity.into(), "{}", self.line(one));
        }
    }

    fn line(&self, one: &Diagnostic) -> String {
        let mut line = match (&one.source, &self.path) {
            (Some(source), _) => source.to_string(),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => "default configuration".to_owned(),
        };
        if let Some(position) = one.position {
            line.push_str(&format!(":{position}"));
        }
        format!("{line}: {one}")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Diagnostics {}

/// Truncates a text in the middle if it is too long; the end of a message says how to
/// correct the error.
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
        let told = Diagnostics {
            path: Some("udp.toml".into()),
            list: vec![
                Diagnostic::error("a.b", "wrong").at("\n  ab", 3),
                Diagnostic::without_key("worse"),
            ],
        };
        assert_eq!(
            told.to_string(),
            "udp.toml:2:3: a.b: wrong\nudp.toml: worse"
        );
    }

    #[test]
    fn faults_are_collected() {
        let mut faults = Faults::default();
        assert_eq!(faults.keep(Ok::<_, Diagnostic>(1)), Some(1));
        assert_eq!(faults, Faults::default());
        let several = Faults(vec![
            Diagnostic::error("b", "2"),
            Diagnostic::error("c", "3"),
        ]);
        let kept = [
            faults.keep(Err::<(), _>(Diagnostic::error("a", "1"))),
            faults.keep(Err::<(), _>(several)),
            faults.keep(Err::<(), _>(anyhow::anyhow!("4").context("5"))),
        ];
        assert_eq!(kept, [None; 3]);
        assert_eq!(faults.to_string(), "a: 1; b: 2; c: 3; 5: 4");
    }

    #[test]
    fn what_is_repeated_is_bounded() {
        let long = "ä".repeat(100_000);
        let error = Diagnostic::error(&long, format!("\"{long}\" is wrong; write \"x\""));
        let mut told = Diagnostics {
            path: None,
            list: vec![error.at("\n  a", 3)],
        };
        let text = told.to_string();
        assert!(text.len() < 2_400, "{}", text.len());
        assert!(text.starts_with("default configuration:2:3: ää"), "{text}");
        assert!(text.contains("…") && text.ends_with("is wrong; write \"x\""));

        told.list = vec![Diagnostic::error("a", "wrong"); 5_000];
        let text = told.to_string();
        assert_eq!(text.lines().count(), 101);
        assert!(text.ends_with("\nand 4900 more"), "{text}");
        told.list.truncate(100);
        assert_eq!(told.to_string().lines().count(), 100);
    }

    #[test]
    fn a_service_reports_a_few_and_how_to_see_all() {
        let told = |count| {
            let told = Diagnostics {
                path: Some("/etc/x.toml".into()),
                list: vec![Diagnostic::error("a", "wrong"); count],
            };
            told.for_service("aquatic-test").lines()
        };
        assert_eq!(told(8), vec!["/etc/x.toml: a: wrong"; 8]);
        let lines = told(40);
        assert_eq!(lines.len(), 9);
        assert_eq!(
            lines[8],
            "/etc/x.toml: and 32 more (aquatic-test --check-config -c /etc/x.toml shows all)"
        );
    }
}
