//! Client software that is served or rejected, from files.

use std::mem;
use std::path::Path;
use std::time::Instant;

use aquatic_policy::clients::{ClientLine, Clients, MAX_PREFIXES, Prefixes};

use super::{Collector, List, LoadError, Loaded, Reader};
use crate::config::ClientsConfig;

impl List for Clients {
    const WHAT: &'static str = "client list";

    fn is_off(&self) -> bool {
        Self::is_off(self)
    }

    fn entries(&self) -> usize {
        self.len()
    }

    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn has_nothing(&self) -> bool {
        self.serves_none()
    }

    fn alarm(&self) -> Option<&'static str> {
        self.allowed
            .is_some()
            .then_some("no clients are served any more")
    }
}

/// Reads all files of prefixes, if there are any.
pub(super) fn load(
    config: &ClientsConfig,
    deadline: Option<Instant>,
) -> Result<Loaded<Clients>, LoadError> {
    let mut reader = Reader::new(Clients::WHAT, deadline);
    let mut collected = ClientCollector::default();
    let mut read = |paths: &mut dyn Iterator<Item = (&'static str, &Path)>| {
        let mut is_configured = false;
        for (key, path) in paths {
            is_configured = true;
            reader.read(key, path, &mut collected)?;
        }
        let lines = mem::take(&mut collected.lines);
        collected.others = lines.len();
        Ok(is_configured.then(|| Prefixes::new(lines)))
    };
    let clients = Clients {
        allowed: read(&mut config.allowed())?,
        denied: read(&mut config.denied())?.unwrap_or_default(),
    };
    Ok(reader.finish(clients))
}

/// Prefixes as they are read.
#[derive(Debug, Default)]
pub struct ClientCollector {
    /// Them, with their reasons.
    pub lines: Vec<ClientLine>,
    /// Number of those that were taken away before.
    others: usize,
}

impl Collector for ClientCollector {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(line) = ClientLine::parse(line).map_err(|error| error.to_string())? else {
            return Ok(());
        };
        if self.others + self.lines.len() == MAX_PREFIXES {
            return Err(format!("the list has more than {MAX_PREFIXES} prefixes"));
        }
        self.lines.push(line);
        Ok(())
    }
}
