//! The metrics of all daemons.

use aquatic_service::Daemon;
use aquatic_service::metrics::{Metric, OF_EVERY_DAEMON};

/// A metric, and the daemons that have it.
#[derive(Debug)]
pub(super) struct Described {
    pub metric: Metric,
    pub daemons: Vec<&'static str>,
}

/// Adds the metrics of a daemon to those of others.
pub(super) fn collect<D: Daemon>(all: &mut Vec<Described>) {
    for metric in [OF_EVERY_DAEMON]
        .iter()
        .chain(D::METRICS)
        .copied()
        .flatten()
    {
        match all.iter_mut().find(|other| other.metric == *metric) {
            Some(described) => described.daemons.push(D::NAME),
            None => all.push(Described {
                metric: *metric,
                daemons: vec![D::NAME],
            }),
        }
    }
}
