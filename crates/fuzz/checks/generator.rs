//! Invariants of the generated units, for any configuration.

use std::path::Path;

use aquatic_service::config::Layer;
use aquatic_service::{Daemon, Wanted, wanted_by};

/// Panics if units have a socket at an address that the configuration does not contain, or
/// open the sandbox for a server that it does not contain.
pub(crate) fn check<D: Daemon>(bytes: &[u8]) {
    let mistake = String::from_utf8_lossy(bytes);
    let file = format!(
        "socket_workers = 3\n[network]\naddress = \"127.0.0.1:7777\"\n[access_list]\n{mistake}"
    );
    let path = Path::new("no-such-directory/file.toml");
    let wanted = wanted_by::<D>(&[Layer::file(file)], path);
    if let Ok(Wanted {
        listening,
        destination,
        ..
    }) = wanted
    {
        assert_eq!(
            listening.addresses,
            ["127.0.0.1:7777".parse().expect("an address")]
        );
        assert_eq!(listening.workers.map(usize::from), Some(3));
        if let Some(destination) = destination {
            assert!(mistake.contains("url"), "{destination:?}");
        }
    }
}
