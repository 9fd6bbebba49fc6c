//! Reads items at a reload, each on a thread of its own, so that a slow file system does
//! not block the main thread.

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
    /// The access list, if there is one.
    List(AccessListConfig),
    /// An item that the daemon has registered, such as its certificate.
    Other(Arc<dyn Reload>),
}

impl Item {
    /// Its name in log messages.
    pub(super) fn what(&self) -> &str {
        match self {
            Self::List(_) => access_list::WHAT,
            Self::Other(one) => one.what(),
        }
    }

    /// Starts to read it on a new thread, which sends [`Event::Read`] at its end, with
    /// `item`, the number of this item, and `ticket`, which tells this attempt from
    /// others.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(
        &self,
        item: usize,
        ticket: u64,
        sender: SyncSender<Event>,
    ) -> Result<(), String> {
        let read: Box<dyn FnOnce() -> anyhow::Result<Content> + Send> = match self {
            Self::List(config) => {
                let config = config.clone();
                // The supervisor abandons the attempt after this time. The thread then
                // ends, too, unless it is blocked in a system call.
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
                // The receiver is gone only when the process is ending.
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

/// Puts a reloaded access list into effect and logs that. An allow list that has become
/// empty gets a warning: no torrent is served any more, which is rarely intended.
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
