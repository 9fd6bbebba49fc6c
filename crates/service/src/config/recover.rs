//! Reads the valid parts of a file that contains errors.
//!
//! A daemon does not start if there are any errors. But the sockets that systemd holds open
//! for it should not be lost because of an error in an unrelated key, so their addresses
//! are read from the valid part of the file.

use std::path::Path;

use super::document;
use super::load::Loaded;
use super::merged::{AfterSyntaxErrors, Merged};
use super::old_keys::OldKey;
use super::sources::Layer;
use super::{Config, Diagnostic, Diagnostics};

/// The valid parts of files, and their errors.
#[derive(Debug)]
pub(crate) struct Recovered<C> {
    /// The valid values, with defaults for the others.
    pub(crate) loaded: Loaded<C>,
    /// The errors.
    pub(crate) faults: Vec<Diagnostic>,
}

/// Reads the valid values from `layers`; `path` is that of the configuration file. The
/// `essential` keys, and keys of earlier releases that become them, must be valid. `check`
/// finds invalid values among them.
///
/// # Errors
///
/// Errors in essential keys, or that could hide one: a missing key may be the one that
/// cannot be parsed.
pub(crate) fn recover<C: Config>(
    layers: &[Layer],
    path: &Path,
    essential: &[&str],
    check: impl Fn(&C) -> Vec<Diagnostic>,
) -> Result<Recovered<C>, Diagnostics> {
    let faulty = |list| Diagnostics::new(Some(path), list);
    let known = toml::Table::try_from(C::default())
        .map_err(|error| faulty(vec![Diagnostic::without_key(error)]))?;

    let mut merged = Merged::default();
    // The addresses are the most important, so they must not be missed.
    let mut is_hidden = false;
    for layer in layers {
        let before = merged.faults.len();
        let is_well_formed = merged.add::<C>(layer, &known, AfterSyntaxErrors::Continue);
        let is_doubtful = |fault: &Diagnostic| may_be_misspelled(fault, &known);
        let is_certain = is_well_formed && !merged.faults[before..].iter().any(is_doubtful);
        let origin = essential.first().and_then(|key| merged.origins.get(*key));
        if origin.is_some_and(|origin| origin.source == layer.source) {
            is_hidden = false;
        } else if !is_certain {
            is_hidden = !essential.is_empty();
        }
    }
    merged.complete(&known, C::OLD_KEYS);

    let is_fatal = |fault: &Diagnostic| {
        let key = fault.key.as_deref();
        key.is_some_and(|key| leads_to::<C>(key, essential))
    };
    if is_hidden || merged.faults.iter().any(is_fatal) {
        return Err(faulty(merged.faults));
    }
    let rest = |merged: &Merged<'_>| {
        let loaded = merged.loaded::<C>(Some(path));
        loaded.map_err(|error| faulty(vec![error]))
    };
    let mut loaded = rest(&merged)?;
    let together = loaded.located(check(&loaded.config)).list;
    if !together.is_empty() {
        for key in together.iter().filter_map(|fault| fault.key.as_deref()) {
            merged.remove(key);
        }
        let has_fatal = together.iter().any(is_fatal);
        merged.faults.extend(together);
        if has_fatal {
            return Err(faulty(merged.faults));
        }
        loaded = rest(&merged)?;
    }
    Ok(Recovered {
        loaded,
        faults: faulty(merged.faults).list,
    })
}

/// Whether this is about an unknown key that may be a misspelled essential key: any key,
/// except those in a section other than that of the sockets.
fn may_be_misspelled(fault: &Diagnostic, known: &toml::Table) -> bool {
    let Some(key) = &fault.key else {
        return true;
    };
    let key = document::list_of(key).unwrap_or(key);
    match key.split_once('.') {
        None => !known.contains_key(key),
        Some((section, name)) => match known.get(section).and_then(toml::Value::as_table) {
            None => true,
            Some(known) => section == "network" && !known.contains_key(name),
        },
    }
}

/// Whether `key`, or the section of this name, determines one of these keys.
fn leads_to<C: Config>(key: &str, wanted: &[&str]) -> bool {
    let is_part = |whole: &str| {
        whole == key
            || whole
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('.'))
            || key
                .strip_prefix(whole)
                .is_some_and(|rest| rest.starts_with('.'))
    };
    wanted.iter().any(|whole| is_part(whole))
        || C::OLD_KEYS.iter().copied().flatten().any(|old| match *old {
            OldKey::Moved { key: old, to } | OldKey::Renamed { key: old, to } => {
                wanted.contains(&to) && is_part(old)
            }
            OldKey::Merged { keys, to, .. } => {
                wanted.contains(&to) && keys.iter().any(|old| is_part(old))
            }
            OldKey::Dropped { .. }
            | OldKey::Implied { .. }
            | OldKey::Changed { .. }
            | OldKey::Default { .. } => false,
        })
}
