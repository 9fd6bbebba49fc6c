//! TLS inside a connection: records in and out, without I/O.
//!
//! The unbuffered interface of rustls is used: records are decrypted where they
//! were read to and encrypted to where they are written from, so an idle
//! session keeps no buffer.

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{HandshakeKind, ServerConfig};
use std::sync::Arc;

/// What a record of TLS adds to what is in it, at the most: header, explicit
/// nonce, type, and tag, with room to spare.
const RECORD_OVERHEAD: usize = 64;

/// The most bytes in one record (RFC 8446, section 5.1).
const LONGEST_FRAGMENT: usize = 1 << 14;

/// The first byte of a client that speaks TLS: a handshake record (RFC 8446,
/// section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// The server's side of one TLS connection.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// What was decrypted and the protocol has not consumed.
    unconsumed: Vec<u8>,
    /// Whether a byte has arrived.
    has_begun: bool,
    is_established: bool,
    /// Whether the client said that it will send no more.
    is_ended: bool,
}

/// What processing records led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing to tell.
    Nothing,
    /// The handshake was completed.
    Established {
        /// Whether a former session was resumed.
        is_resumed: bool,
    },
}

/// What ended a session.
#[derive(Debug)]
pub(crate) enum SessionError {
    /// The client does not speak TLS at all.
    NotTls,
    /// The handshake or a record failed; an alert was written.
    Tls(rustls::Error),
}

impl Session {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(config))?,
            unconsumed: Vec::new(),
            has_begun: false,
            is_established: false,
            is_ended: false,
        })
    }

    /// Whether something that was decrypted was not consumed.
    pub(crate) fn has_unconsumed(&self) -> bool {
        !self.unconsumed.is_empty()
    }

    /// Whether the client said that it will send no more.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Moves what was not consumed to `plain`.
    pub(crate) fn take_unconsumed(&mut self, plain: &mut Vec<u8>) {
        plain.append(&mut self.unconsumed);
        self.unconsumed = Vec::new();
    }

    /// Keeps what the protocol did not consume.
    pub(crate) fn keep_unconsumed(&mut self, rest: &[u8]) {
        self.unconsumed.extend_from_slice(rest);
    }

    /// Takes records as they came from the network. What is in them is appended
    /// to `plain`; what is to be sent in answer, to `wire`. Returns how many
    /// bytes of `records` are done with, and what they led to.
    pub(crate) fn receive(
        &mut self,
        records: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Wire,
    ) -> Result<(usize, Received), SessionError> {
        if let (false, Some(first)) = (self.has_begun, records.first()) {
            if *first != HANDSHAKE_RECORD {
                return Err(SessionError::NotTls);
            }
            self.has_begun = true;
        }
        let mut done = 0;
        let result = self.process(records, &mut done, plain, wire);
        if let Err(error) = result {
            // The alert that tells the client why is queued behind the error.
            let _ = self.process(&mut [], &mut 0, plain, wire);
            return Err(SessionError::Tls(error));
        }
        if !self.is_established && !self.connection.is_handshaking() {
            self.is_established = true;
            let is_resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
            return Ok((done, Received::Established { is_resumed }));
        }
        Ok((done, Received::Nothing))
    }

    /// Encrypts what the protocol has written.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Wire) -> Result<(), rustls::Error> {
        loop {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            match state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let records = plain.len() / LONGEST_FRAGMENT + 1;
                    let room = plain.len() + records * RECORD_OVERHEAD;
                    return match wire.fill(room, |out| traffic.encrypt(plain, out)) {
                        Ok(()) => Ok(()),
                        Err(EncryptError::InsufficientSize(needed)) => {
                            // The estimate above is generous, so this does not
                            // happen with what TLS has today.
                            wire.fill(needed.required_size, |out| traffic.encrypt(plain, out))
                                .map_err(|error| rustls::Error::General(error.to_string()))
                        }
                        Err(EncryptError::EncryptExhausted) => Err(rustls::Error::EncryptError),
                    };
                }
                state => {
                    if !transmit(state, wire)? {
                        return Err(rustls::Error::HandshakeNotComplete);
                    }
                }
            }
        }
    }

    /// Tells the client that no more will be sent.
    pub(crate) fn close(&mut self, wire: &mut Wire) {
        loop {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    // Without it the client still sees that the connection ends.
                    let _ = wire.fill(RECORD_OVERHEAD, |out| traffic.queue_close_notify(out));
                    return;
                }
                Ok(state) => match transmit(state, wire) {
                    Ok(true) => (),
                    Ok(false) | Err(_) => return,
                },
                Err(_) => return,
            }
        }
    }

    fn process(
        &mut self,
        records: &mut [u8],
        done: &mut usize,
        plain: &mut Vec<u8>,
        wire: &mut Wire,
    ) -> Result<(), rustls::Error> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut records[*done..]);
            let mut discard = discard;
            let mut goes_on = true;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::PeerClosed => self.is_ended = true,
                ConnectionState::WriteTraffic(_)
                | ConnectionState::BlockedHandshake
                | ConnectionState::Closed => goes_on = false,
                state => goes_on = transmit(state, wire)?,
            }
            *done += discard;
            if !goes_on {
                return Ok(());
            }
        }
    }
}

/// Writes what the handshake has to send; `false` for a state that has nothing.
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

/// Encrypted bytes on their way to the network; one buffer a worker.
#[derive(Default)]
pub(crate) struct Wire {
    /// Room that was filled with zeroes once.
    bytes: Vec<u8>,
    used: usize,
}

impl Wire {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// Has `write` fill room of at least so many bytes and tell how many it
    /// used.
    fn fill<E>(
        &mut self,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        if self.bytes.len() < self.used + room {
            self.bytes.resize(self.used + room, 0);
        }
        let written = write(&mut self.bytes[self.used..])?;
        self.used += written;
        Ok(())
    }
}
