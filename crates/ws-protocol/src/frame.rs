//! Frames of WebSocket, and the messages that they carry (RFC 6455, 5).
//!
//! Our own, and not a library's, because of where bytes stand. A connection's
//! bytes arrive in a buffer that all connections of a worker share. Here, a
//! message is read where it arrived, with its mask removed in place, and a
//! connection that is idle keeps 8 bytes. Libraries that assemble messages own a
//! buffer for each connection and allocate for each message, which takes several
//! times as long; ARCHITECTURE.md has the measurements.

use std::borrow::Cow;
use std::mem;

mod close;
mod fault;
mod header;
mod mask;
mod writer;

pub use close::CloseCode;
pub use fault::FrameFault;
use header::Header;
pub(crate) use header::Kind;
pub use writer::{write_close, write_ping, write_pong, write_text};
pub(crate) use writer::{write_close_frame, write_control, write_frame};

/// The maximum of bytes of a frame before its payload.
pub const MAX_FRAME_HEADER: usize = 14;

/// The maximum of bytes in a ping, a pong, or a close frame (RFC 6455, 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// Who has sent the frames that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// RFC 6455, 5.1: "a client MUST mask all frames that it sends".
    Client,
    /// RFC 6455, 5.1: "a server MUST NOT mask any frames".
    Server,
}

/// The most bytes of payload that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimits {
    /// Of one frame.
    pub frame: usize,
    /// Of a message, all its fragments together.
    pub message: usize,
}

impl SizeLimits {
    /// Messages of this length, in however many frames.
    #[must_use]
    pub const fn of_message(length: usize) -> Self {
        Self {
            frame: length,
            message: length,
        }
    }
}

/// Finds messages in the bytes of a connection, and keeps the fragments of one
/// that is not complete.
#[derive(Debug, Default)]
pub struct MessageReader {
    fragments: Option<Box<Fragments>>,
}

/// The start of a message that is sent in several frames.
#[derive(Debug)]
struct Fragments {
    is_text: bool,
    payload: Vec<u8>,
}

/// What is at the start of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A part of a frame. Nothing was changed.
    Incomplete,
    /// A frame.
    Frame {
        /// What it means.
        event: Event<'a>,
        /// Its bytes, which are done with.
        length: usize,
    },
}

/// What a frame means.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, or its last fragment, that was sent as text.
    Text(Cow<'a, str>),
    /// A message, or its last fragment, that was sent as bytes.
    Binary(Cow<'a, [u8]>),
    /// A fragment that is not the last. There is nothing to do.
    Fragment,
    /// To be answered by [`write_pong`] with the same bytes.
    Ping(&'a [u8]),
    /// The answer to a ping, or a sign of life that nobody asked for.
    Pong(&'a [u8]),
    /// The last frame of the sender; to be answered by one if none was sent.
    Close(Option<CloseCode>),
}

impl MessageReader {
    /// A reader of a new connection.
    #[must_use]
    pub const fn new() -> Self {
        Self { fragments: None }
    }

    /// Whether a message has begun and is not complete.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.fragments.is_some()
    }

    /// Reads the first frame in `bytes`, which came from `sender`.
    ///
    /// A frame that is complete is changed in place, and must not be read again. One
    /// whose payload is longer than `limits` allow, or with which its message would be,
    /// is rejected before it is complete. Pings, pongs and close frames have a limit of
    /// their own.
    ///
    /// # Errors
    ///
    /// The frame violates the protocol, or is too long. The connection is to be closed
    /// with [`FrameFault::close_code`].
    #[inline]
    pub fn read<'a>(
        &mut self,
        bytes: &'a mut [u8],
        sender: Sender,
        limits: SizeLimits,
    ) -> Result<Received<'a>, FrameFault> {
        let Some(header) = Header::parse(bytes, sender)? else {
            return Ok(Received::Incomplete);
        };
        let before = self.fragments.as_ref().map(|it| it.payload.len());
        match header.kind {
            Kind::Continuation if before.is_none() => return Err(FrameFault::NothingToContinue),
            Kind::Text | Kind::Binary if before.is_some() => return Err(FrameFault::Interrupted),
            _ => {}
        }
        let room = limits.frame.min(limits.message - before.unwrap_or(0));
        if !header.kind.is_control() && header.payload_length > room as u64 {
            return Err(FrameFault::MessageTooLong);
        }
        // It was just compared with a length in memory.
        let end = header.length + header.payload_length as usize;
        let Some(payload) = bytes.get_mut(header.length..end) else {
            return Ok(Received::Incomplete);
        };
        if let Some(mask) = header.mask {
            mask::apply(payload, mask);
        }
        let event = self.event(&header, payload)?;
        Ok(Received::Frame { event, length: end })
    }

    #[inline]
    fn event<'a>(&mut self, header: &Header, payload: &'a [u8]) -> Result<Event<'a>, FrameFault> {
        match header.kind {
            Kind::Text if header.is_final => {
                let text = str::from_utf8(payload).map_err(|_| FrameFault::NotUtf8)?;
                Ok(Event::Text(Cow::Borrowed(text)))
            }
            Kind::Binary if header.is_final => Ok(Event::Binary(Cow::Borrowed(payload))),
            Kind::Text | Kind::Binary | Kind::Continuation => self.fragment(header, payload),
            Kind::Ping => Ok(Event::Ping(payload)),
            Kind::Pong => Ok(Event::Pong(payload)),
            Kind::Close => close::code_in(payload).map(Event::Close),
        }
    }

    #[cold]
    fn fragment<'a>(&mut self, header: &Header, payload: &[u8]) -> Result<Event<'a>, FrameFault> {
        let fragments = self.fragments.get_or_insert_with(|| {
            Box::new(Fragments {
                is_text: header.kind == Kind::Text,
                payload: Vec::new(),
            })
        });
        fragments.payload.extend_from_slice(payload);
        if !header.is_final {
            return Ok(Event::Fragment);
        }
        let whole = mem::take(&mut fragments.payload);
        let is_text = fragments.is_text;
        self.fragments = None;
        if is_text {
            let text = String::from_utf8(whole).map_err(|_| FrameFault::NotUtf8)?;
            Ok(Event::Text(Cow::Owned(text)))
        } else {
            Ok(Event::Binary(Cow::Owned(whole)))
        }
    }
}

#[cfg(test)]
mod tests;
