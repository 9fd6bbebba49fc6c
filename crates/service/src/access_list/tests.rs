//! Access lists, good and bad, and their reload.

use std::fs;

use super::*;

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
    let settings = AccessListSettings::Allow(path.clone());
    fs::write(&path, "11".repeat(20)).unwrap();
    let handle = Handle::new(AccessList::load(&settings).unwrap());
    assert!(handle.allows(&hash(0x11)));

    fs::write(&path, format!("{}\nnonsense\n", "22".repeat(20))).unwrap();
    let error = handle.reload(&settings).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    assert!(handle.allows(&hash(0x11)));
    assert!(!handle.allows(&hash(0x22)));

    fs::write(&path, "22".repeat(20)).unwrap();
    assert_eq!(handle.reload(&settings).unwrap(), 1);
    assert!(handle.allows(&hash(0x22)));
    assert!(!handle.allows(&hash(0x11)));
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
