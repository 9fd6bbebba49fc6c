//! Connections over sockets: the same tests for every event loop, in the clear and with
//! TLS.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod chat;
mod client;
mod hostile;
mod limits;
mod long_answers;
mod messages;
mod proxies;
mod server;
mod stopping;
mod talking;
mod tls;
mod words;
