//! What is wrong with a frame.

use super::CloseCode;

/// Why a connection is closed. The texts are meant for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// A bit that only an extension would set.
    #[error("a reserved bit is set, and no extension was agreed on")]
    ReservedBits,
    /// A kind of frame that does not exist.
    #[error("there is no opcode {0}")]
    Opcode(u8),
    /// A frame of a client without a mask.
    #[error("frames of clients must be masked")]
    NotMasked,
    /// A frame of a server with a mask.
    #[error("frames of servers must not be masked")]
    Masked,
    /// A ping, a pong or a close frame in several parts.
    #[error("control frames must not be fragmented")]
    FragmentedControl,
    /// A ping, a pong or a close frame of more than 125 bytes.
    #[error("control frames must not have more than 125 bytes")]
    ControlTooLong,
    /// A length in more bytes than it needs, or with its first bit set.
    #[error("the length of a frame is malformed")]
    Length,
    /// A fragment of a message that has not begun.
    #[error("there is no message to continue")]
    NothingToContinue,
    /// A message before the one before it is complete.
    #[error("a message begins within another one")]
    Interrupted,
    /// More bytes than the caller accepts.
    #[error("the message is too long")]
    MessageTooLong,
    /// Half a code, or one that must not be sent.
    #[error("the code of the close frame is malformed")]
    CloseCode,
    /// Text, or the reason in a close frame, that is no text.
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
