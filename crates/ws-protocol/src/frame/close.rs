//! Close codes (RFC 6455, 7.4).

use super::FrameFault;

/// The code in a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The connection is no longer needed.
    pub const NORMAL: Self = Self(1000);
    /// The server stops, or the user has left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The other side has violated the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A text is not UTF-8.
    pub const INVALID_TEXT: Self = Self(1007);
    /// The client has violated the rules of the tracker, for example by not reading.
    pub const POLICY: Self = Self(1008);
    /// A message is too long.
    pub const TOO_LONG: Self = Self(1009);
    /// The server restarts.
    pub const RESTART: Self = Self(1012);

    /// Creates a code from a number; `None` if it must not be sent.
    ///
    /// 1004 to 1006, and 1015, are never sent (7.4.1). Those up to 1014
    /// are registered; those from 3000 on are for libraries and applications.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Parses the code in the payload of a close frame.
pub(super) fn code_in(payload: &[u8]) -> Result<Option<CloseCode>, FrameFault> {
    let [high, low, reason @ ..] = payload else {
        // One byte is not a code.
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(FrameFault::CloseCode)
        };
    };
    let number = u16::from_be_bytes([*high, *low]);
    let code = CloseCode::new(number).ok_or(FrameFault::CloseCode)?;
    str::from_utf8(reason).map_err(|_| FrameFault::NotUtf8)?;
    Ok(Some(code))
}
