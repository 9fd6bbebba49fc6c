//! Headers of frames (RFC 6455, 5.2).

use super::{FrameFault, MAX_CONTROL_PAYLOAD, Sender};

/// A parsed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Whether it is the last fragment of its message.
    pub(super) is_final: bool,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) payload_length: u64,
    /// Length of the header.
    pub(super) length: usize,
}

/// The opcodes of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// The bit for the last fragment of a message.
pub(super) const FINAL: u8 = 0x80;

/// Bits reserved for extensions, none of which is supported.
const RESERVED: u8 = 0x70;

/// The bit for a mask, in the byte with the length.
pub(super) const MASKED: u8 = 0x80;

/// Values of the short length that indicate a longer length field.
pub(super) const TWO_BYTES: u8 = 126;
pub(super) const EIGHT_BYTES: u8 = 127;

impl Header {
    /// Parses a header; `None` if it is incomplete.
    #[inline]
    pub(super) fn parse(bytes: &[u8], sender: Sender) -> Result<Option<Self>, FrameFault> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(FrameFault::ReservedBits);
        }
        let kind = Kind::of(first & 0x0f)?;
        let is_final = first & FINAL != 0;
        let is_masked = second & MASKED != 0;
        match sender {
            Sender::Client if !is_masked => return Err(FrameFault::NotMasked),
            Sender::Server if is_masked => return Err(FrameFault::Masked),
            _ => {}
        }
        let short = second & !MASKED;
        if kind.is_control() {
            if !is_final {
                return Err(FrameFault::FragmentedControl);
            }
            if usize::from(short) > MAX_CONTROL_PAYLOAD {
                return Err(FrameFault::ControlTooLong);
            }
        }
        let (payload_length, rest) = match (short, rest) {
            (TWO_BYTES, [a, b, rest @ ..]) => (u16::from_be_bytes([*a, *b]).into(), rest),
            (EIGHT_BYTES, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
            }
            (TWO_BYTES | EIGHT_BYTES, _) => return Ok(None),
            _ => (short.into(), rest),
        };
        // "the minimal number of bytes MUST be used to encode the length".
        let shortest = match short {
            TWO_BYTES => u64::from(TWO_BYTES),
            EIGHT_BYTES => 0x1_0000,
            _ => 0,
        };
        // "the most significant bit MUST be 0".
        if payload_length < shortest || payload_length > i64::MAX as u64 {
            return Err(FrameFault::Length);
        }
        let (mask, rest) = match (is_masked, rest) {
            (false, rest) => (None, rest),
            (true, [a, b, c, d, rest @ ..]) => (Some([*a, *b, *c, *d]), rest),
            (true, _) => return Ok(None),
        };
        let length = bytes.len() - rest.len();
        Ok(Some(Self {
            kind,
            is_final,
            mask,
            payload_length,
            length,
        }))
    }
}

impl Kind {
    /// The kind of an opcode (RFC 6455, 5.2, "Opcode").
    #[inline]
    fn of(opcode: u8) -> Result<Self, FrameFault> {
        match opcode {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            other => Err(FrameFault::Opcode(other)),
        }
    }

    /// RFC 6455, 5.5.
    #[inline]
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}
