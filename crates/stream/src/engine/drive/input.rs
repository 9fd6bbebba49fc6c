//! Processing of bytes that have arrived.

use std::mem;
use std::net::SocketAddr;

use super::Drive;
use crate::connection::Stage;
use crate::counters::CloseReason;
use crate::engine::{MAX_HANDSHAKE_BYTES, session};
use crate::proxy_header;
use crate::tls::{Handshake, Received, SessionError};
use crate::{Exchange, Next, Protocol};

/// Number of unsent bytes from which on no further message is processed.
const ENOUGH_OUTPUT: usize = 64 << 10;

/// The result of processing bytes.
struct Processed {
    /// Bytes at the front that were processed.
    consumed: usize,
    /// Whether a message became complete.
    is_progress: bool,
}

impl Processed {
    const NOTHING: Self = Self {
        consumed: 0,
        is_progress: false,
    };
}

impl<P: Protocol> Drive<'_, P> {
    /// Processes what was not consumed before and, behind it, as many bytes that have
    /// arrived in the worker's input buffer. Returns whether a message became complete.
    pub(super) fn process_input(&mut self, arrived: usize) -> Result<bool, CloseReason> {
        // Taken out, so that the connection and the protocol can be borrowed as well.
        let mut input = mem::take(&mut self.worker.buffers.input);
        let mut unread = mem::take(&mut self.connection.unread);
        let arrived = &mut input[..arrived];
        let result = self.process(unread.with(arrived));
        if let Ok(processed) = &result {
            unread.keep(arrived, processed.consumed);
            self.connection.unread = unread;
        }
        self.worker.buffers.input = input;
        Ok(result?.is_progress)
    }

    fn process(&mut self, bytes: &mut [u8]) -> Result<Processed, CloseReason> {
        let mut consumed = 0;
        if matches!(self.connection.stage, Stage::ProxyHeader) {
            match proxy_header::parse(bytes) {
                Ok(Some(header)) => {
                    consumed = header.length;
                    self.proxied(header.source);
                }
                Ok(None) => return Ok(Processed::NOTHING),
                Err(_) => return Err(CloseReason::ProxyHeader),
            }
        }
        if matches!(self.connection.stage, Stage::Closing) {
            return Ok(Processed {
                consumed: bytes.len(),
                is_progress: false,
            });
        }
        let rest = &mut bytes[consumed..];
        let processed = if self.worker.shared.tls.is_some() {
            self.process_records(rest)?
        } else {
            self.process_messages(rest)?
        };
        Ok(Processed {
            consumed: consumed + processed.consumed,
            ..processed
        })
    }

    /// A proxy has named its client; `None` when the connection is its own.
    fn proxied(&mut self, source: Option<SocketAddr>) {
        if let Some(source) = source {
            self.connection.peer.address = source;
            if let Err(reason) = self.connection.permit.count(source.ip()) {
                self.worker.counters().refused[reason as usize].add(1);
                self.close();
                return;
            }
        }
        if self.worker.shared.tls.is_some() {
            self.connection.stage = Stage::Handshake;
        } else {
            self.open();
        }
    }

    /// Decrypts records and processes what was in them. The session keeps what it has not
    /// processed, so all bytes count as consumed.
    fn process_records(&mut self, records: &mut [u8]) -> Result<Processed, CloseReason> {
        let mut session = match self.connection.session.take() {
            Some(session) => session,
            None => session(&self.worker.shared)?,
        };
        let buffers = &mut self.worker.buffers;
        let mut plain = session.unconsumed.take_or(&mut buffers.plain);
        let wire = &mut buffers.wire;
        let result = session.receive(records, MAX_HANDSHAKE_BYTES, &mut plain.bytes, wire);
        let is_ended = session.is_ended();
        self.connection.session = Some(session);

        let result = match result {
            Ok(received) => {
                if let Received::Established(handshake) = received {
                    self.established(handshake);
                }
                self.process_plain(&mut plain.bytes)
            }
            Err(error) => {
                self.refuse_records(&error);
                // Decrypted bytes are no longer processed.
                Ok(Processed {
                    consumed: plain.bytes.len(),
                    is_progress: false,
                })
            }
        };
        let plain_consumed = match &result {
            Ok(processed) => processed.consumed,
            Err(_) => plain.bytes.len(),
        };
        if let Some(session) = &mut self.connection.session {
            let room = &mut self.worker.buffers.plain;
            session.unconsumed.put_back(plain, plain_consumed, room);
        }
        let is_progress = result?.is_progress;
        if is_ended && !self.connection.is_stalled {
            self.session_ended();
        }
        Ok(Processed {
            consumed: records.len(),
            is_progress,
        })
    }

    fn process_plain(&mut self, plain: &mut [u8]) -> Result<Processed, CloseReason> {
        if plain.is_empty() || !matches!(self.connection.stage, Stage::Open(_)) {
            // Nothing came behind the message with a long answer.
            self.connection.is_stalled = false;
            return Ok(Processed::NOTHING);
        }
        self.process_messages(plain)
    }

    /// The client has closed its side of the TLS session.
    fn session_ended(&mut self) {
        if self.is_cut_short()
            && let Some(session) = &mut self.connection.session
        {
            let mut rest = mem::take(&mut session.unconsumed);
            self.connection.is_to_linger |= !rest.is_empty();
            self.cut_short(rest.bytes());
        }
        self.close();
    }

    fn established(&mut self, handshake: Handshake) {
        let present = self.worker.certificates.present();
        self.connection.certificate = handshake.certificate.unwrap_or(present);
        let counters = self.worker.counters();
        if handshake.is_resumed {
            counters.resumed_handshakes.add(1);
        } else {
            counters.full_handshakes.add(1);
        }
        self.open();
    }

    /// Ends a connection with data that is not TLS, or is invalid.
    fn refuse_records(&mut self, error: &SessionError) {
        // If it were closed with unread input, the client's system would discard the answer.
        self.connection.is_to_linger = true;
        match error {
            SessionError::NotTls => {
                self.count(CloseReason::NotTls);
                let mut answer = Vec::new();
                self.worker.protocol.answer_without_tls(&mut answer);
                self.connection.unsent.put(&answer);
                // There is no TLS session to close.
                self.connection.session = None;
            }
            error => {
                log::debug!("TLS with {}: {error}", self.connection.peer.address);
                self.count(error.close_reason());
            }
        }
        self.close();
    }

    /// The protocol takes over the connection.
    fn open(&mut self) {
        if P::COLLECTS_OUTPUT {
            self.worker.outputs.opened(self.id);
        }
        let state = self.worker.protocol.open(&self.connection.peer, self.id);
        self.connection.stage = Stage::Open(state);
    }

    /// Lets the protocol answer messages until none is complete, or enough is written.
    fn process_messages(&mut self, bytes: &mut [u8]) -> Result<Processed, CloseReason> {
        let worker = &mut *self.worker;
        let connection = &mut *self.connection;
        let Stage::Open(state) = &mut connection.stage else {
            return Ok(Processed::NOTHING);
        };
        connection.is_stalled = false;
        let mut consumed = 0;
        let mut is_progress = false;
        let mut next = Next::Continue;
        while consumed < bytes.len() && next == Next::Continue {
            if worker.buffers.output.len() >= ENOUGH_OUTPUT {
                connection.is_stalled = true;
                break;
            }
            let mut exchange = Exchange {
                now: worker.now,
                peer: &connection.peer,
                id: self.id,
                input: &mut bytes[consumed..],
                output: &mut worker.buffers.output,
                others: &mut worker.outputs,
                is_draining: worker.drained_by.is_some(),
                permit: &mut connection.permit,
            };
            let progress = worker.protocol.receive(state, &mut exchange);
            consumed += progress.consumed;
            next = progress.next;
            if progress.consumed == 0 {
                break;
            }
            is_progress |= !P::is_within_message(state);
            if P::has_more(state) {
                // What is behind it waits until the answer is complete.
                connection.is_stalled = next == Next::Continue;
                break;
            }
        }
        if next == Next::Close {
            // Bytes behind the fault are neither processed nor kept.
            connection.is_to_linger |= consumed < bytes.len();
            consumed = bytes.len();
            self.close();
        } else if !connection.is_stalled
            && bytes.len() - consumed >= worker.protocol.max_input_bytes()
        {
            return Err(CloseReason::LongMessage);
        }
        Ok(Processed {
            consumed,
            is_progress,
        })
    }
}
