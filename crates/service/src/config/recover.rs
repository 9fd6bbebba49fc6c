//! Reads the valid parts of a file that contains errors.
//!
//! A daemon does not start if there are any errors. But the sockets that systemd holds open
//! for it should not be lost because of an error in an unrelated key, so their addresses
//! are read from the valid part of the file.

use std::path::Path;

use super::document;
use super::load::{Loaded, without_faults};
use super::old_keys::{self, OldKey};
use super::{Config, Diagnostic, Diagnostics, schema_check, syntax};

/// The valid parts of a file, and its errors.
#[derive(Debug)]
pub(crate) struct Recovered<C> {
    /// The valid values, with defaults for the others.
    pub(crate) loaded: Loaded<C>,
    /// The errors.
    pub(crate) faults: Vec<Diagnostic>,
}

/// Reads the valid values from `text`. The `essential` keys, and keys of earlier releases
/// that become them, must be valid. `check` finds invalid values among them.
///
/// # Errors
///
/// Errors in essential keys, or that could hide one: a missing key may be the one that
/// cannot be parsed.
pub(crate) fn recover<C: Config>(
    text: &str,
    path: &Path,
    essential: &[&str],
    check: impl Fn(&C) -> Vec<Diagnostic>,
) -> Result<Recovered<C>, Diagnostics> {
    let faulty = |list| Diagnostics {
        path: Some(path.to_path_buf()),
        list,
    };
    let known = toml::Table::try_from(C::default())
        .map_err(|error| faulty(vec![Diagnostic::without_key(error)]))?;

    let (mut table, errors) = document::parse(text).map_err(|error| faulty(vec![error]))?;
    let mut faults = syntax::faults(text, &table, &known, &errors);
    let mut is_certain = errors.is_empty();
    let translation = old_keys::translate(text, &mut table, &known, C::OLD_KEYS);
    faults.extend(translation.faults);
    let mut others = schema_check::check::<C>(text, &table, &known, &translation.renamed);
    // The parser recovers something from a value with a syntax error, which was not meant.
    let is_explained = |other: &Diagnostic| faults.iter().any(|fault| fault.key == other.key);
    others.retain(|other| !is_explained(other));
    faults.extend(others);
    is_certain &= !faults.iter().any(|fault| may_be_misspelled(fault, &known));

    let fatal = |fault: &Diagnostic| {
        let key = fault.key.as_deref();
        key.is_some_and(|key| leads_to::<C>(key, essential))
    };
    // The addresses are the most important, so they must not be missed.
    let is_unset = |key: &&str| document::find(&table, key).is_none();
    let is_hidden = !is_certain && essential.first().is_some_and(is_unset);
    if is_hidden || faults.iter().any(fatal) {
        faults.sort_by_key(|fault| fault.position);
        return Err(faulty(faults));
    }
    let rest = |faults: &[Diagnostic]| {
        without_faults::<C>(text, path, table.clone(), &translation.renamed, faults)
            .map_err(|error| faulty(vec![error]))
    };
    let mut loaded = rest(&faults)?;
    let together = loaded.located(check(&loaded.config)).list;
    if !together.is_empty() {
        let is_fatal = together.iter().any(fatal);
        faults.extend(together);
        if is_fatal {
            faults.sort_by_key(|fault| fault.position);
            return Err(faulty(faults));
        }
        loaded = rest(&faults)?;
    }
    faults.sort_by_key(|fault| fault.position);
    Ok(Recovered { loaded, faults })
}

/// Whether this is about an unknown key that may be a misspelled essential key: any key,
/// except those in a section other than that of the sockets.
fn may_be_misspelled(fault: &Diagnostic, known: &toml::Table) -> bool {
    let Some(key) = &fault.key else {
        return true;
    };
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
