//! What is read again at a reload, besides the access list.

/// Something that a daemon registers in [`Start`](crate::Start) to be read
/// again when SIGHUP or SIGUSR1 arrives.
pub trait Reload: Send + Sync {
    /// What it is, such as `TLS certificate`.
    fn what(&self) -> &str;

    /// Reads it again and puts it in place.
    ///
    /// # Errors
    ///
    /// What is wrong with it; then what was there before must stay in place.
    fn reload(&self) -> anyhow::Result<()>;
}
