//! Options and keys in mdoc(7).

use std::fmt::Write;

use anyhow::Context;
use aquatic_service::metrics::Kind as MetricKind;
use clap::Command;
use serde_json::Value;

use super::super::metrics::Described;
use super::super::reference::{Key, Kind, Reference};

/// Writes a list of the options of a program, in the order of `--help`.
pub(super) fn options(text: &mut String, command: &Command) {
    // Adds clap's own options.
    let mut command = command.clone();
    command.build();
    text.push_str(".Bl -tag -width Ds\n");
    for argument in command.get_arguments() {
        let value = argument
            .get_value_names()
            .filter(|_| argument.get_action().takes_values())
            .and_then(|names| names.first())
            .map(|name| format!(" Ar {}", escaped(name)));
        let value = value.as_deref().unwrap_or_default();
        let mut forms = Vec::new();
        if let Some(short) = argument.get_short() {
            forms.push(format!("Fl {short}{value}"));
        }
        if let Some(long) = argument.get_long() {
            // The name of a long option begins with hyphens itself.
            forms.push(format!("Fl \\-{}{value}", long.replace('-', "\\-")));
        }
        if forms.is_empty() {
            forms.push(value.trim().to_owned());
        }
        let _ = writeln!(text, ".It {}", forms.join(" , "));
        let help = argument.get_help().map(ToString::to_string);
        paragraphs(text, &format!("{}.", help.unwrap_or_default()));
    }
    text.push_str(".El\n");
}

/// Writes a list of metrics with their types and labels, and their daemons if not all have
/// them.
pub(super) fn metrics(text: &mut String, all: &[Described], number_of_daemons: usize) {
    text.push_str(".Bl -tag -width Ds\n");
    for Described { metric, daemons } in all {
        let name = metric.name_in("PREFIX").replacen("PREFIX_", "", 1);
        let kind = match metric.kind() {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            MetricKind::Info => "info",
        };
        let labels = match metric.labels() {
            [] => String::new(),
            labels => format!(" by {}", labels.join(", ")),
        };
        let _ = writeln!(text, ".It Li {name} Pq {kind}{labels}");
        paragraphs(text, &format!("{}.", metric.help()));
        if daemons.len() < number_of_daemons {
            let _ = writeln!(text, ".br\nOnly in {}.", daemons.join(" and "));
        }
    }
    text.push_str(".El\n");
}

/// Writes the keys of a configuration: a section of the page for each of its
/// sections.
///
/// # Errors
///
/// If a default cannot be written as TOML.
pub(super) fn keys(text: &mut String, reference: &Reference) -> anyhow::Result<()> {
    for section in &reference.sections {
        if section.name.is_empty() {
            text.push_str(".Ss Top of the file\n");
        } else {
            let (open, close) = if section.is_list {
                ("[[", "]]")
            } else {
                ("[", "]")
            };
            let _ = writeln!(text, ".Ss {open}{}{close}", section.name);
            paragraphs(text, &section.description);
            if section.is_list {
                text.push_str("The values shown are examples.\n");
            }
        }
        if section.keys.is_empty() {
            continue;
        }
        text.push_str(".Bl -tag -width Ds\n");
        for key in &section.keys {
            key_entry(text, key).with_context(|| key.name.clone())?;
        }
        text.push_str(".El\n");
    }
    Ok(())
}

fn key_entry(text: &mut String, key: &Key) -> anyhow::Result<()> {
    let default = toml::Value::try_from(&key.default).context("not a TOML value")?;
    let _ = writeln!(
        text,
        ".It Ic {} No = {}",
        key.name,
        quoted(&default.to_string())
    );
    paragraphs(text, &key.description);
    match &key.kind {
        Kind::Integer {
            range: Some(range), ..
        } => {
            let _ = writeln!(text, "{range}");
        }
        Kind::Choice(choices) => {
            let widest = choices.iter().map(|choice| choice.value.len()).max();
            // With quotation marks and a space.
            let width = "x".repeat(widest.unwrap_or(0) + 4);
            let _ = writeln!(text, ".Bl -tag -width {width} -compact");
            for choice in choices {
                let value = Value::from(choice.value.as_str()).to_string();
                let _ = writeln!(text, ".It Li {}", quoted(&value));
                paragraphs(text, &choice.description);
            }
            text.push_str(".El\n");
        }
        _ => {}
    }
    if key.needs_restart {
        text.push_str("A change needs a restart.\n");
    }
    Ok(())
}

