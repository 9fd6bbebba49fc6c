//! Manual pages: templates in mdoc(7), with slots for what is derived.
//!
//! A template in `man/pages` is the page of its name in the root's `man`. Lines that begin with `@` are
//! slots, a word of the form `@NAME@` is a name:
//!
//! | slot | what takes its place |
//! |---|---|
//! | `@include PART` | a part that several pages share |
//! | `@options` | the options of the program, from its command line |
//! | `@keys` | the keys of the configuration, from its struct |

mod mdoc;

use anyhow::{Context, bail};
use aquatic_load_test::command_line::{self, LoadTest};
use aquatic_service::Daemon;
use aquatic_service::cli;
use schemars::JsonSchema;
use serde::Serialize;

use super::reference::Reference;

/// Names in a template, between two signs, and what replaces them.
type Words = &'static [(&'static str, &'static str)];

/// A page to make.
struct Page {
    /// Its template.
    template: &'static str,
    /// What it is about: replaces `@NAME@`.
    name: &'static str,
    /// What replaces other names.
    words: Words,
    /// The options of the program.
    command: Option<clap::Command>,
    /// The configuration.
    reference: Option<Reference>,
}

/// Parts that several pages share.
const PARTS: &[(&str, &str)] = &[
    ("behind-tls", include_str!("man/parts/behind-tls")),
    ("check", include_str!("man/parts/check")),
    ("connections", include_str!("man/parts/connections")),
    ("environment", include_str!("man/parts/environment")),
    ("exit-status", include_str!("man/parts/exit-status")),
    ("files", include_str!("man/parts/files")),
    ("listen", include_str!("man/parts/listen")),
    ("load-test", include_str!("man/parts/load-test")),
    ("metrics", include_str!("man/parts/metrics")),
    ("operation", include_str!("man/parts/operation")),
    ("settings", include_str!("man/parts/settings")),
];

/// The page `NAME.8` of a daemon.
///
/// # Errors
///
/// As [`render`].
pub(super) fn daemon<D: Daemon>(template: &'static str, words: Words) -> anyhow::Result<String> {
    render(&Page {
        template,
        name: D::NAME,
        words,
        command: Some(cli::command(&aquatic_service::program::<D>())),
        reference: None,
    })
}

/// The page `NAME.toml.5` of a daemon's configuration.
///
/// # Errors
///
/// As [`render`].
pub(super) fn configuration<D: Daemon>(
    template: &'static str,
    words: Words,
) -> anyhow::Result<String>
where
    D::Config: JsonSchema,
{
    render(&Page {
        template,
        name: D::NAME,
        words,
        command: None,
        reference: Some(Reference::of::<D::Config>()?),
    })
}

