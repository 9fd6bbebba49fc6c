//! Checks of source files that a compiler does not do.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::root;

/// Maximum number of lines of a file. A longer file has more than one subject.
const MAX_LINES: usize = 650;

/// Marks of unfinished work, concatenated so that this file does not match.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// Checks every Rust file of the crates.
///
/// # Errors
///
/// A file is too long, does not begin with its documentation, or holds
/// unfinished work; the error names them all.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut messages = Vec::new();
    check_directory(&root().join("crates"), &mut messages)?;
    if messages.is_empty() {
        return Ok(());
    }
    bail!("{}", messages.join("\n"))
}

fn check_directory(directory: &Path, messages: &mut Vec<String>) -> anyhow::Result<()> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("cannot read directory {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            // Build output is not source.
            if entry.file_name() != "target" {
                check_directory(&path, messages)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root()).unwrap_or(&path);
            messages.extend(
                problems(&text)
                    .into_iter()
                    .map(|problem| format!("{}{problem}", name.display())),
            );
        }
    }
    Ok(())
}

/// The errors in a file, each as the rest of a sentence after its name.
fn problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!(
            ": {lines} lines are more than {MAX_LINES}; split it at a noun"
        ));
    }
    // The first line holds text, not only the marks of a comment.
    let first = text.lines().next().unwrap_or_default();
    if first
        .strip_prefix("//!")
        .is_none_or(|text| text.trim().is_empty())
    {
        problems.push(":1: the file does not begin with what it is, after //!".to_owned());
    }
    for (index, line) in text.lines().enumerate() {
        for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
            problems.push(format!(":{}: unfinished work: {mark}", index + 1));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_wrong() {
        assert_eq!(problems("//! What it is.\nfn main() {}\n"), [""; 0]);

        let unfinished = format!("//! What it is.\n// {}: more\n", UNFINISHED[0]);
        assert_eq!(
            problems(&unfinished),
            [format!(":2: unfinished work: {}", UNFINISHED[0])]
        );

        let long = format!("//! What it is.\n{}", "\n".repeat(MAX_LINES));
        assert!(problems(&long)[0].starts_with(": 651 lines"));

        for nameless in ["", "fn main() {}\n", "//!\n//! What it is.\n"] {
            assert!(problems(nameless)[0].starts_with(":1:"), "{nameless}");
        }
    }
}
