//! How tests start this tracker, and connect to it.

pub(crate) use aquatic_test_harness::tracker::{KINDS, Kind, PLAIN, Place, TLS, Tracker};

use crate::wire::Client;

/// The files and settings for a tracker.
#[track_caller]
pub(crate) fn new_place(kind: Kind) -> Place {
    Place::of_kind(env!("CARGO_BIN_EXE_aquatic-http"), kind)
}

pub(crate) trait HttpTracker: Sized {
    #[track_caller]
    fn start(kind: Kind) -> Self {
        Self::with(kind, &[])
    }

    /// A tracker with some settings.
    fn with(kind: Kind, settings: &[(&str, &str)]) -> Self;

    /// A connection from 127.0.0.1.
    fn client(&self) -> Client;

    /// A connection from `::1`.
    fn client_ipv6(&self) -> Client;
}

impl HttpTracker for Tracker {
    #[track_caller]
    fn with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        new_place(kind).with(settings).start()
    }

    #[track_caller]
    fn client(&self) -> Client {
        Client::connect(self.ipv4(), self.place.is_tls)
    }

    #[track_caller]
    fn client_ipv6(&self) -> Client {
        Client::connect(self.ipv6(), self.place.is_tls)
    }
}
