//! Keys of clients: their file, and the check of a request's key.

use std::fmt;
use std::io::BufReader;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use aquatic_policy::keys::{
    Duplicate, Key, KeyDigest, KeyHasher, KeyLine, KeySet, KeySetBuilder, MAX_KEYS, TooManyKeys,
    UrlKey,
};
use aquatic_service::config::{Diagnostic, KeysConfig};
use aquatic_service::lists::{self, Collector, ParseError};
use aquatic_service::{files, secret};

use crate::RejectReason;

/// What is read, in messages about reloads.
pub const WHAT: &str = "keys";

/// The configuration key of the file.
pub const KEY: &str = "keys.path";

/// Number of bytes that are read with one call.
const READ_BUFFER: usize = 256 * 1024;

/// How long reading may take. Ten million keys from a slow disk take less.
const PATIENCE: Duration = Duration::from_secs(60);

/// The permission bits of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// The keys of a tracker, which are checked at the time of its [`KeyRing`].
pub struct Keys {
    set: KeySet,
    ring: KeyRing,
}

/// What all keys of a process share: the secret under which they are hashed, and the wall
/// clock by which they expire. Its clones are the same ring.
#[derive(Clone)]
pub struct KeyRing {
    hasher: KeyHasher,
    /// Seconds since 1970. The [`Clock`](aquatic_service::clock::Clock) of peers ignores
    /// that the wall clock is set, but the date on which a key expires is one of people.
    wall: Arc<AtomicU32>,
}

/// Why a file is not a valid file of keys. No message contains a key.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or has an invalid line.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Too many users can read it.
    #[error(
        "others than its owner and group can access it (mode {mode:04o}), but keys are secrets; \
         correct this with: chmod o-rwx"
    )]
    Mode {
        /// The permission bits.
        mode: u32,
    },
    /// A key is there twice.
    #[error("line {}: the key is also on line {}; remove one of them", .0.second, .0.first)]
    Duplicate(Duplicate),
}

impl KeyRing {
    /// A ring with a secret of its own.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn new() -> anyhow::Result<Self> {
        let ring = Self::with_secret(secret()?);
        ring.tick();
        Ok(ring)
    }

    /// A ring with this secret, in 1970, for tests and simulations.
    pub fn with_secret(secret: [u8; 16]) -> Self {
        Self {
            hasher: KeyHasher::new(secret),
            wall: Arc::default(),
        }
    }

    /// Reads the wall clock. To be called about once a second.
    pub fn tick(&self) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        self.set_time(u32::try_from(seconds).unwrap_or(u32::MAX));
    }

    /// Sets the time, in seconds since 1970.
    pub fn set_time(&self, epoch_seconds: u32) {
        self.wall.store(epoch_seconds, Relaxed);
    }

    /// The time, in seconds since 1970.
    #[inline]
    pub fn time(&self) -> u32 {
        self.wall.load(Relaxed)
    }

    /// Reads the file of keys, if there is one. This may take long if the disk is slow.
    ///
    /// # Errors
    ///
    /// If it is not a valid file of keys, with the configuration key.
    pub fn load(&self, config: &KeysConfig) -> Result<Option<Arc<Keys>>, Diagnostic> {
        config.file().map(|path| self.load_file(path)).transpose()
    }

    /// Like [`load`](Self::load), from where the file is now.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn load_file(&self, path: &Path) -> Result<Arc<Keys>, Diagnostic> {
        let set = read(path, self.hasher, Instant::now() + PATIENCE).map_err(|error| {
            Diagnostic::error(KEY, format!("the keys in {}: {error}", path.display()))
        })?;
        if set.is_empty() {
            log::warn!("{KEY}: {} has no keys, so nobody is served", path.display());
        }
        Ok(Arc::new(self.keys(set)))
    }

    /// A set of keys of this ring, which [`hasher`](Self::hasher) has hashed.
    pub fn keys(&self, set: KeySet) -> Keys {
        Keys {
            set,
            ring: self.clone(),
        }
    }

    /// Hashes keys for this ring.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// The digest of the key in a URL, by which [`Keys::check_digest`] finds it later.
    pub fn digest(&self, key: &UrlKey) -> Option<KeyDigest> {
        match key {
            UrlKey::Given(key) => Some(self.hasher.digest(key)),
            UrlKey::Invalid => Some(self.hasher.digest_of_none()),
            UrlKey::Missing => None,
        }
    }
}

