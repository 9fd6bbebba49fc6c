//! The format of a snapshot. All integers are little-endian.
//!
//! ```text
//! header  "AQUASNAP", version u32, taken at u64 (seconds since 1970),
//!         length of the daemon's name u8, name, CRC-32 of all that u32
//! block   kind u8 (from 1 on), length u32, CRC-32 u32 of kind, length and
//!         payload, payload
//! end     a block of kind 0 with the number of blocks before it, u64
//! ```
//!
//! The version covers this format and the content of the blocks. It is assigned by the
//! daemon, which knows the latter, and says up to which version it can read.

use std::io::{self, Read, Write};

/// Maximum length of a block's payload.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;

const MAGIC: [u8; 8] = *b"AQUASNAP";
const END: u8 = 0;
const BLOCK_HEADER: usize = 1 + 4 + 4;

/// Writes the blocks of a snapshot.
pub struct BlockWriter<'a> {
    output: &'a mut dyn Write,
    blocks: u64,
    bytes: u64,
}

impl<'a> BlockWriter<'a> {
    /// Writes the header, with the daemon's name, the version, and the time.
    ///
    /// # Errors
    ///
    /// Those of the output; or if the name is longer than 255 bytes.
    pub fn new(
        output: &'a mut dyn Write,
        daemon: &str,
        version: u32,
        taken_at: u64,
    ) -> io::Result<Self> {
        let length = u8::try_from(daemon.len())
            .map_err(|_| io::Error::other("the daemon's name is longer than 255 bytes"))?;
        let mut header = Vec::with_capacity(32 + daemon.len());
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&version.to_le_bytes());
        header.extend_from_slice(&taken_at.to_le_bytes());
        header.push(length);
        header.extend_from_slice(daemon.as_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        output.write_all(&header)?;
        Ok(Self {
            output,
            blocks: 0,
            bytes: header.len() as u64,
        })
    }

    /// Writes one block. The output is buffered; blocks of 64 KiB to 1 MiB have little
    /// overhead and need little memory.
    ///
    /// # Errors
    ///
    /// Those of the output; or if the kind is 0, or the payload is longer than
    /// [`MAX_PAYLOAD_BYTES`].
    pub fn write_block(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        if kind == END {
            return Err(io::Error::other("kind 0 of blocks is reserved"));
        }
        self.write(kind, payload)?;
        self.blocks += 1;
        Ok(())
    }

    /// Writes the end; returns the total length in bytes.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<u64> {
        self.write(END, &self.blocks.to_le_bytes())?;
        Ok(self.bytes)
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_PAYLOAD_BYTES)
            .ok_or_else(|| {
                io::Error::other(format!("a block of more than {MAX_PAYLOAD_BYTES} bytes"))
            })?;
        self.output.write_all(&[kind])?;
        self.output.write_all(&length.to_le_bytes())?;
        self.output
            .write_all(&checksum(kind, length, payload).to_le_bytes())?;
        self.output.write_all(payload)?;
        self.bytes += (BLOCK_HEADER + payload.len()) as u64;
        Ok(())
    }
}

/// One block of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// The kind, as assigned by the daemon; never 0.
    pub kind: u8,
    /// The payload; its checksum is correct.
    pub payload: &'a [u8],
}

/// Why a snapshot cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is damaged, or its content is invalid for the daemon.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It does not begin like a snapshot.
    #[error("it does not begin like a snapshot")]
    NoSnapshot,
    /// It was written by a later release.
    #[error("it has version {found}, and this release reads versions up to {newest}")]
    Newer {
        /// Its version.
        found: u32,
        /// The highest version that can be read.
        newest: u32,
    },
    /// It was written by another daemon.
    #[error("it belongs to {found}")]
    OtherDaemon {
        /// The name of that daemon.
        found: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(io::Error),
}

impl ReadError {
    /// The error of a daemon for invalid blocks.
    pub fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged(reason.into())
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::damaged("it ends too early")
        } else {
            Self::Io(error)
        }
    }
}

/// Reads the blocks of a snapshot.
///
/// Memory use is bounded by the actual length, whatever a damaged length field says.
pub struct BlockReader<'a> {
    input: &'a mut dyn Read,
    daemon: String,
    taken_at: u64,
    /// Blocks read so far.
    blocks: u64,
    ended: bool,
    payload: Vec<u8>,
}

