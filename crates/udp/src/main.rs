//! The `aquatic-udp` daemon.
fn main() {}
