//! `aquatic-keys` makes, lists and revokes the keys of clients of the aquatic trackers.
//!
//! * [`command_line`]: what it is asked for.
//! * `actions`: what it does, and what it prints.
//! * `key_file`: reading and replacing the file of keys.

#![forbid(unsafe_code)]

mod actions;
pub mod command_line;
mod key_file;

pub use actions::run;
