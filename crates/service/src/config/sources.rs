//! What a configuration consists of: a file, the drop-ins beside it, and environment
//! variables. Later ones override earlier ones.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::Source;
use super::environment::Environment;
use super::load::Error;
use crate::files::{self, Identity};

/// Maximum length of a file in bytes. The default file has a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of drop-ins of a file.
const MAX_DROP_INS: usize = 100;

/// Maximum number of files in a directory of drop-ins, including those that are skipped.
const MAX_ENTRIES: usize = 1_000;

/// What the configuration of a program is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    has_drop_ins: bool,
    pub(super) environment: Environment,
}

/// One of the texts that make up a configuration.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(super) source: Option<Source>,
    pub(super) text: String,
}

impl Sources {
    /// A single file, or the defaults.
    pub fn file(path: Option<&Path>) -> Self {
        Self {
            file: path.map(Path::to_owned),
            ..Self::default()
        }
    }

    /// A file, and the drop-ins beside it.
    pub(crate) fn files(path: &Path) -> Self {
        Self {
            has_drop_ins: true,
            ..Self::file(Some(path))
        }
    }

    /// All sources of a daemon, with the environment variables that it has now.
    pub fn of_daemon(name: &'static str, path: Option<&Path>) -> Self {
        Self {
            file: path.map(Path::to_owned),
            has_drop_ins: true,
            environment: Environment::of(name),
        }
    }

    /// The same with other environment variables.
    #[must_use]
    pub fn with_variables(
        self,
        name: &'static str,
        variables: impl IntoIterator<Item = (String, OsString)>,
    ) -> Self {
        Self {
            environment: Environment::new(name, variables),
            ..self
        }
    }

    /// The configuration file; `None` for the defaults.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether nobody has configured addresses: there is neither a file nor a variable.
    pub fn are_defaults(&self) -> bool {
        self.file.is_none() && !self.environment.has_keys()
    }

    /// The files that exist now, and the directory in which others may appear.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.file.iter().cloned().collect();
        if let Some(directory) = self.directory() {
            // If it cannot be read, a change of the directory itself will help.
            paths.extend(drop_ins(&directory).unwrap_or_default());
            paths.push(directory);
        }
        paths
    }

    /// What the files are, whatever their paths.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        self.paths().iter().map(|path| Identity::of(path)).collect()
    }

    /// Reads all files, in the order in which they apply.
    pub(super) fn read(&self) -> Result<Vec<Layer>, Error> {
        self.read_as(utf8)
    }

    /// Like [`read`](Self::read), with invalid UTF-8 replaced by a replacement character.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub(crate) fn read_leniently(&self) -> Result<Vec<Layer>, Error> {
        self.read_as(|bytes| Ok(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn read_as(&self, decode: fn(Vec<u8>) -> io::Result<String>) -> Result<Vec<Layer>, Error> {
        let text = |path: &Path, read: fn(&Path) -> io::Result<Vec<u8>>| {
            read(path).and_then(decode).map_err(|source| Error::Read {
                path: path.to_path_buf(),
                source,
            })
        };
        let mut layers = Vec::new();
        if let Some(path) = &self.file {
            layers.push(Layer::file(text(path, read_any)?));
        }
        if let Some(path) = self.directory() {
            let drop_ins = drop_ins(&path).map_err(|source| Error::List { path, source })?;
            for path in drop_ins {
                let text = text(&path, |path| files::read_regular(path, MAX_BYTES))?;
                layers.push(Layer::drop_in(&path, text));
            }
        }
        Ok(layers)
    }

    /// The directory of drop-ins.
    fn directory(&self) -> Option<PathBuf> {
        let file = self.file.as_ref().filter(|_| self.has_drop_ins)?;
        let mut name = file.clone().into_os_string();
        name.push(".d");
        Some(name.into())
    }
}

impl Layer {
    /// The text of the configuration file.
    pub fn file(text: impl Into<String>) -> Self {
        Self {
            source: None,
            text: text.into(),
        }
    }

    /// The text of a drop-in.
    pub fn drop_in(path: &Path, text: impl Into<String>) -> Self {
        Self {
            source: Some(Source::DropIn(path.to_path_buf())),
            text: text.into(),
        }
    }
}

/// The drop-ins in a directory, sorted by name. Hidden files, and those with other suffixes,
/// such as the backups of editors and package managers, are skipped.
fn drop_ins(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<OsString> = Vec::new();
    for (count, entry) in entries.enumerate() {
        if count == MAX_ENTRIES {
            let text = format!("it contains more than {MAX_ENTRIES} files");
            return Err(io::Error::other(text));
        }
        let name = entry?.file_name();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if !is_hidden && Path::new(&name).extension().is_some_and(|it| it == "toml") {
            names.push(name);
        }
    }
    if names.len() > MAX_DROP_INS {
        let text = format!("it contains more than {MAX_DROP_INS} drop-ins");
        return Err(io::Error::other(text));
    }
    names.sort();
    Ok(names.iter().map(|name| directory.join(name)).collect())
}

/// Reads a file of any type: a shell passes the output of a command as a named pipe.
fn read_any(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;

    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// The text of a file, which must be UTF-8.
fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} has characters that are not UTF-8"),
        )
    })
}
