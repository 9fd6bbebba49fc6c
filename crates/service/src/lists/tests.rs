//! Bans and clients, from files.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use aquatic_bittorrent::PeerId;
use aquatic_policy::AddressRanges;
use aquatic_policy::bans::{BanLine, BansBuilder};

use super::*;
use crate::config::Texts;

fn bans(config: &BansConfig) -> Result<Loaded<Bans>, LoadError> {
    let config = ListsConfig {
        bans: config.clone(),
        ..ListsConfig::default()
    };
    Contents::load(&config, None).map(|contents| contents.bans)
}

#[test]
fn bans_come_from_files_in_all_formats() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("lists")).unwrap();
    let networks = "# networks\r\n192.0.2.0/24\r\n2001:db8::/32 ; SBL1\r\n";
    fs::write(at("lists/networks"), format!("\u{feff}{networks}")).unwrap();
    fs::write(
        at("lists/level1.p2p"),
        b"# P2P\nCaf\xe9, Inc:198.51.100.1-198.51.100.9\n",
    )
    .unwrap();
    let levels = "198.051.100.020 - 198.051.100.029 , 000 , x\n\
                  198.051.100.030 - 198.051.100.039 , 200 , y\n";
    fs::write(at("ipfilter.dat"), levels).unwrap();
    let config = BansConfig {
        paths: vec![at("lists"), at("ipfilter.dat")],
        except: Texts::new(vec!["192.0.2.128/25".to_owned()]).unwrap(),
    };
    let Loaded { list, files, .. } = bans(&config).unwrap();
    assert_eq!((list.len(), files), (4, 3));
    let is_banned = |text: &str| list.contains(text.parse::<IpAddr>().unwrap());
    for banned in [
        "192.0.2.0",
        "192.0.2.127",
        "2001:db8::1",
        "198.51.100.9",
        "198.51.100.20",
    ] {
        assert!(is_banned(banned), "{banned}");
    }
    for served in [
        "192.0.2.128",
        "198.51.100.10",
        "198.51.100.30",
        "2001:db9::",
    ] {
        assert!(!is_banned(served), "{served}");
    }

    fs::write(at("lists/new"), "\nnonsense\n").unwrap();
    let error = bans(&config).unwrap_err();
    assert_eq!((error.key, error.what), ("bans.paths", "ban list"));
    let text = error.to_string();
    assert!(
        text.contains("lists/new: line 2: expected an address"),
        "{text}"
    );
}

#[test]
fn clients_come_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("allowed"), "-qB qBittorrent\n-TR\n").unwrap();
    fs::write(at("denied"), "# ours\n-qB3 too old\n").unwrap();
    let mut config = ListsConfig {
        clients: ClientsConfig {
            deny_paths: vec![at("denied")],
            ..ClientsConfig::default()
        },
        ..ListsConfig::default()
    };
    let load = |config: &ListsConfig| Contents::load(config, None);
    let start = |start: &[u8]| {
        let mut bytes = [b'-'; 20];
        bytes[..start.len()].copy_from_slice(start);
        PeerId(bytes)
    };
    let clients = load(&config).unwrap().clients.list;
    assert_eq!(clients.check(&start(b"-UT")), Ok(()));
    assert_eq!(clients.check(&start(b"-qB3")), Err("too old"));
    config.clients.allow_paths = vec![at("allowed")];
    let clients = load(&config).unwrap().clients.list;
    assert!(clients.check(&start(b"-UT")).is_err());
    assert_eq!(clients.check(&start(b"-qB4")), Ok(()));
    assert_eq!(clients.check(&start(b"-qB3")), Err("too old"));

    fs::write(at("denied"), "-qB3 too old\n%zz\n").unwrap();
    let error = load(&config).unwrap_err();
    assert_eq!(error.key, "clients.deny_paths");
    assert!(
        error.to_string().contains("denied: line 2: expected %NN"),
        "{error}"
    );
}

#[test]
fn a_handle_knows_what_it_has() {
    let lists = Lists::default();
    assert!(lists.facts().is_empty());
    assert!(lists.bans.is_off() && lists.bans.if_on().is_none());
    let range = BanLine::parse(b"192.0.2.0/24").unwrap();
    let BanLine::Banned(range) = range else {
        panic!("{range:?}");
    };
    let mut builder = BansBuilder::default();
    builder.add(range);
    let loaded = |list| Loaded {
        list,
        files: 2,
        duration: Duration::from_millis(3),
    };
    lists
        .bans
        .replace(loaded(builder.build(&AddressRanges::default())));
    let [facts] = &lists.facts()[..] else {
        panic!("{:?}", lists.facts());
    };
    assert_eq!((facts.what, facts.entries, facts.files), ("ban list", 1, 2));
    assert!(facts.memory_bytes >= 8 && facts.loaded_at > 0);
    assert!(lists.bans.if_on().is_some());
    // Files without an entry are known as well.
    lists.bans.replace(loaded(Bans::default()));
    assert!(lists.bans.if_on().is_none());
    assert_eq!(lists.facts().len(), 1);
    lists.bans.replace(Bans::default());
    assert!(lists.facts().is_empty());
}

/// Removes the file at `path` when it gets its first line.
struct Removing {
    path: PathBuf,
    lines: Vec<Vec<u8>>,
}

impl Collector for Removing {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let _ = fs::remove_file(&self.path);
        self.lines.push(line.to_vec());
        Ok(())
    }
}

#[test]
fn a_file_that_is_removed_while_its_directory_is_read_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["a", "b", "c"] {
        fs::write(at(name), name).unwrap();
    }
    let mut removing = Removing {
        path: at("b"),
        lines: Vec::new(),
    };
    let mut reader = Reader::new("list", None);
    let read = reader.read("key", directory.path(), &mut removing);
    read.unwrap();
    assert_eq!(removing.lines, [b"a", b"c"]);
    assert_eq!(reader.finish(()).files, 2);
    // One that is configured has to be there, and a link has to lead somewhere.
    let mut reader = Reader::new("list", None);
    assert!(reader.read("key", &at("b"), &mut removing).is_err());
    std::os::unix::fs::symlink("nowhere", at("b")).unwrap();
    removing.path = at("nothing");
    assert!(reader.read("key", directory.path(), &mut removing).is_err());
}
