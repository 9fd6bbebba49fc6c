//! The page of all benchmarks, docs/benchmarks.md, from templates and results.

use std::fs;

use anyhow::Context;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

use crate::plot::{self, Bar};
use crate::results::{Results, Row};

/// Titles of pictures.
const PER_REPLY: &str = "Microseconds of processor time per reply";
const PER_MESSAGE: &str = "Microseconds of processor time per message";

/// The templates of tables, one per section, and what they share.
const TEMPLATES: [(&str, &str); 8] = [
    ("benchmarks.md", include_str!("../templates/benchmarks.md")),
    ("cluster.md", include_str!("../templates/cluster.md")),
    ("http.md", include_str!("../templates/http.md")),
    ("others.md", include_str!("../templates/others.md")),
    ("rows.md", include_str!("../templates/rows.md")),
    ("swarm.md", include_str!("../templates/swarm.md")),
    ("udp.md", include_str!("../templates/udp.md")),
    ("ws.md", include_str!("../templates/ws.md")),
];

/// The tables of the results.
///
/// # Errors
///
/// A template is wrong.
pub(crate) fn tables(results: &Results) -> anyhow::Result<String> {
    let sections = [
        ("others.md", results.others.is_some()),
        ("udp.md", results.udp.is_some()),
        ("http.md", results.http.is_some()),
        ("ws.md", results.ws.is_some()),
        ("swarm.md", results.swarm.is_some()),
        ("cluster.md", results.cluster.is_some()),
    ];
    let measured = sections.iter().filter(|(_, is_measured)| *is_measured);
    let tables: anyhow::Result<Vec<String>> =
        measured.map(|(name, _)| render(name, results)).collect();
    Ok(tables?.join("\n"))
}

/// Writes the page and its pictures.
///
/// # Errors
///
/// A template is wrong, or a file cannot be written.
pub(crate) fn write(results: &Results) -> anyhow::Result<()> {
    for (name, content) in files(results)? {
        let path = crate::root().join("docs").join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The files in docs that are made from results, with their content.
fn files(results: &Results) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut files = vec![("benchmarks.md", render("benchmarks.md", results)?)];
    if let Some(others) = &results.others {
        files.push((
            "other-trackers.svg",
            picture(PER_REPLY, &others.rows, None)?,
        ));
    }
    if let Some(traffic) = results.udp.as_ref().and_then(|udp| udp.traffic.first()) {
        let floor = traffic.rows.first().map(|row| row.cpu_microseconds.median);
        let picture = picture(PER_REPLY, &traffic.rows, floor)?;
        files.push(("udp-cpu-per-reply.svg", picture));
    }
    if let Some(http) = &results.http {
        files.push((
            "http-cpu-per-reply.svg",
            picture(PER_REPLY, &http.rows, None)?,
        ));
    }
    if let Some(ws) = &results.ws {
        files.push((
            "ws-cpu-per-message.svg",
            picture(PER_MESSAGE, &ws.rows, None)?,
        ));
    }
    let capacities = results.cluster.as_ref().map(|it| &it.capacities[..]);
    if let Some(capacities @ [_, ..]) = capacities {
        files.push(("cluster-capacity.svg", plot::capacities(capacities)?));
    }
    Ok(files)
}

fn picture(title: &str, rows: &[Row], line: Option<f64>) -> anyhow::Result<String> {
    let bars: Vec<Bar<'_>> = rows
        .iter()
        .filter_map(|row| {
            Some(Bar {
                name: row.bar.as_deref()?,
                value: row.cpu_microseconds.median,
                server: &row.server,
            })
        })
        .collect();
    plot::bars(title, &bars, line)
}

fn render(template: &str, results: &Results) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()?,
    );
    environment.add_filter("fixed", |value: f64, digits: usize| {
        format!("{value:.digits$}")
    });
    environment.add_filter("signed", |value: f64, digits: usize| {
        format!("{value:+.digits$}")
    });
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    environment
        .get_template(template)?
        .render(Serde(results))
        .with_context(|| format!("cannot render {template}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_files_are_those_of_the_results() {
        let results = Results::read().unwrap();
        for (name, content) in files(&results).unwrap() {
            let path = crate::root().join("docs").join(name);
            let committed = fs::read_to_string(&path).unwrap();
            assert!(
                committed == content,
                "docs/{name} is stale: run `cargo xtask bench --page`"
            );
        }
    }

    #[test]
    fn only_what_was_measured_is_on_the_page() {
        let page = render("benchmarks.md", &Results::default()).unwrap();
        assert!(page.starts_with("# Benchmarks\n"), "{page}");
        assert!(!page.contains("##"), "{page}");
        assert_eq!(tables(&Results::default()).unwrap(), "");
    }
}
