//! Whom a tracker serves, and at which addresses: the rules that its operator declares.
//!
//! * [`AddressRange`], [`AddressRanges`]: networks of addresses.
//! * [`bans`]: bans by address. [`clients`]: client software that is served or rejected.
//! * [`AddressRules`]: under which address a peer is stored. [`AddressMap`]: where those are
//!   that the tracker sees elsewhere. [`special_purpose`]: which addresses nobody outside
//!   reaches.
//! * [`keys`]: keys of clients, for trackers that serve only those who have one.
//! * [`rates`]: how many requests a source may make.
//!
//! Nothing here does I/O or reads a clock, and no request makes it allocate.

#![forbid(unsafe_code)]

mod address_map;
mod address_ranges;
pub mod bans;
pub mod clients;
pub mod keys;
mod peer_address;
pub mod rates;
mod special_addresses;

pub use address_map::{AddressMap, MapFault};
pub use address_ranges::{AddressRange, AddressRanges, ParseRangeError};
pub use peer_address::{AddressRules, SpecialAddress};
pub use special_addresses::special_purpose;
