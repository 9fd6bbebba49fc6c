//! A file that is read ahead by a thread of its own, so that whoever waits for a disk
//! or a file server that does not answer can still be asked to stop.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};

use super::WHAT;
use crate::{Stop, reload};

/// Bytes that are read at once.
const CHUNK: u64 = 256 * 1024;

/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 4;

/// A file, and how far it was read.
pub(super) struct PatientFile {
    /// An empty one is the end.
    chunks: Receiver<io::Result<Vec<u8>>>,
    stop: Stop,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were read.
    taken: usize,
    is_at_end: bool,
}

impl PatientFile {
    pub(super) fn new(mut file: File, stop: Stop) -> anyhow::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        reload::spawn(WHAT, move || {
            loop {
                let mut chunk = Vec::with_capacity(CHUNK as usize);
                let read = (&mut file).take(CHUNK).read_to_end(&mut chunk);
                let is_last = !matches!(read, Ok(1..));
                // Nobody reads on when a part of the file makes no sense.
                if sender.send(read.map(|_| chunk)).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self {
            chunks,
            stop,
            chunk: Vec::new(),
            taken: 0,
            is_at_end: false,
        })
    }
}

impl Read for PatientFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() && !self.is_at_end {
            self.stop.check().map_err(io::Error::other)?;
            self.chunk = reload::receive(WHAT, &self.chunks, &self.stop)
                .map_err(|error| io::Error::other(format!("{error:#}")))?
                .ok_or_else(|| io::Error::other("the thread that reads it has ended"))??;
            self.taken = 0;
            self.is_at_end = self.chunk.is_empty();
        }
        let read = (&self.chunk[self.taken..]).read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}
