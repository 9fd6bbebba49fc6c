//! What connections do, over sockets: the same tests for every event loop, in
//! the clear and with TLS.

mod client;
mod limits;
mod messages;
mod proxies;
mod server;
mod stopping;
mod tls;
mod words;
