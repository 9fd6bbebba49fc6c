//! Values that may have the wrong type: parsing continues, so that the reply to an invalid
//! request can identify it.

use crate::json::{Begun, Malformed, Reader, Text};

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

    /// Reads a value, which has to be a string that means something.
    #[inline]
    pub(super) fn of_text(
        reader: &mut Reader<'_>,
        meaning: impl FnOnce(Text<'_>) -> Option<T>,
    ) -> Result<Self, Malformed> {
        let begun = reader.begin()?;
        match begun {
            Begun::Text(text) => Ok(Self::given_or_wrong(meaning(text))),
            _ => Self::of_another_type(reader, begun),
        }
    }

    /// Reads what is left of a value that is of no valid type.
    pub(super) fn of_another_type(
        reader: &mut Reader<'_>,
        begun: Begun<'_>,
    ) -> Result<Self, Malformed> {
        reader.skip(begun)?;
        Ok(match begun {
            Begun::Null => Self::Absent,
            _ => Self::Wrong,
        })
    }
}
