//! One turn of one connection.

use std::net::SocketAddr;
use std::{io, mem};

use super::{Fate, LONGEST_HANDSHAKE, Transport, Worker, session};
use crate::connection::{Awaited, Connection, Stage, Unsent};
use crate::counters::Ending;
use crate::proxy_header;
use crate::tls::{Received, SessionError};
use crate::{ConnectionId, Exchange, Interruption, Next, Protocol};

/// How often a connection may read and write before others have their turn.
const ROUNDS: usize = 8;

/// With so many bytes written and not sent, no further message is looked at.
const ENOUGH_OUTPUT: usize = 64 << 10;

/// Memory for output that a worker keeps.
const SPARE_OUTPUT: usize = 256 << 10;

/// A connection that is driven, and all that it needs.
pub(super) struct Turn<'a, P: Protocol> {
    pub(super) worker: &'a mut Worker<P>,
    pub(super) connection: &'a mut Connection<P::Connection>,
    pub(super) id: ConnectionId,
}

/// What looking at bytes led to.
struct Looked {
    /// Bytes at the front that are done with.
    consumed: usize,
    /// Whether a message was answered.
    is_progress: bool,
}

impl<P: Protocol> Turn<'_, P> {
    /// Goes on until the transport can do no more.
    ///
    /// # Errors
    ///
    /// Why the connection ends other than in good order.
    pub(super) fn run(mut self, transport: &mut impl Transport) -> Result<Fate, Ending> {
        for _ in 0..ROUNDS {
            if !self.flush(transport)? {
                self.wait(false);
                return Ok(Fate::WaitToWrite);
            }
            match self.connection.stage {
                Stage::Closing if !self.connection.has_unconsumed() => return Ok(Fate::Close),
                Stage::Closing => {
                    transport.finish().map_err(|_| Ending::Broken)?;
                    self.connection.stage = Stage::Lingering;
                    return self.linger(transport);
                }
                Stage::Lingering => return self.linger(transport),
                _ => (),
            }
            if self.connection.is_late {
                let interruption = self.lateness()?;
                self.interrupt(interruption, transport)?;
                continue;
            }
            let length = if self.connection.is_stalled {
                self.unread_to_input()
            } else {
                match self.read(transport) {
                    Ok(Some(length)) => length,
                    // The client sends no more, and has what it asked for.
                    Ok(None) => return Ok(Fate::Close),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.is_to_drain() {
                            self.connection.is_draining = true;
                            self.interrupt(Interruption::Draining, transport)?;
                            continue;
                        }
                        self.wait(false);
                        return Ok(Fate::Wait);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => return Err(Ending::Broken),
                }
            };
            let is_progress = self.look(length)?;
            self.send(transport)?;
            self.wait(is_progress);
        }
        Ok(Fate::Again)
    }

    /// Sets the deadline of what the connection waits for.
    fn wait(&mut self, is_renewed: bool) {
        let worker = &mut *self.worker;
        self.connection
            .wait(is_renewed, &worker.timeouts, &mut worker.wheel, self.id);
    }

    /// Whether the process is about to end, and the connection has nothing to
    /// finish and was not told.
    fn is_to_drain(&self) -> bool {
        let connection = &*self.connection;
        self.worker.drained_by.is_some()
            && !connection.is_draining
            && !connection.has_unconsumed()
            && match connection.stage {
                Stage::Open(_) => true,
                // A handshake that has begun may be completed.
                _ => connection.unread.is_empty() && connection.session.is_none(),
            }
    }

    /// What it means that the deadline has passed.
    fn lateness(&self) -> Result<Interruption, Ending> {
        let awaited = self.connection.awaited();
        match (&self.connection.stage, awaited) {
            (Stage::Open(_), Awaited::Message) => Ok(Interruption::Idle),
            (Stage::Open(_), Awaited::RestOfMessage) => Ok(Interruption::SlowMessage),
            _ => Err(awaited.ending()),
        }
    }

    fn unread_to_input(&mut self) -> usize {
        let unread = &self.connection.unread;
        self.worker.buffers.input[..unread.len()].copy_from_slice(unread);
        unread.len()
    }

    /// Reads behind what was not consumed; returns the length of both, or
    /// `None` at the end.
    fn read(&mut self, transport: &mut impl Transport) -> io::Result<Option<usize>> {
        let before = self.unread_to_input();
        let count = transport.read(&mut self.worker.buffers.input[before..])?;
        if count == 0 {
            return Ok(None);
        }
        self.worker.counters().received_bytes.add(count as u64);
        Ok(Some(before + count))
    }

    /// Sends what waits; returns whether nothing does any more.
    fn flush(&mut self, transport: &mut impl Transport) -> Result<bool, Ending> {
        if self.connection.unsent.is_empty() {
            return Ok(true);
        }
        while !self.connection.unsent.is_empty() {
            match transport.write(self.connection.unsent.waiting()) {
                Ok(0) => return Err(Ending::Broken),
                Ok(count) => {
                    self.connection.unsent.advance(count);
                    self.worker.counters().sent_bytes.add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.connection.is_late {
                        return Err(Ending::SlowReader);
                    }
                    return Ok(false);
                }
                Err(_) => return Err(Ending::Broken),
            }
        }
        self.wait(true);
        Ok(true)
    }

    /// Throws away what arrives until the client closes.
    fn linger(&mut self, transport: &mut impl Transport) -> Result<Fate, Ending> {
        self.wait(false);
        if self.connection.is_late || self.worker.drained_by.is_some() {
            return Ok(Fate::Close);
        }
        for _ in 0..ROUNDS {
            match transport.read(&mut self.worker.buffers.input) {
                Ok(0) => return Ok(Fate::Close),
                Ok(count) => self.worker.counters().received_bytes.add(count as u64),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Fate::Wait),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return Ok(Fate::Close),
            }
        }
        Ok(Fate::Again)
    }

    /// Has the protocol say its last word, or something to keep the connection.
    fn interrupt(
        &mut self,
        interruption: Interruption,
        transport: &mut impl Transport,
    ) -> Result<(), Ending> {
        let worker = &mut *self.worker;
        let connection = &mut *self.connection;
        let next = match &mut connection.stage {
            Stage::Open(state) => {
                let mut exchange = Exchange {
                    now: worker.now,
                    peer: &connection.peer,
                    id: self.id,
                    input: &mut [],
                    output: &mut worker.buffers.output,
                    is_draining: worker.drained_by.is_some(),
                };
                worker
                    .protocol
                    .interrupt(state, &mut exchange, interruption)
            }
            _ => Next::Close,
        };
        if next == Next::Close {
            match interruption {
                Interruption::Idle => self.count(Ending::Idle),
                Interruption::SlowMessage => self.count(Ending::SlowMessage),
                Interruption::Draining => (),
            }
            self.close();
        }
        self.send(transport)?;
        self.wait(true);
        Ok(())
    }

    /// Looks at what has arrived; returns whether a message was answered.
    fn look(&mut self, length: usize) -> Result<bool, Ending> {
        // Taken out, so that the connection and the protocol can be used beside it.
        let mut input = mem::take(&mut self.worker.buffers.input);
        let result = self.look_at(&mut input[..length]);
        if let Ok(looked) = &result {
            self.connection.keep_unread(&input[looked.consumed..length]);
        }
        self.worker.buffers.input = input;
        Ok(result?.is_progress)
    }

    fn look_at(&mut self, bytes: &mut [u8]) -> Result<Looked, Ending> {
        let mut consumed = 0;
        if matches!(self.connection.stage, Stage::ProxyHeader) {
            match proxy_header::parse(bytes) {
                Ok(Some(header)) => {
                    consumed = header.length;
                    self.proxied(header.source);
                }
                Ok(None) => return Ok(Looked::NOTHING),
                Err(_) => return Err(Ending::ProxyHeader),
            }
        }
        if matches!(self.connection.stage, Stage::Closing) {
            return Ok(Looked {
                consumed: bytes.len(),
                is_progress: false,
            });
        }
        let rest = &mut bytes[consumed..];
        let looked = if self.worker.shared.tls.is_some() {
            self.look_at_records(rest)?
        } else {
            self.converse(rest)?
        };
        Ok(Looked {
            consumed: consumed + looked.consumed,
            ..looked
        })
    }

    /// A proxy has said for whom it speaks; `None` for itself.
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

    /// Decrypts what has arrived, and looks at what was in it.
    fn look_at_records(&mut self, records: &mut [u8]) -> Result<Looked, Ending> {
        let mut session = match self.connection.session.take() {
            Some(session) => session,
            None => session(&self.worker.shared)?,
        };
        let mut plain = mem::take(&mut self.worker.buffers.plain);
        plain.clear();
        session.take_unconsumed(&mut plain);
        let result = session.receive(records, &mut plain, &mut self.worker.buffers.wire);
        let is_ended = session.is_ended();
        self.connection.session = Some(session);

        let result = match result {
            Ok((consumed, received)) => {
                if let Received::Established { is_resumed } = received {
                    self.established(is_resumed);
                }
                self.look_at_plain(&mut plain, is_ended)
                    .map(|is_progress| Looked {
                        consumed,
                        is_progress,
                    })
            }
            Err(error) => {
                self.refuse_records(&error);
                Ok(Looked {
                    consumed: records.len(),
                    is_progress: false,
                })
            }
        };
        self.worker.buffers.plain = plain;
        let looked = result?;
        if records.len() - looked.consumed >= LONGEST_HANDSHAKE {
            return Err(Ending::Tls);
        }
        Ok(looked)
    }

    fn look_at_plain(&mut self, plain: &mut [u8], is_ended: bool) -> Result<bool, Ending> {
        let looked = if plain.is_empty() || !matches!(self.connection.stage, Stage::Open(_)) {
            Looked::NOTHING
        } else {
            self.converse(plain)?
        };
        if let Some(session) = &mut self.connection.session {
            session.keep_unconsumed(&plain[looked.consumed..]);
        }
        if is_ended && !self.connection.is_stalled {
            self.close();
        }
        Ok(looked.is_progress)
    }

    fn established(&mut self, is_resumed: bool) {
        let counters = self.worker.counters();
        if is_resumed {
            counters.resumed_handshakes.add(1);
        } else {
            counters.full_handshakes.add(1);
        }
        self.open();
    }

    /// Ends a connection over which no TLS is spoken, or none that is right.
    fn refuse_records(&mut self, error: &SessionError) {
        match error {
            SessionError::NotTls => {
                self.count(Ending::NotTls);
                let answer = self.worker.protocol.answer_without_tls();
                self.connection.unsent.put(answer);
                // There is no session to say good-bye in.
                self.connection.session = None;
            }
            SessionError::Tls(error) => {
                log::debug!("TLS with {}: {error}", self.connection.peer.address);
                self.count(Ending::Tls);
            }
        }
        self.close();
    }

    /// The protocol begins to speak.
    fn open(&mut self) {
        let state = self.worker.protocol.open(&self.connection.peer, self.id);
        self.connection.stage = Stage::Open(state);
    }

    /// Has the protocol answer messages until none is complete, or enough is
    /// written.
    fn converse(&mut self, bytes: &mut [u8]) -> Result<Looked, Ending> {
        let worker = &mut *self.worker;
        let connection = &mut *self.connection;
        let Stage::Open(state) = &mut connection.stage else {
            return Ok(Looked::NOTHING);
        };
        connection.is_stalled = false;
        let mut consumed = 0;
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
                is_draining: worker.drained_by.is_some(),
            };
            let progress = worker.protocol.receive(state, &mut exchange);
            consumed += progress.consumed;
            next = progress.next;
            if progress.consumed == 0 {
                break;
            }
        }
        if next == Next::Close {
            self.close();
        } else if !connection.is_stalled
            && bytes.len() - consumed >= worker.protocol.longest_input()
        {
            return Err(Ending::LongMessage);
        }
        Ok(Looked {
            consumed,
            is_progress: consumed > 0,
        })
    }

    /// The protocol has said its last word.
    fn close(&mut self) {
        self.connection.is_stalled = false;
        if let Some(state) = self.connection.close() {
            self.worker.protocol.closed(state, self.id);
        }
    }

    fn count(&self, ending: Ending) {
        self.worker.counters().ended[ending as usize].add(1);
    }

    /// Sends what was written, and keeps what the network does not take.
    fn send(&mut self, transport: &mut impl Transport) -> Result<(), Ending> {
        let buffers = &mut self.worker.buffers;
        let result = match &mut self.connection.session {
            None => write(transport, &buffers.output, &mut self.connection.unsent),
            Some(session) => {
                if !buffers.output.is_empty()
                    && session.encrypt(&buffers.output, &mut buffers.wire).is_err()
                {
                    Err(Ending::Tls)
                } else {
                    if matches!(self.connection.stage, Stage::Closing) {
                        session.close(&mut buffers.wire);
                    }
                    write(transport, buffers.wire.bytes(), &mut self.connection.unsent)
                }
            }
        };
        buffers.output.clear();
        buffers.output.shrink_to(SPARE_OUTPUT);
        buffers.wire.clear();
        let sent = result?;
        self.worker.counters().sent_bytes.add(sent as u64);
        Ok(())
    }
}

impl Looked {
    const NOTHING: Self = Self {
        consumed: 0,
        is_progress: false,
    };
}

/// Writes once; what is not taken waits. Returns how much was taken.
fn write(
    transport: &mut impl Transport,
    bytes: &[u8],
    unsent: &mut Unsent,
) -> Result<usize, Ending> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let sent = if unsent.is_empty() {
        match transport.write(bytes) {
            Ok(0) => return Err(Ending::Broken),
            Ok(count) => count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                0
            }
            Err(_) => return Err(Ending::Broken),
        }
    } else {
        0
    };
    if sent < bytes.len() {
        unsent.put(&bytes[sent..]);
    }
    Ok(sent)
}
