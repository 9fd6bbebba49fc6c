//! Sending what was written.

use std::io;

use super::Drive;
use crate::Protocol;
use crate::connection::{Stage, Step, Unsent};
use crate::counters::CloseReason;
use crate::engine::{SPARE_OUTPUT_BYTES, Transport};

/// Maximum number of writes before other connections are driven.
const MAX_WRITES: usize = 64;

/// How many of the unsent bytes were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All of it.
    All,
    /// Some, and the socket is not writable now.
    Blocked,
    /// Some; other connections are driven before the rest is sent.
    Partly,
}

impl<P: Protocol> Drive<'_, P> {
    /// Sends unsent bytes.
    pub(super) fn flush(&mut self, transport: &mut impl Transport) -> Result<Flushed, CloseReason> {
        if self.connection.unsent.is_empty() {
            return Ok(Flushed::All);
        }
        for _ in 0..MAX_WRITES {
            match transport.write(self.connection.unsent.waiting()) {
                Ok(0) => return Err(CloseReason::Broken),
                Ok(count) => {
                    self.connection.unsent.advance(count);
                    self.worker.counters().sent_bytes.add(count as u64);
                    if self.connection.unsent.is_empty() {
                        self.wait(Step::Sent);
                        return Ok(Flushed::All);
                    }
                    if self.connection.unsent.is_due_sent() {
                        // It has time for what was written since.
                        self.wait(Step::None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.connection.is_late {
                        return Err(CloseReason::SlowReader);
                    }
                    return Ok(Flushed::Blocked);
                }
                Err(_) => return Err(CloseReason::Broken),
            }
        }
        Ok(Flushed::Partly)
    }

    /// Sends the protocol's output, or collects it until the end of the turn if the
    /// protocol asks for that.
    pub(super) fn send_or_collect(
        &mut self,
        transport: &mut impl Transport,
    ) -> Result<(), CloseReason> {
        let worker = &mut *self.worker;
        if P::COLLECTS_OUTPUT
            && matches!(self.connection.stage, Stage::Open(_))
            && !self.connection.is_stalled
            && worker.buffers.wire.bytes().is_empty()
            && worker.outputs.has_room_for(self.id, &worker.buffers.output)
        {
            worker.outputs.put(self.id, &mut worker.buffers.output);
            return Ok(());
        }
        self.send(transport)
    }

    /// Sends the protocol's output, and keeps what the socket does not take.
    pub(super) fn send(&mut self, transport: &mut impl Transport) -> Result<(), CloseReason> {
        let output = &mut self.worker.buffers.output;
        if P::COLLECTS_OUTPUT {
            self.worker.outputs.gather(self.id, output);
        }
        let buffers = &mut self.worker.buffers;
        let result = match &mut self.connection.session {
            None => write(transport, &buffers.output, &mut self.connection.unsent),
            Some(session) => {
                let encrypted = if buffers.output.is_empty() {
                    Ok(())
                } else {
                    session.encrypt(&buffers.output, &mut buffers.wire)
                };
                match encrypted {
                    Err(error) => Err(error.close_reason()),
                    Ok(()) => {
                        if matches!(self.connection.stage, Stage::Closing) {
                            session.close(&mut buffers.wire);
                        }
                        write(transport, buffers.wire.bytes(), &mut self.connection.unsent)
                    }
                }
            }
        };
        buffers.output.clear();
        buffers.output.shrink_to(SPARE_OUTPUT_BYTES);
        buffers.wire.clear(SPARE_OUTPUT_BYTES);
        let sent = result?;
        self.worker.counters().sent_bytes.add(sent as u64);
        match self.worker.settings.limits.max_unsent_bytes {
            Some(max) if self.connection.unsent.len() > max.get() => Err(CloseReason::FullOutput),
            _ => Ok(()),
        }
    }
}

/// Writes once; what the socket does not take becomes unsent. Returns how much it took.
fn write(
    transport: &mut impl Transport,
    bytes: &[u8],
    unsent: &mut Unsent,
) -> Result<usize, CloseReason> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let sent = if unsent.is_empty() {
        match transport.write(bytes) {
            Ok(0) => return Err(CloseReason::Broken),
            Ok(count) => count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                0
            }
            Err(_) => return Err(CloseReason::Broken),
        }
    } else {
        0
    };
    if sent < bytes.len() {
        unsent.put(&bytes[sent..]);
    }
    Ok(sent)
}
