//! WebSocket frames, and the messages in them (RFC 6455, 5).
//!
//! This is our own code instead of a library because of its buffers. The input of all
//! connections of a worker is read into a shared buffer. A message is unmasked and parsed
//! in this buffer, so an idle connection keeps 8 bytes. Libraries that assemble messages
//! have a buffer per connection and allocate for each message, which takes several times as
//! long; ARCHITECTURE.md has the measurements.

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

/// Maximum length of the header of a frame.
pub const MAX_FRAME_HEADER: usize = 14;

/// Maximum length of the payload of a ping, pong or close frame (RFC 6455, 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The sender of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// RFC 6455, 5.1: "a client MUST mask all frames that it sends".
    Client,
    /// RFC 6455, 5.1: "a server MUST NOT mask any frames".
    Server,
}

/// Maximum lengths of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimits {
    /// Of a frame.
    pub frame: usize,
    /// Of a message, the sum of its fragments.
    pub message: usize,
}

impl SizeLimits {
    /// Limits for messages of this length, in any number of frames.
    #[must_use]
    pub const fn of_message(length: usize) -> Self {
        Self {
            frame: length,
            message: length,
        }
    }
}

/// Reads the frames of a connection, and keeps the fragments of an incomplete message.
#[derive(Debug, Default)]
pub struct MessageReader {
    fragments: Option<Box<Fragments>>,
}

/// The first fragments of a message.
#[derive(Debug)]
struct Fragments {
    is_text: bool,
    payload: Vec<u8>,
}

/// The result of reading a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// An incomplete frame. Nothing was changed.
    Incomplete,
    /// A complete frame.
    Frame {
        /// Its meaning.
        event: Event<'a>,
        /// Its length.
        length: usize,
    },
}

/// The meaning of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message, with all its fragments.
    Text(Cow<'a, str>),
    /// A binary message, with all its fragments.
    Binary(Cow<'a, [u8]>),
    /// A fragment that is not the last one. Nothing has to be done.
    Fragment,
    /// A ping. It has to be answered by [`write_pong`] with the same payload.
    Ping(&'a [u8]),
    /// A pong: the reply to a ping, or an unsolicited heartbeat.
    Pong(&'a [u8]),
    /// The last frame of the sender. It has to be answered by a close frame unless one was
    /// sent already.
    Close(Option<CloseCode>),
}

impl MessageReader {
    /// Creates a reader for a new connection.
    #[must_use]
    pub const fn new() -> Self {
        Self { fragments: None }
    }

    /// Whether a message is incomplete.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.fragments.is_some()
    }

    /// Reads the first frame in `bytes`, which was sent by `sender`.
    ///
    /// A complete frame is unmasked in place, and must not be read again. A frame whose
    /// payload, or whose message, is longer than `limits` is rejected before it is
    /// complete. Pings, pongs and close frames have their own limit.
    ///
    /// # Errors
    ///
    /// If the frame violates the protocol, or is too long. The connection must be closed
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
        // It fits: it was just compared with a length in memory.
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
                let text = simdutf8::basic::from_utf8(payload).map_err(|_| FrameFault::NotUtf8)?;
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
