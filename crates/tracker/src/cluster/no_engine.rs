//! Replaces the link through Redis or Valkey in a build without it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use aquatic_cluster::{SignalBatch, SignalOutbox};
use aquatic_service::config::{Checks, Diagnostic, EngineConfig};
use aquatic_service::destination::Destination;
use aquatic_service::metrics::Metrics;
use aquatic_service::workers::Workers;

use super::link::{Membership, RecordStreamError, Shared};

/// Does not exist.
pub(super) struct Handle(Infallible);

/// Does not exist.
pub(crate) struct RecordStream(Infallible);

/// Rejects a URL, which this build does not support.
pub fn check_config(config: &EngineConfig, checks: &mut Checks) {
    if config.is_enabled() {
        checks.fail("cluster.url", UNSUPPORTED);
    }
}

/// There are no files without a URL.
///
/// # Errors
///
/// None.
pub fn check_files(_: &EngineConfig, _: &dyn Fn(&Path) -> PathBuf) -> Result<(), Diagnostic> {
    Ok(())
}

/// There is none.
pub fn destination(_: &EngineConfig) -> Option<Destination> {
    None
}

const UNSUPPORTED: &str = "this build does not support it (cargo feature `redis`)";

pub(super) fn start<S>(_: Membership<'_>, _: Shared<S>, _: &mut Workers) -> anyhow::Result<Handle> {
    Err(Diagnostic::error("cluster.url", UNSUPPORTED).into())
}

impl Handle {
    pub(super) fn start_signals(
        &mut self,
        _: Arc<SignalOutbox>,
        _: impl FnMut(&SignalBatch<'_>, u64),
        _: &mut Workers,
    ) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub(super) fn record_stream(&self, _: &str) -> RecordStream {
        match self.0 {}
    }

    pub(super) fn status_text(&self) -> String {
        match self.0 {}
    }

    pub(super) fn error(&self) -> Option<String> {
        match self.0 {}
    }

    pub(super) fn connection_id_key(&self) -> Option<[u8; 16]> {
        match self.0 {}
    }

    pub(super) fn position(&self) -> Option<Vec<u8>> {
        match self.0 {}
    }

    pub(super) fn add_metrics(&self, _: &mut Metrics) {
        match self.0 {}
    }
}

impl RecordStream {
    pub(crate) fn writer(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn append(
        &mut self,
        _: u64,
        _: &[&[u8]],
        _: u64,
    ) -> Result<bool, RecordStreamError> {
        match self.0 {}
    }

    pub(crate) fn end_at(&mut self, _: Instant) {
        match self.0 {}
    }

    pub(crate) fn stopper(&self) -> impl Fn() + Send + Sync + use<> + 'static {
        match self.0 {}
        #[allow(unreachable_code, reason = "the type needs a value")]
        || ()
    }
}
