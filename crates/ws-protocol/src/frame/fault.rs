//! Why a frame is malformed.

use super::CloseCode;

/// Why a frame is malformed. The texts are meant for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// A bit is set that is reserved for extensions.
    #[error("a reserved bit is set, and no extension was agreed on")]
    ReservedBits,
    /// The opcode is unknown.
    #[error("there is no opcode {0}")]
    Opcode(u8),
    /// A client's frame has no mask.
    #[error("frames of clients must be masked")]
    NotMasked,
    /// A server's frame has a mask.
    #[error("frames of servers must not be masked")]
    Masked,
    /// A ping, pong or close frame is fragmented.
    #[error("control frames must not be fragmented")]
    FragmentedControl,
    /// A ping, pong or close frame has more than 125 bytes.
    #[error("control frames must not have more than 125 bytes")]
    ControlTooLong,
    /// The length is not in its shortest form, or its first bit is set.
    #[error("the length of a frame is malformed")]
    Length,
    /// There is no message that a fragment continues.
    #[error("there is no message to continue")]
    NothingToContinue,
    /// A message begins before the previous one is complete.
    #[error("a message begins within another one")]
    Interrupted,
    /// A frame or message is longer than the limit.
    #[error("the message is too long")]
    MessageTooLong,
    /// A close code is truncated, or must not be sent.
    #[error("the code of the close frame is malformed")]
    CloseCode,
    /// A text, or the reason in a close frame, is not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
}

impl FrameFault {
    /// The code for the close frame.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::MessageTooLong => CloseCode::TOO_LONG,
            Self::NotUtf8 => CloseCode::INVALID_TEXT,
            Self::ReservedBits
            | Self::Opcode(_)
            | Self::NotMasked
            | Self::Masked
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::Length
            | Self::NothingToContinue
            | Self::Interrupted
            | Self::CloseCode => CloseCode::PROTOCOL_ERROR,
        }
    }
}
