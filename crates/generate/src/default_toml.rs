//! The default configuration file, with comments.

use std::fmt::Write;

use anyhow::Context;
use serde_json::Value;

use super::reference::{Choice, Key, Kind, Reference, Section};

/// Writes a configuration file with every key and its documentation.
///
/// # Errors
///
/// If a default cannot be written as TOML.
pub(super) fn render(reference: &Reference) -> anyhow::Result<String> {
    let head = format!(
        "{}\n\nAll keys are here; a file needs only those that differ from their defaults.",
        reference.description
    );
    render_below(&head, reference)
}

/// As [`render`], with another text at the top.
///
/// # Errors
///
/// As [`render`].
pub(super) fn render_below(head: &str, reference: &Reference) -> anyhow::Result<String> {
    let mut text = String::new();
    comment(&mut text, head);
    for section in &reference.sections {
        if !section.name.is_empty() {
            text.push('\n');
            comment(&mut text, &section.description);
            if section.is_list {
                render_example(&mut text, section)?;
                continue;
            }
            writeln!(text, "[{}]", section.name)?;
        }
        for (index, key) in section.keys.iter().enumerate() {
            // No blank line between the head of a section and its first key.
            if index > 0 || section.name.is_empty() {
                text.push('\n');
            }
            render_key(&mut text, key).with_context(|| key.name.clone())?;
        }
    }
    Ok(text)
}

/// An entry of a list of tables, in a comment: a table in the file could not be removed by
/// another file.
fn render_example(text: &mut String, section: &Section) -> anyhow::Result<()> {
    let mut example = format!("[[{}]]\n", section.name);
    for key in &section.keys {
        render_key(&mut example, key).with_context(|| key.name.clone())?;
    }
    text.push_str("#\n");
    for line in example.lines() {
        writeln!(text, "# {line}")?;
    }
    Ok(())
}

fn render_key(text: &mut String, key: &Key) -> anyhow::Result<()> {
    comment(text, &key.description);
    match &key.kind {
        Kind::Integer {
            range: Some(range), ..
        } => writeln!(text, "# {range}")?,
        Kind::Choice(choices) => render_choices(text, choices)?,
        _ => {}
    }
    if key.needs_restart {
        writeln!(text, "# A change needs a restart.")?;
    }
    writeln!(text, "{} = {}", key.name, value(&key.default)?)?;
    Ok(())
}

/// A line for each choice, with descriptions aligned.
fn render_choices(text: &mut String, choices: &[Choice]) -> anyhow::Result<()> {
    let widest = choices.iter().map(|choice| choice.value.len() + 2).max();
    for choice in choices {
        let quoted = format!("\"{}\"", choice.value);
        let meaning = choice.description.replace('\n', " ").replace('`', "");
        writeln!(text, "#   {quoted:0$}  {meaning}", widest.unwrap_or(0))?;
    }
    Ok(())
}

/// Literals are marked for rustdoc and manual pages, but not in configuration files.
fn comment(text: &mut String, description: &str) {
    for line in description.replace('`', "").lines() {
        text.push_str(if line.is_empty() { "#" } else { "# " });
        text.push_str(line);
        text.push('\n');
    }
}

/// A default as TOML.
fn value(default: &Value) -> anyhow::Result<String> {
    let value = toml::Value::try_from(default).context("not a TOML value")?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str, kind: Kind, default: Value) -> Key {
        Key {
            name: name.to_owned(),
            description: format!("About `{name}`,\nin two lines."),
            kind,
            default,
            needs_restart: name == "address",
        }
    }

    #[test]
    fn every_kind_of_key() {
        let choices = [("off", "Nothing."), ("all", "Every\nthing.")];
        let choices = choices.map(|(value, description)| Choice {
            value: value.to_owned(),
            description: description.to_owned(),
        });
        let number = Kind::Integer {
            minimum: 0,
            maximum: Some(9),
            range: Some("From 0 to 9 bytes.".to_owned()),
        };
        let reference = Reference {
            description: "Configuration.".to_owned(),
            sections: vec![
                Section {
                    name: String::new(),
                    description: String::new(),
                    is_list: false,
                    keys: vec![key("level", Kind::Choice(choices.into()), json!("off"))],
                },
                Section {
                    name: "network".to_owned(),
                    description: "Sockets.".to_owned(),
                    is_list: false,
                    keys: vec![
                        key(
                            "address",
                            Kind::Texts { or_one: true },
                            json!(["[::]:3000"]),
                        ),
                        key("number", number, json!(3)),
                        key("path", Kind::Text, json!("")),
                    ],
                },
                Section {
                    name: "map".to_owned(),
                    description: "Places.".to_owned(),
                    is_list: true,
                    keys: vec![key("to", Kind::Text, json!("there"))],
                },
            ],
        };
        assert_eq!(
            render(&reference).unwrap(),
            r##"# Configuration.
#
# All keys are here; a file needs only those that differ from their defaults.

# About level,
# in two lines.
#   "off"  Nothing.
#   "all"  Every thing.
level = "off"

# Sockets.
[network]
# About address,
# in two lines.
# A change needs a restart.
address = ["[::]:3000"]

# About number,
# in two lines.
# From 0 to 9 bytes.
number = 3

# About path,
# in two lines.
path = ""

# Places.
#
# [[map]]
# # About to,
# # in two lines.
# to = "there"
"##
        );
    }
}
