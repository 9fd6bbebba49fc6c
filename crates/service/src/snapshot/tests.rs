//! Writing and reading of snapshots, and detection of damage.

use super::*;

/// The version of what these tests write.
const VERSION: u32 = 3;

fn written(blocks: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = BlockWriter::new(&mut bytes, "aquatic-test", VERSION, 1_800_000_000).unwrap();
    for (kind, payload) in blocks {
        writer.write_block(*kind, payload).unwrap();
    }
    let length = writer.finish().unwrap();
    assert_eq!(length, bytes.len() as u64);
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, ReadError> {
    let mut blocks = Vec::new();
    read_blocks(bytes, VERSION, |block| {
        blocks.push((block.kind, block.payload.to_vec()));
    })?;
    Ok(blocks)
}

const BLOCKS: [(u8, &[u8]); 3] = [(1, b"one"), (255, b""), (2, &[7; 1000])];

#[test]
fn reads_what_was_written() {
    let bytes = written(&BLOCKS);
    let blocks = read(&bytes).unwrap();
    assert_eq!(blocks.len(), 3);
    for ((kind, payload), (expected_kind, expected)) in blocks.iter().zip(BLOCKS) {
        assert_eq!((*kind, payload.as_slice()), (expected_kind, expected));
    }
    let mut input = bytes.as_slice();
    let reader = BlockReader::new(&mut input, VERSION).unwrap();
    assert_eq!(reader.daemon(), "aquatic-test");
    assert_eq!(reader.taken_at(), 1_800_000_000);

    assert!(read(&written(&[])).unwrap().is_empty());
}

#[test]
fn any_flipped_bit_is_noticed() {
    let bytes = written(&BLOCKS);
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << bit;
            assert!(read(&damaged).is_err(), "byte {index}, bit {bit}");
        }
    }
}

#[test]
fn any_cut_or_addition_is_noticed() {
    let bytes = written(&BLOCKS);
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        assert!(matches!(error, ReadError::Damaged(_)), "{length}: {error}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(
        read(&longer)
            .unwrap_err()
            .to_string()
            .contains("more after its end")
    );
}

#[test]
fn a_missing_block_is_noticed() {
    let whole = written(&[(1, b"aaaa"), (1, b"bbbb")]);
    let block = 1 + 4 + 4 + 4;
    let end = 1 + 4 + 4 + 8;
    let mut bytes = whole[..whole.len() - end - block].to_vec();
    bytes.extend_from_slice(&whole[whole.len() - end..]);
    assert!(
        read(&bytes)
            .unwrap_err()
            .to_string()
            .contains("blocks are missing")
    );
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let mut bytes = written(&[]);
    bytes.truncate(bytes.len() - 17);
    let claims = |length: u32| {
        let mut bytes = bytes.clone();
        bytes.push(1);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[0; 64]);
        let mut input = bytes.as_slice();
        let mut reader = BlockReader::new(&mut input, VERSION).unwrap();
        reader.next_block().unwrap_err().to_string()
    };
    assert!(claims(u32::MAX).contains("claims to have 4294967295 bytes"));
    assert!(claims(MAX_PAYLOAD_BYTES as u32).contains("ends too early"));
}

#[test]
fn versions_are_told_apart() {
    let mut bytes = written(&BLOCKS);
    bytes[8] = 4;
    let newer = ReadError::Newer {
        found: 4,
        newest: 3,
    };
    assert_eq!(read(&bytes).unwrap_err().to_string(), newer.to_string());
    // An older version has another checksum, and can be read.
    let mut older = Vec::new();
    let writer = BlockWriter::new(&mut older, "aquatic-test", VERSION - 1, 0).unwrap();
    writer.finish().unwrap();
    assert!(read(&older).unwrap().is_empty());
    bytes[8] = 0;
    assert!(matches!(read(&bytes), Err(ReadError::Damaged(_))));
}

#[test]
fn the_writer_keeps_to_the_format() {
    let mut bytes = Vec::new();
    let mut writer = BlockWriter::new(&mut bytes, "x", VERSION, 0).unwrap();
    writer.write_block(0, b"").unwrap_err();
    writer
        .write_block(1, &vec![0; MAX_PAYLOAD_BYTES + 1])
        .unwrap_err();
    BlockWriter::new(&mut Vec::new(), &"x".repeat(256), VERSION, 0)
        .map(|_| ())
        .unwrap_err();
}

