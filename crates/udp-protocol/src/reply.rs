//! Replies, written directly into the output buffer.

use crate::wire::Writer;
use crate::{
    ANNOUNCE_REPLY_HEADER_LENGTH, BufferTooSmall, CONNECT_LENGTH, ConnectionId,
    REPLY_HEADER_LENGTH, SCRAPE_TORRENT_LENGTH, TransactionId, action,
};

/// Writes the reply to a connect request; returns its length.
///
/// # Errors
///
/// If `out` has fewer than [`CONNECT_LENGTH`] bytes.
#[inline]
pub fn write_connect(
    out: &mut [u8],
    transaction_id: TransactionId,
    connection_id: ConnectionId,
) -> Result<usize, BufferTooSmall> {
    let out = out
        .first_chunk_mut::<CONNECT_LENGTH>()
        .ok_or(BufferTooSmall)?;
    out[..4].copy_from_slice(&action::CONNECT.to_be_bytes());
    out[4..8].copy_from_slice(&transaction_id.0);
    out[8..].copy_from_slice(&connection_id.0);
    Ok(CONNECT_LENGTH)
}

/// Writes an error; returns its length. A message that does not fit is truncated at the end
/// of a character.
///
/// # Errors
///
/// If `out` has fewer than [`REPLY_HEADER_LENGTH`] bytes.
pub fn write_error(
    out: &mut [u8],
    transaction_id: TransactionId,
    text: &str,
) -> Result<usize, BufferTooSmall> {
    let mut writer = Writer::new(out);
    writer.put(&action::ERROR.to_be_bytes())?;
    writer.put(&transaction_id.0)?;
    let mut fitting = text.len().min(writer.room());
    while !text.is_char_boundary(fitting) {
        // Terminates at 0 at the latest, which is always a boundary.
        fitting -= 1;
    }
    writer.put(&text.as_bytes()[..fitting])?;
    Ok(writer.length())
}

/// Writes an announce reply: first its peers, as slices in wire form, and then its header.
#[derive(Debug)]
pub struct AnnounceWriter<'b>(Writer<'b>);

impl<'b> AnnounceWriter<'b> {
    /// Begins a reply at the start of `out`.
    ///
    /// # Errors
    ///
    /// If `out` has fewer than [`ANNOUNCE_REPLY_HEADER_LENGTH`] bytes.
    #[inline]
    pub fn new(out: &'b mut [u8]) -> Result<Self, BufferTooSmall> {
        let mut writer = Writer::new(out);
        writer.put(&[0; ANNOUNCE_REPLY_HEADER_LENGTH])?;
        Ok(Self(writer))
    }

    /// Number of bytes of peers that still fit.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.0.room()
    }

    /// Appends peers: 6 bytes each for IPv4, 18 for IPv6.
    ///
    /// # Errors
    ///
    /// If they do not fit; then none is appended.
    #[inline]
    pub fn append_peers(&mut self, peers: &[u8]) -> Result<(), BufferTooSmall> {
        self.0.put(peers)
    }

    /// Writes the header; returns the length of the whole reply.
    ///
    /// The counts are in the order of BEP 15, leechers first.
    #[inline]
    #[must_use]
    pub fn finish(
        mut self,
        transaction_id: TransactionId,
        interval_seconds: u32,
        seeders: u32,
        leechers: u32,
    ) -> usize {
        if let Some(header) = self
            .0
            .written()
            .first_chunk_mut::<ANNOUNCE_REPLY_HEADER_LENGTH>()
        {
            header[..4].copy_from_slice(&action::ANNOUNCE.to_be_bytes());
            header[4..8].copy_from_slice(&transaction_id.0);
            header[8..12].copy_from_slice(&interval_seconds.to_be_bytes());
            header[12..16].copy_from_slice(&leechers.to_be_bytes());
            header[16..].copy_from_slice(&seeders.to_be_bytes());
        }
        self.0.length()
    }
}

/// The counts of a torrent in a scrape reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TorrentStatistics {
    /// Number of peers that have the whole torrent.
    pub seeders: u32,
    /// Number of completed downloads.
    pub completed: u32,
    /// Number of peers that are still downloading.
    pub leechers: u32,
}

impl TorrentStatistics {
    #[inline]
    fn to_bytes(self) -> [u8; SCRAPE_TORRENT_LENGTH] {
        let mut bytes = [0; SCRAPE_TORRENT_LENGTH];
        bytes[..4].copy_from_slice(&self.seeders.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.completed.to_be_bytes());
        bytes[8..].copy_from_slice(&self.leechers.to_be_bytes());
        bytes
    }

    #[inline]
    pub(crate) fn from_bytes(bytes: [u8; SCRAPE_TORRENT_LENGTH]) -> Self {
        let [s0, s1, s2, s3, c0, c1, c2, c3, l0, l1, l2, l3] = bytes;
        Self {
            seeders: u32::from_be_bytes([s0, s1, s2, s3]),
            completed: u32::from_be_bytes([c0, c1, c2, c3]),
            leechers: u32::from_be_bytes([l0, l1, l2, l3]),
        }
    }
}

