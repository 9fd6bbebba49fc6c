//! Reading what is read at a reload, on a thread of its own.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Instant;

use super::events::{Content, Event};
use crate::access_list::{self, AccessList, Handle};
use crate::config::AccessListConfig;
use crate::reload::{PATIENCE, Reload};

/// Something that a reload reads.
pub(super) enum Item {
    /// The access list; this is what is said of it when it is off, too.
    List(AccessListConfig),
    /// What the daemon registered.
    Other(Arc<dyn Reload>),
}

impl Item {
    /// What it is called.
    pub(super) fn what(&self) -> &str {
        match self {
            Self::List(_) => access_list::WHAT,
            Self::Other(one) => one.what(),
        }
    }

    /// Begins to read it, and tells the end as an event.
    ///
    /// # Errors
    ///
    /// When there cannot be another thread.
    pub(super) fn start(
        &self,
        item: usize,
        ticket: u64,
        sender: SyncSender<Event>,
    ) -> Result<(), String> {
        let read: Box<dyn FnOnce() -> anyhow::Result<Content> + Send> = match self {
            Self::List(config) => {
                let config = config.clone();
                // What is given up ends by itself, unless the system has it wait.
                let deadline = Instant::now() + PATIENCE;
                Box::new(move || {
                    let list = AccessList::load(&config, Some(deadline))?;
                    Ok(Content::List(list))
                })
            }
            Self::Other(one) => {
                let one = Arc::clone(one);
                Box::new(move || one.read().map(Content::Other))
            }
        };
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                let result = match panic::catch_unwind(AssertUnwindSafe(read)) {
                    Ok(result) => result.map_err(|error| format!("{error:#}")),
                    Err(_) => Err("a panic while it was read".to_owned()),
                };
                // Nobody listens any more only when the process is ending.
                let _ = sender.send(Event::Read {
                    item,
                    ticket,
                    result,
                });
            })
            .map(drop)
            .map_err(|error| format!("cannot start the thread that reads it: {error}"))
    }
}

/// Puts a list in place, and says so; a list that lets nothing through any more is
/// rarely meant.
pub(super) fn replace(handle: &Handle, list: AccessList) {
    let entries = list.len();
    let is_allow = matches!(list, AccessList::Allow(_));
    let before = handle.replace(list).len();
    if is_allow && entries == 0 && before > 0 {
        log::warn!(
            entries, before;
            "the reloaded allow list is empty, the previous one had {before} entries: no torrents \
             are served any more"
        );
    } else {
        log::info!(entries, before; "reloaded the access list");
    }
}
