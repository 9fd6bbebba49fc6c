//! The source of the options of the NixOS module: every key of every daemon.

use std::collections::BTreeMap;

use super::reference::Reference;

/// Writes configurations as JSON, by the names of their daemons.
/// `nixos-module/settings.nix` makes options from it.
///
/// # Errors
///
/// If there is a section within a section.
pub(super) fn render(daemons: &BTreeMap<&str, Reference>) -> anyhow::Result<String> {
    for section in daemons.values().flat_map(|it| &it.sections) {
        anyhow::ensure!(
            !section.name.contains('.'),
            "{} is a section within a section",
            section.name
        );
    }
    Ok(serde_json::to_string_pretty(daemons)? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::reference::{Choice, Key, Kind, Section};
    use super::*;

    fn rendered(section: &str, keys: Vec<Key>) -> anyhow::Result<Value> {
        let reference = Reference {
            description: "Configuration.".to_owned(),
            sections: vec![Section {
                name: section.to_owned(),
                description: "Sockets.".to_owned(),
                is_list: section == "map",
                keys,
            }],
        };
        let text = render(&BTreeMap::from([("udp", reference)]))?;
        let mut value: Value = serde_json::from_str(&text)?;
        Ok(value["udp"]["sections"][0].take())
    }

    #[test]
    fn every_kind_of_key() {
        let choice = Choice {
            value: "off".to_owned(),
            description: "Nothing.".to_owned(),
        };
        let number = Kind::Integer {
            minimum: -1,
            maximum: Some(9),
            range: Some("From 0 to 9 bytes.".to_owned()),
        };
        let kinds = [
            (Kind::Boolean, json!({ "type": "boolean" })),
            (
                number,
                json!({ "type": "integer", "values": { "minimum": -1, "maximum": 9 } }),
            ),
            (Kind::Text, json!({ "type": "text" })),
            (
                Kind::Choice(vec![choice]),
                json!({ "type": "choice", "values": [{ "value": "off", "description": "Nothing." }] }),
            ),
            (
                Kind::Texts { or_one: true },
                json!({ "type": "texts", "values": { "or_one": true } }),
            ),
        ];
        for (kind, mut expected) in kinds {
            let key = Key {
                name: "key".to_owned(),
                description: "About it.".to_owned(),
                kind,
                default: json!(3),
                needs_restart: true,
            };
            expected["name"] = json!("key");
            expected["description"] = json!("About it.");
            expected["default"] = json!(3);
            expected["needs_restart"] = json!(true);
            let section = rendered("network", vec![key]).unwrap();
            assert_eq!(section["name"], "network");
            assert_eq!(section["is_list"], false);
            assert_eq!(section["keys"], json!([expected]));
        }
    }

    #[test]
    fn sections_do_not_nest() {
        assert!(rendered("network.tls", Vec::new()).is_err());
    }
}
