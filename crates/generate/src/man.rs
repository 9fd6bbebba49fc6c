//! Manual pages: templates in mdoc(7), with slots for generated text.
//!
//! A template in `man/pages` is a page of the root's `man`, or one for each daemon.
//! Lines that begin with `@` are slots, a word of the form `@NAME@` is a name:
//!
//! | slot | replaced by |
//! |---|---|
//! | `@include PART` | a part that several pages share |
//! | `@options` | the options of the program, from its command line |
//! | `@options NAME` | those of a subcommand |
//! | `@keys` | the keys of the configuration, from its struct |
//! | `@metrics` | all metrics, from their definitions |
//! | `@configurations` | references to the pages of all configurations, for more to follow |
//! | `@trackers` | references to the pages of all other daemons, at the end of a list |

mod mdoc;

use std::fmt::Write as _;

use anyhow::{Context, bail};
use aquatic_load_test::command_line::{self, LoadTest};
use aquatic_service::Daemon;
use aquatic_service::cli;
use clap::CommandFactory as _;

use super::daemons::{About, List};
use super::metrics::Described;
use super::reference::Reference;

/// A page to make.
struct Page<'a> {
    /// Its template.
    template: &'static str,
    /// Its subject: replaces `@NAME@`.
    name: &'a str,
    /// The daemon of its subject: replaces `@DAEMON@`.
    daemon: &'a str,
    /// Replacements of other names.
    words: &'a [(&'a str, &'a str)],
    /// The options of the program.
    command: Option<clap::Command>,
    /// The configuration.
    reference: Option<&'a Reference>,
    /// All daemons.
    list: &'a List,
    metrics: &'a [Described],
}

/// Parts that several pages share.
const PARTS: &[(&str, &str)] = &[
    (
        "accounting-consumer",
        include_str!("man/parts/accounting-consumer"),
    ),
    (
        "accounting-stream-consumer",
        include_str!("man/parts/accounting-stream-consumer"),
    ),
    ("addresses", include_str!("man/parts/addresses")),
    ("behind-tls", include_str!("man/parts/behind-tls")),
    ("check", include_str!("man/parts/check")),
    ("connections", include_str!("man/parts/connections")),
    ("doctor", include_str!("man/parts/doctor")),
    ("environment", include_str!("man/parts/environment")),
    ("exit-status", include_str!("man/parts/exit-status")),
    ("files", include_str!("man/parts/files")),
    ("listen", include_str!("man/parts/listen")),
    ("lists", include_str!("man/parts/lists")),
    ("load-test", include_str!("man/parts/load-test")),
    ("metrics", include_str!("man/parts/metrics")),
    ("operation", include_str!("man/parts/operation")),
    ("rates", include_str!("man/parts/rates")),
    ("settings", include_str!("man/parts/settings")),
];

/// The page `NAME.8` of a daemon.
///
/// # Errors
///
/// As [`render`].
pub(super) fn daemon<D: Daemon>(about: &About, list: &List) -> anyhow::Result<String> {
    render(&Page {
        template: about.page,
        name: D::NAME,
        daemon: D::NAME,
        words: about.words,
        command: Some(cli::command(&aquatic_service::program::<D>())),
        reference: None,
        list,
        metrics: &[],
    })
}

/// The page `NAME.toml.5` of a daemon's configuration.
///
/// # Errors
///
/// As [`render`].
pub(super) fn configuration<D: Daemon>(
    about: &About,
    list: &List,
    reference: &Reference,
) -> anyhow::Result<String> {
    render(&Page {
        template: include_str!("man/pages/daemon.toml.5"),
        name: D::NAME,
        daemon: D::NAME,
        words: about.words,
        command: None,
        reference: Some(reference),
        list,
        metrics: &[],
    })
}

/// The page `NAME.1` of the load test of a daemon.
///
/// # Errors
///
/// As [`render`].
pub(super) fn load_test<T: LoadTest>(
    about: &About,
    list: &List,
    daemon: &str,
    reference: &Reference,
) -> anyhow::Result<String> {
    render(&Page {
        template: include_str!("man/pages/load-test.1"),
        name: T::NAME,
        daemon,
        words: about.words,
        command: Some(command_line::command::<T>()),
        reference: Some(reference),
        list,
        metrics: &[],
    })
}

/// The page `aquatic-keys.1`.
///
/// # Errors
///
/// As [`render`].
pub(super) fn keys(list: &List) -> anyhow::Result<String> {
    render(&Page {
        template: include_str!("man/pages/aquatic-keys.1"),
        name: "aquatic-keys",
        daemon: "",
        words: &[],
        command: Some(aquatic_keys::command_line::Arguments::command()),
        reference: None,
        list,
        metrics: &[],
    })
}

