//! Unpredictable random numbers.

use anyhow::Context as _;

/// Cryptographically random bytes from the system.
///
/// # Errors
///
/// If the system has none.
pub fn secret<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("cannot get random bytes from the system")?;
    Ok(bytes)
}
