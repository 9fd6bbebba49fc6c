//! `list-check`: what files of lists contain, and what is wrong with them.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::mem;
use std::path::Path;
use std::process::ExitCode;

use aquatic_policy::AddressRanges;
use aquatic_policy::clients::Prefixes;
use serde::Serialize;

use crate::access_list::{self, InfoHashSet, MAX_ENTRIES};
use crate::cli::{EXIT_FAILURE, ListCheckArguments, ListKind};
use crate::files;
use crate::lists::{self, BanCollector, ClientCollector, Collector, ParseError};

/// Maximum number of mistakes of a file that are told.
const MAX_MISTAKES: usize = 100;

/// Number of lines that are looked at to find out what a file is: more than the comments that
/// blocklists begin with.
const LINES_TO_RECOGNIZE: usize = 1_000;

/// The name of standard input.
const STDIN: &str = "-";

/// What a file contains, and what is wrong with it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    file: String,
    /// Unknown if there are no entries.
    kind: Option<ListKind>,
    entries: usize,
    duplicates: usize,
    /// Of bans: how many ranges are left after those that overlap or adjoin are merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_ranges: Option<usize>,
    /// Of bans: how many ranges are allowed by their level.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_ranges: Option<u64>,
    memory_bytes: usize,
    mistakes: Vec<Mistake>,
    /// How many mistakes are not told.
    more_mistakes: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Mistake {
    /// From 1; none if the file cannot be read.
    line: Option<u64>,
    text: String,
}

#[derive(Serialize)]
struct All<'a> {
    lists: &'a [Report],
}

/// Checks the files, and prints what was found. The exit code is 1 if something is wrong.
pub(crate) fn run(arguments: &ListCheckArguments) -> ExitCode {
    let mut reports = Vec::new();
    for path in &arguments.files {
        match path.as_os_str() == STDIN {
            true => reports.push(check_text(STDIN, io::stdin().lock(), arguments.kind)),
            false => check_path(path, arguments.kind, &mut reports),
        }
    }
    let text = if arguments.json {
        // All of it is text.
        let all = serde_json::to_string_pretty(&All { lists: &reports });
        all.unwrap_or_default() + "\n"
    } else {
        reports.iter().map(Report::text).collect()
    };
    // An error is ignored: `list-check | head` has got what it wanted.
    let _ = io::stdout().write_all(text.as_bytes());
    match reports.iter().all(|report| report.mistakes.is_empty()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    }
}

fn check_path(path: &Path, kind: Option<ListKind>, reports: &mut Vec<Report>) {
    match lists::files(path) {
        Ok(files) => reports.extend(files.iter().map(|file| check_file(file, kind))),
        Err(error) => reports.push(unreadable(path, &error)),
    }
}

fn check_file(path: &Path, kind: Option<ListKind>) -> Report {
    match open(path) {
        Ok(text) => check_text(&path.display().to_string(), text, kind),
        Err(error) => unreadable(path, &error),
    }
}

fn open(path: &Path) -> io::Result<BufReader<File>> {
    files::open_regular(path).map(BufReader::new)
}

fn unreadable(path: &Path, error: &io::Error) -> Report {
    Report {
        file: path.display().to_string(),
        mistakes: vec![Mistake {
            line: None,
            text: format!("cannot read it: {error}"),
        }],
        ..Report::default()
    }
}

fn check_text(file: &str, text: impl io::BufRead, kind: Option<ListKind>) -> Report {
    let mut checking = Checking {
        kind,
        ..Checking::default()
    };
    let end = lists::parse(text, None, &mut checking);
    checking.recognize();
    if let Err(error) = end {
        let line = match error {
            // Those of lines have been taken.
            ParseError::LongLine { line } | ParseError::Line { line, .. } => Some(line),
            ParseError::Read(_) | ParseError::Binary { .. } | ParseError::TooSlow { .. } => None,
        };
        let text = match line {
            Some(_) => format!("{error}; the rest of the file was not checked"),
            None => error.to_string(),
        };
        checking.mistakes.push(Mistake { line, text });
    }
    checking.report(file)
}

/// The lines of a file so far.
#[derive(Default)]
struct Checking {
    kind: Option<ListKind>,
    /// Lines that wait until it is known what they are.
    waiting: Vec<Vec<u8>>,
    line: u64,
    torrents: Vec<aquatic_bittorrent::InfoHash>,
    bans: BanCollector,
    clients: ClientCollector,
    mistakes: Vec<Mistake>,
    more_mistakes: u64,
}

impl Collector for Checking {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        match self.kind {
            Some(kind) => self.take(kind, line),
            None => {
                self.waiting.push(line.to_owned());
                if self.waiting.len() == LINES_TO_RECOGNIZE {
                    self.recognize();
                }
            }
        }
        Ok(())
    }
}

impl Checking {
    fn take(&mut self, kind: ListKind, line: &[u8]) {
        self.line += 1;
        let taken = match kind {
            ListKind::Torrents => self.take_torrent(line),
            ListKind::Bans => self.bans.line(line),
            ListKind::Clients => self.clients.line(line),
        };
        let Err(text) = taken else { return };
        if self.mistakes.len() < MAX_MISTAKES {
            self.mistakes.push(Mistake {
                line: Some(self.line),
                text,
            });
        } else {
            self.more_mistakes += 1;
        }
    }

    fn take_torrent(&mut self, line: &[u8]) -> Result<(), String> {
        if let Some(info_hash) = access_list::parse_line(line)? {
            if self.torrents.len() == MAX_ENTRIES {
                return Err(format!("the list has more than {MAX_ENTRIES} entries"));
            }
            self.torrents.push(info_hash);
        }
        Ok(())
    }