/// Pages that are not about a single program, by file name.
pub(super) const SHARED: &[(&str, &str)] = &[
    (
        "aquatic-access-list.5",
        include_str!("man/pages/aquatic-access-list.5"),
    ),
    (
        "aquatic-accounting.7",
        include_str!("man/pages/aquatic-accounting.7"),
    ),
    (
        "aquatic-cluster.7",
        include_str!("man/pages/aquatic-cluster.7"),
    ),
    (
        "aquatic-metrics.7",
        include_str!("man/pages/aquatic-metrics.7"),
    ),
];

/// One of the pages of [`SHARED`].
///
/// # Errors
///
/// As [`render`].
pub(super) fn shared(
    template: &'static str,
    list: &List,
    metrics: &[Described],
) -> anyhow::Result<String> {
    render(&Page {
        template,
        name: "",
        daemon: "",
        words: &[],
        command: None,
        reference: None,
        list,
        metrics,
    })
}

/// Makes a page.
///
/// # Errors
///
/// If the template has a slot or a name for which there is no replacement.
fn render(page: &Page<'_>) -> anyhow::Result<String> {
    let mut text =
        String::from(".\\\" Made by `cargo xtask generate` of crates/generate/src/man/.\n");
    fill(page, page.template, &mut text)?;
    for (name, word) in page.words {
        text = text.replace(name, word);
    }
    let name = page.name;
    let text = text
        .replace("@NAME@", name)
        .replace("@DAEMON@", page.daemon)
        .replace("@TITLE@", &name.to_uppercase())
        .replace("@PREFIX@", &name.replace('-', "_"))
        .replace("@VARIABLES@", &variables(name))
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    if let Some(line) = text.lines().find(|line| has_name(line)) {
        bail!("nothing replaces a name in: {line}");
    }
    Ok(text)
}

/// The prefixes of environment variables of single programs.
fn variables(name: &str) -> String {
    format!("{}__", name.replace('-', "_").to_uppercase())
}

fn fill(page: &Page<'_>, template: &str, text: &mut String) -> anyhow::Result<()> {
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
            (Some("@options"), Some(name)) => {
                let command = page.command.as_ref().context("there is no command line")?;
                let command = command.find_subcommand(name);
                let command = command.with_context(|| format!("there is no subcommand {name}"))?;
                mdoc::options(text, command);
            }
            (Some("@keys"), None) => {
                let reference = page.reference.context("there are no keys")?;
                mdoc::keys(text, reference)?;
            }
            (Some("@metrics"), None) => mdoc::metrics(text, page.metrics, page.list.len()),
            (Some("@configurations"), None) => {
                for name in page.list.keys() {
                    writeln!(text, ".Xr aquatic-{name}.toml 5 ,")?;
                }
            }
            (Some("@trackers"), None) => {
                let names = page.list.keys().map(|name| format!("aquatic-{name}"));
                let others = names.filter(|name| name != page.daemon);
                let references: Vec<_> = others.map(|name| format!(".Xr {name} 8")).collect();
                writeln!(text, "{}", references.join(" ,\n"))?;
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(())
}

/// Whether there is a word in capitals between two signs, as in `@NAME@`.
fn has_name(line: &str) -> bool {
    // Text before the first sign and after the last is not between two.
    let mut between: Vec<_> = line.split('@').skip(1).collect();
    between.pop();
    between
        .iter()
        .any(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::super::daemons;
    use super::*;

    fn rendered(template: &'static str) -> anyhow::Result<String> {
        let page = Page {
            template,
            name: "aquatic-udp",
            daemon: "aquatic-udp",
            words: &[("@KIND@", "tracker")],
            command: None,
            reference: None,
            list: &daemons::list().unwrap(),
            metrics: &[],
        };
        let text = render(&page)?;
        // Without the line with the source file.
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
    fn pages_refer_to_those_of_daemons() {
        assert_eq!(
            rendered("@configurations\n@trackers\n").unwrap(),
            ".Xr aquatic-http.toml 5 ,\n.Xr aquatic-udp.toml 5 ,\n.Xr aquatic-ws.toml 5 ,\n\
             .Xr aquatic-http 8 ,\n.Xr aquatic-ws 8\n"
        );
    }

    #[test]
    fn what_cannot_be_filled_is_an_error() {
        for template in [
            "@OTHER@\n",
            "@options\n",
            "@options doctor\n",
            "@keys\n",
            "@include nothing\n",
        ] {
            assert!(rendered(template).is_err(), "{template}");
        }
    }

    #[test]
    fn addresses_are_no_names() {
        assert!(rendered("you@example.org and A@B\n").is_ok());
    }
}
