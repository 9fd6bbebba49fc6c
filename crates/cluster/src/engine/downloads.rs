//! The numbers of downloads that are stored in the engine.
//!
//! After the engine has lost them, nodes that were running still know them, and
//! [`restore`] brings them back. It cannot count a download twice: whatever this node has
//! counted is in the engine already, or was lost there.

use aquatic_bittorrent::InfoHash;
use redis::{Value, cmd};

use super::connection::Engine;
use super::error::EngineError;
use super::{EngineSettings, Shared};
use crate::batch::Kind;
use crate::shared_swarms::SharedSwarms;

/// Number of torrents that are asked for at once; each takes some 40 bytes in the reply.
const SCAN_COUNT: usize = 5_000;

/// Number of torrents that are compared at once.
pub(super) const COMPARE_COUNT: usize = 1_000;

/// Maximum number of attempts to restore some numbers, if others change at the same time.
const MAX_ATTEMPTS: usize = 16;

/// Reads how often the torrents were downloaded by peers of a kind, until the link is
/// stopped.
pub(super) fn read<S: SharedSwarms>(
    kind: Kind,
    shared: &Shared,
    swarms: &S,
    engine: &mut Engine,
) -> Result<(), EngineError> {
    let key = shared.settings.downloads(kind);
    let mut cursor = b"0".to_vec();
    loop {
        let mut scan = cmd("HSCAN");
        scan.arg(&key).arg(&cursor).arg("COUNT").arg(SCAN_COUNT);
        let (next, found) =
            page(engine.query(&scan)?).ok_or_else(|| EngineError::unexpected_reply("HSCAN"))?;
        for [info_hash, count] in found.as_chunks::<2>().0 {
            if let Some((info_hash, count)) = entry(info_hash, count) {
                swarms.restore_downloads(kind, &info_hash, count);
            }
        }
        if next == b"0" || shared.stop.is_stopped() {
            return Ok(());
        }
        cursor = next;
    }
}

/// Raises the engine's numbers of these torrents to those of this node, where they are lower.
///
/// Everything that this node had counted when the numbers were determined must have been
/// published. What others count at the same time is not lost: a number is raised only if
/// none has changed since they were compared.
pub(super) fn restore(
    kind: Kind,
    counts: &[(InfoHash, u32)],
    settings: &EngineSettings,
    engine: &mut Engine,
) -> Result<(), EngineError> {
    let key = settings.downloads(kind);
    for _ in 0..MAX_ATTEMPTS {
        let missing = compare(&key, counts, engine)?;
        if missing.is_empty() {
            engine.query(&cmd("UNWATCH"))?;
            return Ok(());
        }
        let mut commands = Vec::new();
        cmd("MULTI").write_packed_command(&mut commands);
        for (info_hash, count) in &missing {
            let mut increase = cmd("HINCRBY");
            increase.arg(&key).arg(&info_hash.0[..]).arg(*count);
            increase.write_packed_command(&mut commands);
        }
        cmd("EXEC").write_packed_command(&mut commands);
        let replies = engine.query_all(&commands, missing.len() + 2)?;
        if let Some(Value::ServerError(error)) = replies.iter().find(|it| is_error(it)) {
            return Err(error.into());
        }
        match replies.last() {
            Some(Value::Array(_)) => return Ok(()),
            // Somebody else has counted a download, or restored the same numbers.
            Some(Value::Nil) => {}
            _ => return Err(EngineError::unexpected_reply("EXEC")),
        }
    }
    Ok(())
}

/// By how much the engine's numbers are lower; from now on, it notices when they change.
fn compare(
    key: &str,
    counts: &[(InfoHash, u32)],
    engine: &mut Engine,
) -> Result<Vec<(InfoHash, u64)>, EngineError> {
    let mut commands = Vec::new();
    cmd("WATCH").arg(key).write_packed_command(&mut commands);
    let mut get = cmd("HMGET");
    get.arg(key);
    for (info_hash, _) in counts {
        get.arg(&info_hash.0[..]);
    }
    get.write_packed_command(&mut commands);
    let replies = engine.query_all(&commands, 2)?;
    if let Some(Value::ServerError(error)) = replies.iter().find(|it| is_error(it)) {
        return Err(error.into());
    }
    let found = match replies.into_iter().next_back() {
        Some(Value::Array(found)) if found.len() == counts.len() => found,
        _ => return Err(EngineError::unexpected_reply("HMGET")),
    };
    let missing = counts
        .iter()
        .zip(found)
        .filter_map(|((info_hash, own), found)| {
            let found = match found {
                Value::Nil => 0,
                // Another program may have put anything there, which is left alone.
                found => number(&found)?,
            };
            let missing = u64::from(*own).checked_sub(found).filter(|it| *it > 0)?;
            Some((*info_hash, missing))
        });
    Ok(missing.collect())
}

/// The next cursor, and the fields and values that were found.
fn page(reply: Value) -> Option<(Vec<u8>, Vec<Value>)> {
    let Value::Array(parts) = reply else {
        return None;
    };
    match <[Value; 2]>::try_from(parts).ok()? {
        [Value::BulkString(next), Value::Array(found)] => Some((next, found)),
        _ => None,
    }
}

/// A torrent and its downloads. Other programs may have added anything.
fn entry(info_hash: &Value, count: &Value) -> Option<(InfoHash, u64)> {
    let Value::BulkString(info_hash) = info_hash else {
        return None;
    };
    let info_hash = <[u8; 20]>::try_from(&info_hash[..]).ok()?;
    Some((InfoHash(info_hash), number(count)?))
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::BulkString(text) => str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

fn is_error(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(_))
}
