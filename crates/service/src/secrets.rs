//! Random numbers that nobody can guess.

use anyhow::Context as _;

/// Bytes from the system's source of secrets.
///
/// # Errors
///
/// When the system has none.
pub fn secret<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("cannot get random bytes from the system")?;
    Ok(bytes)
}
