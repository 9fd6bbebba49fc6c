//! What is kept over a restart: the swarms, the clock by which their peers expire, and the
//! position up to which the changes of other nodes were applied.
//!
//! A snapshot is a sequence of blocks. Each daemon has its own numbers for the kinds of
//! blocks ([`Kinds`]), and may have kinds that others do not have. The layout has a
//! [`VERSION`].

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use aquatic_service::clock::{Clock, Mark};
use aquatic_service::snapshot::{Block, BlockReader, BlockWriter, Checked, ReadError, Source};
use aquatic_swarm::Swarms;
use aquatic_swarm::snapshot::Restored;

use crate::Restoring;
use crate::cluster::Link;

/// The version of snapshots, and the last that is read. It rises with every change
/// after which an older release would misunderstand a snapshot, or could not read it:
/// of the blocks ([`aquatic_service::snapshot`]), of the clock or a kind of blocks here
/// or in a daemon, and of the torrents. What is new without that gets a new kind.
pub const VERSION: u32 = 1;

// The torrents have a version of their own, where their layout is.
const _: () = assert!(
    aquatic_swarm::snapshot::VERSION == 1,
    "a new layout of torrents needs a new version of snapshots"
);

/// The numbers of the kinds of blocks. A number is never reused for another kind.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    /// Torrents of IPv4, or of both families if they share a swarm; and torrents of IPv6.
    pub torrents: [u8; 2],
    /// The time on the clock. It precedes all other blocks, which depend on it; `None` if
    /// none does.
    pub clock: Option<u8>,
    /// [`Link::position`]; `None` if the daemon cannot have a link.
    pub cluster_position: Option<u8>,
}

/// What a snapshot contains besides torrents, which are restored later.
pub struct Contents {
    /// The clock for the peers.
    pub clock: Clock,
    /// [`Link::position`] when the snapshot was written, if there was a link.
    pub cluster_position: Option<Vec<u8>>,
    /// The torrents; `None` if there was no valid snapshot.
    pub torrents: Option<Torrents>,
}

/// The torrents of a snapshot.
pub struct Torrents {
    file: Checked,
    plan: Plan,
}

/// How torrents are restored.
#[derive(Clone)]
struct Plan {
    kinds: Kinds,
    clock: Clock,
    lifetime_seconds: u16,
    with_peers: bool,
}

/// How long a start waits for torrents to be restored, before it serves meanwhile: enough for
/// some hundred thousand.
const START_PATIENCE: Duration = Duration::from_millis(250);

/// Writes what [`check`] and [`restore`] need, once the end of `restoring` is there: before, some
/// torrents would be missing.
///
/// # Errors
///
/// Those of `out`.
pub fn write(
    swarms: &impl Swarms,
    restoring: &Restoring,
    clock: &Clock,
    link: Option<&Link>,
    kinds: &Kinds,
    out: &mut BlockWriter<'_>,
) -> io::Result<()> {
    restoring.wait();
    // Before the swarms are copied, so that these contain everything up to there.
    let position = link.and_then(Link::position);
    if let Some(kind) = kinds.clock {
        out.write_block(kind, &clock.mark().to_bytes())?;
    }
    let seconds = || clock.now().monotonic_seconds;
    for (number, kind) in kinds.torrents.into_iter().enumerate() {
        swarms.save(number, seconds, |block| out.write_block(kind, block))?;
    }
    match kinds.cluster_position.zip(position) {
        Some((kind, position)) => out.write_block(kind, &position),
        None => Ok(()),
    }
}

