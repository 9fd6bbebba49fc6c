//! Rows of the table about WebTorrent: the same load on the same server,
//! several times.

use std::fmt;

use anyhow::ensure;

use super::event_loops::{EVENT_LOOPS, EventLoop};
use super::load::Report;
use super::samples::Samples;
use super::ws::OFFERS;

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) tls: bool,
    /// In an announce.
    pub(super) offers: usize,
}

impl Case {
    /// All that are measured, in the order of the table.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let offers = [0, OFFERS].into_iter();
        offers.flat_map(|offers| [false, true].map(|tls| Self { tls, offers }))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = if self.tls { ", TLS" } else { "" };
        write!(f, "{} offers{wire}", self.offers)
    }
}

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// A server that answers a message with one as long.
    Echo,
    /// A server that sends what a tracker sends.
    Relay,
    Daemon,
}

impl Served {
    pub(super) const ALL: [Self; 3] = [Self::Echo, Self::Relay, Self::Daemon];

    /// Without offers there is nothing to relay.
    pub(super) fn takes_part(self, case: Case) -> bool {
        self != Self::Relay || case.offers > 0
    }
}

/// A row and what was measured for it so far.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) event_loop: EventLoop,
    pub(super) served: Served,
    pub(super) samples: Samples,
}

impl Row {
    pub(super) fn new(case: Case, event_loop: EventLoop, served: Served) -> Self {
        Self {
            case,
            event_loop,
            served,
            samples: Samples::default(),
        }
    }

    /// What was measured.
    pub(super) fn server(&self) -> String {
        let EventLoop {
            name, bare_name, ..
        } = self.event_loop;
        match self.served {
            Served::Echo => format!("{bare_name}, echo"),
            Served::Relay => format!("{bare_name}, relay"),
            Served::Daemon => format!("aquatic-ws, {name}"),
        }
    }

    /// Adds a measurement.
    ///
    /// # Errors
    ///
    /// When connections have failed.
    pub(super) fn add(&mut self, report: Report) -> anyhow::Result<()> {
        eprintln!(
            "{:15} {:21} {:8.2} µs of CPU per message, {:.0} messages/s",
            self.case.to_string(),
            self.server(),
            report.server.cpu_microseconds_per_reply,
            report.all.replies_per_second,
        );
        if let Some(connections) = &report.connections {
            ensure!(
                connections.failed == 0,
                "{} connections have failed",
                connections.failed
            );
        }
        self.samples.add(report);
        Ok(())
    }
}

/// The row of the same load on the same event loop of another server.
pub(super) fn counterpart<'a>(rows: &'a [Row], row: &Row, served: Served) -> Option<&'a Row> {
    rows.iter().find(|other| {
        (other.case, other.event_loop, other.served) == (row.case, row.event_loop, served)
    })
}

/// What the picture shows: CPU per message with offers.
pub(super) fn pictured(rows: &[Row]) -> Vec<(String, f64)> {
    let mut bars = Vec::new();
    for tls in [false, true] {
        let case = Case {
            tls,
            offers: OFFERS,
        };
        for event_loop in EVENT_LOOPS {
            for row in rows {
                if (row.case, row.event_loop) == (case, event_loop) && row.served != Served::Echo {
                    let name = match row.served {
                        Served::Daemon => event_loop.name,
                        _ => event_loop.bare_name,
                    };
                    let wire = if tls { ", TLS" } else { "" };
                    bars.push((format!("{name}{wire}"), row.samples.cpu_microseconds()));
                }
            }
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn rows_find_their_counterparts() {
        let [mio, glommio] = EVENT_LOOPS;
        let case = Case {
            tls: true,
            offers: OFFERS,
        };
        let mut rows: Vec<Row> = [mio, glommio]
            .into_iter()
            .flat_map(|it| Served::ALL.map(|served| Row::new(case, it, served)))
            .collect();
        for (row, microseconds) in rows.iter_mut().zip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) {
            row.add(load::sample(microseconds, 0, 0)).unwrap();
        }
        let echo = counterpart(&rows, &rows[5], Served::Echo).unwrap();
        assert_eq!(echo.samples.cpu_microseconds(), 4.0);
        let bars = pictured(&rows);
        let names: Vec<_> = bars.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "bare epoll, TLS",
                "mio, TLS",
                "bare glommio, TLS",
                "glommio, TLS"
            ]
        );
        assert_eq!(bars[1].1, 3.0);
    }

    #[test]
    fn nothing_is_relayed_without_offers() {
        for case in Case::all() {
            assert!(Served::Daemon.takes_part(case) && Served::Echo.takes_part(case));
            assert_eq!(Served::Relay.takes_part(case), case.offers > 0);
        }
        assert_eq!(Case::all().count(), 4);
    }
}
