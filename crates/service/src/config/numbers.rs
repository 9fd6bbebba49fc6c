//! Numbers of a configuration, with their range and unit in their type.
//!
//! The type of a field is the only definition of its range: parsing rejects values out of
//! range, and the schema, from which the default file, the manual page and the NixOS
//! options are generated, has the same range.

use std::fmt;
use std::marker::PhantomData;
use std::num::{NonZero, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};

/// The start of the message about a value that is not a valid number; it is followed by the
/// allowed range.
pub(super) const WHOLE_NUMBER: &str = "a whole number ";

/// Units of numbers.
pub mod unit {
    /// The unit of a number.
    pub trait Unit {
        /// The name of the unit in messages and documentation; empty if the key's name says
        /// it.
        const NAME: &'static str;
    }

    /// No unit: a count of what the key's name says.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Things;

    /// Bytes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Bytes;

    /// Microseconds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Microseconds;

    /// Milliseconds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Milliseconds;

    /// Seconds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Seconds;

    /// Minutes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Minutes;

    impl Unit for Things {
        const NAME: &'static str = "";
    }

    impl Unit for Bytes {
        const NAME: &'static str = "bytes";
    }

    impl Unit for Microseconds {
        const NAME: &'static str = "microseconds";
    }

    impl Unit for Milliseconds {
        const NAME: &'static str = "milliseconds";
    }

    impl Unit for Seconds {
        const NAME: &'static str = "seconds";
    }

    impl Unit for Minutes {
        const NAME: &'static str = "minutes";
    }
}

use unit::Unit;

/// A whole number of a unit, from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number<U, const MIN: u64, const MAX: u64>(u64, PhantomData<U>);

/// A count of what the key's name says.
pub type Count<const MIN: u64, const MAX: u64> = Number<unit::Things, MIN, MAX>;
/// A number of bytes.
pub type Bytes<const MIN: u64, const MAX: u64> = Number<unit::Bytes, MIN, MAX>;
/// A number of microseconds.
pub type Microseconds<const MIN: u64, const MAX: u64> = Number<unit::Microseconds, MIN, MAX>;
/// A number of milliseconds.
pub type Milliseconds<const MIN: u64, const MAX: u64> = Number<unit::Milliseconds, MIN, MAX>;
/// A number of seconds.
pub type Seconds<const MIN: u64, const MAX: u64> = Number<unit::Seconds, MIN, MAX>;
/// A number of minutes.
pub type Minutes<const MIN: u64, const MAX: u64> = Number<unit::Minutes, MIN, MAX>;

/// A number that is never 0, or 0 for none: no limit, or a value chosen automatically.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZeroOr<N>(Option<N>);

impl<U, const MIN: u64, const MAX: u64> Number<U, MIN, MAX> {
    /// A constant number, whose range is checked at compile time.
    pub const fn of<const VALUE: u64>() -> Self {
        const { assert!(MIN <= VALUE && VALUE <= MAX, "out of range") }
        Self(VALUE, PhantomData)
    }

    /// The nearest number in range.
    pub fn nearest(number: impl TryInto<u64>) -> Self {
        let number = number.try_into().unwrap_or(MAX);
        Self(number.clamp(MIN, MAX), PhantomData)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number; that it fits is checked at compile time.
    pub const fn as_u32(self) -> u32 {
        const { assert!(MAX <= u32::MAX as u64) }
        self.0 as u32
    }

    /// The number; that it fits is checked at compile time.
    pub const fn as_u16(self) -> u16 {
        const { assert!(MAX <= u16::MAX as u64) }
        self.0 as u16
    }

    /// The number; that it fits is checked at compile time.
    pub const fn as_usize(self) -> usize {
        const { assert!(MAX <= usize::MAX as u64) }
        self.0 as usize
    }

    /// The number; that it is not 0 is checked at compile time.
    pub const fn non_zero(self) -> NonZeroUsize {
        const { assert!(MIN > 0) }
        // It is at least MIN, which is above 0.
        NonZeroUsize::MIN.saturating_add(self.as_usize() - 1)
    }
}

impl<const MIN: u64, const MAX: u64> Microseconds<MIN, MAX> {
    /// The number as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Milliseconds<MIN, MAX> {
    /// The number as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Seconds<MIN, MAX> {
    /// The number as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Minutes<MIN, MAX> {
    /// The number as a duration.
    pub const fn duration(self) -> Duration {
        const { assert!(MAX <= u64::MAX / 60) }
        Duration::from_secs(60 * self.0)
    }
}

impl<N> ZeroOr<N> {
    /// Zero: none.
    pub const ZERO: Self = Self(None);
}

impl<N> From<N> for ZeroOr<N> {
    fn from(number: N) -> Self {
        Self(Some(number))
    }
}

impl<N> Default for ZeroOr<N> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<U, const MIN: u64, const MAX: u64> ZeroOr<Number<U, MIN, MAX>> {
    /// A constant number, whose range is checked at compile time.
    pub const fn of<const VALUE: u64>() -> Self {
        Self(Some(Number::of::<VALUE>()))
    }

    /// The number; `None` for 0.
    pub fn non_zero(self) -> Option<NonZeroUsize> {
        self.0.map(Number::non_zero)
    }

