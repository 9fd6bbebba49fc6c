//! What survives a restart: downloads. Peers are gone with their connections.

use std::io;

use aquatic_service::snapshot::{BlockReader, BlockWriter, ReadError};
use aquatic_swarm::snapshot::{copy_downloads, restore};

use crate::tracker::State;

/// The kinds of blocks. A number is never used for something else.
mod kind {
    /// Torrents of IPv4, or of both families where they are together.
    pub(super) const TORRENTS: u8 = 1;
    pub(super) const IPV6_TORRENTS: u8 = 2;
}

/// Writes everything that [`read`] needs.
///
/// # Errors
///
/// Those of `out`.
pub(crate) fn write(state: &State, out: &mut BlockWriter<'_>) -> io::Result<()> {
    let kinds = [kind::TORRENTS, kind::IPV6_TORRENTS];
    for (swarm, kind) in state.swarms.all().zip(kinds) {
        copy_downloads(swarm, |block| out.write_block(kind, block))?;
    }
    Ok(())
}

/// Fills an empty tracker. Blocks of unknown kinds are passed over, and those
/// of a family that is no longer kept apart.
///
/// # Errors
///
/// When a block makes no sense, or the reader finds damage.
pub(crate) fn read(state: State, reader: &mut BlockReader<'_>) -> Result<State, ReadError> {
    while let Some(block) = reader.next_block()? {
        let number = match block.kind {
            kind::TORRENTS => 0,
            kind::IPV6_TORRENTS => 1,
            _ => continue,
        };
        let Some(swarm) = state.swarms.all().nth(number) else {
            continue;
        };
        restore(swarm, block.payload, 0, 0, false)
            .map_err(|error| ReadError::damaged(error.to_string()))?;
    }
    Ok(state)
}
