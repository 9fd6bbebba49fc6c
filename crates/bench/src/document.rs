//! The page of all benchmarks: a section for each daemon and one for the swarm,
//! which only its own benchmark writes.

use std::fs;

use anyhow::Context;

use super::plot;

/// Writes the section of this name into docs/benchmarks.md and leaves the
/// others as they are.
pub(super) fn write_section(name: &str, text: &str) -> anyhow::Result<()> {
    let path = crate::root().join("docs/benchmarks.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    fs::write(&path, with_section(&old, name, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Draws a picture of that page, with a bar for each value.
pub(super) fn write_bars(name: &str, bars: &[(String, f64)]) -> anyhow::Result<()> {
    let directory = crate::root().join("docs");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let bars: Vec<(&str, f64)> = bars
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    plot::bars(&bars, &directory.join(name))
}

/// The order of the sections.
const SECTIONS: [&str; 4] = ["UDP", "HTTP", "WebTorrent", "Swarm"];

fn with_section(page: &str, name: &str, text: &str) -> String {
    let mut new = "# Benchmarks\n".to_owned();
    for section in SECTIONS {
        let content = if section == name {
            Some(text)
        } else {
            content(page, section)
        };
        if let Some(content) = content {
            new.push_str(&format!("\n## {section}\n\n{}\n", content.trim()));
        }
    }
    new
}

/// What stands under the head of a section, up to the next head like it.
fn content<'a>(page: &'a str, section: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("\n## {section}\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_only_itself() {
        let first = with_section("", "HTTP", "fast\n\n### More\n\nfaster");
        assert_eq!(
            first,
            "# Benchmarks\n\n## HTTP\n\nfast\n\n### More\n\nfaster\n"
        );
        let both = with_section(&first, "UDP", "faster still\n");
        assert_eq!(
            both,
            "# Benchmarks\n\n## UDP\n\nfaster still\n\n## HTTP\n\nfast\n\n### More\n\nfaster\n"
        );
        let replaced = with_section(&both, "HTTP", "slow");
        assert_eq!(
            replaced,
            "# Benchmarks\n\n## UDP\n\nfaster still\n\n## HTTP\n\nslow\n"
        );
    }
}
