//! What is JSON is the same for serde_json.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// Reads one value and what may be around it.
fn read(text: &str) -> Result<&str, Malformed> {
    let mut reader = Reader::new(text);
    let raw = reader.raw()?;
    reader.end()?;
    Ok(raw)
}

fn number(text: &str) -> Option<i64> {
    let mut reader = Reader::new(text);
    match reader.begin() {
        Ok(Begun::Number(number)) => reader.end().ok().map(|()| number),
        _ => None,
    }
}

/// Texts that are JSON, almost JSON, and anything made of its tokens.
fn texts() -> impl Strategy<Value = String> {
    let token = || {
        prop_oneof![
            4 => r"[\[\]{},:]",
            2 => "[ \t\r\n]",
            2 => r#""[a-z]{0,3}""#,
            1 => "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?",
            1 => "null|true|false",
            1 => r#"[-+.0-9eE"\\ntfé]{1,3}"#,
        ]
    };
    let leaf = prop_oneof![token(), r#""([a-zé]|\\[n"]|\\u00e9){0,70}""#];
    let value = leaf.prop_recursive(8, 64, 6, |inner| {
        let member = ("\"[a-z]{1,3}\" ?: ?", inner.clone());
        prop_oneof![
            vec(inner, 0..6).prop_map(|list| format!("[{}]", list.join(" ,"))),
            vec(member, 0..6).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(a, b)| a + &b).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    });
    prop_oneof![
        value,
        vec(token(), 0..20).prop_map(|tokens| tokens.concat())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn values_are_those_of_serde_json(text in texts(), cut in any::<prop::sample::Index>()) {
        let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let cut = if boundaries.is_empty() { 0 } else { *cut.get(&boundaries) };
        for text in [&*text, &text[..cut], &text[cut..]] {
            let expected = serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get);
            prop_assert_eq!(read(text).ok(), expected, "{}", text);
        }
    }

    #[test]
    fn numbers_are_those_of_serde_json(
        text in "-?[0-9]{1,20}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
    ) {
        let expected = serde_json::from_str::<serde_json::Number>(&text).ok();
        match (number(&text), expected) {
            (Some(found), Some(expected)) if expected.is_i64() => {
                prop_assert_eq!(Some(found), expected.as_i64());
            }
            (Some(found), Some(expected)) => {
                // It is not exact in the last digits, and ours is limited.
                let expected = expected.as_f64().unwrap();
                let difference = found as f64 - expected.clamp(i64::MIN as f64, i64::MAX as f64);
                prop_assert!(difference.abs() <= 1.0 + (found as f64).abs() / 1e15);
            }
            (found, expected) => prop_assert_eq!(found.is_some(), expected.is_some()),
        }
    }
}

#[test]
fn numbers_are_rounded_away_from_zero_and_limited() {
    for (text, expected) in [
        ("0", 0),
        ("-0", 0),
        ("0.1", 1),
        ("-0.1", -1),
        ("12e-1", 2),
        ("9223372036854775807", i64::MAX),
        ("9223372036854775808", i64::MAX),
        ("1e999", i64::MAX),
        ("-1e999", i64::MIN),
    ] {
        assert_eq!(number(text), Some(expected), "{text}");
    }
    for text in [
        "", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x10", "1 2", "NaN",
    ] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    let limit = MAX_DEPTH as usize;
    assert!(read(&nested(limit)).is_ok());
    assert_eq!(read(&nested(limit + 1)), Err(Malformed));
    assert_eq!(read(&"[".repeat(1_000_000)), Err(Malformed));
    // One that ended does not count.
    let many = format!("[{}]", vec![nested(limit - 1); 300].join(","));
    assert!(read(&many).is_ok());
    let objects = "{\"a\":".repeat(limit) + "1" + &"}".repeat(limit);
    assert!(read(&objects).is_ok());
    assert!(read(&objects.replacen('}', "]", 1)).is_err());
}
