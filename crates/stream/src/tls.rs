//! TLS inside a connection: records in and out, without I/O.
//!
//! The unbuffered interface of rustls is used: records are decrypted where they
//! were read to and encrypted to where they are written from, so an idle
//! session keeps no buffer.
//!
//! # The contract
//!
//! What rustls 0.23 requires from the caller of `process_tls_records` (by the documentation
//! of `rustls::unbuffered`, and by its code):
//!
//! 1. The slice that is passed begins with every byte that was passed before and
//!    not discarded, each time: also when there is nothing new, when something is
//!    only to be encrypted, and after an error. rustls keeps *positions* in that
//!    slice, of handshake messages that are not complete, and looks at them in
//!    whatever it is given. With less than it had before, it panics.
//! 2. Those bytes are the caller's to keep and not to change: rustls has decrypted
//!    and moved some of them in place.
//! 3. `discard` bytes are removed from the front of the slice when `state` has been
//!    dealt with, and before the next call; also when `state` is an error.
//! 4. `state` has to be dealt with before the next call: a record that is ready is
//!    taken, what is to be encoded is encoded, what was encoded is confirmed.
//! 5. `EncodeTlsData::encode` and `WriteTraffic` change nothing when they say that
//!    there is too little room, and may be called again with more.
//! 6. After an error, further calls hand out what is queued, of which the last is
//!    the alert that tells the client, if there is one. Calls after that look at
//!    the faulty record again, and must not be made.
//! 7. After `PeerClosed`, no further byte is looked at.
//! 8. After `queue_close_notify`, nothing is to be written.
//!
//! Only [`Session`] has access to the bytes of 1. It keeps them between calls, so no other
//! code can fail to pass them.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{HandshakeKind, ServerConfig};

use crate::backlog::Backlog;
use crate::counters::CloseReason;
use crate::tls_config::take_handed_out;

mod wire;

pub(crate) use wire::Wire;

/// Maximum number of bytes that a TLS record adds to its content, rounded up: header,
/// explicit nonce, type and tag.
const RECORD_OVERHEAD: usize = 64;

/// The maximum of bytes in one record (RFC 8446, section 5.1).
const MAX_FRAGMENT_BYTES: usize = 1 << 14;

/// The first byte of a client that speaks TLS: a handshake record (RFC 8446,
/// section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Maximum number of states that are processed before data can be written. Each returns a
/// record that rustls has ready, or confirms one; usually there are a few.
const MAX_STATES_BEFORE_WRITING: usize = 64;

/// Maximum number of states that are processed without discarding a byte of input. A
/// handshake has about ten between two messages of the client.
const MAX_STATES_WITHOUT_INPUT: usize = 64;

/// The server's side of one TLS connection.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// Bytes that were passed to the connection and not discarded: the start of a record, or
    /// of a message of the handshake.
    undiscarded: Backlog,
    /// Decrypted bytes that the protocol has not consumed.
    pub(crate) unconsumed: Backlog,
    /// Whether a byte has arrived.
    has_begun: bool,
    is_established: bool,
    /// The number of the certificate that is presented.
    certificate: Option<u64>,
    /// Whether the client has sent close_notify.
    is_ended: bool,
    /// Whether the connection must not be called any more: it failed, or was closed.
    is_over: bool,
}

/// The result of processing records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Only bytes, if any.
    Nothing,
    /// The handshake was completed.
    Established(Handshake),
}

/// A handshake that was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// Whether a former session was resumed.
    pub(crate) is_resumed: bool,
    /// The number of the certificate that was presented, if it is known.
    pub(crate) certificate: Option<u64>,
}

/// What ended a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The client does not speak TLS at all.
    #[error("the received data is not TLS")]
    NotTls,
    /// The handshake or a record failed; an alert was written, if there is one.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// A message of the handshake, or a record, is longer than is allowed.
    #[error("a message of the handshake is too long")]
    TooLong,
    /// The library panicked, or did not terminate.
    #[error("a fault of the TLS library")]
    Library,
    /// It had failed, or was closed, before.
    #[error("the session is over")]
    Over,
}