impl Keys {
    /// Finds the key of a request.
    ///
    /// # Errors
    ///
    /// Why the request must not be served.
    pub fn check(&self, key: &UrlKey) -> Result<Key<'_>, RejectReason> {
        match key {
            UrlKey::Given(key) => self.check_digest(self.ring.hasher.digest(key)),
            UrlKey::Missing => Err(RejectReason::MissingKey),
            UrlKey::Invalid => Err(RejectReason::UnknownKey),
        }
    }

    /// Finds the key with this digest.
    ///
    /// # Errors
    ///
    /// Why its requests must not be served.
    pub fn check_digest(&self, digest: KeyDigest) -> Result<Key<'_>, RejectReason> {
        let key = self.set.find(digest).ok_or(RejectReason::UnknownKey)?;
        let now = self.ring.time();
        match key.expiry {
            Some(expiry) if expiry.has_passed(now) => Err(RejectReason::ExpiredKey),
            _ => Ok(key),
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Number of keys without a label.
    pub fn unlabelled(&self) -> usize {
        self.set.len() - self.set.labelled()
    }

    /// The time of their ring, in seconds since 1970.
    #[inline]
    pub fn time(&self) -> u32 {
        self.ring.time()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.set.fmt(f)
    }
}

/// The file of keys, if there is one, with its configuration key.
pub fn read_file(config: &KeysConfig) -> Option<(&'static str, PathBuf)> {
    config.file().map(|path| (KEY, path.to_owned()))
}

/// For `--check-config`: checks the file of keys, if there is one. `path_now` returns where
/// it is now, before a chroot.
///
/// # Errors
///
/// If it is not a valid file of keys.
pub fn check(config: &KeysConfig, path_now: &dyn Fn(&Path) -> PathBuf) -> anyhow::Result<()> {
    if let Some(path) = config.file() {
        KeyRing::new()?.load_file(&path_now(path))?;
    }
    Ok(())
}

/// Logs which keys are in effect from now on.
pub fn log_change(before: Option<&Keys>, keys: Option<&Keys>) {
    match (before, keys) {
        (None, None) => {}
        (Some(_), None) => log::info!("keys are turned off: everybody is served"),
        (before, Some(keys)) => {
            let before = before.map_or(0, Keys::len);
            let expired = keys.set.expired(keys.time());
            log::info!(keys = keys.len(), before, expired; "only clients with a key are served");
        }
    }
}

fn read(path: &Path, hasher: KeyHasher, deadline: Instant) -> Result<KeySet, LoadError> {
    let file = files::open_regular(path).map_err(ParseError::Read)?;
    let mode = file.metadata().map_err(ParseError::Read)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(LoadError::Mode { mode });
    }
    let mut keys = KeyCollector {
        builder: KeySetBuilder::new(hasher),
        line: 0,
    };
    let text = BufReader::with_capacity(READ_BUFFER, file);
    lists::parse(text, Some(deadline), &mut keys)?;
    keys.builder.finish().map_err(LoadError::Duplicate)
}

struct KeyCollector {
    builder: KeySetBuilder,
    /// Number of lines so far.
    line: u64,
}

