//! Invariants for every file of keys.

use std::collections::BTreeMap;

use aquatic_policy::keys::{Duplicate, KeyHasher, KeyLine, KeySetBuilder, KeyText, Label};

/// Panics if an invariant does not hold.
pub(crate) fn check(text: &[u8]) {
    let hasher = KeyHasher::new(*b"a secret of none");
    let mut builder = KeySetBuilder::new(hasher);
    let mut plain: BTreeMap<Vec<u8>, (u64, Option<u32>, String)> = BTreeMap::new();
    let mut twice = None;
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let key = match KeyLine::parse(line) {
            Ok(None) => {
                let content = line.split(|&byte| byte == b'#').next().expect("a part");
                assert!(content.trim_ascii().is_empty());
                continue;
            }
            Ok(Some(key)) => key,
            Err(error) => {
                // What is longer than the message's own words, but for its example of a time, is
                // not repeated.
                let message = error.to_string().replace("2027-01-31T12:00:00Z", "");
                let words = line.split(|byte| byte.is_ascii_whitespace());
                for word in words.filter(|word| word.len() >= 16) {
                    let said = message.as_bytes().windows(word.len()).any(|it| it == word);
                    assert!(!said, "{message}");
                }
                continue;
            }
        };
        assert_eq!(KeyText::new(key.key.as_bytes()), Ok(key.key));
        assert_eq!(Label::new(key.label.as_str()), Ok(key.label));
        if let Some(expiry) = key.expiry {
            assert_eq!(expiry.to_string().parse(), Ok(expiry));
        }
        builder.add(number, &key).expect("few keys");
        let expires = key.expiry.map(|expiry| expiry.epoch_seconds());
        let entry = (number, expires, key.label.as_str().to_owned());
        let bytes = key.key.as_bytes().to_vec();
        if let Some((first, ..)) = plain.get(&bytes) {
            let (first, second) = (*first, number);
            twice.get_or_insert(Duplicate { first, second });
        } else {
            plain.insert(bytes, entry);
        }
    }
    let set = match (builder.finish(), twice) {
        (Ok(set), None) => set,
        (Err(found), Some(expected)) => return assert_eq!(found, expected),
        (result, expected) => panic!("{result:?} and {expected:?}"),
    };
    assert_eq!(set.len(), plain.len());
    for (bytes, (_, expires, label)) in &plain {
        let key = KeyText::new(bytes).expect("it was one");
        let found = set.find(hasher.digest(&key)).expect("it was added");
        assert_eq!(found.label, label);
        // The last second that there is means never.
        let found = found.expiry.map(|expiry| expiry.epoch_seconds());
        assert_eq!(found, expires.filter(|&at| at != u32::MAX));
    }
    assert!(set.find(hasher.digest_of_none()).is_none());
}