    /// The number; `None` for 0. That it fits is checked at compile time.
    pub fn non_zero_u32(self) -> Option<NonZero<u32>> {
        self.0.and_then(|number| NonZero::new(number.as_u32()))
    }
}

/// The range of a number.
struct Allowed {
    min: u64,
    max: u64,
    /// Whether 0 is allowed as well.
    or_zero: bool,
    unit: &'static str,
}

impl Allowed {
    fn of<U: Unit, const MIN: u64, const MAX: u64>() -> Self {
        Self {
            min: MIN,
            max: MAX,
            or_zero: false,
            unit: U::NAME,
        }
    }

    fn or_zero<U: Unit, const MIN: u64, const MAX: u64>() -> Self {
        const { assert!(MIN > 0) }
        Self {
            or_zero: true,
            ..Self::of::<U, MIN, MAX>()
        }
    }

    fn has(&self, number: u64) -> bool {
        (self.min..=self.max).contains(&number) || self.or_zero && number == 0
    }

    /// With the extension `range`, which is text for users.
    #[cfg(feature = "schema")]
    fn schema(&self) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer",
            "minimum": if self.or_zero { 0 } else { self.min },
            "maximum": self.max,
            "range": self.to_string(),
        })
    }
}

/// The allowed values, as the end of the sentence "it must be …".
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.or_zero {
            f.write_str("0, or ")?;
        }
        write!(f, "from {} to {}", self.min, self.max)?;
        match self.unit {
            "" => Ok(()),
            unit => write!(f, " {unit}"),
        }
    }
}

impl Visitor<'_> for Allowed {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WHOLE_NUMBER}{self}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        match self.has(number) {
            true => Ok(number),
            false => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

impl<'de, U: Unit, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<U, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_u64(Allowed::of::<U, MIN, MAX>())?;
        Ok(Self(number, PhantomData))
    }
}

impl<'de, U: Unit, const MIN: u64, const MAX: u64> Deserialize<'de>
    for ZeroOr<Number<U, MIN, MAX>>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_u64(Allowed::or_zero::<U, MIN, MAX>())?;
        Ok(Self((number != 0).then_some(Number(number, PhantomData))))
    }
}

impl<U, const MIN: u64, const MAX: u64> Serialize for Number<U, MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<U, const MIN: u64, const MAX: u64> Serialize for ZeroOr<Number<U, MIN, MAX>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.as_ref().map_or(0, |number| number.0))
    }
}

/// For command lines.
impl<U: Unit, const MIN: u64, const MAX: u64> FromStr for Number<U, MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = Allowed::of::<U, MIN, MAX>();
        match text.parse() {
            Ok(number) if allowed.has(number) => Ok(Self(number, PhantomData)),
            _ => Err(format!("it must be {WHOLE_NUMBER}{allowed}")),
        }
    }
}

impl<U, const MIN: u64, const MAX: u64> fmt::Display for Number<U, MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "schema")]
impl<U: Unit, const MIN: u64, const MAX: u64> schemars::JsonSchema for Number<U, MIN, MAX> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Allowed::of::<U, MIN, MAX>().schema()
    }
}

#[cfg(feature = "schema")]
impl<U: Unit, const MIN: u64, const MAX: u64> schemars::JsonSchema for ZeroOr<Number<U, MIN, MAX>> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ZeroOr".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Allowed::or_zero::<U, MIN, MAX>().schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(number: &str) -> Result<T, String> {
        let read = T::deserialize(toml::de::ValueDeserializer::parse(number).unwrap());
        read.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_the_range() {
        type Timeout = Seconds<2, 5>;
        assert_eq!(read::<Timeout>("2"), Ok(Timeout::of::<2>()));
        assert_eq!(read::<Timeout>("5").unwrap().duration().as_secs(), 5);
        for number in ["-1", "0", "1", "6", "99999999999999999999", "1.5", "''"] {
            let error = read::<Timeout>(number).unwrap_err();
            let expected = ", expected a whole number from 2 to 5 seconds";
            assert!(error.ends_with(expected), "{error}");
        }
        let error = "it must be a whole number from 2 to 5 seconds";
        assert_eq!("6".parse::<Timeout>(), Err(error.to_owned()));
        assert_eq!("x".parse::<Timeout>(), Err(error.to_owned()));
        assert_eq!("3".parse(), Ok(Timeout::of::<3>()));
        let nearest = [0_u32, 2, 4, 5, 6].map(|number| Timeout::nearest(number).as_u64());
        assert_eq!(nearest, [2, 2, 4, 5, 5]);
    }

    #[test]
    fn zero_is_none_where_it_may_be() {
        type Cap = ZeroOr<Count<3, 5>>;
        assert_eq!(read::<Cap>("0"), Ok(Cap::ZERO));
        assert_eq!(Cap::ZERO.non_zero(), None);
        assert_eq!(read::<Cap>("3").unwrap().non_zero(), NonZeroUsize::new(3));
        for number in ["-1", "1", "6"] {
            let error = read::<Cap>(number).unwrap_err();
            let expected = ", expected a whole number 0, or from 3 to 5";
            assert!(error.ends_with(expected), "{error}");
        }
        let written = |cap: Cap| toml::Value::try_from(cap).unwrap().to_string();
        assert_eq!(
            (written(Cap::ZERO), written(Cap::of::<4>())),
            ("0".to_owned(), "4".to_owned())
        );
    }
}
