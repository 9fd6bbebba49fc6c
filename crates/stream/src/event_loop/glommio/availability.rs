//! Whether glommio works on this system, and what to do if it does not.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::thread;

use anyhow::{anyhow, bail};
use aquatic_service::resource_limits::{self, Limit};

use crate::descriptors::GLOMMIO_FILES;
use crate::event_loop::MEMLOCK_BYTES;

/// Checks that the event loop works on this system, for this process.
///
/// # Errors
///
/// When it does not; the message says what to do.
pub(in crate::event_loop) fn check() -> anyhow::Result<()> {
    check_memlock(resource_limits::locked_memory_bytes())?;
    if let Some(error) = too_few_files("its rings cannot be opened") {
        return Err(error);
    }
    probe()
}

fn check_memlock(limit: Option<Limit>) -> anyhow::Result<()> {
    match limit {
        Some(Limit::At(bytes)) if bytes < MEMLOCK_BYTES => bail!(
            "the event loop glommio needs {MEMLOCK_BYTES} bytes of locked memory, but the limit is \
             {bytes}: raise it with LimitMEMLOCK= or `ulimit -l`, or set network.event_loop to \
             \"mio\""
        ),
        _ => Ok(()),
    }
}

/// Requests a ring from the kernel; then makes an executor and drops it. Both happen on a
/// thread of their own: glommio may panic, and the kernel interrupts system calls of a
/// thread that had a ring when it frees the ring.
fn probe() -> anyhow::Result<()> {
    let attempt = thread::Builder::new()
        .name("probe".to_owned())
        .spawn(|| {
            // First, because glommio panics if the kernel refuses.
            ask_for_ring().map_err(|error| refused(&error))?;
            super::executor().map(|executor| executor.run(async {}))
        })?
        .join();
    attempt.unwrap_or_else(|_| Err(used_up("its rings cannot be used")))
}

/// glommio has panicked, as it does if it lacks a resource.
pub(super) fn used_up(reason: &str) -> anyhow::Error {
    too_few_files(reason).unwrap_or_else(|| memory_used_up(reason))
}

/// The error of a worker whose event loop can open no further files.
fn too_few_files(reason: &str) -> Option<anyhow::Error> {
    let needed = resource_limits::open_files()? + GLOMMIO_FILES;
    (resource_limits::max_open_files()? < needed).then(|| files_used_up(reason))
}

fn files_used_up(reason: &str) -> anyhow::Error {
    let limit =
        resource_limits::max_open_files().map_or("none".to_owned(), |limit| limit.to_string());
    anyhow!(
        "the event loop glommio needs {GLOMMIO_FILES} open files per worker ({reason}), but the \
         limit is {limit}: raise it with LimitNOFILE= or `ulimit -n`"
    )
}

/// Why there is no ring, and what to do.
pub(super) fn refused(error: &io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => files_used_up(&error.to_string()),
        // io_uring_setup(2): "insufficient kernel resources are available", which
        // for those without CAP_IPC_LOCK means the limit of locked memory; all
        // processes of a user share it.
        Some(libc::ENOMEM | libc::EAGAIN) => memory_used_up(&error.to_string()),
        _ => unavailable(&error.to_string()),
    }
}

/// The size of `struct io_uring_params` (linux/io_uring.h), which the kernel
/// fills in.
const RING_PARAMETERS_BYTES: usize = 120;

/// io_uring_setup(2) for the smallest ring, which is closed at once.
#[allow(unsafe_code, reason = "the standard library knows nothing of io_uring")]
fn ask_for_ring() -> io::Result<()> {
    let mut parameters = [0_u64; RING_PARAMETERS_BYTES / size_of::<u64>()];
    // SAFETY: the parameters are as large and as aligned as the kernel expects,
    // and zero asks for nothing special.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    match i32::try_from(ring) {
        Ok(descriptor) if descriptor >= 0 => {
            // SAFETY: the kernel has just made the descriptor for us.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// The limit is high enough for one process, but not for all processes of the user.
fn memory_used_up(reason: &str) -> anyhow::Error {
    let limit = match resource_limits::locked_memory_bytes() {
        Some(Limit::At(bytes)) => format!("{bytes} bytes"),
        Some(Limit::Unlimited) | None => "no limit".to_owned(),
    };
    anyhow!(
        "the event loop glommio cannot lock the memory that it needs ({reason}; {limit} for all \
         processes of this user together): raise it with LimitMEMLOCK= or `ulimit -l`, use fewer \
         socket_workers, or set network.event_loop to \"mio\""
    )
}

fn unavailable(reason: &str) -> anyhow::Error {
    anyhow!(
        "the event loop glommio needs io_uring, which is not available ({reason}): allow it \
         (sysctl kernel.io_uring_disabled=0, and system call filters), or set network.event_loop \
         to \"mio\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_locked_memory_is_reported_with_a_remedy() {
        assert!(check_memlock(None).is_ok());
        assert!(check_memlock(Some(Limit::Unlimited)).is_ok());
        assert!(check_memlock(Some(Limit::At(MEMLOCK_BYTES))).is_ok());
        let text = check_memlock(Some(Limit::At(65_536)))
            .unwrap_err()
            .to_string();
        assert!(text.contains("65536") && text.contains("LimitMEMLOCK="));
    }

    #[test]
    fn memory_that_others_have_locked_is_said_with_the_remedy() {
        for code in [libc::ENOMEM, libc::EAGAIN] {
            let text = refused(&io::Error::from_raw_os_error(code)).to_string();
            assert!(text.contains("LimitMEMLOCK="), "{text}");
            assert!(text.contains("event_loop"), "{text}");
        }
        let text = refused(&io::Error::from_raw_os_error(libc::EMFILE)).to_string();
        assert!(text.contains("LimitNOFILE="), "{text}");
        let text = refused(&io::Error::from_raw_os_error(libc::EPERM)).to_string();
        assert!(text.contains("kernel.io_uring_disabled"), "{text}");
    }
}
