//! The files of the image as a layer: a compressed tar archive that has nothing of the
//! machine and the time of its making.

use std::io::{self, Write as _};

use anyhow::Context;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::files::{Entry, Files};

/// A compressed layer.
pub(super) struct Layer {
    /// The archive, compressed with gzip, which every engine reads.
    pub(super) compressed: Vec<u8>,
    /// The digest of the archive without compression.
    pub(super) unpacked_digest: String,
    /// Its size.
    pub(super) unpacked_bytes: u64,
}

impl Layer {
    /// A layer of these files, all of which were modified at this time.
    ///
    /// # Errors
    ///
    /// If a path is too long for the format.
    pub(super) fn of(files: &Files, modified_at: u64) -> anyhow::Result<Self> {
        let unpacked = archive(files, modified_at)?;
        let mut encoder = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::best());
        encoder.write_all(&unpacked)?;
        Ok(Self {
            compressed: encoder.finish()?,
            unpacked_digest: digest(&unpacked),
            unpacked_bytes: unpacked.len() as u64,
        })
    }
}

/// The digest of bytes, as OCI writes it.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// Appends a file or directory to an archive.
pub(super) fn append(
    archive: &mut Builder<impl io::Write>,
    path: &str,
    entry: &Entry,
    modified_at: u64,
) -> anyhow::Result<()> {
    let content = entry.content.as_deref();
    let mut header = Header::new_ustar();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.into());
    header.set_gid(entry.owner.into());
    header.set_mtime(modified_at);
    header.set_size(content.map_or(0, |it| it.len() as u64));
    let (kind, end) = match content {
        Some(_) => (EntryType::Regular, ""),
        None => (EntryType::Directory, "/"),
    };
    header.set_entry_type(kind);
    archive
        .append_data(
            &mut header,
            format!("{path}{end}"),
            content.unwrap_or_default(),
        )
        .with_context(|| path.to_owned())
}

fn archive(files: &Files, modified_at: u64) -> anyhow::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, entry) in files {
        append(&mut archive, path, entry, modified_at)?;
    }
    Ok(archive.into_inner()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn files() -> Files {
        let directory = Entry {
            mode: 0o750,
            owner: 65532,
            content: None,
        };
        let program = Entry {
            mode: 0o755,
            owner: 0,
            content: Some(b"program".to_vec()),
        };
        Files::from([
            ("state".to_owned(), directory),
            ("usr/bin/program".to_owned(), program),
        ])
    }

    #[test]
    fn a_layer_has_what_was_put_into_it() {
        let layer = Layer::of(&files(), 1_000).unwrap();
        let mut unpacked = Vec::new();
        GzDecoder::new(layer.compressed.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(digest(&unpacked), layer.unpacked_digest);
        assert_eq!(unpacked.len() as u64, layer.unpacked_bytes);

        let mut seen = Vec::new();
        for entry in tar::Archive::new(unpacked.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_000);
            assert_eq!(header.uid().unwrap(), header.gid().unwrap());
            seen.push((
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                content,
            ));
        }
        let expected = [
            ("state/", 0o750, 65532, ""),
            ("usr/bin/program", 0o755, 0, "program"),
        ];
        let expected = expected
            .map(|(path, mode, owner, content)| (path.to_owned(), mode, owner, content.to_owned()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn layers_of_the_same_files_are_the_same() {
        let layer = |modified_at| Layer::of(&files(), modified_at).unwrap().compressed;
        assert_eq!(layer(5), layer(5));
        assert_ne!(layer(5), layer(6));
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(
            digest(b"abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
