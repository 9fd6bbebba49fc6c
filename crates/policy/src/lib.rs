//! Whom a tracker serves, and at which addresses: the rules that its operator declares.
//!
//! * [`AddressRange`], [`AddressRanges`]: networks of addresses.
//! * [`bans`]: bans by address. [`clients`]: client software that is served or rejected.
//!
//! Nothing here does I/O or reads a clock, and no request makes it allocate.

#![forbid(unsafe_code)]

mod address_ranges;
pub mod bans;
pub mod clients;

pub use address_ranges::{AddressRange, AddressRanges, ParseRangeError};
