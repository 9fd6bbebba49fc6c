//! What a run has found.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::counters::{Count, Counters, Kind};
use crate::latency::{Latencies, Latency};

/// What a run has found, over the time that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The tracker's address.
    pub server_address: String,
    /// How long was measured.
    pub seconds: f64,
    /// The fill phase, if there was one.
    pub fill: Option<Fill>,
    /// Connect requests. Over TCP, connections: how many were begun and how
    /// many have been opened, and how long that took, with TLS.
    pub connect: Requests,
    /// Announce requests.
    pub announce: Requests,
    /// Scrape requests.
    pub scrape: Requests,
    /// Offers: how many left with announces, how many the tracker relayed to
    /// other peers, and after which time. Only over WebSocket; more leave than
    /// are relayed where a torrent has fewer other peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Requests>,
    /// Answers to these: how many were sent, how many came to who had made the
    /// offer, and how long after the offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Requests>,
    /// Requests of all kinds, without connections. Its replies include error
    /// replies, and offers and answers that were received.
    pub all: Requests,
    /// Error replies.
    pub errors: u64,
    /// The text of the first error reply of the whole run.
    pub first_error: Option<String>,
    /// Requests without a reply within the timeout.
    pub lost: u64,
    /// Replies that came after the timeout. None over TCP, where a timeout
    /// ends the connection.
    pub late: u64,
    /// Datagrams and bytes that are no reply, or not to the request that was
    /// sent.
    pub unexpected: u64,
    /// Results of connections, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
    /// Bytes sent, before encryption, and without headers of UDP or TCP.
    pub sent_bytes: u64,
    /// Bytes received, likewise.
    pub received_bytes: u64,
    /// Peers in an announce reply, on average. None over WebSocket, where
    /// offers take their place.
    pub peers_per_announce: f64,
    /// The tracker's process, when its id was given.
    pub server: Option<ProcessUse>,
    /// This process. Where its utilisation is as many cores as it has workers,
    /// the tracker could have served more.
    pub load_test: ProcessUse,
}

/// How the population was announced.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Requests {
    /// Requests sent.
    pub sent: u64,
    /// Replies received. In a short run there may be a few more than requests, because those
    /// to the last requests of the warm-up are counted, too.
    pub replies: u64,
    /// Replies received per second.
    pub replies_per_second: f64,
    /// How long the requests waited.
    pub latency: Latency,
}

/// Results of connections.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Connections {
    /// Connections that could not be opened.
    pub failed: u64,
    /// Why the first of the whole run could not.
    pub first_failure: Option<String>,
    /// Open connections that the server has closed without being asked to, or
    /// that were given up for want of a reply.
    pub closed: u64,
    /// TLS handshakes from nothing.
    pub full_handshakes: u64,
    /// TLS handshakes that resumed a session.
    pub resumed_handshakes: u64,
}

/// What a process needed.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ProcessUse {
    /// User and system time.
    pub cpu_seconds: f64,
    /// The same over all replies.
    pub cpu_microseconds_per_reply: f64,
    /// The same over the time measured: 1 is a core.
    pub cores: f64,
    /// Memory before the first request (resident set).
    pub resident_bytes_before: u64,
    /// Memory at the end.
    pub resident_bytes: u64,
}

/// What was measured of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessUsage {
    pub(crate) cpu_time: Duration,
    pub(crate) resident_bytes_before: u64,
    pub(crate) resident_bytes: u64,
}

/// What a report is made from.
pub(crate) struct Measured {
    pub(crate) server_address: String,
    pub(crate) time: Duration,
    /// What was counted in that time, and what was lost of it afterwards.
    pub(crate) counters: Counters,
    /// The kinds that are requests to the tracker.
    pub(crate) requests: &'static [Kind],
    pub(crate) latencies: Latencies,
    pub(crate) first_error: Option<String>,
    pub(crate) first_failure: Option<String>,
    pub(crate) fill: Option<Fill>,
    pub(crate) server: Option<ProcessUsage>,
    pub(crate) load_test: ProcessUsage,
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
        let relayed = |kind| measured.requests.contains(&kind).then(|| requests(kind));
        let replies = counters.all_replies(measured.requests);
        let process = |process: ProcessUsage| {
            let cpu_seconds = process.cpu_time.as_secs_f64();
            ProcessUse {
                cpu_seconds,
                cpu_microseconds_per_reply: ratio(cpu_seconds * 1e6, replies as f64),
                cores: ratio(cpu_seconds, seconds),
                resident_bytes_before: process.resident_bytes_before,
                resident_bytes: process.resident_bytes,
            }
        };
        let announce = requests(Kind::Announce);