mod place {
    use std::fs;

    use super::*;

    struct Place {
        directory: tempfile::TempDir,
        path: PathBuf,
    }

    fn place() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("swarm");
        Place { directory, path }
    }

    impl Place {
        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(self.directory.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }

        fn write(&self, payload: &[u8]) -> Written {
            write_file(&self.path, "aquatic-test", VERSION, |out| {
                out.write_block(1, payload)
            })
            .unwrap()
        }

        fn restore(&self) -> anyhow::Result<Option<Vec<u8>>> {
            let first = |reader: &mut BlockReader<'_>| -> Result<_, ReadError> {
                Ok(reader.next_block()?.unwrap().payload.to_vec())
            };
            let mut source = Source::new("aquatic-test", VERSION, Some(self.path.clone()));
            let Some((payload, checked)) = source.check(first)? else {
                return Ok(None);
            };
            let mut again = None;
            checked.restore(|reader| {
                again = Some(first(reader)?);
                Ok(())
            });
            assert_eq!(again.as_ref(), Some(&payload));
            Ok(Some(payload))
        }
    }

    #[test]
    fn the_last_one_written_is_restored() {
        let place = place();
        assert_eq!(place.restore().unwrap(), None);
        place.write(b"first");
        let written = place.write(b"second");
        assert_eq!(written.bytes, fs::metadata(&place.path).unwrap().len());
        assert_eq!(place.restore().unwrap().unwrap(), b"second");
        assert_eq!(place.names(), ["swarm"]);

        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&place.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_failed_write_leaves_the_last_one() {
        let place = place();
        place.write(b"first");
        let error = write_file(&place.path, "aquatic-test", VERSION, |_| {
            Err(io::Error::other("disk on fire"))
        })
        .unwrap_err();
        assert!(format!("{error:#}").ends_with("disk on fire"), "{error:#}");
        assert_eq!(place.restore().unwrap().unwrap(), b"first");
        assert_eq!(place.names(), ["swarm"]);
    }

    #[test]
    fn damage_after_the_last_block_that_was_asked_for_is_noticed() {
        let place = place();
        place.write(b"first");
        let mut bytes = fs::read(&place.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&place.path, bytes).unwrap();
        assert_eq!(place.restore().unwrap(), None);
        assert_eq!(place.names(), ["swarm.damaged"]);
    }

    #[test]
    fn what_the_daemon_cannot_read_is_set_aside() {
        let place = place();
        place.write(b"first");
        let state = Source::new("aquatic-test", VERSION, Some(place.path.clone()))
            .check(|_| Err::<(), _>(ReadError::damaged("no sense")))
            .unwrap();
        assert!(state.is_none());
        assert_eq!(place.names(), ["swarm.damaged"]);
    }

    #[test]
    fn what_cannot_be_read_again_is_set_aside() {
        let place = place();
        place.write(b"first");
        let mut source = Source::new("aquatic-test", VERSION, Some(place.path.clone()));
        let (_, checked) = source.check(|_| Ok(())).unwrap().unwrap();
        // The disk loses the end of it in between.
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&place.path)
            .unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        let mut blocks = 0;
        checked.restore(|reader| {
            while reader.next_block()?.is_some() {
                blocks += 1;
            }
            Ok(())
        });
        assert_eq!(blocks, 1);
        assert_eq!(place.names(), ["swarm.damaged"]);
    }

    #[test]
    fn a_newer_one_is_kept() {
        let place = place();
        place.write(b"first");
        let mut bytes = fs::read(&place.path).unwrap();
        bytes[8] = 9;
        fs::write(&place.path, bytes).unwrap();
        assert_eq!(place.restore().unwrap(), None);
        assert_eq!(place.names(), ["swarm.newer"]);
    }

    #[test]
    fn another_daemons_is_refused() {
        let place = place();
        write_file(&place.path, "aquatic-other", VERSION, |_| Ok(())).unwrap();
        let error = place.restore().unwrap_err().to_string();
        assert!(error.contains("belongs to aquatic-other"), "{error}");
        assert_eq!(place.names(), ["swarm"]);
    }

    #[test]
    fn a_missing_directory_is_told_at_start() {
        let place = place();
        check_writable(&place.path).unwrap();
        assert!(place.names().is_empty());
        let error = check_writable(&place.path.join("deeper")).unwrap_err();
        assert!(error.to_string().contains("snapshot.path"), "{error}");
    }

    #[test]
    fn the_first_ones_set_aside_stay() {
        let place = place();
        for number in 1..=6 {
            fs::write(&place.path, format!("AQUASNAP\0\0\0\0 damage {number}")).unwrap();
            assert_eq!(place.restore().unwrap(), None);
        }
        assert_eq!(
            place.names(),
            [
                "swarm.damaged",
                "swarm.damaged.2",
                "swarm.damaged.3",
                "swarm.damaged.4"
            ]
        );
        let kept = |name: &str| fs::read_to_string(place.directory.path().join(name)).unwrap();
        assert_eq!(kept("swarm.damaged"), "AQUASNAP\0\0\0\0 damage 1");
        assert_eq!(kept("swarm.damaged.3"), "AQUASNAP\0\0\0\0 damage 3");
        assert_eq!(kept("swarm.damaged.4"), "AQUASNAP\0\0\0\0 damage 6");
    }

    #[test]
    fn a_link_stays_one() {
        let place = place();
        let disk = place.directory.path().join("disk");
        fs::create_dir(&disk).unwrap();
        // Two links, one of them relative, lead to a file that does not exist yet.
        std::os::unix::fs::symlink("hop", &place.path).unwrap();
        let hop = place.directory.path().join("hop");
        std::os::unix::fs::symlink(disk.join("real"), &hop).unwrap();

        check_writable(&place.path).unwrap();
        place.write(b"first");
        place.write(b"second");
        assert_eq!(place.restore().unwrap().unwrap(), b"second");
        assert!(fs::symlink_metadata(&place.path).unwrap().is_symlink());
        assert!(fs::symlink_metadata(disk.join("real")).unwrap().is_file());

        fs::write(disk.join("real"), "AQUASNAP\0\0\0\0 damage").unwrap();
        assert_eq!(place.restore().unwrap(), None);
        assert!(disk.join("real.damaged").exists());
        assert_eq!(place.names(), ["disk", "hop", "swarm"]);

        fs::remove_file(&hop).unwrap();
        std::os::unix::fs::symlink("swarm", &hop).unwrap();
        let error = format!("{:#}", place.restore().unwrap_err());
        assert!(error.contains("symbolic links"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let place = place();
        nix::unistd::mkfifo(&place.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = place.restore().unwrap_err().to_string();
        assert!(
            error.starts_with("snapshot.path: ") && error.contains("named pipe"),
            "{error}"
        );
    }

    #[test]
    fn what_never_was_a_snapshot_is_left_alone() {
        let place = place();
        for other in [
            "# A list.\n",
            "AQUASNAQ",
            "\0\0\0\0\0\0\0\0",
            "aquasnap",
            "x",
        ] {
            fs::write(&place.path, other).unwrap();
            let error = place.restore().unwrap_err().to_string();
            assert!(
                error.starts_with("snapshot.path: ") && error.contains("is not a snapshot"),
                "{error}"
            );
            assert_eq!(fs::read_to_string(&place.path).unwrap(), other);
        }
        // An empty file is not refused, since it has no content that could be lost.
        fs::write(&place.path, "").unwrap();
        assert_eq!(place.restore().unwrap(), None);
        assert_eq!(place.names(), ["swarm"]);
        fs::write(&place.path, "AQUA").unwrap();
        assert_eq!(place.restore().unwrap(), None);
        assert_eq!(place.names(), ["swarm.damaged"]);
    }

    #[test]
    fn what_cannot_be_set_aside_is_kept() {
        let place = place();
        fs::write(&place.path, "AQUASNAP\0\0\0\0 damage").unwrap();
        // A file cannot be renamed to the name of a directory that is not empty.
        for number in 1..=4 {
            let mut name = place.path.clone().into_os_string();
            name.push(".damaged");
            if number > 1 {
                name.push(format!(".{number}"));
            }
            fs::create_dir_all(PathBuf::from(name).join("x")).unwrap();
        }
        let mut source = Source::new("aquatic-test", VERSION, Some(place.path.clone()));
        let state = source.check(|_| Ok(())).unwrap();
        assert!(state.is_none());
        assert!(source.keep().unwrap().contains("cannot be set aside"));
        assert_eq!(
            fs::read_to_string(&place.path).unwrap(),
            "AQUASNAP\0\0\0\0 damage"
        );
    }
}
