//! What was measured for `aquatic-ws`, as tables and as a section of the page.

use std::fmt::Write as _;

use super::ws::{DESCRIPTION_BYTES, OFFERS, Results};
use super::ws_row::{self, Row, Served};
use super::{Arguments, document};

/// All figures, in Markdown.
pub(super) fn table(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    write_traffic(&mut text, results).ok();
    write_idle(&mut text, results).ok();
    write_passing(&mut text, results).ok();
    text
}

/// Writes the section of the page and its picture.
pub(super) fn write(results: &Results, arguments: &Arguments) -> anyhow::Result<()> {
    document::write_bars(PICTURE, &ws_row::pictured(&results.rows))?;
    let section = format!(
        "Written by `cargo xtask bench ws --write` (profile `{profile}`, {runs} times {seconds} \
         s a row).\n\n\
         {HOW}\n\
         Machine: {machine}.\n\n\
         ![CPU time per message]({PICTURE})\n\n\
         {table}",
        profile = arguments.profile,
        runs = results.scale.runs,
        seconds = results.scale.seconds,
        machine = results.machine,
        table = table(results),
    );
    document::write_section("WebTorrent", &section)
}

fn write_traffic(text: &mut String, results: &Results) -> std::fmt::Result {
    let scale = &results.scale;
    writeln!(
        text,
        "### Announces, offers and answers\n\n\
         {} connections, {} torrents, {} peers; 0 or {OFFERS} offers in an announce, all of them \
         answered, with descriptions of {DESCRIPTION_BYTES} bytes; one worker.\n\n\
         | | server | CPU per announce | CPU per message | to the relay | to the echo | least to most | messages/s | p50 | p99 | busy cores | lost |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        scale.connections,
        scale.torrents,
        scale.peers()
    )?;
    for row in &results.rows {
        write_row(text, row, &results.rows)?;
    }
    writeln!(text)
}

fn write_row(text: &mut String, row: &Row, rows: &[Row]) -> std::fmt::Result {
    let samples = &row.samples;
    let ratio = |served| {
        let other = ws_row::counterpart(rows, row, served);
        other.map_or_else(String::new, |other| {
            let ratio = samples.cpu_microseconds() / other.samples.cpu_microseconds();
            format!("{ratio:.2}")
        })
    };
    let (least, most) = samples.cpu_range();
    writeln!(
        text,
        "| {} | {} | {:.2} µs | {:.2} µs | {} | {} | {least:.2} to {most:.2} | {:.1} k | {:.0} µs | {:.0} µs | {:.2} | {} |",
        row.case,
        row.server(),
        samples.cpu_microseconds_per_announce(),
        samples.cpu_microseconds(),
        ratio(Served::Relay),
        ratio(Served::Echo),
        samples.replies_per_second() / 1e3,
        samples.announce_p50_microseconds(),
        samples.announce_p99_microseconds(),
        samples.server_cores(),
        samples.lost(),
    )
}

fn write_idle(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        text,
        "### Idle connections\n\n\
         Memory of one of {} connections that have announced so many torrents each and are \
         silent, with their share of the torrents, without what the kernel needs for them.\n\n\
         | | 1 torrent | 10 torrents | 100 torrents |\n\
         |---|--:|--:|--:|",
        results.scale.idle_connections
    )?;
    for group in results
        .idle
        .chunk_by(|a, b| (a.event_loop, a.tls) == (b.event_loop, b.tls) && a.torrents < b.torrents)
    {
        if let [first, ..] = group {
            write!(text, "| {}, {} |", first.event_loop.name, wire(first.tls))?;
        }
        for idle in group {
            write!(text, " {:.2} KiB |", idle.bytes_per_connection / 1024.0)?;
        }
        writeln!(text)?;
    }
    writeln!(text)
}

fn write_passing(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        text,
        "### Connections that come and go\n\n\
         Memory of the daemon when nobody is connected: before anybody was, after some {} \
         connections of which {} were open at the same time, and after many.\n\n\
         | | connections | at first | after some | after all | growth |\n\
         |---|--:|--:|--:|--:|--:|",
        results.scale.passing_at_once, results.scale.passing_at_once
    )?;
    for passing in &results.passing {
        writeln!(
            text,
            "| {}, {} | {} | {:.2} MB | {:.2} MB | {:.2} MB | {:+.1} % |",
            passing.event_loop.name,
            wire(passing.tls),
            passing.connections,
            passing.empty_bytes as f64 / 1e6,
            passing.bytes_before as f64 / 1e6,
            passing.bytes_after as f64 / 1e6,
            (passing.bytes_after as f64 / passing.bytes_before as f64 - 1.0) * 100.0,
        )?;
    }
    Ok(())
}

fn wire(tls: bool) -> &'static str {
    if tls { "TLS" } else { "plain" }
}

const PICTURE: &str = "ws-cpu-per-message.svg";

const HOW: &str = "\
CPU per message is user and system time of the server's process over all
messages that the load test has received: replies to announces, offers, and
answers. Each event loop has two servers to compare with. The echo answers a
message with one as long, to whoever has sent it. The relay sends what a tracker
sends, to as many connections, but it is always the same, whoever is next in a
row gets it, and nothing is read of a message but its ends: what is left is the
kernel, TLS and the frames. Where there are no offers, both are the same. Server
and load test have a core each, all rows are measured in turns, and the figures
are medians. Take the ratios with you: the times belong to the machine. Where
the server keeps less than one core busy, the load test was the slower of the
two. p50 and p99 are those of announces.
";
