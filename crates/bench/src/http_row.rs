//! Rows of the table about HTTP: the same load on the same server, several
//! times.

use std::fmt;

use anyhow::ensure;

use super::event_loops::{EVENT_LOOPS, EventLoop};
use super::load::Report;
use super::samples::Samples;

/// What connections are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Plain,
    /// Over TLS; every connection begins with a full handshake.
    Tls,
    /// Over TLS; every connection but the first resumes a session.
    ResumedTls,
}

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) wire: Wire,
    pub(super) keep_alive: bool,
    pub(super) connections: usize,
}

impl Case {
    /// All that are measured, in the order of the table.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let kinds = [
            (Wire::Plain, true),
            (Wire::Plain, false),
            (Wire::Tls, true),
            (Wire::Tls, false),
            (Wire::ResumedTls, false),
        ];
        kinds.into_iter().flat_map(|(wire, keep_alive)| {
            [64, 2000].map(|connections| Self {
                wire,
                keep_alive,
                connections,
            })
        })
    }
}

impl Case {
    /// Whether so many handshakes begin at once that it takes seconds until
    /// they are spread over time.
    pub(super) fn is_slow_to_start(self) -> bool {
        self.wire != Wire::Plain && !self.keep_alive && self.connections > 64
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.wire, self.keep_alive) {
            (Wire::Plain, true) => "kept connections",
            (Wire::Plain, false) => "a connection a request",
            (Wire::Tls | Wire::ResumedTls, true) => "TLS, kept connections",
            (Wire::Tls, false) => "TLS, a full handshake a request",
            (Wire::ResumedTls, false) => "TLS, a resumption a request",
        })
    }
}

/// A row and what was measured for it so far.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) event_loop: EventLoop,
    /// Of the floor, not of the daemon.
    pub(super) is_bare: bool,
    pub(super) samples: Samples,
}

impl Row {
    pub(super) fn new(case: Case, event_loop: EventLoop, is_bare: bool) -> Self {
        Self {
            case,
            event_loop,
            is_bare,
            samples: Samples::default(),
        }
    }

    /// What was measured.
    pub(super) fn server(&self) -> String {
        if self.is_bare {
            self.event_loop.bare_name.to_owned()
        } else {
            format!("aquatic-http, {}", self.event_loop.name)
        }
    }

    /// Adds a measurement.
    ///
    /// # Errors
    ///
    /// When handshakes were not of the kind that was to be measured.
    pub(super) fn add(&mut self, report: Report) -> anyhow::Result<()> {
        eprintln!(
            "{:33} {:5}  {:21} {:8.2} µs of CPU per reply, {:.0} replies/s",
            self.case.to_string(),
            self.case.connections,
            self.server(),
            report.server.cpu_microseconds_per_reply,
            report.all.replies_per_second,
        );
        if let Some(connections) = &report.connections {
            let (full, resumed) = (connections.full_handshakes, connections.resumed_handshakes);
            ensure!(
                connections.failed == 0,
                "{} connections have failed",
                connections.failed
            );
            // A few sessions are lost when many connections share a store.
            ensure!(
                if self.case.wire == Wire::ResumedTls {
                    full <= resumed / 20
                } else {
                    resumed == 0
                },
                "{full} handshakes were full and {resumed} resumed a session"
            );
        }
        self.samples.add(report);
        Ok(())
    }
}

/// The row that a row of the daemon is compared with.
pub(super) fn floor_of<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    rows.iter()
        .find(|floor| floor.is_bare && floor.case == row.case && floor.event_loop == row.event_loop)
}

/// The median of the daemon's CPU per reply for a kind of load.
pub(super) fn of_daemon(rows: &[Row], case: Case, event_loop: EventLoop) -> Option<&Row> {
    rows.iter()
        .find(|row| !row.is_bare && row.case == case && row.event_loop == event_loop)
}

/// The loads that the picture shows, with 64 connections.
pub(super) fn pictured(rows: &[Row]) -> Vec<(String, f64)> {
    let kinds = [(true, "kept"), (false, "one a request")];
    let mut bars = Vec::new();
    for (keep_alive, kind) in kinds {
        let case = Case {
            wire: Wire::Plain,
            keep_alive,
            connections: 64,
        };
        for event_loop in EVENT_LOOPS {
            let Some(row) = of_daemon(rows, case, event_loop) else {
                continue;
            };
            if let Some(floor) = floor_of(rows, row) {
                let name = format!("{}, {kind}", event_loop.bare_name);
                bars.push((name, floor.samples.cpu_microseconds()));
            }
            let name = format!("{}, {kind}", event_loop.name);
            bars.push((name, row.samples.cpu_microseconds()));
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    fn case(wire: Wire) -> Case {
        Case {
            wire,
            keep_alive: false,
            connections: 64,
        }
    }

    #[test]
    fn rows_have_medians_and_floors() {
        let [mio, glommio] = EVENT_LOOPS;
        let mut rows = vec![
            Row::new(case(Wire::Plain), glommio, true),
            Row::new(case(Wire::Plain), mio, true),
            Row::new(case(Wire::Plain), mio, false),
        ];
        for (row, microseconds) in rows.iter_mut().zip([9.0, 2.0, 3.0]) {
            for more in [0.5, 0.0, 4.0] {
                row.add(load::sample(microseconds + more, 0, 0)).unwrap();
            }
        }
        let floor = floor_of(&rows, &rows[2]).unwrap();
        assert_eq!(floor.samples.cpu_microseconds(), 2.5);
        assert_eq!(
            pictured(&rows),
            [
                ("bare epoll, one a request".to_owned(), 2.5),
                ("mio, one a request".to_owned(), 3.5)
            ]
        );
    }

    #[test]
    fn handshakes_must_be_of_the_kind() {
        let add = |wire, full, resumed| {
            Row::new(case(wire), EVENT_LOOPS[0], false).add(load::sample(1.0, full, resumed))
        };
        assert!(add(Wire::Tls, 100, 0).is_ok());
        assert!(add(Wire::Tls, 100, 1).is_err());
        assert!(add(Wire::ResumedTls, 1, 100).is_ok());
        assert!(add(Wire::ResumedTls, 50, 100).is_err());
    }

    #[test]
    fn no_case_is_measured_twice() {
        let cases: Vec<_> = Case::all().collect();
        assert_eq!(cases.len(), 10);
        for (index, case) in cases.iter().enumerate() {
            assert!(!cases[..index].contains(case), "{case}");
        }
    }
}
