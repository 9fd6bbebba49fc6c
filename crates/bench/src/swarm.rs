//! What is measured of the swarm, in process, and the section of the page.

use std::fmt::Write as _;
use std::process::Stdio;

use anyhow::{Context, ensure};

use super::machine::Machine;
use super::{Arguments, cargo_command, document};

/// What `crates/swarm/benches/swarm.rs` reports: names and their figures.
pub(super) struct Results(Vec<(String, Vec<f64>)>);

/// Runs the benchmark; this takes minutes.
pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<Results> {
    let mut command = cargo_command();
    command
        .args(["bench", "--package", "aquatic_swarm", "--bench", "swarm"])
        .args(["--profile", &arguments.profile]);
    if arguments.quick {
        command.args(["--", "--quick"]);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the benchmark has failed");
    let text = String::from_utf8(output.stdout).context("the benchmark prints no text")?;
    let lines: Option<Vec<_>> = text.lines().map(figures_of).collect();
    Ok(Results(lines.context(
        "a line of the benchmark is not a name and figures",
    )?))
}

fn figures_of(line: &str) -> Option<(String, Vec<f64>)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let figures = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some((name, figures))
}

impl Results {
    /// The figures of all lines with this name, of which there are `COUNT`.
    fn all<const COUNT: usize>(&self, name: &str) -> anyhow::Result<Vec<[f64; COUNT]>> {
        let lines = self.0.iter().filter(|(other, _)| other == name);
        let figures: Result<Vec<_>, _> = lines
            .map(|(_, figures)| <[f64; COUNT]>::try_from(&figures[..]))
            .collect();
        figures.with_context(|| format!("{name} has not {COUNT} figures"))
    }

    fn one<const COUNT: usize>(&self, name: &str) -> anyhow::Result<[f64; COUNT]> {
        let first = self.all(name)?.first().copied();
        first.with_context(|| format!("the benchmark says nothing of {name}"))
    }
}

/// All figures, in Markdown.
pub(super) fn table(results: &Results) -> anyhow::Result<String> {
    let mut text = String::new();
    let [torrents, peers, memory] = results.one("memory")?;
    let [one_by_one] = results.one("one_by_one")?;
    let [in_groups] = results.one("in_groups")?;
    writeln!(
        text,
        "### Announces\n\n\
         {torrents} torrents, {peers} peers, chosen at random, with what a reply would have \
         copied; the time that the thread had the processor.\n\n\
         | | |\n|---|--:|\n\
         | an announce, one by one | {one_by_one:.0} ns |\n\
         | an announce, in groups of eight | {in_groups:.0} ns |\n\
         | memory | {:.1} MB |\n\
         | memory of a torrent with its peers | {:.1} B |\n",
        memory / 1e6,
        memory / torrents,
    )?;

    let [peers, new, old, longest] = results.one("one_torrent")?;
    let [one_table] = results.one("one_table")?;
    writeln!(
        text,
        "### One large torrent\n\n\
         {peers} peers; and after ten times as many have come and gone.\n\n\
         | | |\n|---|--:|\n\
         | an announce, new | {new:.0} ns |\n\
         | an announce, after the churn | {old:.0} ns |\n\
         | the longest announce of a new peer | {longest:.0} µs |\n\
         | the longest insertion into one general table | {one_table:.0} µs |\n"
    )?;

    writeln!(
        text,
        "### Look-ups in steady swarms\n\n\
         Nanoseconds that a scrape takes, when torrents were new, and after so many have come \
         and gone one by one; the longest announce of a new torrent meanwhile; and how many \
         places a torrent has in the tables that find it.\n\n\
         | torrents | come and gone | present: new | present: after | absent: new | absent: after | longest | places |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for [
        torrents,
        churn,
        new_present,
        present,
        new_absent,
        absent,
        longest,
        places,
    ] in results.all("steady")?
    {
        writeln!(
            text,
            "| {torrents} | {churn} | {new_present:.0} | {present:.0} | {new_absent:.0} | \
             {absent:.0} | {longest:.0} µs | {places:.1} |"
        )?;
    }
    Ok(text)
}

/// Writes the section of the page.
pub(super) fn write(results: &Results, arguments: &Arguments) -> anyhow::Result<()> {
    let section = format!(
        "Written by `cargo xtask bench swarm --write` (profile `{profile}`): torrents and peers \
         alone, in one thread, without a network.\n\n\
         Machine: {machine}.\n\n\
         {table}",
        profile = arguments.profile,
        machine = Machine::this(),
        table = table(results)?,
    );
    document::write_section("Swarm", &section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_benchmark_prints() {
        let lines = "memory 10 20 4000\none_by_one 100.5\nin_groups 50\n\
                     one_torrent 10 1 2 3.4\none_table 5\n\
                     steady 12 100 50 51 30 31 3.3 1.5\nsteady 60 100 1 1 1 1 2 7";
        let results = Results(
            lines
                .lines()
                .map(|line| figures_of(line).unwrap())
                .collect(),
        );
        let table = table(&results).unwrap();
        assert!(table.contains("| memory of a torrent with its peers | 400.0 B |"));
        assert!(table.contains("| 12 | 100 | 50 | 51 | 30 | 31 | 3 µs | 1.5 |"));
        assert!(figures_of("memory ten").is_none());
        assert!(results.one::<2>("memory").is_err());
    }
}