/// The page `NAME.1` of a load test with the configuration `C`.
///
/// # Errors
///
/// As [`render`].
pub(super) fn load_test<T: LoadTest, C>(template: &'static str) -> anyhow::Result<String>
where
    C: JsonSchema + Serialize + Default,
{
    render(&Page {
        template,
        name: T::NAME,
        words: &[],
        command: Some(command_line::command::<T>()),
        reference: Some(Reference::of::<C>()?),
    })
}

/// The page about access lists.
///
/// # Errors
///
/// As [`render`].
pub(super) fn access_list(template: &'static str) -> anyhow::Result<String> {
    render(&Page {
        template,
        name: "aquatic-access-list",
        words: &[],
        command: None,
        reference: None,
    })
}

/// What differs between the daemons.
pub(super) const HTTP_WORDS: Words = &[
    ("@LISTEN@", "ListenStream"),
    ("@RELOADED@", " and the certificate"),
    ("@OPEN@", ""),
    ("@STATE@", "Torrents, peers and download counts"),
    ("@KEPT@", NO_PEER_FORGOTTEN),
    ("@AND_WORKERS@", "and the number of workers"),
    ("@RESTART@", NO_REQUEST_LOST),
];

/// As [`HTTP_WORDS`].
pub(super) const UDP_WORDS: Words = &[
    ("@LISTEN@", "ListenDatagram"),
    ("@RELOADED@", ""),
    (
        "@STATE@",
        "Torrents, peers, download counts and the key of connection ids",
    ),
    ("@KEPT@", NO_PEER_FORGOTTEN),
    (
        "@AND_WORKERS@",
        "the number of workers and\n.Ic socket_recv_buffer_size",
    ),
    ("@RESTART@", NO_REQUEST_LOST),
];

/// As [`HTTP_WORDS`].
pub(super) const WS_WORDS: Words = &[
    ("@LISTEN@", "ListenStream"),
    ("@RELOADED@", " and the certificate"),
    (
        "@OPEN@",
        ",\nand are closed after\n.Ic close_after_tls_update_grace_period",
    ),
    ("@STATE@", "Download counts"),
    (
        "@KEPT@",
        ".\nPeers are not in it, as they are gone with their connections; they connect and\n\
         announce again",
    ),
    ("@AND_WORKERS@", "and the number of workers"),
    (
        "@RESTART@",
        "; those who are connected connect and announce\nagain",
    ),
];

/// What a restart costs where clients are not connected all the time.
const NO_REQUEST_LOST: &str = ", and loses no request";

/// What the state of daemons without connections is for.
const NO_PEER_FORGOTTEN: &str = ", so that no peer is forgotten by a\nrestart";

/// Makes a page.
///
/// # Errors
///
/// The template has a slot for what there is not, or a name that nothing
/// replaces.
fn render(page: &Page) -> anyhow::Result<String> {
    let mut text =
        String::from(".\\\" Made by `cargo xtask generate` of crates/generate/src/man/.\n");
    fill(page, page.template, &mut text)?;
    for (name, word) in page.words {
        text = text.replace(name, word);
    }
    let name = page.name;
    let text = text
        .replace("@NAME@", name)
        .replace("@TITLE@", &name.to_uppercase())
        .replace("@PREFIX@", &name.replace('-', "_"));
    if let Some(line) = text.lines().find(|line| has_name(line)) {
        bail!("nothing replaces a name in: {line}");
    }
    Ok(text)
}

fn fill(page: &Page, template: &str, text: &mut String) -> anyhow::Result<()> {
    for line in template.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("@include"), Some(name)) => {
                let part = PARTS.iter().find(|(other, _)| *other == name);
                let (_, part) = part.with_context(|| format!("there is no part {name}"))?;
                fill(page, part, text)?;
            }
            (Some("@options"), None) => {
                let command = page.command.as_ref().context("there is no command line")?;
                mdoc::options(text, command);
            }
            (Some("@keys"), None) => {
                let reference = page.reference.as_ref().context("there are no keys")?;
                mdoc::keys(text, reference)?;
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(())
}

/// Whether there is a word of capitals between two signs, as a name has it.
fn has_name(line: &str) -> bool {
    // What stands before the first sign and after the last is between none.
    let mut between: Vec<_> = line.split('@').skip(1).collect();
    between.pop();
    between
        .iter()
        .any(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &'static str) -> anyhow::Result<String> {
        let page = Page {
            template,
            name: "aquatic-udp",
            words: &[("@KIND@", "tracker")],
            command: None,
            reference: None,
        };
        let text = render(&page)?;
        // Without the line that says where it comes from.
        Ok(text.split_once('\n').unwrap().1.to_owned())
    }

    #[test]
    fn names_are_replaced() {
        assert_eq!(
            rendered(".Dt @TITLE@ 8\nThe @KIND@ @NAME@ counts @PREFIX@_torrents\n").unwrap(),
            ".Dt AQUATIC-UDP 8\nThe tracker aquatic-udp counts aquatic_udp_torrents\n"
        );
    }

    #[test]
    fn what_cannot_be_filled_is_an_error() {
        for template in ["@OTHER@\n", "@options\n", "@keys\n", "@include nothing\n"] {
            assert!(rendered(template).is_err(), "{template}");
        }
    }

    #[test]
    fn addresses_are_no_names() {
        assert!(rendered("you@example.org and A@B\n").is_ok());
    }
}
