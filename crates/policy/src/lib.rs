//! Whom a tracker serves, and at which addresses: the rules that its operator declares.
//!
//! * [`AddressRange`], [`AddressRanges`]: networks of addresses.
//!
//! Nothing here does I/O or reads a clock, and no request makes it allocate.

#![forbid(unsafe_code)]

mod address_ranges;

pub use address_ranges::{AddressRange, AddressRanges, ParseRangeError};
