//! Values that may have the wrong type: parsing continues, so that the reply to an invalid
//! request can identify it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loose<T> {
    /// It is missing, or null.
    Absent,
    /// It has a valid value.
    Given(T),
    /// It has an invalid value.
    Wrong,
}

impl<T> Loose<T> {
    /// The value, if it is valid.
    #[inline]
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// The value, or `None` if it is missing; `fault` if it is invalid.
    #[inline]
    pub(super) fn or_fault<F>(self, fault: F) -> Result<Option<T>, F> {
        match self {
            Self::Given(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Wrong => Err(fault),
        }
    }

    #[inline]
    pub(super) fn given_or_wrong(value: Option<T>) -> Self {
        value.map_or(Self::Wrong, Self::Given)
    }
}

/// How values of each JSON type are converted. By default, all are invalid.
pub(super) trait Meaning<'de>: Sized {
    type Value;

    fn of_text(self, _: &str) -> Option<Self::Value> {
        None
    }

    /// The number is rounded away from 0, and limited to the range of the type.
    fn of_number(self, _: i64) -> Option<Self::Value> {
        None
    }

    fn of_list<A: SeqAccess<'de>>(self, list: A) -> Result<Option<Self::Value>, A::Error> {
        skip_list(list)?;
        Ok(None)
    }

    fn of_object<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<Self::Value>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Skips the rest of a list.
pub(super) fn skip_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Deserializes a value of any type.
pub(super) struct Any<M>(pub(super) M);

impl<'de, M: Meaning<'de>> DeserializeSeed<'de> for Any<M> {
    type Value = Loose<M::Value>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Meaning<'de>> Visitor<'de> for Any<M> {
    type Value = Loose<M::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    #[inline]
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose::given_or_wrong(self.0.of_text(text)))
    }

    #[inline]
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Loose::given_or_wrong(self.0.of_number(number)))
    }

    #[inline]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        let rounded = number.abs().ceil().copysign(number);
        self.visit_i64(rounded as i64)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Loose::Wrong)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Loose::Absent)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        self.0.of_list(list).map(Loose::given_or_wrong)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        self.0.of_object(object).map(Loose::given_or_wrong)
    }
}
