//! The measurements of the swarm, in one process.

use std::process::Stdio;

use anyhow::{Context, ensure};

use crate::machine::Machine;
use crate::results::{OneTorrent, Steady, Swarm};

/// Runs `crates/swarm/benches/swarm.rs`; this takes minutes, unless it is to be
/// quick.
///
/// # Errors
///
/// If it fails, or lacks a result.
pub(crate) fn measure(profile: &str, quick: bool) -> anyhow::Result<Swarm> {
    let mut command = crate::cargo_command();
    command.args(["bench", "--bench", "swarm", "--profile", profile]);
    if profile == "test" {
        // As `Programs::build` does.
        command.args(["--workspace", "--all-features"]);
    } else {
        command.args(["--package", "aquatic_swarm"]);
    }
    if quick {
        command.args(["--", "--quick"]);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the benchmark has failed");
    let text = String::from_utf8(output.stdout).context("the benchmark prints no text")?;
    Report::parse(&text)?.swarm(profile)
}

/// The output of the benchmark: lines with a name and values.
struct Report<'a>(Vec<(&'a str, Vec<f64>)>);

impl<'a> Report<'a> {
    fn parse(text: &'a str) -> anyhow::Result<Self> {
        let line = |line: &'a str| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            Some((name, words.map(str::parse).collect::<Result<_, _>>().ok()?))
        };
        let lines: Option<Vec<_>> = text.lines().map(line).collect();
        let lines = lines.context("a line of the benchmark is not a name and values")?;
        Ok(Self(lines))
    }

    /// The values of all lines with this name, `COUNT` per line.
    fn all<const COUNT: usize>(&self, name: &str) -> anyhow::Result<Vec<[f64; COUNT]>> {
        let lines = self.0.iter().filter(|(other, _)| *other == name);
        let values: Result<Vec<_>, _> = lines
            .map(|(_, values)| <[f64; COUNT]>::try_from(&values[..]))
            .collect();
        values.with_context(|| format!("{name} has not {COUNT} values"))
    }

    fn one<const COUNT: usize>(&self, name: &str) -> anyhow::Result<[f64; COUNT]> {
        let first = self.all(name)?.first().copied();
        first.with_context(|| format!("the benchmark says nothing of {name}"))
    }

    fn swarm(&self, profile: &str) -> anyhow::Result<Swarm> {
        // Integers are exact up to 2^53.
        let [torrents, peers, bytes] = self.one("memory")?.map(|value| value as u64);
        let [one_by_one_nanoseconds] = self.one("one_by_one")?;
        let [in_groups_nanoseconds] = self.one("in_groups")?;
        let [
            of_one,
            new_nanoseconds,
            old_nanoseconds,
            longest_microseconds,
        ] = self.one("one_torrent")?;
        let [table_microseconds] = self.one("one_table")?;
        let steady = self.all("steady")?.into_iter().map(
            |[
                torrents,
                come_and_gone,
                new_present_nanoseconds,
                old_present_nanoseconds,
                new_absent_nanoseconds,
                old_absent_nanoseconds,
                longest_microseconds,
                places,
            ]| Steady {
                torrents: torrents as u64,
                come_and_gone: come_and_gone as u64,
                new_present_nanoseconds,
                old_present_nanoseconds,
                new_absent_nanoseconds,
                old_absent_nanoseconds,
                longest_microseconds,
                places,
            },
        );
        Ok(Swarm {
            remark: None,
            machine: Machine::this(),
            profile: profile.to_owned(),
            torrents,
            peers,
            bytes,
            one_by_one_nanoseconds,
            in_groups_nanoseconds,
            one_torrent: OneTorrent {
                peers: of_one as u64,
                new_nanoseconds,
                old_nanoseconds,
                longest_microseconds,
                table_microseconds,
            },
            steady: steady.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_benchmark_prints() {
        let lines = "memory 10 20 4000\none_by_one 100.5\nin_groups 50\n\
                     one_torrent 10 1 2 3.4\none_table 5\n\
                     steady 12 100 50 51 30 31 3.3 1.5\nsteady 60 100 1 1 1 1 2 7";
        let report = Report::parse(lines).unwrap();
        let swarm = report.swarm("release").unwrap();
        assert_eq!((swarm.torrents, swarm.peers, swarm.bytes), (10, 20, 4000));
        assert_eq!(swarm.one_torrent.table_microseconds, 5.0);
        assert_eq!(swarm.steady[0].old_absent_nanoseconds, 31.0);
        assert_eq!(swarm.steady[1].places, 7.0);
        assert!(report.one::<2>("memory").is_err());
        assert!(Report::parse("memory ten").is_err());
    }
}
