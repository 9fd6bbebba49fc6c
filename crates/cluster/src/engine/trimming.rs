//! Removes the oldest entries of the streams when they take too much memory.
//!
//! Entries that are too old are removed with each addition
//! ([`SendQueue`](super::send_queue::SendQueue)).

use redis::{Value, cmd};

use super::Shared;
use super::connection::Engine;
use super::error::EngineError;

/// Minimum number of entries of a stream that are left when memory is full: if so few take
/// it, something else does.
const MIN_ENTRIES: u64 = 8;

/// Measures the memory of the streams, and trims them to `max_stream_bytes`.
pub(super) fn limit_bytes(shared: &Shared, engine: &mut Engine) -> Result<(), EngineError> {
    let settings = &shared.settings;
    let mut sum = 0_u64;
    for kind in &settings.kinds {
        let mut usage = cmd("MEMORY");
        usage.arg("USAGE").arg(settings.stream(*kind));
        sum = sum.saturating_add(match engine.query(&usage)? {
            Value::Int(bytes) => u64::try_from(bytes).unwrap_or(0),
            // The stream does not exist yet.
            _ => 0,
        });
    }
    shared.status.set_stream_bytes(sum);
    if sum <= settings.max_stream_bytes {
        return Ok(());
    }
    for kind in &settings.kinds {
        let key = settings.stream(*kind);
        let entries = u128::from(entries(&key, engine)?);
        let rest = entries * u128::from(settings.max_stream_bytes) / u128::from(sum.max(1));
        let rest = u64::try_from(rest).unwrap_or(u64::MAX);
        engine.query(cmd("XTRIM").arg(&key).arg("MAXLEN").arg("~").arg(rest))?;
    }
    log::debug!("the streams took {sum} bytes, and are trimmed to cluster.max_stream_bytes");
    Ok(())
}

/// Removes an eighth of each stream, for an engine whose memory is full.
pub(super) fn make_space(shared: &Shared, engine: &mut Engine) -> Result<(), EngineError> {
    for kind in &shared.settings.kinds {
        let key = shared.settings.stream(*kind);
        let entries = entries(&key, engine)?;
        let rest = (entries - entries.div_ceil(8)).max(MIN_ENTRIES);
        engine.query(cmd("XTRIM").arg(&key).arg("MAXLEN").arg(rest))?;
    }
    Ok(())
}

fn entries(key: &str, engine: &mut Engine) -> Result<u64, EngineError> {
    match engine.query(cmd("XLEN").arg(key))? {
        Value::Int(length) => Ok(u64::try_from(length).unwrap_or(0)),
        _ => Err(EngineError::unexpected_reply("XLEN")),
    }
}
