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
    match listening_of::<D>(&file, path) {
        Ok((listening, _)) => {
            assert_eq!(
                listening.addresses,
                ["127.0.0.1:7777".parse().expect("an address")]
            );
            assert_eq!(listening.workers.map(usize::from), Some(3));
        }
        // Only what is said about sockets costs them.
        Err(faults) => {
            let is_about_sockets = |key: &str| {
                let mut parts = D::SOCKET_KEYS
                    .iter()
                    .filter_map(|key| key.split('.').next());
                parts.any(|part| key.starts_with(part))
            };
            let mut keys = faults
                .faults
                .iter()
                .filter_map(|fault| fault.key.as_deref());
            assert!(keys.any(is_about_sockets), "{faults}");
        }
    }
}