impl Collector for KeyCollector {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.line += 1;
        let Some(key) = KeyLine::parse(line).map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let added = self.builder.add(self.line, &key);
        added.map_err(|TooManyKeys| format!("the file has more than {MAX_KEYS} keys"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ALICE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const BOB: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    struct Place {
        _directory: tempfile::TempDir,
        path: PathBuf,
        ring: KeyRing,
    }

    fn place() -> Place {
        let directory = tempfile::tempdir().unwrap();
        Place {
            path: directory.path().join("keys"),
            _directory: directory,
            ring: KeyRing::with_secret([3; 16]),
        }
    }

    impl Place {
        fn load(&self, text: impl AsRef<[u8]>) -> Result<Arc<Keys>, String> {
            fs::write(&self.path, text).unwrap();
            fs::set_permissions(&self.path, Permissions::from_mode(0o640)).unwrap();
            self.ring
                .load_file(&self.path)
                .map_err(|error| error.to_string())
        }

        fn error(&self, text: impl AsRef<[u8]>) -> String {
            self.load(text).unwrap_err()
        }
    }

    fn url(key: &str) -> UrlKey {
        UrlKey::of_path_and_query(format!("/{key}/announce").as_bytes())
    }

    #[test]
    fn keys_are_known_until_they_expire() {
        let place = place();
        let text = format!("\u{feff}{ALICE} 1970-01-01T00:01:00Z alice\r\n\n# x\n{BOB}");
        let keys = place.load(text).unwrap();
        assert_eq!((keys.len(), keys.unlabelled()), (2, 1));
        for (seconds, expected) in [
            (0, Ok("alice")),
            (59, Ok("alice")),
            (60, Err(RejectReason::ExpiredKey)),
            (u32::MAX, Err(RejectReason::ExpiredKey)),
        ] {
            place.ring.set_time(seconds);
            assert_eq!(keys.check(&url(ALICE)).map(|key| key.label), expected);
            assert_eq!(keys.check(&url(BOB)).map(|key| key.label), Ok(""));
        }
        let unknown = Err(RejectReason::UnknownKey);
        assert_eq!(keys.check(&url(&ALICE[1..])), unknown);
        assert_eq!(keys.check(&UrlKey::Invalid), unknown);
        assert_eq!(keys.check(&UrlKey::Missing), Err(RejectReason::MissingKey));
        // Digests stay valid when the file is loaded again.
        let digest = place.ring.digest(&url(BOB)).unwrap();
        let again = place.load(format!("{BOB} bob")).unwrap();
        assert_eq!(again.check_digest(digest).unwrap().label, "bob");
        let invalid = place.ring.digest(&UrlKey::Invalid).unwrap();
        assert_eq!(again.check_digest(invalid), unknown);
        assert!(place.ring.digest(&UrlKey::Missing).is_none());
        let revoked = place.load(ALICE).unwrap();
        assert_eq!(revoked.check_digest(digest), unknown);
    }

    #[test]
    fn a_wrong_line_is_named_without_its_key() {
        let place = place();
        let error = place.error(format!("{ALICE}\n\n{BOB} 2027-02-30\n"));
        assert!(error.starts_with("keys.path: the keys in /"), "{error}");
        assert!(error.ends_with("line 3: the date after the key: there is no such day"));
        assert!(!error.contains(BOB), "{error}");
        let error = place.error(format!("{ALICE}\n{BOB}\n#\n{ALICE} alice"));
        assert!(error.ends_with("line 4: the key is also on line 1; remove one of them"));
        let error = place.error("a".repeat(lists::MAX_LINE_BYTES + 1));
        assert!(error.contains("line 1 is longer than"), "{error}");
        let error = place.error(b"\n\xff\xff");
        assert!(
            error.contains("line 2: the key has 2 characters"),
            "{error}"
        );
        assert_eq!(place.load("").unwrap().len(), 0);
    }

    #[test]
    fn others_must_not_have_access() {
        let place = place();
        place.load(ALICE).unwrap();
        for (mode, is_allowed) in [
            (0o600, true),
            (0o640, true),
            (0o660, true),
            (0o644, false),
            (0o602, false),
        ] {
            fs::set_permissions(&place.path, Permissions::from_mode(mode)).unwrap();
            let result = place.ring.load_file(&place.path);
            assert_eq!(result.is_ok(), is_allowed, "{mode:o}");
            if let Err(error) = result {
                let error = error.to_string();
                assert!(error.contains(&format!("(mode 0{mode:o})")), "{error}");
                assert!(error.ends_with("chmod o-rwx"), "{error}");
            }
        }
        let missing = place.ring.load_file(Path::new("/nonexistent")).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
    }

    #[test]
    fn reading_ends_in_time() {
        let place = place();
        place.load("\n".repeat(10_000)).unwrap();
        let error = read(&place.path, place.ring.hasher, Instant::now()).unwrap_err();
        assert!(
            matches!(error, LoadError::Parse(ParseError::TooSlow { line: 0 })),
            "{error}"
        );
    }

    #[test]
    fn no_file_is_no_keys() {
        let none = place().ring.load(&KeysConfig::default()).unwrap();
        assert!(none.is_none());
    }
}
