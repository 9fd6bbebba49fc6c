//! What the daemons over TCP share: connections, from accepting to closing, with TLS or
//! without.
//!
//! A daemon implements [`Protocol`]: bytes in, bytes out. Everything else about
//! a connection happens here.
//!
//! * [`Protocol`], [`Exchange`], [`Progress`], [`Interruption`]: the interface.
//! * [`Outputs`], [`Inbox`], [`WorkerWaker`]: how connections write to each other,
//!   within a worker and across.
//! * [`Peer`], [`ConnectionId`]: a connection's addresses and identity.
//! * [`ConnectionMap`]: further values by connection.
//! * [`config`]: what is configured the same way by all daemons over TCP.
//! * [`Settings`], [`ConnectionLimits`], [`ConnectionRate`]: settings.
//! * [`proxy_header`]: the PROXY protocol.
//! * [`ReverseProxy`], [`AddressHeader`]: proxies that name their clients in a
//!   header of HTTP.
//! * `engine`, `connection`, `backlog`, `tls`, `deadlines`, `admission`, `table`:
//!   the connections of a worker, without I/O.
//! * [`tls_config()`]: TLS. `certificate_rotation`: connections with old certificates.
//! * [`start`], `event_loop`, `descriptors`: what drives them.
//! * [`simulation`]: what drives them in tests.

#![deny(unsafe_code)]

mod address_header;
mod admission;
mod backlog;
mod certificate_rotation;
#[cfg(test)]
mod churn;
pub mod config;
mod connection;
mod connection_map;
mod counters;
mod deadlines;
mod descriptors;
pub mod doctor;
mod engine;
mod event_loop;
mod inbox;
#[cfg(test)]
mod inbox_tests;
mod outputs;
mod protocol;
pub mod proxy_header;
mod reverse_proxy;
mod settings;
pub mod simulation;
mod table;
mod tls;
mod tls_config;

pub use address_header::{AddressHeader, AddressHeaderFault};
pub use connection_map::ConnectionMap;
pub use counters::METRICS;
pub use event_loop::{Plan, Running, check_event_loop, start};
pub use inbox::{Batch, Inbox, InboxFull, WorkerWaker};
pub use outputs::{Outputs, Unreachable};
pub use protocol::{
    ConnectionId, Exchange, Interruption, Next, Peer, Progress, Protocol, TooManyConnections,
};
pub use reverse_proxy::ReverseProxy;
pub use settings::{ConnectionLimits, ConnectionRate, EventLoop, Settings};
pub use tls_config::tls_config;

/// Types that threads share. A test can replace them by versions that explore all
/// interleavings of the threads.
mod sync {
    pub(crate) use std::sync::atomic::AtomicBool;
    pub(crate) use std::sync::{Arc, Mutex};
}