impl SessionError {
    /// What it means for the connection.
    pub(crate) fn close_reason(&self) -> CloseReason {
        match self {
            Self::NotTls => CloseReason::NotTls,
            Self::Tls(_) | Self::TooLong | Self::Over => CloseReason::Tls,
            Self::Library => CloseReason::TlsLibrary,
        }
    }
}

impl Session {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(config))?,
            undiscarded: Backlog::default(),
            unconsumed: Backlog::default(),
            has_begun: false,
            is_established: false,
            certificate: None,
            is_ended: false,
            is_over: false,
        })
    }

    /// Whether something of a message is there: decrypted and not consumed, or
    /// in a record that is not complete.
    pub(crate) fn has_unconsumed(&self) -> bool {
        !self.unconsumed.is_empty() || !self.undiscarded.is_empty()
    }

    /// Bytes of memory that are kept between calls, without those of the library.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.undiscarded.kept_bytes() + self.unconsumed.kept_bytes()
    }

    /// Whether the client has sent close_notify.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Discards decrypted bytes that the protocol did not consume.
    pub(crate) fn forget_unconsumed(&mut self) {
        self.unconsumed = Backlog::default();
    }

    /// Processes received bytes, after those that were received before. Decrypted data is
    /// appended to `plain`, and records to be sent are appended to `wire`. Of incomplete
    /// records and messages, fewer than `max` bytes are kept.
    ///
    /// # Errors
    ///
    /// Why the session is over. Data that was decrypted before is in `plain`.
    pub(crate) fn receive(
        &mut self,
        arrived: &mut [u8],
        max: usize,
        plain: &mut Vec<u8>,
        wire: &mut Wire,
    ) -> Result<Received, SessionError> {
        if self.is_over {
            return Err(SessionError::Over);
        }
        if let (false, Some(first)) = (self.has_begun, arrived.first()) {
            if *first != HANDSHAKE_RECORD {
                self.is_over = true;
                return Err(SessionError::NotTls);
            }
            self.has_begun = true;
        }
        let mut done = 0;
        // A failed session may have left bytes there.
        take_handed_out();
        let mut undiscarded = mem::take(&mut self.undiscarded);
        let records = undiscarded.with(arrived);
        let length = records.len();
        self.guarded(|this| this.process(records, &mut done, plain, wire))?;
        if !self.is_established {
            self.certificate = take_handed_out().or(self.certificate);
        }
        // Nothing is processed behind the alert by which the client closes.
        if self.is_ended {
            done = length;
        }
        if length - done >= max {
            self.is_over = true;
            return Err(SessionError::TooLong);
        }
        undiscarded.keep(arrived, done);
        self.undiscarded = undiscarded;
        if !self.is_established && !self.connection.is_handshaking() {
            self.is_established = true;
            let is_resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
            return Ok(Received::Established(Handshake {
                is_resumed,
                certificate: self.certificate,
            }));
        }
        Ok(Received::Nothing)
    }

    /// Encrypts what the protocol has written.
    ///
    /// # Errors
    ///
    /// Why the session is over.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Wire) -> Result<(), SessionError> {
        let records = plain.len() / MAX_FRAGMENT_BYTES + 1;
        let room = plain.len() + records * RECORD_OVERHEAD;
        self.guarded(|this| this.write(room, wire, |traffic, out| traffic.encrypt(plain, out)))
    }

    /// Writes the close_notify alert, unless the session is over.
    pub(crate) fn close(&mut self, wire: &mut Wire) {
        // Without it the client still sees that the connection ends.
        let _ = self.guarded(|this| {
            this.write(RECORD_OVERHEAD, wire, |traffic, out| {
                traffic.queue_close_notify(out)
            })
        });
        self.is_over = true;
    }

    /// Calls the library, unless the session is over, as it is after a failure. A panic
    /// counts as a failure, so that it ends one connection and not the process: no other
    /// library processes so much untrusted input.
    fn guarded(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        if self.is_over {
            return Err(SessionError::Over);
        }
        let result = panic::catch_unwind(AssertUnwindSafe(|| call(self)));
        let result = result.unwrap_or_else(|_| {
            log::error!(
                "the TLS library panicked on input from a client; that connection is closed, \
                 others are not affected (please report this with the lines above)"
            );
            Err(SessionError::Library)
        });
        if result.is_err() {
            self.is_over = true;
            self.undiscarded = Backlog::default();
        }
        result
    }

    /// Processes the states that rustls returns for `records`; `done` bytes are discarded.
    fn process(
        &mut self,
        records: &mut [u8],
        done: &mut usize,
        plain: &mut Vec<u8>,
        wire: &mut Wire,
    ) -> Result<(), SessionError> {
        let mut without_input = 0;
        while without_input < MAX_STATES_WITHOUT_INPUT {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut records[*done..]);
            let mut goes_on = true;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::PeerClosed) => self.is_ended = true,
                Ok(
                    ConnectionState::WriteTraffic(_)
                    | ConnectionState::BlockedHandshake
                    | ConnectionState::Closed,
                ) => goes_on = false,
                Ok(state) => goes_on = transmit(state, wire)?,
                Err(error) => {
                    *done += discard;
                    self.write_alert(&mut records[*done..], wire);
                    return Err(error.into());
                }
            }
            *done += discard;
            if !goes_on {
                return Ok(());
            }
            without_input = if discard > 0 { 0 } else { without_input + 1 };
        }
        Err(SessionError::Library)
    }

    /// Writes the alert of an error, if there is one, and all records that are queued before
    /// it. The session is over afterwards.
    fn write_alert(&mut self, undiscarded: &mut [u8], wire: &mut Wire) {
        for _ in 0..MAX_STATES_BEFORE_WRITING {
            let written = wire.bytes().len();
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(undiscarded);
            let Ok(state @ ConnectionState::EncodeTlsData(_)) = state else {
                return;
            };
            // Without it the client still sees that the connection ends.
            if transmit(state, wire).is_err() || is_alert(&wire.bytes()[written..]) {
                return;
            }
        }
    }

    /// Lets rustls write data, after it has returned all records that it had ready.
    fn write(
        &mut self,
        room: usize,
        wire: &mut Wire,
        mut write: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), SessionError> {
        for _ in 0..MAX_STATES_BEFORE_WRITING {
            let UnbufferedStatus { discard, state } = self
                .connection
                .process_tls_records(self.undiscarded.bytes());
            let mut is_written = false;
            match state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let result = match wire.fill(room, |out| write(&mut traffic, out)) {
                        Err(EncryptError::InsufficientSize(needed)) => {
                            // The estimates are generous, so this is for records
                            // that rustls has put in front.
                            wire.fill(needed.required_size, |out| write(&mut traffic, out))
                        }
                        result => result,
                    };
                    result.map_err(|_| rustls::Error::EncryptError)?;
                    is_written = true;
                }
                // Complete records were read when they arrived. If there is one
                // nevertheless, its data is for the protocol.
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        self.unconsumed.put(record?.payload);
                    }
                }
                ConnectionState::PeerClosed => self.is_ended = true,
                state => {
                    if !transmit(state, wire)? {
                        return Err(rustls::Error::HandshakeNotComplete.into());
                    }
                }
            }
            self.undiscarded.keep(&[], discard);
            if is_written {
                return Ok(());
            }
        }
        Err(SessionError::Library)
    }
}

/// Whether a written record is an alert. In TLS 1.3 the type is encrypted, but the length
/// shows it: no other message has two bytes (RFC 8446, sections 5.2 and 6).
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const APPLICATION_DATA: u8 = 23;
    /// Header, alert, type and tag.
    const ENCRYPTED: usize = 5 + 2 + 1 + 16;

    match record.first() {
        Some(&ALERT) => true,
        Some(&APPLICATION_DATA) => record.len() == ENCRYPTED,
        _ => false,
    }
}

/// Writes a record of the handshake; `false` for a state that has none.
fn transmit<Data>(
    state: ConnectionState<'_, '_, Data>,
    wire: &mut Wire,
) -> Result<bool, rustls::Error> {
    match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let encode = |out: &mut [u8]| data.encode(out);
            let needed = match wire.fill(0, encode) {
                Err(EncodeError::InsufficientSize(needed)) => needed.required_size,
                Err(EncodeError::AlreadyEncoded) | Ok(()) => return Ok(true),
            };
            wire.fill(needed, |out| data.encode(out))
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            Ok(true)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(true)
        }
        _ => Ok(false),
    }
}