/// Writes documentation: literals with a macro, one sentence per line.
fn paragraphs(text: &mut String, description: &str) {
    for (index, paragraph) in description.split("\n\n").enumerate() {
        if index > 0 {
            text.push_str(".Pp\n");
        }
        for (index, piece) in paragraph.replace('\n', " ").split('`').enumerate() {
            if index % 2 == 1 {
                let _ = write!(text, "\n.Ql {}", quoted(piece));
                continue;
            }
            // Text directly after a literal is punctuation, which must be a separate argument in
            // mdoc.
            let mut piece = piece;
            if index > 0 {
                let end = piece.find(' ').unwrap_or(piece.len());
                for mark in piece[..end].chars() {
                    let _ = write!(text, " {mark}");
                }
                piece = piece[end..].trim_start();
                text.push('\n');
            }
            let piece = escaped(piece.trim_end());
            let piece = piece.replace(". ", ".\n").replace(": ", ":\n");
            for line in piece.lines() {
                // Prevents text from being read as a macro.
                let guard = if line.starts_with(['.', '\'']) {
                    "\\&"
                } else {
                    ""
                };
                let _ = writeln!(text, "{guard}{line}");
            }
            if text.ends_with('\n') {
                text.pop();
            }
        }
        text.push('\n');
    }
}

/// An argument of a macro. A mark alone would be taken for punctuation after the arguments.
fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let is_mark = characters
        .next()
        .is_some_and(|it| it.is_ascii_punctuation())
        && characters.next().is_none();
    let guard = if is_mark { "\\&" } else { "" };
    format!("\"{guard}{}\"", escaped(text).replace('"', "\\(dq"))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::reference::{Choice, Section};
    use super::*;

    #[test]
    fn options_have_both_forms() {
        let command = Command::new("x").disable_help_flag(true).arg(
            clap::Arg::new("f")
                .short('f')
                .long("from-file")
                .value_name("FILE")
                .help("Read `FILE`"),
        );
        let mut text = String::new();
        options(&mut text, &command);
        assert_eq!(
            text,
            ".Bl -tag -width Ds\n\
             .It Fl f Ar FILE , Fl \\-from\\-file Ar FILE\n\
             Read\n\
             .Ql \"FILE\" .\n\
             .El\n"
        );
    }

    #[test]
    fn keys_have_range_and_choices() {
        let key = |name: &str, kind, default| Key {
            name: name.to_owned(),
            description: "First. About `it`, here.\n\n.dots".to_owned(),
            kind,
            default,
            needs_restart: name == "count",
        };
        let choice = Choice {
            value: "off".to_owned(),
            description: "Nothing.".to_owned(),
        };
        let number = Kind::Integer {
            minimum: 0,
            maximum: Some(9),
            range: Some("From 0 to 9 bytes.".to_owned()),
        };
        let reference = Reference {
            description: String::new(),
            sections: vec![Section {
                name: "network".to_owned(),
                description: "Sockets.".to_owned(),
                is_list: false,
                keys: vec![
                    key("count", number, json!(3)),
                    key("mode", Kind::Choice(vec![choice]), json!("off")),
                ],
            }],
        };
        let mut text = String::new();
        keys(&mut text, &reference).unwrap();
        assert_eq!(quoted("."), "\"\\&.\"");
        let description = "First.\nAbout\n.Ql \"it\" ,\nhere.\n.Pp\n\\&.dots\n";
        assert_eq!(
            text,
            format!(
                ".Ss [network]\nSockets.\n.Bl -tag -width Ds\n\
                 .It Ic count No = \"3\"\n{description}From 0 to 9 bytes.\n\
                 A change needs a restart.\n\
                 .It Ic mode No = \"\\(dqoff\\(dq\"\n{description}\
                 .Bl -tag -width xxxxxxx -compact\n.It Li \"\\(dqoff\\(dq\"\nNothing.\n.El\n.El\n"
            )
        );
    }
}
