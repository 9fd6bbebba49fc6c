//! Which event loop drives the connections.

use std::thread;

use anyhow::{anyhow, bail};
use aquatic_service::limits::{self, Limit};

use crate::EventLoop;

/// What glommio demands of the limit of locked memory.
const MEMLOCK_BYTES: u64 = 512 << 10;

/// Decides, says so in the log, and makes sure that it works here.
///
/// `auto` is mio: an answer over a connection that is kept costs less than half
/// of what it costs with glommio, and epoll is allowed everywhere.
///
/// # Errors
///
/// When glommio is asked for and cannot be had; the message says what to do.
pub(super) fn choose(wanted: EventLoop) -> anyhow::Result<EventLoop> {
    match wanted {
        EventLoop::Auto => {
            log::info!("event loop: mio (auto takes it, as it is the faster one)");
            Ok(EventLoop::Mio)
        }
        EventLoop::Mio => {
            log::info!("event loop: mio");
            Ok(EventLoop::Mio)
        }
        EventLoop::Glommio => {
            check_memlock(limits::locked_memory_bytes())?;
            probe()?;
            log::info!("event loop: glommio");
            Ok(EventLoop::Glommio)
        }
    }
}

fn check_memlock(limit: Option<Limit>) -> anyhow::Result<()> {
    match limit {
        Some(Limit::At(bytes)) if bytes < MEMLOCK_BYTES => bail!(
            "the event loop glommio must be allowed to lock {MEMLOCK_BYTES} bytes of memory, \
             and the limit is {bytes}: raise it with LimitMEMLOCK= or `ulimit -l`, \
             or set network.event_loop to \"mio\""
        ),
        _ => Ok(()),
    }
}

/// Makes an executor and throws it away, on a thread that nothing depends on.
fn probe() -> anyhow::Result<()> {
    let attempt = thread::Builder::new()
        .name("probe".to_owned())
        .spawn(|| {
            super::glommio::executor()
                .map(|executor| executor.run(async {}))
                .map_err(|error| error.to_string())
        })?
        .join();
    match attempt {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(unavailable(&reason)),
        Err(_) => Err(unavailable("it panicked")),
    }
}

fn unavailable(reason: &str) -> anyhow::Error {
    anyhow!(
        "the event loop glommio needs io_uring, which cannot be used here ({reason}): \
         allow it (sysctl kernel.io_uring_disabled=0, and system call filters), \
         or set network.event_loop to \"mio\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_to_lock_is_said_with_the_remedy() {
        assert!(check_memlock(None).is_ok());
        assert!(check_memlock(Some(Limit::Unlimited)).is_ok());
        assert!(check_memlock(Some(Limit::At(MEMLOCK_BYTES))).is_ok());
        let text = check_memlock(Some(Limit::At(65_536)))
            .unwrap_err()
            .to_string();
        assert!(text.contains("65536") && text.contains("LimitMEMLOCK="));
    }

    #[test]
    fn mio_is_always_there() {
        assert_eq!(choose(EventLoop::Auto).unwrap(), EventLoop::Mio);
        assert_eq!(choose(EventLoop::Mio).unwrap(), EventLoop::Mio);
    }
}
