//! What survives a restart: peers, downloads, the key of connection ids, and the
//! clock by which they grow old.

use std::io;

use aquatic_service::clock::{Clock, Mark};
use aquatic_service::snapshot::{BlockReader, BlockWriter, ReadError};
use aquatic_swarm::snapshot::{Restored, copy, restore};
use aquatic_swarm::{HashKey, Limits};
use aquatic_udp_protocol::ConnectionIdKey;

use crate::tracker::{Rules, State};

/// The kinds of blocks. A number is never used for something else.
mod kind {
    pub(super) const CONNECTION_ID_KEY: u8 = 1;
    pub(super) const IPV4_TORRENTS: u8 = 2;
    pub(super) const IPV6_TORRENTS: u8 = 3;
    /// Before all others, as what they say depends on it.
    pub(super) const CLOCK: u8 = 4;
}

/// Writes everything that [`read`] needs.
///
/// # Errors
///
/// Those of `out`.
pub(crate) fn write(state: &State, clock: &Clock, out: &mut BlockWriter<'_>) -> io::Result<()> {
    out.write_block(kind::CLOCK, &clock.mark().to_bytes())?;
    out.write_block(kind::CONNECTION_ID_KEY, &state.connection_id_key.to_bytes())?;
    let seconds = || clock.now().monotonic_seconds;
    copy(&state.swarms.ipv4, seconds, |block| {
        out.write_block(kind::IPV4_TORRENTS, block)
    })?;
    copy(&state.swarms.ipv6, seconds, |block| {
        out.write_block(kind::IPV6_TORRENTS, block)
    })
}

/// What a state is made of, besides what a snapshot restores.
#[derive(Clone)]
pub(crate) struct Parts {
    /// How requests are answered.
    pub rules: Rules,
    /// What bounds the swarms.
    pub limits: Limits,
    /// The secret of the swarms' tables.
    pub hash_key: HashKey,
    /// The key of connection ids, if the snapshot has none.
    pub connection_id_key: ConnectionIdKey,
    /// Torrents that are served.
    pub access_list: std::sync::Arc<aquatic_service::access_list::Handle>,
}

impl Parts {
    /// A tracker without torrents.
    pub(crate) fn build(self) -> State {
        State::new(
            self.rules,
            self.limits,
            self.hash_key,
            self.connection_id_key,
            self.access_list,
        )
    }
}

/// Builds a tracker of `parts` and a snapshot; returns also its clock, and how many
/// peers were left out because of the limits.
///
/// The clock goes on, so that connection ids grow older by the time that the
/// tracker was away, and neither by what the system's clock was corrected by before
/// nor by how old the snapshot is. Peers keep the time that they had left, because
/// they could not announce while the tracker was away; if it was away for longer than
/// any peer is kept, only downloads are restored. Blocks of unknown kinds are passed
/// over.
///
/// # Errors
///
/// When a block makes no sense, or the reader finds damage.
pub(crate) fn read(
    parts: Parts,
    reader: &mut BlockReader<'_>,
) -> Result<((State, Clock), usize), ReadError> {
    let mut clock = Clock::start();
    // Snapshots of 1.0.0 have no mark of the clock.
    let mut age_seconds = u64::from(clock.now().epoch_seconds).saturating_sub(reader.taken_at());
    let lifetime = parts.rules.peer_lifetime_seconds;

    let mut state = parts.build();
    let mut total = Restored::default();
    while let Some(block) = reader.next_block()? {
        let seconds = clock.now().monotonic_seconds;
        let with_peers = age_seconds <= u64::from(lifetime);
        let bytes = block.payload;
        let restored = match block.kind {
            kind::CLOCK => {
                let mark = Mark::from_bytes(bytes).ok_or_else(|| {
                    ReadError::damaged(format!("a clock of {} bytes", bytes.len()))
                })?;
                (clock, age_seconds) = Clock::resume(&mark);
                continue;
            }
            kind::CONNECTION_ID_KEY => {
                let key = bytes.try_into().map_err(|_| {
                    ReadError::damaged(format!("a key of {} bytes, not 16", bytes.len()))
                })?;
                state.connection_id_key = ConnectionIdKey::from_bytes(key);
                continue;
            }
            kind::IPV4_TORRENTS => {
                restore(&state.swarms.ipv4, bytes, seconds, lifetime, with_peers)
            }
            kind::IPV6_TORRENTS => {
                restore(&state.swarms.ipv6, bytes, seconds, lifetime, with_peers)
            }
            _ => continue,
        };
        total += restored.map_err(|error| ReadError::damaged(error.to_string()))?;
    }
    Ok(((state, clock), total.refused))
}
