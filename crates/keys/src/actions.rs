//! What the program does, and what it prints.

use std::collections::HashSet;
use std::io::{self, BufRead as _, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail, ensure};
use aquatic_policy::keys::{
    Duplicate, KeyHasher, KeyLine, KeySetBuilder, KeyText, Label, MAX_KEYS, TooManyKeys,
};

use crate::command_line::{Action, Arguments, Make, Revoke};
use crate::key_file;

/// Random bytes of a new key, which has two hexadecimal digits for each: 160 bits.
const KEY_BYTES: usize = 20;

/// Does what the command line asks for.
///
/// # Errors
///
/// If that fails; then the file is unchanged.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = &arguments.file;
    let result = match &arguments.action {
        Action::Make(wanted) => make(path, wanted),
        Action::List { show } => list(path, *show),
        Action::Revoke(wanted) => revoke(path, wanted),
        Action::Check => check(path),
    };
    match result {
        // `aquatic-keys list | head` has got what it wanted.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn make(path: &Path, wanted: &Make) -> anyhow::Result<()> {
    if let Some(expiry) = wanted.expires {
        ensure!(
            !expiry.has_passed(now()),
            "the keys would have expired already: {expiry} is in the past"
        );
    }
    let mut keys = Vec::new();
    for _ in 0..wanted.count {
        keys.push(random_key()?);
    }
    let known = key_file::replace(path, |before, file| {
        let mut ends_with_line = true;
        let mut count = 0;
        if let Some(before) = before {
            // The trackers refuse such a file, and others could read the new keys.
            key_file::check_mode(&before, path)?;
            key_file::for_each_line(before, path, |line| {
                count += usize::from(line.key.is_some());
                ends_with_line = line.text.ends_with(b"\n");
                Ok(file.write_all(line.text)?)
            })?;
        }
        ensure!(
            count + keys.len() <= MAX_KEYS,
            "it would have more than {MAX_KEYS} keys"
        );
        if !ends_with_line {
            file.write_all(b"\n")?;
        }
        for key in &keys {
            write!(file, "{key}")?;
            if let Some(expiry) = wanted.expires {
                write!(file, " {expiry}")?;
            }
            if !wanted.label.is_empty() {
                write!(file, " {}", wanted.label)?;
            }
            file.write_all(b"\n")?;
        }
        Ok(count)
    })?;
    let mut out = io::stdout().lock();
    for key in &keys {
        writeln!(out, "{key}")?;
    }
    eprintln!(
        "{} has {} keys now. {RELOAD}",
        path.display(),
        known + keys.len()
    );
    Ok(())
}

/// How a changed file takes effect.
const RELOAD: &str =
    "A running tracker reads it again with, for example: systemctl reload aquatic-udp";

fn list(path: &Path, show: bool) -> anyhow::Result<()> {
    let now = now();
    let mut out = io::stdout().lock();
    key_file::for_each_line(key_file::open(path)?, path, |line| {
        let Some(KeyLine { key, expiry, label }) = line.key else {
            return Ok(());
        };
        let expires = match expiry {
            None => "never".to_owned(),
            Some(expiry) if expiry.has_passed(now) => format!("{expiry} (expired)"),
            Some(expiry) => expiry.to_string(),
        };
        write!(out, "{}\t{expires}\t{}", line.number, label.as_str())?;
        if show {
            write!(out, "\t{}", String::from_utf8_lossy(key.as_bytes()))?;
        }
        Ok(writeln!(out)?)
    })
}

fn revoke(path: &Path, wanted: &Revoke) -> anyhow::Result<()> {
    let mut keys = HashSet::new();
    for text in &wanted.keys {
        if text == "-" {
            for line in io::stdin().lock().lines() {
                let line = line.context("cannot read standard input")?;
                if !line.trim().is_empty() {
                    keys.insert(key_of(line.trim())?);
                }
            }
        } else {
            keys.insert(key_of(text)?);
        }
    }
    if let Some(text) = &wanted.label {
        let label = Label::new(text).with_context(|| format!("{text:?} is not a label"))?;
        ensure!(!label.as_str().is_empty(), "the label is empty");
    }
    let now = now();
    let asked_for = keys.len();
    let (revoked, kept) = key_file::replace(path, |before, file| {
        let before = before.with_context(|| format!("{} does not exist", path.display()))?;
        let mut counts = (0_usize, 0_usize);
        key_file::for_each_line(before, path, |line| {
            let is_revoked = line.key.is_some_and(|line| {
                let is_expired = line.expiry.is_some_and(|expiry| expiry.has_passed(now));
                keys.remove(line.key.as_bytes())
                    || wanted.label.as_deref() == Some(line.label.as_str())
                    || wanted.expired && is_expired
            });
            if is_revoked {
                counts.0 += 1;
                return Ok(());
            }
            counts.1 += usize::from(line.key.is_some());
            Ok(file.write_all(line.text)?)
        })?;
        ensure!(
            keys.is_empty(),
            "{} of these {asked_for} keys are not in {}, so none was revoked",
            keys.len(),
            path.display()
        );
        if counts.0 == 0
            && let Some(label) = &wanted.label
        {
            bail!("no key in {} has the label {label:?}", path.display());
        }
        Ok(counts)
    })?;
    eprintln!(
        "Revoked {revoked} keys; {} has {kept} now. {RELOAD}",
        path.display()
    );
    Ok(())
}

fn check(path: &Path) -> anyhow::Result<()> {
    let file = key_file::open(path)?;
    key_file::check_mode(&file, path)?;
    let mut secret = [0; 16];
    random(&mut secret)?;
    let mut keys = KeySetBuilder::new(KeyHasher::new(secret));
    key_file::for_each_line(file, path, |line| match &line.key {
        None => Ok(()),
        Some(key) => keys
            .add(line.number, key)
            .map_err(|TooManyKeys| anyhow!("{} has more than {MAX_KEYS} keys", path.display())),
    })?;
    let keys = keys.finish().map_err(|Duplicate { first, second }| {
        anyhow!(
            "{}: line {second}: the key is also on line {first}; remove one of them",
            path.display()
        )
    })?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}: {} keys, {} of them expired, {} without a label",
        path.display(),
        keys.len(),
        keys.expired(now()),
        keys.len() - keys.labelled()
    )?;
    Ok(())
}

fn key_of(text: &str) -> anyhow::Result<Vec<u8>> {
    // Not with the text: it may be most of a key.
    let key = KeyText::new(text.as_bytes()).context("an argument is not a key")?;
    Ok(key.as_bytes().to_vec())
}

fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random(bytes: &mut [u8]) -> anyhow::Result<()> {
    getrandom::fill(bytes).map_err(|error| anyhow!("the system has no random numbers: {error}"))
}

/// Seconds since 1970.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