/// Writes a scrape reply: a torrent for each info hash of the request, in its order.
#[derive(Debug)]
pub struct ScrapeWriter<'b>(Writer<'b>);

impl<'b> ScrapeWriter<'b> {
    /// Begins a reply at the start of `out`.
    ///
    /// # Errors
    ///
    /// If `out` has fewer than [`REPLY_HEADER_LENGTH`] bytes.
    #[inline]
    pub fn new(out: &'b mut [u8], transaction_id: TransactionId) -> Result<Self, BufferTooSmall> {
        let mut writer = Writer::new(out);
        writer.put(&action::SCRAPE.to_be_bytes())?;
        writer.put(&transaction_id.0)?;
        debug_assert_eq!(writer.length(), REPLY_HEADER_LENGTH);
        Ok(Self(writer))
    }

    /// Appends the torrent for the next info hash.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    #[inline]
    pub fn append(&mut self, torrent: TorrentStatistics) -> Result<(), BufferTooSmall> {
        self.0.put(&torrent.to_bytes())
    }

    /// The length of the reply.
    #[inline]
    #[must_use]
    pub fn finish(self) -> usize {
        self.0.length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION_ID: TransactionId = TransactionId(*b"\x12\x34\x56\x78");

    #[test]
    fn writes_a_connect_reply() {
        let mut out = [0; 20];
        let length = write_connect(&mut out, TRANSACTION_ID, ConnectionId(*b"CONN-ID!"));
        assert_eq!(length, Ok(16));
        assert_eq!(&out, b"\x00\x00\x00\x00\x12\x34\x56\x78CONN-ID!\0\0\0\0");

        let too_small = write_connect(&mut out[..15], TRANSACTION_ID, ConnectionId([0; 8]));
        assert_eq!(too_small, Err(BufferTooSmall));
    }

    #[test]
    fn writes_an_announce_reply() {
        let mut out = [0; 38];
        let mut writer = AnnounceWriter::new(&mut out).unwrap();
        assert_eq!(writer.room(), 18);
        writer.append_peers(b"\xc0\x00\x02\x01\x1a\xe1").unwrap();
        writer.append_peers(b"\xc0\x00\x02\x02\x1a\xe2").unwrap();
        // A slice that does not fit does not change the reply.
        assert_eq!(writer.append_peers(&[9; 7]), Err(BufferTooSmall));
        assert_eq!(writer.room(), 6);
        let length = writer.finish(TRANSACTION_ID, 900, 5, 7);

        let expected = b"\
            \x00\x00\x00\x01\x12\x34\x56\x78\
            \x00\x00\x03\x84\x00\x00\x00\x07\x00\x00\x00\x05\
            \xc0\x00\x02\x01\x1a\xe1\
            \xc0\x00\x02\x02\x1a\xe2";
        assert_eq!(&out[..length], expected);
        assert_eq!(
            AnnounceWriter::new(&mut out[..19]).err(),
            Some(BufferTooSmall)
        );
    }

    #[test]
    fn writes_a_scrape_reply() {
        let mut out = [0; 8 + 12 + 11];
        let mut writer = ScrapeWriter::new(&mut out, TRANSACTION_ID).unwrap();
        let torrent = TorrentStatistics {
            seeders: 1,
            completed: 2,
            leechers: 3,
        };
        writer.append(torrent).unwrap();
        assert_eq!(writer.append(torrent), Err(BufferTooSmall));
        let length = writer.finish();

        let expected = b"\
            \x00\x00\x00\x02\x12\x34\x56\x78\
            \x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03";
        assert_eq!(&out[..length], expected);
        assert_eq!(
            ScrapeWriter::new(&mut out[..7], TRANSACTION_ID).err(),
            Some(BufferTooSmall)
        );
    }

    #[test]
    fn writes_an_error() {
        let mut out = [0; 64];
        let length = write_error(&mut out, TRANSACTION_ID, "port must not be 0").unwrap();
        assert_eq!(
            &out[..length],
            b"\x00\x00\x00\x03\x12\x34\x56\x78port must not be 0"
        );
    }

    #[test]
    fn cuts_an_error_at_a_character() {
        let mut out = [0; 12];
        assert_eq!(write_error(&mut out, TRANSACTION_ID, "abcé"), Ok(11));
        assert_eq!(write_error(&mut out, TRANSACTION_ID, "abé"), Ok(12));
        assert_eq!(write_error(&mut out[..8], TRANSACTION_ID, "abc"), Ok(8));
        assert_eq!(
            write_error(&mut out[..7], TRANSACTION_ID, "abc"),
            Err(BufferTooSmall)
        );
    }
}
