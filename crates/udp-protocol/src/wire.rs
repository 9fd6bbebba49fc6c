//! Fixed fields at fixed offsets, and sequential writing.

use crate::BufferTooSmall;

/// Copies the `LENGTH` bytes at offset `AT` of a header of known length.
///
/// Offsets and lengths are constants and the header is an array, so the bounds are checked
/// at compile time.
#[inline(always)]
pub(crate) fn field<const AT: usize, const LENGTH: usize, const HEADER: usize>(
    header: &[u8; HEADER],
) -> [u8; LENGTH] {
    const { assert!(AT + LENGTH <= HEADER) };
    let mut bytes = [0; LENGTH];
    bytes.copy_from_slice(&header[AT..AT + LENGTH]);
    bytes
}

/// Writes a message into a buffer sequentially.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

impl<'b> Writer<'b> {
    #[inline]
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Number of bytes written so far.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The bytes written so far, to complete a header later.
    #[inline]
    pub(crate) fn written(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }

    /// Number of bytes that still fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.buffer.len() - self.length
    }

    /// Writes all of `bytes`, or nothing.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), BufferTooSmall> {
        let target = self
            .buffer
            .get_mut(self.length..)
            .and_then(|rest| rest.get_mut(..bytes.len()))
            .ok_or(BufferTooSmall)?;
        target.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }
}
