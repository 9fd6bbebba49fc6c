//! What must hold for every file that a daemon is given as its configuration.

use std::path::Path;

use aquatic_service::config::{self, Checks, Error, Fault, Faults};
use aquatic_service::{Daemon, listening_of};

/// Panics when something that must hold does not.
pub(crate) fn check<D: Daemon>(bytes: &[u8])
where
    D::Config: PartialEq,
{
    let text = String::from_utf8_lossy(bytes);
    // There is none of this name, and so none of other daemons beside it.
    let path = Path::new("no-such-directory/file.toml");
    let for_sockets = listening_of::<D>(&text, path);
    let loaded = match config::parse::<D::Config>(&text, path) {
        Ok(loaded) => loaded,
        Err(faults) => {
            assert!(faults.faults.iter().all(is_placed), "{faults}");
            assert_is_readable(&faults);
            match for_sockets {
                Ok((_, told)) | Err(told) => assert_is_readable(&told),
            }
            return;
        }
    };

    let warnings = &loaded.warnings;
    assert!(
        !warnings.concat().contains(char::is_control),
        "{warnings:?}"
    );
    let migrated = loaded.migrated_toml();
    for text in [&migrated, &loaded.effective_toml()] {
        let again = config::parse::<D::Config>(text, path).expect("it is in today's form");
        assert_eq!(again.warnings, [""; 0], "{text}");
        assert!(again.config == loaded.config, "{text}");
        assert_eq!(again.migrated_toml(), *text);
    }

    match loaded.settings(D::settings) {
        Ok(_) => {
            let (listening, told) = for_sockets.expect("what the daemon takes");
            assert!(told.faults.is_empty(), "{told}");
            let mut checks = Checks::new();
            assert_eq!(listening, D::listening(&loaded.config, &mut checks));
            checks.finish(()).expect("they were checked before");
        }
        Err(Error::Faulty(faults)) => {
            assert_is_readable(&faults);
            assert!(faults.faults.iter().all(|fault| fault.key.is_some()));
        }
        Err(error @ Error::Read { .. }) => panic!("{error}"),
    }
}

/// Whether somebody would find it.
fn is_placed(fault: &Fault) -> bool {
    fault.position.is_some() && !fault.message.is_empty()
}

/// There is something wrong, and each thing has one line, whatever the file has in
/// its keys and texts.
fn assert_is_readable(faults: &Faults) {
    assert!(!faults.faults.is_empty());
    let text = faults.to_string();
    assert_eq!(text.split('\n').count(), faults.faults.len(), "{text:?}");
    let is_control = |char: char| char.is_control() && char != '\n';
    assert!(!text.contains(is_control), "{text:?}");
}
