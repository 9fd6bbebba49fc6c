//! What must hold for the addresses that systemd gets, whatever stands below them.

use std::path::Path;

use aquatic_service::{Daemon, listening_of};

/// Panics when sockets would be opened at an address that nobody asked for.
pub(crate) fn check<D: Daemon>(bytes: &[u8]) {
    let mistake = String::from_utf8_lossy(bytes);
    let file = format!(
        "socket_workers = 3\n[network]\naddress = \"127.0.0.1:7777\"\n[access_list]\n{mistake}"
    );
    let path = Path::new("no-such-directory/file.toml");
    if let Ok((listening, _)) = listening_of::<D>(&file, path) {
        assert_eq!(
            listening.addresses,
            ["127.0.0.1:7777".parse().expect("an address")]
        );
        assert_eq!(listening.workers.map(usize::from), Some(3));
    }
}
