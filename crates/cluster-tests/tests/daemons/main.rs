//! Daemons that keep one swarm, started as a user would by hand, and asked on the wire.

mod client;
mod engine;
mod failover;
mod limits;
mod load;
mod meeting;
mod pair;
mod peers;
mod real_clients;
mod restarts;