impl<'a> BlockReader<'a> {
    /// Reads the header of a snapshot with a version of at most `newest`.
    ///
    /// # Errors
    ///
    /// If this is not the header of such a snapshot.
    pub fn new(input: &'a mut dyn Read, newest: u32) -> Result<Self, ReadError> {
        let mut checksum = crc32fast::Hasher::new();
        read_magic(input)?;
        checksum.update(&MAGIC);
        // The version is checked before the checksum, because other versions may have
        // another header.
        let version = u32::from_le_bytes(read_array(input, &mut checksum)?);
        if version > newest {
            return Err(ReadError::Newer {
                found: version,
                newest,
            });
        }
        let taken_at = u64::from_le_bytes(read_array(input, &mut checksum)?);
        let [length] = read_array(input, &mut checksum)?;
        let mut name = vec![0; usize::from(length)];
        input.read_exact(&mut name)?;
        checksum.update(&name);

        let found = checksum.finalize();
        let expected = u32::from_le_bytes(read_array(input, &mut crc32fast::Hasher::new())?);
        if found != expected || version == 0 {
            return Err(ReadError::damaged("the checksum of its header is wrong"));
        }
        let daemon = String::from_utf8(name)
            .map_err(|_| ReadError::damaged("the name of its daemon is not UTF-8"))?;
        Ok(Self {
            input,
            daemon,
            taken_at,
            blocks: 0,
            ended: false,
            payload: Vec::new(),
        })
    }

    /// The daemon that wrote it.
    pub fn daemon(&self) -> &str {
        &self.daemon
    }

    /// When writing began, in seconds since 1970.
    pub fn taken_at(&self) -> u64 {
        self.taken_at
    }

    /// Reads the next block; `None` after the last.
    ///
    /// # Errors
    ///
    /// If it is damaged, or cannot be read.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let number = self.blocks + 1;
        let mut unused = crc32fast::Hasher::new();
        let [kind] = read_array(self.input, &mut unused)?;
        let length = u32::from_le_bytes(read_array(self.input, &mut unused)?);
        let expected = u32::from_le_bytes(read_array(self.input, &mut unused)?);
        if length as usize > MAX_PAYLOAD_BYTES {
            return Err(ReadError::damaged(format!(
                "block {number} claims to have {length} bytes"
            )));
        }
        self.payload.clear();
        let read = (&mut *self.input)
            .take(u64::from(length))
            .read_to_end(&mut self.payload)?;
        if read < length as usize {
            return Err(ReadError::damaged("it ends too early"));
        }
        if checksum(kind, length, &self.payload) != expected {
            return Err(ReadError::damaged(format!(
                "the checksum of block {number} is wrong"
            )));
        }
        if kind == END {
            self.end()?;
            return Ok(None);
        }
        self.blocks = number;
        Ok(Some(Block {
            kind,
            payload: &self.payload,
        }))
    }

    fn end(&mut self) -> Result<(), ReadError> {
        self.ended = true;
        if self.payload != self.blocks.to_le_bytes() {
            return Err(ReadError::damaged("blocks are missing"));
        }
        if self.input.read(&mut [0])? != 0 {
            return Err(ReadError::damaged("there is more after its end"));
        }
        Ok(())
    }
}

/// Reads a whole snapshot from memory, and calls `each` with its blocks.
///
/// # Errors
///
/// See [`BlockReader`].
pub fn read_blocks(
    mut bytes: &[u8],
    newest: u32,
    mut each: impl FnMut(Block<'_>),
) -> Result<(), ReadError> {
    let mut reader = BlockReader::new(&mut bytes, newest)?;
    while let Some(block) = reader.next_block()? {
        each(block);
    }
    Ok(())
}

/// A truncated snapshot still begins like one.
fn read_magic(input: &mut dyn Read) -> Result<(), ReadError> {
    let mut begin = Vec::with_capacity(MAGIC.len());
    (&mut *input)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut begin)?;
    if begin == MAGIC {
        Ok(())
    } else if MAGIC.starts_with(&begin) {
        Err(ReadError::damaged("it ends too early"))
    } else {
        Err(ReadError::NoSnapshot)
    }
}

fn read_array<const N: usize>(
    input: &mut dyn Read,
    checksum: &mut crc32fast::Hasher,
) -> Result<[u8; N], ReadError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    checksum.update(&bytes);
    Ok(bytes)
}

fn checksum(kind: u8, length: u32, payload: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&[kind]);
    checksum.update(&length.to_le_bytes());
    checksum.update(payload);
    checksum.finalize()
}