/// Checks the snapshot, if there is one, and reads everything but the torrents of `swarms`.
///
/// The clock continues from the snapshot, so neither corrections of the system's clock
/// nor the age of the snapshot matter. Peers keep the lifetime that they had left, at
/// most `lifetime_seconds`, because they could not announce while the tracker was down;
/// if it was down for longer than that, only downloads are restored. Blocks of other
/// kinds are passed to `other`, which ignores unknown ones. It may be called for blocks
/// of a snapshot that turns out to be damaged later.
///
/// # Errors
///
/// When there is a snapshot that cannot be used, and must not be set aside either.
pub fn check(
    source: &mut Source,
    kinds: &Kinds,
    lifetime_seconds: u16,
    swarms: &impl Swarms,
    mut other: impl FnMut(Block<'_>) -> Result<(), ReadError>,
) -> anyhow::Result<Contents> {
    let checked =
        source.check(|reader| read(kinds, lifetime_seconds, swarms, reader, &mut other))?;
    Ok(match checked {
        None => Contents {
            clock: Clock::start(),
            cluster_position: None,
            torrents: None,
        },
        Some(((plan, cluster_position), file)) => Contents {
            clock: plan.clock.clone(),
            cluster_position,
            torrents: Some(Torrents { file, plan }),
        },
    })
}

fn read(
    kinds: &Kinds,
    lifetime_seconds: u16,
    swarms: &impl Swarms,
    reader: &mut BlockReader<'_>,
    other: &mut impl FnMut(Block<'_>) -> Result<(), ReadError>,
) -> Result<(Plan, Option<Vec<u8>>), ReadError> {
    let mut clock = Clock::start();
    // Snapshots of 1.0.0 do not have the time on the clock.
    let mut age_seconds = u64::from(clock.now().epoch_seconds).saturating_sub(reader.taken_at());
    let mut cluster_position = None;
    while let Some(block) = reader.next_block()? {
        let bytes = block.payload;
        if kinds.clock == Some(block.kind) {
            let mark = Mark::from_bytes(bytes)
                .ok_or_else(|| ReadError::damaged(format!("a clock of {} bytes", bytes.len())))?;
            (clock, age_seconds) = Clock::resume(&mark);
        } else if kinds.cluster_position == Some(block.kind) {
            cluster_position = Some(bytes.to_vec());
        } else if let Some(number) = kinds.swarm_of(block.kind) {
            swarms
                .check(number, bytes)
                .map_err(|error| ReadError::damaged(error.to_string()))?;
        } else {
            other(block)?;
        }
    }
    let plan = Plan {
        kinds: *kinds,
        clock,
        lifetime_seconds,
        with_peers: age_seconds <= u64::from(lifetime_seconds),
    };
    Ok((plan, cluster_position))
}

/// Restores torrents into the swarms of `state`, on a thread of its own, and waits a moment for
/// it. If there are many, it goes on while the daemon serves: a peer that has announced before
/// it is restored stays as it announced itself, and one that has left before comes back until
/// its time is over.
///
/// # Errors
///
/// When the system has no further thread.
pub fn restore<T: Send + Sync + 'static, S: Swarms + 'static>(
    torrents: Option<Torrents>,
    state: &Arc<T>,
    swarms: fn(&T) -> &S,
) -> anyhow::Result<Restoring> {
    let Some(Torrents { file, plan }) = torrents else {
        return Ok(Restoring::default());
    };
    let (restoring, ending) = Restoring::begin();
    let state = state.clone();
    let run = move || {
        let _ending = ending;
        file.restore(|reader| plan.store(reader, swarms(&state)).map(report_dropped));
    };
    thread::Builder::new()
        .name("restore".to_owned())
        .spawn(run)
        .context("cannot start the thread that restores the snapshot")?;
    if !restoring.wait_at_most(START_PATIENCE) {
        log::info!("the snapshot is restored while the tracker serves");
    }
    Ok(restoring)
}

/// Says how many peers were dropped because a limit was reached.
fn report_dropped(restored: Restored) {
    if restored.dropped > 0 {
        log::warn!(
            "{} peers of the snapshot were dropped, because limits have been lowered",
            restored.dropped
        );
    }
}

impl Kinds {
    /// The number of the swarm with torrents of this kind.
    fn swarm_of(&self, kind: u8) -> Option<usize> {
        self.torrents.iter().position(|it| *it == kind)
    }
}

impl Plan {
    fn store(
        &self,
        reader: &mut BlockReader<'_>,
        swarms: &impl Swarms,
    ) -> Result<Restored, ReadError> {
        let mut total = Restored::default();
        while let Some(block) = reader.next_block()? {
            let Some(number) = self.kinds.swarm_of(block.kind) else {
                continue;
            };
            let seconds = self.clock.now().monotonic_seconds;
            total += swarms
                .restore(
                    number,
                    block.payload,
                    seconds,
                    self.lifetime_seconds,
                    self.with_peers,
                )
                .map_err(|error| ReadError::damaged(error.to_string()))?;
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use aquatic_bittorrent::{AnnounceEvent, InfoHash};
    use aquatic_swarm::{Announce, Families, HashKey, SwarmLimits, WebSwarms};

    use super::*;

    const KINDS: Kinds = Kinds {
        torrents: [7, 9],
        clock: Some(3),
        cluster_position: Some(4),
    };
    const LIFETIME_SECONDS: u16 = 600;
    const DAEMON: &str = "aquatic-test";
    /// A time in the far future.
    const FUTURE: u64 = 9_000_000_000;

    fn families() -> Families {
        Families::new(HashKey::new([1; 16]), SwarmLimits::default())
    }

    /// Swarms with one torrent in each family, which has one seeder.
    fn filled() -> Families {
        fn announce<const S: usize>() -> Announce<S> {
            Announce {
                record: [5; S],
                is_seeder: true,
                event: AnnounceEvent::Completed,
                wanted: 0,
                now_seconds: 0,
                lifetime_seconds: LIFETIME_SECONDS,
            }
        }
        let families = families();
        let mut random = fastrand::Rng::with_seed(1);
        let mut ipv4 = families.ipv4.lock(&InfoHash([4; 20]));
        ipv4.announce(&announce(), &mut random).unwrap();
        drop(ipv4);
        let mut ipv6 = families.ipv6.lock(&InfoHash([6; 20]));
        ipv6.announce(&announce(), &mut random).unwrap();
        drop(ipv6);
        families
    }

    fn bytes(taken_at: u64, write: impl FnOnce(&mut BlockWriter<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = BlockWriter::new(&mut bytes, DAEMON, VERSION, taken_at).unwrap();
        write(&mut writer);
        writer.finish().unwrap();
        bytes
    }

    fn torrents(writer: &mut BlockWriter<'_>) {
        write(
            &filled(),
            &Restoring::default(),
            &Clock::start(),
            None,
            &KINDS,
            writer,
        )
        .unwrap();
    }

    /// What was read of a snapshot.
    #[derive(Debug)]
    struct ReadAll<S> {
        swarms: S,
        cluster_position: Option<Vec<u8>>,
        dropped: usize,
        /// The kinds of other blocks.
        others: Vec<u8>,
    }

    /// Checks a snapshot and restores it.
    fn read_all<S: Swarms>(
        swarms: S,
        kinds: &Kinds,
        bytes: &[u8],
    ) -> Result<ReadAll<S>, ReadError> {
        let mut others = Vec::new();
        let (plan, cluster_position) = read(
            kinds,
            LIFETIME_SECONDS,
            &swarms,
            &mut BlockReader::new(&mut { bytes }, VERSION)?,
            &mut |block| {
                others.push(block.kind);
                Ok(())
            },
        )?;
        let mut input = bytes;
        let mut again = BlockReader::new(&mut input, VERSION)?;
        let restored = plan.store(&mut again, &swarms).expect("it was checked");
        Ok(ReadAll {
            swarms,
            cluster_position,
            dropped: restored.dropped,
            others,
        })
    }

    fn peers(families: &Families) -> [usize; 2] {
        [families.ipv4.totals().peers, families.ipv6.totals().peers]
    }

    #[test]
    fn reads_what_was_written() {
        let bytes = bytes(FUTURE, |writer| {
            torrents(writer);
            writer.write_block(200, b"of another kind").unwrap();
            writer.write_block(4, b"a position").unwrap();
        });
        let contents = read_all(families(), &KINDS, &bytes).unwrap();
        assert_eq!(contents.others, [200]);
        assert_eq!(
            contents.cluster_position.as_deref(),
            Some(&b"a position"[..])
        );
        assert_eq!(contents.dropped, 0);
        assert_eq!(peers(&contents.swarms), [1, 1]);
        let scraped = contents.swarms.ipv6.lock(&InfoHash([6; 20])).scrape();
        assert_eq!((scraped.seeders, scraped.completed), (1, 1));
    }

    #[test]
    fn peers_that_are_too_old_are_left_out_and_downloads_are_not() {
        let is_empty = |bytes: &[u8]| {
            let contents = read_all(families(), &KINDS, bytes).unwrap();
            let scraped = contents.swarms.ipv4.lock(&InfoHash([4; 20])).scrape();
            assert_eq!(scraped.completed, 1);
            peers(&contents.swarms) == [0, 0]
        };
        // The age follows from the clock in the snapshot, not from the time at which the
        // snapshot was begun.
        assert!(!is_empty(&bytes(0, torrents)));
        let long_ago = bytes(FUTURE, |writer| {
            writer.write_block(3, &[0; 24]).unwrap();
            let without_clock = Kinds {
                clock: None,
                ..KINDS
            };
            write(
                &filled(),
                &Restoring::default(),
                &Clock::start(),
                None,
                &without_clock,
                writer,
            )
            .unwrap();
        });
        assert!(is_empty(&long_ago));

        // Snapshots of release 1.0.0 have no clock.
        let without_clock = |writer: &mut BlockWriter<'_>| {
            let without_clock = Kinds {
                clock: None,
                ..KINDS
            };
            write(
                &filled(),
                &Restoring::default(),
                &Clock::start(),
                None,
                &without_clock,
                writer,
            )
            .unwrap();
        };
        assert!(is_empty(&bytes(0, without_clock)));
        assert!(!is_empty(&bytes(FUTURE, without_clock)));
    }

    #[test]
    fn limits_are_obeyed() {
        let limits = SwarmLimits {
            max_torrents: std::num::NonZeroUsize::new(1),
            ..SwarmLimits::default()
        };
        let lower = Families::new(HashKey::new([1; 16]), limits);
        let contents = read_all(lower, &KINDS, &bytes(0, torrents)).unwrap();
        assert_eq!(contents.dropped, 1);
    }

    #[test]
    fn a_family_that_is_not_kept_apart_any_more_is_passed_over() {
        let web = |apart| WebSwarms::new(HashKey::new([1; 16]), SwarmLimits::default(), apart);
        let downloads = |swarms: &WebSwarms| swarms.usage().retired();
        let kinds = Kinds {
            clock: None,
            ..KINDS
        };
        // A torrent that was downloaded once.
        let mut entry = [0; 32];
        entry[20] = 1;
        let bytes = bytes(FUTURE, |writer| {
            writer.write_block(7, &entry).unwrap();
            writer.write_block(9, &entry).unwrap();
        });
        for (apart, expected) in [(true, 2), (false, 1)] {
            let contents = read_all(web(apart), &kinds, &bytes).unwrap();
            assert_eq!(downloads(&contents.swarms), expected);
            assert!(contents.others.is_empty());
        }
    }

    #[test]
    fn blocks_that_make_no_sense_are_damage() {
        for kind in [3, 7, 9] {
            let bytes = bytes(FUTURE, |writer| writer.write_block(kind, &[1; 7]).unwrap());
            let error = read_all(families(), &KINDS, &bytes)
                .map(|_| ())
                .unwrap_err();
            assert!(matches!(error, ReadError::Damaged(_)), "{kind}: {error}");
        }
    }
}
