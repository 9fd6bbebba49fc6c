//! Invariants for every file that is read as a snapshot.

use aquatic_service::snapshot::{BlockReader, BlockWriter};

/// The version of all snapshots so far.
const VERSION: u32 = 1;

/// The kinds and payloads of a snapshot's blocks.
type Blocks = Vec<(u8, Vec<u8>)>;

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    // Random bytes have wrong checksums, so most inputs are rejected here.
    if let Some((daemon, taken_at, blocks)) = read(bytes) {
        let written = write(&daemon, taken_at, &blocks);
        assert_eq!(read(&written), Some((daemon, taken_at, blocks)));
    }

    // The input as the blocks of a valid snapshot, which is then damaged.
    let kinds = bytes.first().map_or(1, |byte| byte % 4);
    let blocks: Blocks = bytes
        .chunks(64)
        .map(|payload| (payload[0] % (kinds + 1) + 1, payload.to_vec()))
        .collect();
    let mut written = write("aquatic-test", 1, &blocks);
    assert_eq!(
        read(&written),
        Some(("aquatic-test".to_owned(), 1, blocks.clone()))
    );

    let position = bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % written.len();
    assert_eq!(read(&written[..position]), None, "cut off at {position}");
    written[position] ^= 1 << (bytes.len() % 8);
    assert_eq!(read(&written), None, "damaged at {position}");
}

fn read(mut bytes: &[u8]) -> Option<(String, u64, Blocks)> {
    let length = bytes.len();
    let mut reader = BlockReader::new(&mut bytes, VERSION).ok()?;
    let (daemon, taken_at) = (reader.daemon().to_owned(), reader.taken_at());
    let mut blocks = Blocks::new();
    while let Some(block) = reader.next_block().ok()? {
        blocks.push((block.kind, block.payload.to_vec()));
    }
    let payloads: usize = blocks.iter().map(|(_, payload)| payload.len()).sum();
    assert!(payloads < length);
    Some((daemon, taken_at, blocks))
}

fn write(daemon: &str, taken_at: u64, blocks: &Blocks) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        BlockWriter::new(&mut bytes, daemon, VERSION, taken_at).expect("memory takes it");
    for (kind, payload) in blocks {
        writer.write_block(*kind, payload).expect("a valid block");
    }
    let length = writer.finish().expect("memory takes it");
    assert_eq!(length, bytes.len() as u64);
    bytes
}
