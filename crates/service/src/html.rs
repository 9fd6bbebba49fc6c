//! Pages for people: templates whose values are escaped, and the headers of their replies.
//!
//! A page has no foreign resources. Its styles and scripts are part of it, and its headers
//! name their hashes, so that nothing else is applied or run, whatever a value contains.

use std::fmt::Write as _;

use minijinja::value::Serde;
use minijinja::{Environment, HtmlEscape, UndefinedBehavior};
use serde::Serialize;

/// A style sheet or a script that is part of a page.
#[derive(Debug, Clone, Copy)]
pub struct Inline {
    /// The text.
    pub text: &'static str,
    /// The SHA-256 hash of the text, in Base64.
    pub sha256: &'static str,
}

/// The style sheet of all pages.
pub const BASE_STYLE: Inline = Inline {
    text: include_str!("html/base.css"),
    sha256: "awrYGr3AC10mhN1+TssTEMLiengmp8cHuJqIpYO1864=",
};

/// Fills a template in. Values are escaped, unless the template says that they are safe.
///
/// # Errors
///
/// If the template is malformed, or a value is missing: mistakes in the program.
pub fn render(template: &str, values: impl Serialize) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // What is escaped depends on the end of the name.
    environment.render_named_str("page.html", template, Serde(values))
}

/// A text as part of a page: in an element, or in an attribute.
pub fn escape(text: &str) -> String {
    HtmlEscape(text).to_string()
}

/// The headers of a reply with a page that has these styles and scripts, each with its line
/// end. A script may ask this server, and no other.
pub fn headers(styles: &[Inline], scripts: &[Inline]) -> String {
    let mut policy = "default-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
        .to_owned();
    for (directive, parts) in [("style-src", styles), ("script-src", scripts)] {
        if parts.is_empty() {
            continue;
        }
        policy.push_str("; ");
        policy.push_str(directive);
        for part in parts {
            // Writing to a string cannot fail.
            let _ = write!(policy, " 'sha256-{}'", part.sha256);
        }
    }
    if !scripts.is_empty() {
        policy.push_str("; connect-src 'self'");
    }
    format!(
        "Content-Type: text/html; charset=utf-8\r\n\
         Content-Security-Policy: {policy}\r\n\
         X-Content-Type-Options: nosniff\r\n\
         X-Frame-Options: DENY\r\n\
         Referrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n"
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Fails, and shows the right hash, if the stated one is not the hash of the text.
    #[cfg(feature = "tls")]
    #[track_caller]
    pub(crate) fn check_hash(inline: Inline) {
        use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;

        let suite = TLS13_AES_128_GCM_SHA256
            .tls13()
            .expect("it is one of TLS 1.3");
        let hash = suite.common.hash_provider.hash(inline.text.as_bytes());
        assert_eq!(inline.sha256, in_base64(hash.as_ref()));
    }

    #[cfg(feature = "tls")]
    fn in_base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut group = [0; 4];
            group[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(group);
            for place in 0..4 {
                let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
                text.push(if place <= chunk.len() {
                    digit.into()
                } else {
                    '='
                });
            }
        }
        text
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_hash_of_the_style_is_right() {
        check_hash(BASE_STYLE);
    }

    #[test]
    fn values_are_escaped_in_text_and_attributes() {
        #[derive(Serialize)]
        struct Values<'a> {
            value: &'a str,
        }

        let hostile = "</p><script>alert(1)</script>\"' onload=alert(2) &amp;";
        let page = render(
            "<p title=\"{{ value }}\">{{ value }}</p>",
            Values { value: hostile },
        );
        let page = page.unwrap();
        for mark in ['<', '>', '"'] {
            let marks = page.chars().filter(|it| *it == mark).count();
            assert_eq!(marks, 2, "{page}");
        }
        assert!(!page.contains('\''), "{page}");
        assert_eq!(page.matches("&amp;amp;").count(), 2, "{page}");
        assert!(render("{{ missing }}", Values { value: "" }).is_err());
    }

    #[test]
    fn nothing_is_permitted_but_what_is_named() {
        let style = Inline {
            text: "",
            sha256: "abc=",
        };
        let text = headers(&[style], &[]);
        let policy = "Content-Security-Policy: default-src 'none'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; style-src 'sha256-abc='\r\n";
        assert!(text.contains(policy), "{text}");
        let text = headers(&[style], &[style]);
        assert!(text.contains("; script-src 'sha256-abc='; connect-src 'self'\r\n"));
        assert!(text.ends_with("\r\n"));
    }
}
