//! A buffer of encrypted bytes.

/// Encrypted bytes to be sent; one buffer per worker.
#[derive(Default)]
pub(crate) struct Wire {
    /// Memory that was filled with zeroes once.
    bytes: Vec<u8>,
    used: usize,
}

impl Wire {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Removes the bytes, and frees memory beyond this capacity.
    pub(crate) fn clear(&mut self, spare: usize) {
        self.used = 0;
        if self.bytes.capacity() > spare {
            self.bytes.truncate(spare);
            self.bytes.shrink_to(spare);
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Lets `write` fill a slice of at least this length and return how many bytes it has
    /// used.
    pub(super) fn fill<E>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_much_is_given_back() {
        const SPARE: usize = 1_000;
        let mut wire = Wire::default();
        for length in [100, 1_000_000, 500, 2_000] {
            let fill = |out: &mut [u8]| -> Result<usize, ()> {
                out[..length].fill(7);
                Ok(length)
            };
            wire.fill(length, fill).unwrap();
            wire.fill(length, fill).unwrap();
            assert!(wire.bytes() == vec![7; 2 * length]);
            wire.clear(SPARE);
            assert!(wire.bytes().is_empty());
            assert!(wire.capacity() <= SPARE, "{}", wire.capacity());
        }
    }
}
