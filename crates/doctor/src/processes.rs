//! Which processes hold a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) id: u32,
    /// Its name, of which the kernel keeps 15 bytes.
    pub(crate) name: String,
}

/// Length of the longest name that the kernel keeps: `TASK_COMM_LEN` without the final zero.
const MAX_NAME: usize = 15;

impl Process {
    /// Whether it is the program of this name. Before it is executed, systemd's process for
    /// it has the end of that name, in parentheses.
    pub(crate) fn is(&self, name: &str) -> bool {
        let nascent = self
            .name
            .strip_prefix('(')
            .and_then(|it| it.strip_suffix(')'));
        self.name == name.get(..MAX_NAME).unwrap_or(name)
            || nascent.is_some_and(|end| !end.is_empty() && name.ends_with(end))
    }
}

/// Who holds sockets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Holders {
    /// The processes that hold each socket, by its inode.
    by_inode: BTreeMap<u64, BTreeSet<Process>>,
    /// Whether some process could not be looked at.
    pub(crate) is_incomplete: bool,
}

impl Holders {
    /// Finds the holders of sockets in `/proc`.
    pub(crate) fn find(proc: &Path, inodes: &BTreeSet<u64>) -> Self {
        let mut holders = Self::default();
        if inodes.is_empty() {
            return holders;
        }
        let entries = fs::read_dir(proc).into_iter().flatten().flatten();
        for entry in entries {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            holders.look_at(&entry.path(), id, inodes);
        }
        holders
    }

    fn look_at(&mut self, directory: &Path, id: u32, inodes: &BTreeSet<u64>) {
        let descriptors = match fs::read_dir(directory.join("fd")) {
            Ok(descriptors) => descriptors,
            Err(error) => {
                self.is_incomplete |= error.kind() == io::ErrorKind::PermissionDenied;
                return;
            }
        };
        for descriptor in descriptors.flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else {
                continue;
            };
            let Some(inode) = target.to_str().and_then(inode_of) else {
                continue;
            };
            if inodes.contains(&inode) {
                let name = fs::read_to_string(directory.join("comm")).unwrap_or_default();
                let name = name.trim_end().to_owned();
                let holders = self.by_inode.entry(inode).or_default();
                holders.insert(Process { id, name });
            }
        }
    }

    /// All processes that hold one of the sockets.
    pub(crate) fn of(&self, inodes: impl IntoIterator<Item = u64>) -> BTreeSet<Process> {
        let found = inodes
            .into_iter()
            .filter_map(|inode| self.by_inode.get(&inode));
        found.flatten().cloned().collect()
    }
}

/// The inode in `socket:[123]`.
fn inode_of(target: &str) -> Option<u64> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;
    use std::process;

    use super::*;

    #[test]
    fn programs_are_recognized() {
        let is = |process: &str, name| {
            let process = Process {
                id: 1,
                name: process.to_owned(),
            };
            process.is(name)
        };
        assert!(is("aquatic-udp", "aquatic-udp") && is("(atic-udp)", "aquatic-udp"));
        assert!(is("a-name-of-15-by", "a-name-of-15-bytes"));
        assert!(!is("aquatic-ws", "aquatic-udp") && !is("()", "aquatic-udp"));
        assert!(!is("(quatic-ws)", "aquatic-udp"));
    }

    #[test]
    fn this_process_holds_its_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let inode = inode_of(fs::read_link(link).unwrap().to_str().unwrap()).unwrap();
        let holders = Holders::find(Path::new("/proc"), &BTreeSet::from([inode]));
        let of = holders.of([inode]);
        assert_eq!(of.first().unwrap().id, process::id());
        assert!(holders.of([inode + 1]).is_empty());
        assert_eq!(inode_of("pipe:[1]"), None);
    }
}
