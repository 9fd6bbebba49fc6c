//! What a reload takes over of a changed configuration, and what needs a restart.

use toml::{Table, Value};

use super::{Config, schema_check};

/// The keys whose values differ from those in effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those that a reload takes over.
    pub(crate) taken_over: Vec<String>,
    /// Those that need a restart: until then, their values in effect stay.
    pub(crate) need_restart: Vec<String>,
}

/// Whether a changed value of this key, such as `network.address`, takes effect at a
/// restart only. All other keys are taken over by a reload.
pub fn needs_restart<C: Config>(key: &str) -> bool {
    let mut listed = C::NEED_RESTART.iter().copied().flatten();
    listed.any(|listed| {
        let rest = key.strip_prefix(listed);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Compares a configuration with the one in effect, and gives the keys that need a restart
/// the values in effect.
pub(crate) fn take_over<C: Config>(in_effect: &Table, new: &mut Table) -> Changes {
    let mut changes = Changes::default();
    compare::<C>("", in_effect, new, &mut changes);
    changes
}

fn compare<C: Config>(path: &str, in_effect: &Table, new: &mut Table, changes: &mut Changes) {
    for (name, value) in new {
        let key = schema_check::join(path, name);
        match (in_effect.get(name), value) {
            (Some(Value::Table(in_effect)), Value::Table(new)) => {
                compare::<C>(&key, in_effect, new, changes);
            }
            (Some(in_effect), new) if in_effect == new => {}
            (Some(in_effect), new) if needs_restart::<C>(&key) => {
                new.clone_from(in_effect);
                changes.need_restart.push(key);
            }
            // Both are of one type, so neither lacks a key of the other.
            _ => changes.taken_over.push(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::config::OldKey;

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct TestConfig {
        workers: u8,
        level: String,
        network: Network,
        network_of_others: u8,
    }

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Network {
        address: Vec<String>,
        timeout: u8,
    }

    impl Config for TestConfig {
        const DEFAULT_TOML: &'static str = "";
        const OLD_KEYS: &'static [&'static [OldKey]] = &[];
        const NEED_RESTART: &'static [&'static [&'static str]] =
            &[&["workers"], &["network.address"]];
    }

    #[test]
    fn keys_that_need_a_restart_keep_their_values() {
        let table = |config: TestConfig| Table::try_from(config).unwrap();
        let in_effect = table(TestConfig::default());
        let mut same = in_effect.clone();
        let changes = take_over::<TestConfig>(&in_effect, &mut same);
        assert_eq!((changes, same), (Changes::default(), in_effect.clone()));

        let mut new = table(TestConfig {
            workers: 2,
            level: "debug".to_owned(),
            network: Network {
                address: vec!["a".to_owned()],
                timeout: 3,
            },
            network_of_others: 4,
        });
        let changes = take_over::<TestConfig>(&in_effect, &mut new);
        assert_eq!(changes.need_restart, ["network.address", "workers"]);
        let taken_over = ["level", "network.timeout", "network_of_others"];
        assert_eq!(changes.taken_over, taken_over);
        let mixed = TestConfig::deserialize(new).unwrap();
        assert_eq!((mixed.workers, mixed.network.timeout), (0, 3));
        assert!(mixed.network.address.is_empty());
    }

    #[test]
    fn a_section_needs_a_restart_with_all_its_keys() {
        assert!(needs_restart::<TestConfig>("network.address"));
        assert!(needs_restart::<TestConfig>("workers.of.any.kind"));
        assert!(!needs_restart::<TestConfig>("network"));
        assert!(!needs_restart::<TestConfig>("network.address_of_others"));
    }
}
