//! At most one consumer for each socket: two would give the same frames away twice.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use crate::{OpenError, system};

/// The files that this process has claimed, by device and number.
static CLAIMED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// The right to use a file of memory, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Claim {
    file: (u64, u64),
}

impl Claim {
    /// Claims a file; fails with [`OpenError::InUse`] if it is claimed already, by this
    /// process or another one. The lock ends when this process closes a descriptor of the
    /// file, so it may have no other.
    pub(crate) fn new(file: BorrowedFd<'_>) -> Result<Self, OpenError> {
        let (device, number, _) = system::identify(file).map_err(OpenError::Memory)?;
        let claim = (device, number);
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.contains(&claim) {
            return Err(OpenError::InUse);
        }
        system::lock(file).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied => OpenError::InUse,
            _ => OpenError::Memory(error),
        })?;
        claimed.insert(claim);
        Ok(Self { file: claim })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.remove(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_file_has_one_consumer() {
        let file = system::memory_file(c"claim", 4096).unwrap();
        let other = system::memory_file(c"claim", 4096).unwrap();
        let claim = Claim::new(file.as_fd()).unwrap();
        assert!(matches!(Claim::new(file.as_fd()), Err(OpenError::InUse)));
        Claim::new(other.as_fd()).unwrap();
        drop(claim);
        Claim::new(file.as_fd()).unwrap();
    }
}
