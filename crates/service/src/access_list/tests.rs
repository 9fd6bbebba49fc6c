//! Valid and invalid access lists, and their reload.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::AccessListMode;
use crate::lists::parse as parse_lines;

fn hash(byte: u8) -> InfoHash {
    InfoHash([byte; 20])
}

fn parse(text: &[u8]) -> Result<InfoHashSet, ParseError> {
    InfoHashSet::parse(text)
}

#[test]
fn reads_what_operators_write() {
    let text = format!(
        "\u{feff}# a list\r\n\r\n{}\r\n  {} # a remark\n{}{}\n#{}\n\n{}",
        "11".repeat(20),
        "Aa".repeat(20),
        "22".repeat(20),
        "ff".repeat(12),
        "44".repeat(20),
        "33".repeat(20),
    );
    let set = parse(text.as_bytes()).unwrap();
    assert_eq!(set.len(), 4);
    for listed in [0x11, 0xaa, 0x22, 0x33] {
        assert!(set.contains(&hash(listed)), "{listed:x}");
    }
    assert!(!set.contains(&hash(0x44)));
}

#[test]
fn counts_a_hash_once_and_takes_odd_remarks() {
    let mut text = "11".repeat(20).into_bytes();
    text.extend_from_slice(b" # caf\xe9\n\n");
    text.extend_from_slice("11".repeat(32).as_bytes());
    assert_eq!(parse(&text).unwrap().len(), 1);
    assert!(parse(b"").unwrap().is_empty());
}

#[test]
fn a_bad_line_names_its_number() {
    let error = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();

    assert!(error("# one\n\nabc\n").starts_with("line 3: "));
    assert!(error(&"z".repeat(40)).starts_with("line 1: "));
    assert!(error(&format!("{0} {0}", "11".repeat(20))).starts_with("line 1: "));
    assert!(
        parse(b"\n\xff\xfe")
            .unwrap_err()
            .to_string()
            .starts_with("line 2: ")
    );
    assert!(error(&format!("\n{}", "a".repeat(1 << 20))).contains("line 2 is longer"));
}

#[test]
fn each_mode_means_what_it_says() {
    let set = || parse("11".repeat(20).as_bytes()).unwrap();
    assert!(AccessList::Off.allows(&hash(0x11)));
    assert!(AccessList::Allow(set()).allows(&hash(0x11)));
    assert!(!AccessList::Allow(set()).allows(&hash(0x12)));
    assert!(!AccessList::Deny(set()).allows(&hash(0x11)));
    assert!(AccessList::Deny(set()).allows(&hash(0x12)));
}

#[test]
fn a_bad_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let config = AccessListConfig {
        mode: AccessListMode::Allow,
        path: path.clone(),
        ..AccessListConfig::default()
    };
    fs::write(&path, "11".repeat(20)).unwrap();
    let handle = Handle::new(AccessList::load(&config, None).unwrap());
    assert!(handle.allows(&hash(0x11)));

    fs::write(&path, format!("{}\nnonsense\n", "22".repeat(20))).unwrap();
    let error = AccessList::load(&config, None).unwrap_err();
    // Printed with its causes, the error names the line and the file only once.
    let error = format!("{:#}", anyhow::Error::from(error));
    assert_eq!(error.matches("line 2").count(), 1, "{error}");
    assert_eq!(error.matches(path.to_str().unwrap()).count(), 1, "{error}");
    assert!(handle.allows(&hash(0x11)));
    assert!(!handle.allows(&hash(0x22)));

    fs::write(&path, "22".repeat(20)).unwrap();
    let former = handle.replace(AccessList::load(&config, None).unwrap());
    assert!(former.allows(&hash(0x11)));
    assert!(handle.allows(&hash(0x22)));
    assert!(!handle.allows(&hash(0x11)));
}

