//! Which event loop drives the connections.

use super::glommio;
use crate::EventLoop;

/// Chooses the event loop, logs which, and checks that it works on this system.
///
/// `auto` is mio: a reply over a persistent connection costs less than with glommio, and
/// epoll is allowed everywhere.
///
/// # Errors
///
/// As [`check_event_loop`].
pub(super) fn choose(wanted: EventLoop) -> anyhow::Result<EventLoop> {
    check_event_loop(wanted)?;
    let (chosen, text) = match wanted {
        EventLoop::Auto => (
            EventLoop::Mio,
            "mio (selected automatically, because it is faster)",
        ),
        EventLoop::Mio => (EventLoop::Mio, "mio"),
        EventLoop::Glommio => (EventLoop::Glommio, "glommio"),
    };
    log::info!("event loop: {text}");
    Ok(chosen)
}

/// Checks that an event loop works on this system, for this process.
///
/// # Errors
///
/// When glommio is configured but not available, in this build or on this system; the
/// message says what to do.
pub fn check_event_loop(wanted: EventLoop) -> anyhow::Result<()> {
    match wanted {
        EventLoop::Auto | EventLoop::Mio => Ok(()),
        EventLoop::Glommio => glommio::check(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mio_is_always_there() {
        assert_eq!(choose(EventLoop::Auto).unwrap(), EventLoop::Mio);
        assert_eq!(choose(EventLoop::Mio).unwrap(), EventLoop::Mio);
    }
}
