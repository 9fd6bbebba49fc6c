//! What a run has found.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::counters::{Counter, Counters, Kind};
use crate::latency::{Latencies, Latency};

/// What a run has found, over the time that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The tracker's address.
    pub server_address: String,
    /// How long was measured.
    pub seconds: f64,
    /// The fill phase, if there was one.
    pub fill: Option<Fill>,
    /// Connect requests.
    pub connect: Requests,
    /// Announce requests.
    pub announce: Requests,
    /// Scrape requests.
    pub scrape: Requests,
    /// Requests of all kinds. Its replies include error replies.
    pub all: Requests,
    /// Error replies.
    pub errors: u64,
    /// The text of the first error reply of the whole run.
    pub first_error: Option<String>,
    /// Requests without a reply within the timeout.
    pub lost: u64,
    /// Replies that came after the timeout.
    pub late: u64,
    /// Datagrams that are no reply, or not to the request they name.
    pub unexpected: u64,
    /// Bytes sent, without UDP and IP headers.
    pub sent_bytes: u64,
    /// Bytes received, without UDP and IP headers.
    pub received_bytes: u64,
    /// Peers in an announce reply, on average.
    pub peers_per_announce: f64,
    /// The tracker's process, when its id was given.
    pub server: Option<ProcessUse>,
    /// This process. Where its utilisation is as many cores as it has workers,
    /// the tracker could have served more.
    pub load_test: ProcessUse,
}

/// How the population was announced.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Fill {
    /// Peers that announced, each once.
    pub peers: u64,
    /// How long it took.
    pub seconds: f64,
    /// Error replies meanwhile.
    pub errors: u64,
    /// Requests that had to be repeated.
    pub lost: u64,
}

/// Requests of a kind.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Requests {
    /// Requests sent.
    pub sent: u64,
    /// Replies received.
    pub replies: u64,
    /// Replies received per second.
    pub replies_per_second: f64,
    /// How long the requests waited.
    pub latency: Latency,
}

/// What a process needed.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ProcessUse {
    /// User and system time.
    pub cpu_seconds: f64,
    /// The same over all replies.
    pub cpu_microseconds_per_reply: f64,
    /// The same over the time measured: 1 is a core.
    pub cores: f64,
    /// Memory at the end (resident set).
    pub resident_bytes: u64,
}

/// What a report is made from.
pub(crate) struct Measured {
    pub(crate) server_address: String,
    pub(crate) time: Duration,
    /// What was counted in that time, and what was lost of it afterwards.
    pub(crate) counters: Counters,
    pub(crate) latencies: Latencies,
    pub(crate) first_error: Option<String>,
    pub(crate) fill: Option<Fill>,
    /// CPU time and memory.
    pub(crate) server: Option<(Duration, u64)>,
    pub(crate) load_test: (Duration, u64),
}

impl Report {
    pub(crate) fn new(measured: &Measured) -> Self {
        let counters = &measured.counters;
        let seconds = measured.time.as_secs_f64();
        let requests = |kind: Kind| Requests {
            sent: counters[kind.sent()],
            replies: counters[kind.replies()],
            replies_per_second: ratio(counters[kind.replies()] as f64, seconds),
            latency: Latency::new(&measured.latencies[kind as usize]),
        };
        let replies = counters.all_replies();
        let process = |(cpu, resident_bytes): (Duration, u64)| ProcessUse {
            cpu_seconds: cpu.as_secs_f64(),
            cpu_microseconds_per_reply: ratio(cpu.as_secs_f64() * 1e6, replies as f64),
            cores: ratio(cpu.as_secs_f64(), seconds),
            resident_bytes,
        };
        let announce = requests(Kind::Announce);

        Self {
            server_address: measured.server_address.clone(),
            seconds,
            fill: measured.fill,
            connect: requests(Kind::Connect),
            announce,
            scrape: requests(Kind::Scrape),
            all: Requests {
                sent: Kind::ALL.iter().map(|kind| counters[kind.sent()]).sum(),
                replies,
                replies_per_second: ratio(replies as f64, seconds),
                latency: Latency::new(&merged(&measured.latencies)),
            },
            errors: counters[Counter::Errors],
            first_error: measured.first_error.clone(),
            lost: counters[Counter::Lost],
            late: counters[Counter::Late],
            unexpected: counters[Counter::Unexpected],
            sent_bytes: counters[Counter::BytesSent],
            received_bytes: counters[Counter::BytesReceived],
            peers_per_announce: ratio(
                counters[Counter::PeersReceived] as f64,
                announce.replies as f64,
            ),
            server: measured.server.map(process),
            load_test: process(measured.load_test),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} for {:.1} s", self.server_address, self.seconds)?;
        if let Some(fill) = &self.fill {
            writeln!(
                f,
                "before that, {} peers announced once in {:.1} s ({} errors, {} repeated)",
                fill.peers, fill.seconds, fill.errors, fill.lost
            )?;
        }
        writeln!(
            f,
            "\n{:9} {:>10} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "sent", "replies", "replies/s", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs"
        )?;
        let rows = [
            ("connect", &self.connect),
            ("announce", &self.announce),
            ("scrape", &self.scrape),
            ("all", &self.all),
        ];
        for (name, row) in rows {
            let latency = &row.latency;
            writeln!(
                f,
                "{name:9} {:>10} {:>10} {:>10.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0}",
                row.sent,
                row.replies,
                row.replies_per_second,
                latency.p50_microseconds,
                latency.p90_microseconds,
                latency.p99_microseconds,
                latency.p999_microseconds,
                latency.max_microseconds,
            )?;
        }
        writeln!(
            f,
            "\nlost {}, late {}, error replies {}, unexpected {}",
            self.lost, self.late, self.errors, self.unexpected
        )?;
        if let Some(message) = &self.first_error {
            writeln!(f, "first error reply: {message}")?;
        }
        writeln!(
            f,
            "sent {} bytes, received {} bytes, {:.1} peers per announce",
            self.sent_bytes, self.received_bytes, self.peers_per_announce
        )?;
        if let Some(server) = &self.server {
            writeln!(f, "tracker: {server}")?;
        }
        write!(f, "load test: {}", self.load_test)
    }
}