#[test]
fn allowed_and_denied_torrents_are_one_list() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let lines: String = bytes
            .iter()
            .map(|byte| format!("{}\n", hash(*byte)))
            .collect();
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, lines).unwrap();
        path
    };
    write("allowed/1", &[1, 2, 3]);
    write("allowed/2", &[3, 4]);
    write("allowed/.3", &[9]);
    let config = AccessListConfig {
        mode: AccessListMode::Deny,
        path: write("denied", &[4, 8]),
        allow_paths: vec![directory.path().join("allowed"), write("more", &[5])],
        deny_paths: vec![write("others", &[1, 5])],
    };
    let Loaded { list, files, .. } = AccessList::load(&config, None).unwrap();
    let served = |list: &AccessList| {
        (0..20)
            .filter(|it| list.allows(&hash(*it)))
            .collect::<Vec<_>>()
    };
    assert_eq!(served(&list), [2, 3]);
    assert_eq!((list.len(), files), (2, 5));
    assert!(matches!(list, AccessList::Allow(_)));

    let only_denied = AccessListConfig {
        allow_paths: Vec::new(),
        ..config.clone()
    };
    let list = AccessList::load(&only_denied, None).unwrap().list;
    assert_eq!(served(&list).len(), 20 - 4);
    // All that is allowed is denied: still an allow list.
    write("others", &[1, 2, 3, 5]);
    let list = AccessList::load(&config, None).unwrap().list;
    assert!(served(&list).is_empty() && !list.is_off());

    // A mistake in any file is one of the whole list, and names the key.
    fs::write(directory.path().join("allowed/4"), "\nx\n").unwrap();
    let error = AccessList::load(&config, None).unwrap_err();
    assert_eq!(error.key, "access_list.allow_paths");
    let text = error.to_string();
    assert!(text.contains("allowed/4: line 2: "), "{text}");
}

#[test]
fn what_is_distributed_compressed_is_told() {
    for (start, format) in [(&b"\x1f\x8b\x08"[..], "gzip"), (b"PK\x03\x04", "ZIP")] {
        let error = parse(start).unwrap_err().to_string();
        assert!(
            error.contains(format) && error.contains("plain text"),
            "{error}"
        );
    }
}

#[test]
fn finds_each_of_many() {
    let info_hash = |index: u32| {
        let mut bytes = [7; 20];
        bytes[..4].copy_from_slice(&index.to_be_bytes());
        InfoHash(bytes)
    };
    let text: String = (0..10_000)
        .map(|index| format!("{}\n", info_hash(index * 2)))
        .collect();
    let set = parse(text.as_bytes()).unwrap();
    for index in 0..20_000 {
        assert_eq!(set.contains(&info_hash(index)), index % 2 == 0);
    }
}

#[test]
fn what_is_no_file_or_not_there_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let load = |path: PathBuf| {
        let mode = AccessListMode::Deny;
        let error = AccessList::load(
            &AccessListConfig {
                mode,
                path,
                ..AccessListConfig::default()
            },
            None,
        )
        .unwrap_err();
        format!("{:#}", anyhow::Error::from(error))
    };
    let error = load("/nonexistent".into());
    assert_eq!(error.matches("No such file").count(), 1, "{error}");
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = load(pipe);
    assert!(
        error.ends_with("a named pipe, not a regular file"),
        "{error}"
    );
}

#[test]
fn a_deadline_ends_the_reading() {
    let text = "\n".repeat(100_000);
    let error = parse_lines(
        text.as_bytes(),
        Some(Instant::now()),
        &mut Entries::default(),
    )
    .unwrap_err();
    assert!(matches!(error, ParseError::TooSlow { .. }), "{error}");
    let later = Instant::now() + std::time::Duration::from_secs(3600);
    parse_lines(text.as_bytes(), Some(later), &mut Entries::default()).unwrap();
}

#[test]
fn agrees_with_a_plain_set() {
    let mut random = Random(1);
    // Digests with equal first bits are not random, but must be found too.
    for (count, common) in [(0, 0), (1, 0), (7, 0), (100, 3), (5_000, 0), (5_000, 18)] {
        let mut hashes = Vec::new();
        for _ in 0..count {
            let mut bytes: [u8; 20] = std::array::from_fn(|_| random.next());
            bytes[..common].fill(0xff);
            hashes.push(InfoHash(bytes));
        }
        let text: String = hashes.iter().map(|hash| format!("{hash}\n")).collect();
        // A wrong guess of the size changes nothing.
        for bytes in [0, text.len() as u64, 1 << 20] {
            let mut entries = Entries::default();
            entries.expect(bytes);
            parse_lines(text.as_bytes(), None, &mut entries).unwrap();
            let set = entries.take();
            let plain: std::collections::BTreeSet<_> = hashes.iter().copied().collect();
            assert_eq!(set.len(), plain.len());
            for hash in &plain {
                assert!(set.contains(hash));
                let mut other = *hash;
                other.0[19] ^= 1;
                assert_eq!(set.contains(&other), plain.contains(&other));
                other.0[0] ^= 0x80;
                assert_eq!(set.contains(&other), plain.contains(&other));
            }
            let least = set.len() * size_of::<InfoHash>();
            assert!(set.memory_bytes() <= least + least / 10 + 64);
        }
    }
}

/// Pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }
}
