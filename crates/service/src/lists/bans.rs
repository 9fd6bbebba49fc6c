//! Bans by address, from files.

use std::time::Instant;

use aquatic_policy::bans::{BanLine, Bans, BansBuilder, MAX_BANS};

use super::{Collector, List, LoadError, Loaded, Reader};
use crate::config::BansConfig;

impl List for Bans {
    const WHAT: &'static str = "ban list";

    fn is_off(&self) -> bool {
        self.is_empty()
    }

    fn entries(&self) -> usize {
        self.len()
    }

    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn alarm(&self) -> Option<&'static str> {
        Some("nobody is banned any more")
    }
}

/// Reads all files of banned addresses, if there are any.
pub(super) fn load(
    config: &BansConfig,
    deadline: Option<Instant>,
) -> Result<Loaded<Bans>, LoadError> {
    let mut reader = Reader::new(Bans::WHAT, deadline);
    let mut collected = BanCollector::default();
    for (key, path) in config.paths() {
        reader.read(key, path, &mut collected)?;
    }
    let bans = collected.builder.build(&config.except());
    Ok(reader.finish(bans))
}

/// Ranges as they are read.
#[derive(Debug, Default)]
pub struct BanCollector {
    /// Those that are banned.
    pub builder: BansBuilder,
    /// Number of ranges that their level allows.
    pub allowed: u64,
}

impl Collector for BanCollector {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        match BanLine::parse(line).map_err(|error| error.to_string())? {
            BanLine::Nothing => {}
            BanLine::Allowed => self.allowed += 1,
            BanLine::Banned(_) if self.builder.len() == MAX_BANS => {
                return Err(format!("the list has more than {MAX_BANS} ranges"));
            }
            BanLine::Banned(range) => self.builder.add(range),
        }
        Ok(())
    }
}
