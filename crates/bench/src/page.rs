//! What was measured, as a table and as a page.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::Context;

use super::traffic::Row;
use super::udp::{Memory, Results, Traffic};
use super::{Arguments, document, plot};

/// All figures, in Markdown.
pub(super) fn table(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    write_traffic(&mut text, results).ok();
    write_rest(&mut text, results).ok();
    text
}

/// Writes the page and its picture.
pub(super) fn write(results: &Results, arguments: &Arguments) -> anyhow::Result<()> {
    let directory = crate::root().join("docs");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    plot::cpu_per_reply(results, &directory.join(PICTURE))?;
    document::write_section("UDP", &page(results, arguments))
}

fn page(results: &Results, arguments: &Arguments) -> String {
    let scale = &results.scale;
    format!(
        "Written by `cargo xtask bench udp --write` (profile `{profile}`, {seconds} s a \
         measurement).\n\n\
         {HOW}\n\
         Machine: {machine}.\n\n\
         ![CPU time per reply]({PICTURE})\n\n\
         {table}\n\
         {OTHERS}",
        profile = arguments.profile,
        seconds = scale.seconds,
        machine = results.machine,
        table = table(results),
    )
}

fn write_traffic(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(text, "### Traffic\n")?;
    write_pinned(text, &results.traffic)?;
    writeln!(text)?;
    write_pinned(text, &results.full_replies)?;

    writeln!(
        text,
        "\nOne worker and two, 50 % connect and 50 % announce. Server and load test (two \
         workers) share both cores.\n\n\
         | | CPU per reply | least to most | to one worker | replies/s | p50 | p99 | busy cores | lost |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let one = results.one_worker.samples.cpu_microseconds();
    write_row(text, &results.one_worker, one)?;
    write_row(text, &results.two_workers, one)?;
    writeln!(text)
}

/// The echo server and the daemon, of the same load.
fn write_pinned(text: &mut String, traffic: &Traffic) -> std::fmt::Result {
    let Traffic {
        torrents,
        peers,
        reply_bytes,
        floor,
        rows,
    } = traffic;
    let first = &rows[0].samples;
    writeln!(
        text,
        "{torrents} torrents, {peers} peers, 30 peers wanted: a reply to an announce has {:.1} \
         peers on average, and the floor answers one with as many bytes, {reply_bytes}. Server on \
         one core, load test on the other.\n",
        first.peers_per_announce(),
    )?;
    writeln!(
        text,
        "| | CPU per reply | least to most | to the floor | replies/s | p50 | p99 | busy cores | lost |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let reference = floor.samples.cpu_microseconds();
    write_row(text, floor, reference)?;
    for row in rows {
        write_row(text, row, reference)?;
    }
    Ok(())
}

fn write_row(text: &mut String, row: &Row, reference: f64) -> std::fmt::Result {
    let (least, most) = row.samples.cpu_range();
    writeln!(
        text,
        "| {} | {:.2} µs | {least:.2} to {most:.2} | {:.2} | {:.0} k | {:.0} µs | {:.0} µs | {:.2} | {} |",
        row.name,
        row.samples.cpu_microseconds(),
        row.samples.cpu_microseconds() / reference,
        row.samples.replies_per_second() / 1e3,
        row.samples.p50_microseconds(),
        row.samples.p99_microseconds(),
        row.samples.server_cores(),
        row.samples.lost(),
    )
}

fn write_rest(text: &mut String, results: &Results) -> std::fmt::Result {
    let scale = &results.scale;
    writeln!(
        text,
        "### Memory\n\n\
         Resident memory, IPv4, and what it grew by from the empty daemon.\n\n\
         | torrents | peers | whole | grew by | per torrent | per peer |\n\
         |--:|--:|--:|--:|--:|--:|"
    )?;
    write_memory(text, results.memory, scale.torrents, scale.peers)?;
    write_memory(
        text,
        results.memory_of_one_torrent,
        1,
        scale.peers_of_one_torrent,
    )?;

    let expiry = &results.expiry;
    writeln!(
        text,
        "\n### Expiry\n\n\
         How long requests wait, of which there are 5000 a second, while {} torrents of one \
         peer each expire. All torrents are gone through once in {} s.\n\n\
         | | p50 | p99.9 | longest |\n\
         |---|--:|--:|--:|",
        scale.torrents, scale.cleaning_seconds,
    )?;
    let rows = [
        ("nothing expires", &expiry.while_nothing_expired),
        ("all expire", &expiry.while_all_expired),
    ];
    for (name, latency) in rows {
        writeln!(
            text,
            "| {name} | {:.3} ms | {:.3} ms | {:.3} ms |",
            latency.p50_microseconds / 1e3,
            latency.p999_microseconds / 1e3,
            latency.max_microseconds / 1e3,
        )?;
    }

    writeln!(
        text,
        "\nThe daemon forgets in small steps, of which the longest took {:.3} ms: no request \
         waited longer for that. What is above comes from the machine as well.\n\n\
         {} s after the first peer could expire, {} torrents were left.",
        expiry.longest_step.as_secs_f64() * 1e3,
        expiry.watched.as_secs(),
        expiry.left
    )?;

    let snapshot = &results.snapshot;
    writeln!(
        text,
        "\n### Snapshot\n\n\
         {} torrents, {} peers, a file of {:.1} MB, on one core.\n\n\
         | | with the snapshot | without | difference |\n\
         |---|--:|--:|--:|",
        scale.torrents,
        scale.peers,
        snapshot.file_bytes as f64 / 1e6,
    )?;
    let rows = [
        (
            "writing: from SIGTERM to the end of the process",
            snapshot.stop,
            snapshot.stop_without,
        ),
        (
            "restoring: from the start of the process to READY",
            snapshot.start,
            snapshot.start_without,
        ),
    ];
    for (name, with, without) in rows {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(
            text,
            "| {name} | {:.0} ms | {:.0} ms | {:.0} ms |",
            milliseconds(with),
            milliseconds(without),
            milliseconds(with) - milliseconds(without),
        )?;
    }
    Ok(())
}

fn write_memory(text: &mut String, memory: Memory, torrents: u32, peers: u32) -> std::fmt::Result {
    let added = memory.added() as f64;
    let per_torrent = if torrents > 1 {
        format!("{:.1} B", added / f64::from(torrents))
    } else {
        String::new()
    };
    writeln!(
        text,
        "| {torrents} | {peers} | {:.1} MB | {:.1} MB | {per_torrent} | {:.1} B |",
        memory.filled as f64 / 1e6,
        added / 1e6,
        added / f64::from(peers),
    )
}

const PICTURE: &str = "udp-cpu-per-reply.svg";

const HOW: &str = "\
CPU per reply is user and system time of the server's process over replies
received; the other columns follow from it and from the load. The floor is a
server that reads a datagram and answers it at once, with one system call each,
under the same load: 16 bytes to a connect request, and to an announce as many as
the daemon's replies have on average. Where the socket is bound to every address of
the machine, each reply says from which one it comes, which the floor does not. All
rows of a table are measured in turns, and the figures are medians. Take the
ratios with you: the times belong to the machine. Where fewer cores are busy
than the server has, the load test was the slower of the two or something else
was running, and replies per second and latencies say little.
";

const OTHERS: &str = "\
### Other trackers

Measured on another machine (two shared Xeon cores, Linux 6.18) on 2026-11-23,
with the same load, one worker, and a floor of 1.70 µs there.

| | 50 % connect, 50 % announce | to the floor | announce only | connect only | memory |
|---|--:|--:|--:|--:|--:|
| aquatic of early 2026, mio | 2.74 µs | 1.6 | 3.25 µs | 2.14 µs | 216 MB |
| aquatic of early 2026, io_uring | 2.85 µs | 1.7 | 3.43 µs | 2.09 µs | 223 MB |
| opentracker | 3.43 µs | 2.0 | 3.88 µs | 2.81 µs | 70 MB |
";
