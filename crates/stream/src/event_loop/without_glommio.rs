//! Replaces the event loop on glommio in builds without it: every function fails.

use std::net::TcpListener;
use std::sync::mpsc;

use aquatic_service::config::Diagnostic;
use aquatic_service::workers;

use crate::engine::Engine;
use crate::{Protocol, WorkerWaker};

/// There is none.
///
/// # Errors
///
/// Always; the message says what to do.
pub(super) fn check() -> anyhow::Result<()> {
    let message = "glommio is not in this build: use one with the cargo feature \"glommio\", \
                   or the event loop \"mio\"";
    Err(Diagnostic::error("network.event_loop", message).into())
}

/// Never called, as [`check`] is before.
///
/// # Errors
///
/// Always.
pub(super) fn run<P: Protocol>(
    _: Engine<P>,
    _: Vec<TcpListener>,
    _: &WorkerWaker,
    _: workers::Context,
    _: mpsc::Sender<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_it_is_told_what_to_do() {
        let text = check().unwrap_err().to_string();
        assert!(text.contains("not in this build"), "{text}");
        assert!(text.contains("event_loop"), "{text}");
    }
}
