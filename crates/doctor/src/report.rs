//! The findings as a table for people, or as JSON.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use aquatic_service::logging::without_controls;
use serde::Serialize;

use crate::finding::{Finding, State, worst};

/// Maximum length of a finding in the table. It may quote a tracker, which may be anyone's.
const MAX_WHAT: usize = 2_000;

/// Prints all findings. An error is ignored: `doctor | head` has got what it wanted.
pub(crate) fn print(program: &str, findings: &[(&'static str, Finding)], as_json: bool) {
    let text = if as_json {
        json(program, findings)
    } else {
        // https://no-color.org
        let may_color = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        table(program, findings, may_color && io::stdout().is_terminal())
    };
    let _ = io::stdout().write_all(text.as_bytes());
}

#[derive(Serialize)]
struct Report<'a> {
    program: &'a str,
    version: &'static str,
    state: State,
    findings: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    check: &'static str,
    state: State,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

fn json(program: &str, findings: &[(&'static str, Finding)]) -> String {
    let report = Report {
        program,
        version: env!("CARGO_PKG_VERSION"),
        state: worst(findings.iter().map(|(_, finding)| finding)).max(State::Ok),
        findings: findings
            .iter()
            .map(|(check, finding)| Row {
                check,
                state: finding.state,
                what: &finding.what,
                advice: finding.advice.as_deref(),
            })
            .collect(),
    };
    // All of it is text.
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    text
}

/// Bold and red, yellow or green; the text itself says the same.
fn color(state: State) -> &'static str {
    match state {
        State::Unchecked => "\x1b[2m",
        State::Ok => "\x1b[32m",
        State::Warning => "\x1b[1;33m",
        State::Wrong => "\x1b[1;31m",
    }
}

fn table(program: &str, findings: &[(&'static str, Finding)], is_colored: bool) -> String {
    let names = findings.iter().map(|(check, _)| check.len());
    let width = names.max().unwrap_or(0);
    let state_width = State::Unchecked.word().len();
    // Below what it is about.
    let indent = " ".repeat(state_width + 2 + width + 2);
    let mut text = String::new();
    for (check, finding) in findings {
        let word = finding.state.word();
        let (begin, end) = if is_colored {
            (color(finding.state), "\x1b[0m")
        } else {
            ("", "")
        };
        let what = shown(&finding.what).replace('\n', &format!("\n{indent}"));
        let _ = writeln!(
            text,
            "{begin}{word:state_width$}{end}  {check:width$}  {what}"
        );
        if let Some(advice) = &finding.advice {
            let advice = shown(advice).replace('\n', &format!("\n{indent}   "));
            let _ = writeln!(text, "{indent}-> {advice}");
        }
    }
    let count = |state| findings.iter().filter(|(_, it)| it.state == state).count();
    let warnings = match count(State::Warning) {
        1 => "1 warning".to_owned(),
        number => format!("{number} warnings"),
    };
    let _ = writeln!(
        text,
        "\n{program}: {} wrong, {warnings}, {} ok, {} unchecked",
        count(State::Wrong),
        count(State::Ok),
        count(State::Unchecked)
    );
    text
}

/// A text that a terminal only shows, of limited length.
fn shown(text: &str) -> String {
    let text = text.trim_end();
    let end = text.floor_char_boundary(MAX_WHAT);
    let cut = if end < text.len() { "…" } else { "" };
    without_controls(format!("{}{cut}", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<(&'static str, Finding)> {
        vec![
            ("time", Finding::ok("it is late")),
            ("unit", Finding::unchecked("no systemd")),
            (
                "receive buffer",
                Finding::wrong("too small\nby far", "raise it"),
            ),
        ]
    }

    #[test]
    fn the_table_is_aligned() {
        assert_eq!(
            table("aquatic-udp", &findings(), false),
            "\
ok         time            it is late
unchecked  unit            no systemd
wrong      receive buffer  too small
                           by far
                           -> raise it

aquatic-udp: 1 wrong, 0 warnings, 1 ok, 1 unchecked
"
        );
        let colored = table("aquatic-udp", &findings(), true);
        assert!(colored.starts_with("\x1b[32mok       \x1b[0m  time"));
    }

    #[test]
    fn trackers_do_not_reach_the_terminal() {
        let hostile = format!("it said: \u{1b}[2J\rok\u{202e}{}", "é".repeat(100_000));
        let text = table(
            "x",
            &[("announce", Finding::wrong(&hostile, &hostile))],
            true,
        );
        assert!(
            text.contains("it said: \\u{1b}[2J\\u{d}ok\\u{202e}éé"),
            "{text}"
        );
        assert!(text.len() < 3 * MAX_WHAT, "{}", text.len());
    }

    #[test]
    fn json_has_stable_keys() {
        let value: serde_json::Value =
            serde_json::from_str(&json("aquatic-udp", &findings())).unwrap();
        assert_eq!(value["program"], "aquatic-udp");
        assert_eq!(value["state"], "wrong");
        assert_eq!(value["findings"][0]["check"], "time");
        assert_eq!(value["findings"][0]["state"], "ok");
        assert_eq!(value["findings"][0].get("advice"), None);
        assert_eq!(value["findings"][2]["advice"], "raise it");
        let empty: serde_json::Value = serde_json::from_str(&json("x", &[])).unwrap();
        assert_eq!(empty["state"], "ok");
    }
}
