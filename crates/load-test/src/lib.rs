//! Load tests for BitTorrent trackers, for those who run or write one.
//!
//! * [`udp`]: BEP 15 over UDP.
//! * [`process`]: what the tracker's process costs.
//!
//! Only ever test a tracker of your own: to anybody else's, these programs are
//! an attack.

pub mod process;
pub mod udp;