    /// Decides what the lines are that wait, and takes them. Comments are those of lists of
    /// bans if there is nothing else, which no other format has all of.
    fn recognize(&mut self) {
        let waiting = mem::take(&mut self.waiting);
        let kind = evidence(&waiting);
        for line in &waiting {
            self.take(kind.unwrap_or(ListKind::Bans), line);
        }
        self.kind = self.kind.or(kind);
    }

    fn report(self, file: &str) -> Report {
        let Self {
            kind,
            torrents,
            bans: BanCollector { builder, allowed },
            clients,
            mistakes,
            more_mistakes,
            ..
        } = self;
        let mut report = Report {
            file: file.to_owned(),
            kind,
            mistakes,
            more_mistakes,
            ..Report::default()
        };
        match kind {
            None => {}
            Some(ListKind::Torrents) => {
                report.entries = torrents.len();
                let set = InfoHashSet::of(torrents);
                report.duplicates = report.entries - set.len();
                report.memory_bytes = set.memory_bytes();
            }
            Some(ListKind::Bans) => {
                report.entries = builder.len();
                report.duplicates = builder.duplicates();
                let bans = builder.build(&AddressRanges::default());
                report.merged_ranges = Some(bans.len());
                report.allowed_ranges = Some(allowed);
                report.memory_bytes = bans.memory_bytes();
            }
            Some(ListKind::Clients) => {
                report.entries = clients.lines.len();
                let prefixes = Prefixes::new(clients.lines);
                report.duplicates = report.entries - prefixes.len();
                report.memory_bytes = prefixes.memory_bytes();
            }
        }
        report
    }
}

/// What most of these lines are; `None` if there is no entry among them. A range of addresses
/// can be the start of a peer id, too, and most words can, so clients are the last guess: after
/// entries of other lists with mistakes.
fn evidence(lines: &[Vec<u8>]) -> Option<ListKind> {
    let count = |kind: ListKind| lines.iter().filter(|line| is_entry(kind, line)).count();
    let [torrents, bans] = [ListKind::Torrents, ListKind::Bans].map(count);
    match (torrents, bans) {
        (0, 0) => {
            let clients = count(ListKind::Clients);
            let resembling = lines.iter().filter_map(|line| resembles(line));
            let resembling: Vec<ListKind> = resembling.collect();
            match resembling.first() {
                // Few prefixes of clients do.
                Some(kind) if 2 * resembling.len() >= clients => Some(*kind),
                _ => (clients > 0).then_some(ListKind::Clients),
            }
        }
        (torrents, bans) if torrents >= bans => Some(ListKind::Torrents),
        _ => Some(ListKind::Bans),
    }
}

/// What a line was probably meant to be that is no entry: `10.0.0.0/33`, for instance.
fn resembles(line: &[u8]) -> Option<ListKind> {
    /// Less than an info hash has, and more than a prefix of a peer id can have.
    const MANY_DIGITS: usize = 24;

    let text = str::from_utf8(line).ok()?.trim();
    let first = text.split_whitespace().next()?;
    if first.len() >= MANY_DIGITS && first.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(ListKind::Torrents);
    }
    // After the name, in a P2P list.
    let range = text
        .rsplit_once(':')
        .map_or(first, |(_, range)| range.trim());
    let is_ipv4 = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_digit())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"./- ".contains(&byte))
            && text.bytes().filter(|byte| *byte == b'.').count() >= 2
    };
    let is_ipv6 = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b":./-".contains(&byte))
            && text.bytes().filter(|byte| *byte == b':').count() >= 2
    };
    let is_ban = is_ipv4(first) || is_ipv4(range) || is_ipv6(first);
    is_ban.then_some(ListKind::Bans)
}

fn is_entry(kind: ListKind, line: &[u8]) -> bool {
    use aquatic_policy::bans::BanLine;
    use aquatic_policy::clients::ClientLine;

    match kind {
        ListKind::Torrents => matches!(access_list::parse_line(line), Ok(Some(_))),
        ListKind::Bans => matches!(
            BanLine::parse(line),
            Ok(BanLine::Banned(_) | BanLine::Allowed)
        ),
        // Comments of lists of bans are not entries.
        ListKind::Clients => {
            !matches!(BanLine::parse(line), Ok(BanLine::Nothing))
                && matches!(ClientLine::parse(line), Ok(Some(_)))
        }
    }
}

impl Report {
    /// The report for people: a line for the file, and one for each mistake.
    fn text(&self) -> String {
        let file = &self.file;
        let mut text = match self.kind {
            None => format!("{file}: no entries\n"),
            Some(kind) => format!(
                "{file}: {}: {}{}; {} bytes of memory\n",
                kind.name(),
                count(self.entries, "entry", "entries"),
                self.details(),
                self.memory_bytes
            ),
        };
        for Mistake { line, text: said } in &self.mistakes {
            match line {
                Some(line) if !said.starts_with("line ") => {
                    text += &format!("{file}: line {line}: {said}\n");
                }
                _ => text += &format!("{file}: {said}\n"),
            }
        }
        if self.more_mistakes > 0 {
            let more = count(self.more_mistakes as usize, "more mistake", "more mistakes");
            text += &format!("{file}: and {more}\n");
        }
        text
    }

    fn details(&self) -> String {
        let mut details = String::new();
        if self.duplicates > 0 {
            details += &format!(", {}", count(self.duplicates, "duplicate", "duplicates"));
        }
        if let Some(ranges) = self.merged_ranges {
            details += &format!(", {} after merging", count(ranges, "range", "ranges"));
        }
        if let Some(allowed) = self.allowed_ranges.filter(|allowed| *allowed > 0) {
            details += &format!(", {allowed} not banned because of their level");
        }
        details
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