        Self {
            server_address: measured.server_address.clone(),
            seconds,
            fill: measured.fill,
            connect: requests(Kind::Connect),
            announce,
            scrape: requests(Kind::Scrape),
            offer: relayed(Kind::Offer),
            answer: relayed(Kind::Answer),
            all: Requests {
                sent: (measured.requests.iter())
                    .map(|kind| counters[kind.sent()])
                    .sum(),
                replies,
                replies_per_second: ratio(replies as f64, seconds),
                latency: Latency::new(&merged(&measured.latencies, measured.requests)),
            },
            errors: counters[Count::Errors],
            first_error: measured.first_error.clone(),
            lost: counters[Count::Lost],
            late: counters[Count::Late],
            unexpected: counters[Count::Unexpected],
            connections: connections(measured),
            sent_bytes: counters[Count::BytesSent],
            received_bytes: counters[Count::BytesReceived],
            peers_per_announce: ratio(
                counters[Count::PeersReceived] as f64,
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
            ("connect", Some(&self.connect)),
            ("announce", Some(&self.announce)),
            ("scrape", Some(&self.scrape)),
            ("offer", self.offer.as_ref()),
            ("answer", self.answer.as_ref()),
            ("all", Some(&self.all)),
        ];
        for (name, row) in rows {
            let Some(row) = row else {
                continue;
            };
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
        let (per_announce, peers) = match &self.offer {
            Some(offer) => {
                let announces = self.announce.replies as f64;
                (ratio(offer.replies as f64, announces), "offers relayed")
            }
            None => (self.peers_per_announce, "peers"),
        };
        if let Some(connections) = &self.connections {
            writeln!(f, "{connections}")?;
        }
        writeln!(
            f,
            "sent {} bytes, received {} bytes, {:.1} {} per announce",
            self.sent_bytes, self.received_bytes, per_announce, peers
        )?;
        if let Some(server) = &self.server {
            writeln!(f, "tracker: {server}")?;
        }
        write!(f, "load test: {}", self.load_test)
    }
}

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connections: {} failed, {} closed by the server or given up; TLS handshakes: \
             {} full, {} resumed",
            self.failed, self.closed, self.full_handshakes, self.resumed_handshakes
        )?;
        if let Some(reason) = &self.first_failure {
            write!(f, "\nfirst connection that failed: {reason}")?;
        }
        Ok(())
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

/// None where connecting is a request like others.
fn connections(measured: &Measured) -> Option<Connections> {
    let counters = &measured.counters;
    (!measured.requests.contains(&Kind::Connect)).then(|| Connections {
        failed: counters[Count::Failed],
        first_failure: measured.first_failure.clone(),
        closed: counters[Count::Closed],
        full_handshakes: counters[Count::FullHandshakes],
        resumed_handshakes: counters[Count::ResumedHandshakes],
    })
}

fn merged(latencies: &Latencies, kinds: &[Kind]) -> Histogram<u64> {
    let [mut all, ..] = latencies.clone();
    all.reset();
    for kind in kinds {
        // All have the same bounds.
        all += &latencies[*kind as usize];
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
        counters[Count::ConnectSent] = 110;
        counters[Count::ConnectReplies] = 100;
        counters[Count::AnnounceSent] = 400;
        counters[Count::AnnounceReplies] = 300;
        counters[Count::Errors] = 100;
        counters[Count::Lost] = 10;
        counters[Count::PeersReceived] = 900;

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
            first_failure: None,
            requests: &[Kind::Connect, Kind::Announce, Kind::Scrape],
            server: Some(ProcessUsage {
                cpu_time: Duration::from_micros(1000),
                resident_bytes_before: 3_000_000,
                resident_bytes: 5_000_000,
            }),
            load_test: ProcessUsage {
                cpu_time: Duration::from_secs(1),
                resident_bytes_before: 1_000_000,
                resident_bytes: 1_000_000,
            },
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
    fn connections_over_http_are_no_requests() {
        let mut measured = Measured {
            requests: &[Kind::Announce, Kind::Scrape],
            ..measured()
        };
        measured.counters[Count::ResumedHandshakes] = 7;
        let report = Report::new(&measured);
        assert_eq!((report.all.sent, report.all.replies), (400, 400));
        assert!(report.all.latency.p50_microseconds > 2.9);
        assert_eq!(report.connect.replies, 100);
        assert!(report.to_string().contains("0 full, 7 resumed"));
    }

    #[test]
    fn offers_and_answers_are_messages_like_others() {
        let mut relayed = Measured {
            requests: &[Kind::Announce, Kind::Scrape, Kind::Offer, Kind::Answer],
            ..measured()
        };
        relayed.counters[Count::OffersSent] = 1000;
        relayed.counters[Count::OffersReceived] = 900;
        relayed.counters[Count::AnswersReceived] = 800;
        let report = Report::new(&relayed);
        assert_eq!(report.offer.unwrap().sent, 1000);
        assert_eq!(report.all.replies, 300 + 900 + 800 + 100);
        assert!(
            report
                .to_string()
                .contains("3.0 offers relayed per announce")
        );
        assert!(Report::new(&measured()).offer.is_none());
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
        assert!(json.get("connections").is_none());
        assert!(json["all"]["latency"]["p999_microseconds"].is_number());
    }
}
