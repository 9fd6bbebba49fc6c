//! The index, compared with the records of torrents that grow, shrink and churn.

use super::*;

type Index = PositionIndex<8, 8>;

fn record(number: usize) -> [u8; 8] {
    number.to_le_bytes()
}

/// Removes a record as a torrent does: the last one fills the gap.
fn swap_remove(
    index: &mut Index,
    records: &mut Vec<[u8; 8]>,
    position: usize,
    key: &HashKey,
) -> [u8; 8] {
    let gone = records[position];
    index.remove(&gone, position, records, key);
    let last = records.len() - 1;
    if position != last {
        index.set(&records[last], last, position, key);
    }
    records.swap_remove(position)
}

/// The tables and the directory agree, and every record is found.
fn assert_sound(index: &Index, records: &[[u8; 8]], key: &HashKey) {
    let count: usize = index.tables.iter().map(|t| t.positions.len()).sum();
    assert_eq!(count, records.len());
    for (position, record) in records.iter().enumerate() {
        assert_eq!(index.find(record, records, key), Some(position));
    }
    let mut places = vec![0; index.tables.len()];
    for &table in &index.directory {
        places[table as usize] += 1;
    }
    for (table, places) in index.tables.iter().zip(places) {
        assert_eq!(places << table.depth, index.directory.len());
    }
    for (number, table) in index.tables.iter().enumerate() {
        assert_eq!(index.directory[table.first as usize] as usize, number);
        assert!(table.first >> table.depth == 0);
    }
    for (depth, &count) in (0..).zip(&index.depths) {
        let of_depth = index.tables.iter().filter(|table| table.depth == depth);
        assert_eq!(of_depth.count(), count as usize, "of depth {depth}");
    }
    assert!(index.depths[index.directory.len().ilog2() as usize] > 0);
}

#[test]
fn long_churn_leaves_tables_as_they_were() {
    let key = HashKey::new([4; 16]);
    let mut random = fastrand::Rng::with_seed(5);
    // A small table, one of the largest size before it is split, and many tables.
    for count in [100, MAX_TABLE_LEN, 9 * MAX_TABLE_LEN, 30_000] {
        let mut records: Vec<[u8; 8]> = (0..count).map(record).collect();
        let mut index = Index::new(&records, &key);
        let tables = index.tables.len();
        for arriving in count..count + 1_000_000 {
            // As in a torrent: the last record fills the gap, and a new one is added.
            let position = random.usize(0..count);
            swap_remove(&mut index, &mut records, position, &key);
            index.insert(&record(arriving), count - 1, &records, &key);
            records.push(record(arriving));
        }
        assert_sound(&index, &records, &key);
        let new = index.tables.len();
        assert!(new <= tables * 2, "{tables} tables became {new}");
        for table in &index.tables {
            assert!(table.positions.len() <= MAX_TABLE_LEN);
            // hashbrown doubles a table that removals have left marks in.
            let capacity = table.positions.capacity();
            assert!(capacity <= 2 * MAX_TABLE_LEN, "{capacity}");
        }
    }
}

#[test]
fn finds_everything_through_growth_moves_and_removal() {
    let key = HashKey::new([3; 16]);
    let count = 20_000;
    let mut records: Vec<[u8; 8]> = Vec::new();
    let mut index = Index::new(&records, &key);
    for number in 0..count {
        index.insert(&record(number), number, &records, &key);
        records.push(record(number));
    }
    assert!(index.tables.len() > 8);
    assert!(
        index
            .tables
            .iter()
            .all(|t| t.positions.len() <= MAX_TABLE_LEN)
    );
    assert_sound(&index, &records, &key);
    assert_eq!(index.find(&record(count), &records, &key), None);

    // Remove every record but the first hundred.
    while records.len() > 100 {
        let position = records.len() / 2 % 99 + 1;
        let gone = swap_remove(&mut index, &mut records, position, &key);
        assert_eq!(index.find(&gone, &records, &key), None);
    }
    assert_sound(&index, &records, &key);
    let capacity: usize = index.tables.iter().map(|t| t.positions.capacity()).sum();
    assert!(
        capacity < 2_000,
        "tables keep {capacity} places for 100 entries"
    );
}

#[test]
fn what_has_shrunk_is_like_what_has_grown() {
    let key = HashKey::new([6; 16]);
    let mut random = fastrand::Rng::with_seed(7);
    let mut records: Vec<[u8; 8]> = Vec::new();
    let mut index = Index::new(&records, &key);
    let mut next = 0;
    let mut most = 0;
    for len in [
        300_000, 40_000, 200_000, 5_000, 60_000, 600, 3_000, 0, 50_000, 10,
    ] {
        while records.len() < len {
            index.insert(&record(next), records.len(), &records, &key);
            records.push(record(next));
            next += 1;
        }
        most = most.max(index.tables.len());
        while records.len() > len {
            let position = random.usize(..records.len());
            swap_remove(&mut index, &mut records, position, &key);
        }
        assert_sound(&index, &records, &key);
        // There are few tables, and the directory has few places for each.
        let tables = index.tables.len();
        assert!(tables <= 1 + 2 * len / MIN_TABLE_LEN, "{tables} for {len}");
        assert!(index.directory.len() <= 16 * tables);
        assert!(index.tables.capacity() <= 4 * tables.max(4));
    }
    assert!(most > 250, "{most} tables");
}

#[test]
fn no_removal_moves_many() {
    let key = HashKey::new([8; 16]);
    let mut records: Vec<[u8; 8]> = (0..100_000).map(record).collect();
    let mut index = Index::new(&records, &key);
    let mut before = index.tables.len();
    while !records.is_empty() {
        let last = records.len() - 1;
        let lens: Vec<usize> = index.tables.iter().map(|t| t.positions.len()).collect();
        swap_remove(&mut index, &mut records, last, &key);
        let after = index.tables.len();
        assert!(before - after <= 1, "{before} tables became {after}");
        for table in &index.tables {
            let len = table.positions.len();
            let was_there = lens.contains(&len) || lens.contains(&(len + 1));
            assert!(was_there || len <= JOINED_LEN, "{len} were joined");
        }
        before = after;
    }
    assert_eq!(before, 1);
}