impl fmt::Display for ProcessUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.3} µs of CPU per reply, {:.2} cores, {:.1} MB",
            self.cpu_microseconds_per_reply,
            self.cores,
            self.resident_bytes as f64 / 1e6
        )
    }
}

fn merged(latencies: &Latencies) -> Histogram<u64> {
    let [mut all, others @ ..] = latencies.clone();
    for other in &others {
        // All have the same bounds.
        all += other;
    }
    all
}

/// Zero over anything, and anything over zero, is zero.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::histograms;

    fn measured() -> Measured {
        let mut counters = Counters::default();
        counters[Counter::ConnectSent] = 110;
        counters[Counter::ConnectReplies] = 100;
        counters[Counter::AnnounceSent] = 400;
        counters[Counter::AnnounceReplies] = 300;
        counters[Counter::Errors] = 100;
        counters[Counter::Lost] = 10;
        counters[Counter::PeersReceived] = 900;

        let mut latencies = histograms().unwrap();
        latencies[Kind::Connect as usize].record(1_000).unwrap();
        latencies[Kind::Announce as usize].record(3_000).unwrap();
        Measured {
            server_address: "127.0.0.1:3000".to_owned(),
            time: Duration::from_secs(2),
            counters,
            latencies,
            first_error: Some("torrent limit".to_owned()),
            fill: None,
            server: Some((Duration::from_micros(1000), 5_000_000)),
            load_test: (Duration::from_secs(1), 1_000_000),
        }
    }

    #[test]
    fn divides_by_time_and_by_replies() {
        let report = Report::new(&measured());
        assert_eq!(report.all.sent, 510);
        assert_eq!(report.all.replies, 500);
        assert_eq!(report.all.replies_per_second, 250.0);
        assert_eq!(report.announce.replies_per_second, 150.0);
        assert_eq!(report.peers_per_announce, 3.0);
        assert_eq!(report.load_test.cores, 0.5);
        let server = report.server.unwrap();
        assert!((server.cpu_microseconds_per_reply - 2.0).abs() < 1e-9);
    }

    #[test]
    fn all_latencies_are_those_of_every_kind() {
        let latency = Report::new(&measured()).all.latency;
        assert!(latency.p50_microseconds < 1.1, "{latency:?}");
        assert!(latency.max_microseconds > 2.9, "{latency:?}");
    }

    #[test]
    fn a_run_without_replies_divides_by_nothing() {
        let report = Report::new(&Measured {
            counters: Counters::default(),
            ..measured()
        });
        assert_eq!(report.all.replies_per_second, 0.0);
        assert_eq!(report.server.unwrap().cpu_microseconds_per_reply, 0.0);
    }

    #[test]
    fn people_and_programs_can_read_it() {
        let report = Report::new(&measured());
        let text = report.to_string();
        assert!(text.contains("2.000 µs of CPU per reply"), "{text}");
        assert!(text.contains("first error reply: torrent limit"), "{text}");

        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["announce"]["replies"], 300);
        assert_eq!(json["server"]["resident_bytes"], 5_000_000);
        assert!(json["all"]["latency"]["p999_microseconds"].is_number());
    }
}
