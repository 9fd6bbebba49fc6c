//! What was measured for `aquatic-http`, as tables and as a section of the
//! page.

use std::fmt::Write as _;

use super::http::{Idle, Results};
use super::http_row::{self, Row};
use super::{Arguments, document};

/// All figures, in Markdown.
pub(super) fn table(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    write_traffic(&mut text, results).ok();
    write_idle(&mut text, results).ok();
    text
}

/// Writes the section of the page and its picture.
pub(super) fn write(results: &Results, arguments: &Arguments) -> anyhow::Result<()> {
    document::write_bars(PICTURE, &http_row::pictured(&results.rows))?;
    let section = format!(
        "Written by `cargo xtask bench http --write` (profile `{profile}`, {runs} times {seconds} \
         s a row).\n\n\
         {HOW}\n\
         Machine: {machine}.\n\n\
         ![CPU time per reply]({PICTURE})\n\n\
         {table}",
        profile = arguments.profile,
        runs = results.scale.runs,
        seconds = results.scale.seconds,
        machine = results.machine,
        table = table(results),
    );
    document::write_section("HTTP", &section)
}

fn write_traffic(text: &mut String, results: &Results) -> std::fmt::Result {
    let scale = &results.scale;
    writeln!(
        text,
        "### Requests\n\n\
         {} torrents, {} peers, announces with 30 peers in the reply, one worker.\n\n\
         | | connections | server | CPU per reply | to the floor | least to most | replies/s | p50 | p99 | busy cores | lost |\n\
         |---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        scale.torrents,
        scale.peers()
    )?;
    for row in &results.rows {
        write_row(text, row, http_row::floor_of(&results.rows, row))?;
    }
    writeln!(text)
}

fn write_row(text: &mut String, row: &Row, floor: Option<&Row>) -> std::fmt::Result {
    let (least, most) = row.samples.cpu_range();
    let ratio = floor.map_or_else(String::new, |floor| {
        format!(
            "{:.2}",
            row.samples.cpu_microseconds() / floor.samples.cpu_microseconds()
        )
    });
    writeln!(
        text,
        "| {} | {} | {} | {:.2} µs | {ratio} | {least:.2} to {most:.2} | {:.1} k | {:.0} µs | {:.0} µs | {:.2} | {} |",
        row.case,
        row.case.connections,
        row.server(),
        row.samples.cpu_microseconds(),
        row.samples.replies_per_second() / 1e3,
        row.samples.p50_microseconds(),
        row.samples.p99_microseconds(),
        row.samples.server_cores(),
        row.samples.lost(),
    )
}

fn write_idle(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        text,
        "### Idle connections\n\n\
         Memory of {} connections that have had a reply and are silent, without what the kernel \
         needs for them; and how long 5000 requests a second over 64 other connections wait, \
         without them and with them.\n\n\
         | | memory of one | p50 without | p50 with | p99 without | p99 with |\n\
         |---|--:|--:|--:|--:|--:|",
        results.scale.idle_connections
    )?;
    for idle in &results.idle {
        let Idle {
            event_loop,
            tls,
            bytes_per_connection,
            latency_without,
            latency_with,
        } = idle;
        writeln!(
            text,
            "| {}, {} | {:.2} KiB | {:.0} µs | {:.0} µs | {:.0} µs | {:.0} µs |",
            event_loop.name,
            if *tls { "TLS" } else { "plain" },
            bytes_per_connection / 1024.0,
            latency_without.p50_microseconds,
            latency_with.p50_microseconds,
            latency_without.p99_microseconds,
            latency_with.p99_microseconds,
        )?;
    }
    Ok(())
}

const PICTURE: &str = "http-cpu-per-reply.svg";

const HOW: &str = "\
CPU per reply is user and system time of the server's process over replies
received. Each event loop has a floor: a server on the same loop that reads a
request, looks only for its end, and answers with bytes that are always the
same and as long as a tracker's reply. Server and load test have a core each,
all rows are measured in turns, and the figures are medians. Take the ratios
with you: the times belong to the machine. Where the server keeps less than one
core busy, the load test was the slower of the two, and replies per second and
latencies are those of the load test. A connection a request costs a client
more than a server, so that is always so there.
";
