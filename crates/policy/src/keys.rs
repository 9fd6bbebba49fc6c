//! Keys of clients, for trackers that serve only those who have one.
//!
//! * [`KeyText`]: a key as text. [`UrlKey`]: the key in the URL of a tracker.
//! * [`KeyLine`]: a line of a file of keys, with [`Expiry`] and [`Label`].
//! * [`KeySet`]: the keys of a file, as digests under a [`KeyHasher`].

mod date;
mod digest;
mod line;
mod set;
mod text;
mod url;

pub use date::{Expiry, ParseExpiryError};
pub use digest::{KeyDigest, KeyHasher};
pub use line::{KeyLine, Label, LabelError, LineError, MAX_LABEL_BYTES};
pub use set::{Duplicate, Key, KeySet, KeySetBuilder, MAX_KEYS, TooManyKeys};
pub use text::{KeyText, KeyTextError, MAX_KEY_LENGTH, MIN_KEY_LENGTH};
pub use url::{MAX_URL_DATA_BYTES, UrlKey};
