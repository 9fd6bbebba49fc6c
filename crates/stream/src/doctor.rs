//! What `doctor` needs to know of connections.

use aquatic_doctor::Particulars;

use crate::config::descriptors;
use crate::event_loop::{MEMLOCK_BYTES, check_event_loop};
use crate::{AddressHeaderFault, EventLoop, Settings};

/// All that is known here: not the files of the certificate.
pub fn particulars(settings: &Settings) -> Particulars {
    let is_glommio = settings.event_loop == EventLoop::Glommio;
    Particulars {
        tls: None,
        open_files: Some(descriptors(settings)),
        io_uring: is_glommio
            .then(|| check_event_loop(settings.event_loop).map_err(|error| format!("{error:#}"))),
        locked_memory_bytes: is_glommio.then_some(MEMLOCK_BYTES),
        is_behind_proxy: settings.proxy_protocol.is_some() || settings.reverse_proxy.is_some(),
        has_keys: false,
        requests_at_once: None,
    }
}

/// Whether a tracker says this of a request whose proxy does not name its client.
pub fn is_about_address_header(reason: &str) -> bool {
    let faults = [AddressHeaderFault::Missing, AddressHeaderFault::NoAddress];
    faults.iter().any(|fault| fault.to_string() == reason)
}
