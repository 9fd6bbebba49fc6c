//! Driving a connection: reading, answering and writing until it has to wait.

use std::io;
use std::mem;

use super::{LoopAction, Transport, Worker};
use crate::connection::{Awaited, Connection, Stage, Step};
use crate::counters::CloseReason;
use crate::{ConnectionId, Exchange, Interruption, Next, Protocol};

mod input;
mod output;

use output::Flushed;

/// How often a connection may read and write before others are driven.
const MAX_ROUNDS: usize = 8;

/// A connection that is driven, with the worker.
pub(super) struct Drive<'a, P: Protocol> {
    pub(super) worker: &'a mut Worker<P>,
    pub(super) connection: &'a mut Connection<P::Connection>,
    pub(super) id: ConnectionId,
}

impl<P: Protocol> Drive<'_, P> {
    /// Reads, answers and writes until the transport blocks, or others are to be driven.
    ///
    /// # Errors
    ///
    /// Why the connection is to be closed at once.
    pub(super) fn run(mut self, transport: &mut impl Transport) -> Result<LoopAction, CloseReason> {
        for _ in 0..MAX_ROUNDS {
            match self.flush(transport)? {
                Flushed::All => (),
                Flushed::Blocked => {
                    self.wait(Step::None);
                    return Ok(LoopAction::WaitToWrite);
                }
                Flushed::Partly => return Ok(LoopAction::Again),
            }
            match self.connection.stage {
                Stage::Closing
                    if !self.connection.has_unconsumed() && !self.connection.is_to_linger =>
                {
                    return Ok(LoopAction::Close);
                }
                Stage::Closing => {
                    transport.finish().map_err(|_| CloseReason::Broken)?;
                    self.connection.stage = Stage::Lingering;
                    return self.linger(transport);
                }
                Stage::Lingering => return self.linger(transport),
                _ => (),
            }
            if self.has_more() {
                self.resume(transport)?;
                if self.connection.unsent.is_empty() {
                    return Ok(LoopAction::Again);
                }
                continue;
            }
            if self.is_outdated() {
                self.interrupt(Interruption::OldCertificate, transport)?;
                // The protocol is asked once, whether it keeps the connection or not.
                self.connection.certificate = self.worker.certificates.present();
                continue;
            }
            if self.connection.is_unserved {
                self.connection.is_unserved = false;
                self.interrupt(Interruption::NoLongerServed, transport)?;
                continue;
            }
            if self.connection.is_late {
                let interruption = self.lateness()?;
                self.interrupt(interruption, transport)?;
                continue;
            }
            let arrived = if self.connection.is_stalled {
                0
            } else {
                match self.read(transport) {
                    Ok(Some(count)) => count,
                    Ok(None) if self.is_cut_short() => {
                        self.end_of_input(transport)?;
                        continue;
                    }
                    // The client sends no more, and what it asked for was to be sent at
                    // the end of the turn.
                    Ok(None) if P::COLLECTS_OUTPUT && self.worker.outputs.has(self.id) => {
                        self.close();
                        self.send(transport)?;
                        self.wait(Step::None);
                        continue;
                    }
                    // The client sends no more, and has what it asked for.
                    Ok(None) => return Ok(LoopAction::Close),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.is_to_drain() {
                            self.connection.is_draining = true;
                            self.interrupt(Interruption::Draining, transport)?;
                            continue;
                        }
                        self.wait(Step::None);
                        return Ok(LoopAction::Wait);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => return Err(CloseReason::Broken),
                }
            };
            let is_progress = self.process_input(arrived)?;
            self.send_or_collect(transport)?;
            self.wait(if is_progress {
                Step::Message
            } else {
                Step::None
            });
        }
        Ok(LoopAction::Again)
    }

    /// Sends what was collected for the connection in this turn.
    ///
    /// # Errors
    ///
    /// Why the connection is to be closed at once.
    pub(super) fn send_collected(
        mut self,
        transport: &mut impl Transport,
    ) -> Result<LoopAction, CloseReason> {
        self.send(transport)?;
        let action = match self.flush(transport)? {
            Flushed::All if self.has_more() => LoopAction::Again,
            Flushed::All => LoopAction::Wait,
            Flushed::Blocked => LoopAction::WaitToWrite,
            Flushed::Partly => LoopAction::Again,
        };
        self.wait(Step::None);
        Ok(action)
    }

    /// Whether a long answer is under way.
    fn has_more(&self) -> bool {
        matches!(&self.connection.stage, Stage::Open(state) if P::has_more(state))
    }

    /// Lets the protocol write the next part of a long answer.
    fn resume(&mut self, transport: &mut impl Transport) -> Result<(), CloseReason> {
        let next = self.call(&mut [], P::resume);
        if next == Next::Close {
            // The client may have sent more meanwhile, and the kernel would then discard what
            // it has not read.
            self.connection.is_to_linger = true;
            self.close();
        }
        self.send(transport)?;
        // It is neither idle nor late with a message that it may have begun to send.
        self.wait(Step::Kept);
        Ok(())
    }

    /// Whether the connection's certificate is outdated, and no message is under way.
    fn is_outdated(&self) -> bool {
        let connection = &*self.connection;
        self.worker.certificates.is_outdated(connection.certificate)
            && matches!(connection.stage, Stage::Open(_))
            && !connection.is_within_message::<P>()
    }

    /// Whether a message has begun whose end can no longer arrive.
    fn is_cut_short(&self) -> bool {
        matches!(self.connection.stage, Stage::Open(_)) && self.connection.is_within_message::<P>()
    }

    /// Sets the deadline of what the connection waits for.
    fn wait(&mut self, step: Step) {
        let worker = &mut *self.worker;
        let (timeouts, wheel) = (&worker.timeouts, &mut worker.wheel);
        self.connection.wait::<P>(step, timeouts, wheel, self.id);
    }

    /// Whether the process is about to end, no message is under way, and the protocol was
    /// not asked before.
    fn is_to_drain(&self) -> bool {
        let connection = &*self.connection;
        self.worker.drained_by.is_some()
            && !connection.is_draining
            && !connection.is_fresh(self.worker.wheel.current())
            && !connection.is_within_message::<P>()
            && match connection.stage {
                Stage::Open(_) => true,
                // A handshake that has begun may be completed.
                _ => connection.unread.is_empty() && connection.session.is_none(),
            }
    }

    /// Handles a deadline that has passed.
    fn lateness(&self) -> Result<Interruption, CloseReason> {
        let awaited = self.connection.awaited();
        match (&self.connection.stage, awaited) {
            (Stage::Open(_), Awaited::FirstMessage | Awaited::Message) => Ok(Interruption::Idle),
            (Stage::Open(_), Awaited::RestOfMessage) => Ok(Interruption::SlowMessage),
            _ => Err(awaited.close_reason()),
        }
    }

    /// Reads into the worker's input buffer; returns how many bytes, or `None` at the
    /// end.
    fn read(&mut self, transport: &mut impl Transport) -> io::Result<Option<usize>> {
        let count = transport.read(&mut self.worker.buffers.input)?;
        if count == 0 {
            return Ok(None);
        }
        self.worker.counters().received_bytes.add(count as u64);
        Ok(Some(count))
    }

    /// Discards what arrives until the client closes.
    fn linger(&mut self, transport: &mut impl Transport) -> Result<LoopAction, CloseReason> {
        self.wait(Step::None);
        if self.connection.is_late || self.worker.drained_by.is_some() {
            return Ok(LoopAction::Close);
        }
        for _ in 0..MAX_ROUNDS {
            match transport.read(&mut self.worker.buffers.input) {
                Ok(0) => return Ok(LoopAction::Close),
                Ok(count) => self.worker.counters().received_bytes.add(count as u64),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(LoopAction::Wait);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return Ok(LoopAction::Close),
            }
        }
        Ok(LoopAction::Again)
    }

    /// Lets the protocol send a last message and close, or keep the connection.
    fn interrupt(
        &mut self,
        interruption: Interruption,
        transport: &mut impl Transport,
    ) -> Result<(), CloseReason> {
        if self.ask(interruption, &mut []) == Next::Close {
            match interruption {
                Interruption::Idle => self.count(CloseReason::Idle),
                Interruption::SlowMessage => self.count(CloseReason::SlowMessage),
                Interruption::OldCertificate => {
                    // The client may be sending the next message.
                    self.connection.is_to_linger = true;
                    self.count(CloseReason::OldCertificate);
                }
                Interruption::NoLongerServed => {
                    // As above.
                    self.connection.is_to_linger = true;
                    self.count(CloseReason::NoLongerServed);
                }
                Interruption::Draining | Interruption::EndOfInput => (),
            }
            self.close();
        }
        self.send(transport)?;
        self.wait(Step::Kept);
        Ok(())
    }

    /// The client sends no more, within a message; it may still read an error.
    fn end_of_input(&mut self, transport: &mut impl Transport) -> Result<(), CloseReason> {
        let mut rest = mem::take(match &mut self.connection.session {
            Some(session) => &mut session.unconsumed,
            None => &mut self.connection.unread,
        });
        self.cut_short(rest.bytes());
        self.close();
        self.send(transport)?;
        self.wait(Step::None);
        Ok(())
    }

    /// Lets the protocol answer that `input` is not complete.
    fn cut_short(&mut self, input: &mut [u8]) {
        // The connection is closed, whatever the protocol returns.
        let _ = self.ask(Interruption::EndOfInput, input);
        self.count(CloseReason::CutShort);
    }

    /// Tells the protocol of an interruption.
    fn ask(&mut self, interruption: Interruption, input: &mut [u8]) -> Next {
        self.call(input, |protocol, state, exchange| {
            protocol.interrupt(state, exchange, interruption)
        })
    }

    /// Calls the protocol, if it has the connection.
    fn call(
        &mut self,
        input: &mut [u8],
        call: impl FnOnce(&mut P, &mut P::Connection, &mut Exchange<'_>) -> Next,
    ) -> Next {
        let worker = &mut *self.worker;
        let connection = &mut *self.connection;
        let Stage::Open(state) = &mut connection.stage else {
            return Next::Close;
        };
        let mut exchange = Exchange {
            now: worker.now,
            peer: &connection.peer,
            id: self.id,
            input,
            output: &mut worker.buffers.output,
            others: &mut worker.outputs,
            is_draining: worker.drained_by.is_some(),
            permit: &mut connection.permit,
        };
        call(&mut worker.protocol, state, &mut exchange)
    }

    /// The protocol has written its last output for the client.
    fn close(&mut self) {
        self.connection.is_stalled = false;
        self.connection.forget_unconsumed();
        if let Some(state) = self.connection.close() {
            let worker = &mut *self.worker;
            worker.protocol.closed(state, self.id);
            // Output of other connections for this one comes first.
            let outputs = &mut worker.outputs;
            outputs.gather(self.id, &mut worker.buffers.output);
            outputs.closed(self.id);
        }
    }

    /// Counts why the connection is closed; of several reasons, the first.
    fn count(&mut self, reason: CloseReason) {
        if !mem::replace(&mut self.connection.is_counted, true) {
            self.worker.counters().close_reasons[reason as usize].add(1);
        }
    }
}
