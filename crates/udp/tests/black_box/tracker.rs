//! How tests start this tracker, and send to it.

use std::net::{IpAddr, Ipv4Addr};

pub(crate) use aquatic_test_harness::tracker::{Place, Tracker};

use crate::wire::Client;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_aquatic-udp");

/// The files and settings for a tracker.
#[track_caller]
pub(crate) fn new_place() -> Place {
    // If the system does not grant the default size, the daemon logs a warning.
    Place::new(PROGRAM).with(&[("network.socket_recv_buffer_size", "0")])
}

pub(crate) trait UdpTracker: Sized {
    /// A tracker with the default settings.
    #[track_caller]
    fn start() -> Self {
        Self::with(&[])
    }

    /// A tracker with some settings.
    fn with(settings: &[(&str, &str)]) -> Self;

    /// A connected client at 127.0.0.1.
    fn client(&self) -> Client;

    /// A connected client at `::1`.
    fn client_ipv6(&self) -> Client;

    /// A connected client at another address of the loopback network.
    fn client_at(&self, last_byte: u8) -> Client;
}

impl UdpTracker for Tracker {
    #[track_caller]
    fn with(settings: &[(&str, &str)]) -> Self {
        new_place().with(settings).start()
    }

    #[track_caller]
    fn client(&self) -> Client {
        Client::new(self.ipv4())
    }

    #[track_caller]
    fn client_ipv6(&self) -> Client {
        Client::new(self.ipv6())
    }

    #[track_caller]
    fn client_at(&self, last_byte: u8) -> Client {
        let address = Ipv4Addr::new(127, 0, 0, last_byte);
        Client::at(IpAddr::V4(address), self.ipv4())
    }
}
