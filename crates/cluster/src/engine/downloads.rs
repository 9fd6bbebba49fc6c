//! The numbers of downloads that are stored in the engine.

use aquatic_bittorrent::InfoHash;
use redis::{Value, cmd};

use super::connection::Engine;
use super::error::EngineError;
use super::{Shared, SharedSwarms};
use crate::batch::Kind;

/// Number of torrents that are asked for at once; each takes some 40 bytes in the reply.
const SCAN_COUNT: usize = 5_000;

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
    let (Value::BulkString(info_hash), Value::BulkString(count)) = (info_hash, count) else {
        return None;
    };
    let info_hash = <[u8; 20]>::try_from(&info_hash[..]).ok()?;
    let count = str::from_utf8(count).ok()?.parse().ok()?;
    Some((InfoHash(info_hash), count))
}
