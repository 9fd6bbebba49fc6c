//! What a configuration has for people to read: names, contacts and URLs.

use std::ops::Deref;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use super::checks::Checks;

/// Maximum length of a line in bytes.
const MAX_LINE_BYTES: usize = 200;

/// A line of text, which may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line(String);

/// A URL under which clients reach the tracker; an empty text if none is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicUrl(Option<String>);

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LINE_BYTES {
            return Err(format!("the text is longer than {MAX_LINE_BYTES} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("expected one line without control characters".to_owned());
        }
        Ok(Self(text.trim().to_owned()))
    }
}

impl Deref for Line {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>`\\".contains(&byte);
        let host = text.split_once("://").map(|(_, rest)| rest);
        let has_host = host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']));
        if text.len() > MAX_LINE_BYTES || !text.bytes().all(is_allowed) || !has_host {
            return Err(format!(
                "{text:?} is not a URL; write it like \"udp://tracker.example.org:3000\" or \
                 \"https://tracker.example.org/announce\""
            ));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

impl PublicUrl {
    /// The URL, if there is one.
    pub fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Checks that the URL, if there is one, has one of these schemes.
    pub fn check(&self, schemes: &[&str], checks: &mut Checks) {
        let Some((scheme, _)) = self.get().and_then(|url| url.split_once("://")) else {
            return;
        };
        if !schemes.contains(&scheme) {
            let expected: Vec<String> = schemes.iter().map(|it| format!("{it}://")).collect();
            checks.fail(
                "network.public_url",
                format!("expected a URL that begins with {}", expected.join(" or ")),
            );
        }
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for PublicUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().unwrap_or_default().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The schema of a text.
#[cfg(feature = "schema")]
macro_rules! text_schema {
    ($name:ident) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

#[cfg(feature = "schema")]
text_schema!(Line);
#[cfg(feature = "schema")]
text_schema!(PublicUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_have_no_control_characters() {
        let parse = str::parse::<Line>;
        assert_eq!(&*parse(" Trácker <x> ").unwrap(), "Trácker <x>");
        assert_eq!(&*parse("").unwrap(), "");
        assert!(parse(&"x".repeat(MAX_LINE_BYTES)).is_ok());
        assert!(parse(&"x".repeat(MAX_LINE_BYTES + 1)).is_err());
        for text in ["a\nb", "a\u{1b}", "\0"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn urls_have_a_scheme_and_a_host() {
        for url in [
            "udp://tracker.test:3000",
            "https://[2001:db8::1]/announce?key=1",
            "wss://tracker.test",
        ] {
            assert_eq!(url.parse::<PublicUrl>().unwrap().get(), Some(url));
        }
        assert_eq!("".parse::<PublicUrl>().unwrap().get(), None);
        for text in [
            "tracker.test",
            "udp://",
            "udp:///announce",
            "http://:80/",
            "http://a b/",
            "http://a/<script>",
            "http://a/\"",
            "http://ä/",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn urls_have_a_scheme_of_the_tracker() {
        let problems = |schemes: &[&str]| {
            let mut checks = Checks::new();
            let url: PublicUrl = "http://tracker.test".parse().unwrap();
            url.check(schemes, &mut checks);
            PublicUrl::default().check(schemes, &mut checks);
            checks.finish(()).err().unwrap_or_default().len()
        };
        assert_eq!(problems(&["http", "https"]), 0);
        assert_eq!(problems(&["udp"]), 1);
    }
}
