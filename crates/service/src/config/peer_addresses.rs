//! Under which addresses peers are stored.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::fmt;

use aquatic_policy::{AddressMap, AddressRange, AddressRules, MapFault, special_purpose};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::checks::Checks;
use super::texts::Texts;

/// Maximum number of entries of the address map.
const MAX_ENTRIES: usize = 256;

/// Clients whose claims are believed.
pub type BelievedClients = Texts<AddressRange>;

/// The address map: a list of tables. Entries that are wrong, which
/// [`check_peer_addresses`] reports, map nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressMapConfig {
    entries: Vec<AddressMapEntry>,
    map: AddressMap,
}

/// An entry of the address map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table such as { from = \"10.0.0.0/8\", to = \"203.0.113.7\" }"
)]
pub struct AddressMapEntry {
    /// The address or network at which the tracker sees the peers. No address may be
    /// mapped twice.
    #[cfg_attr(feature = "schema", schemars(example = &"192.168.0.0/16"))]
    pub from: Network,
    /// The address at which others reach these peers, in the same address
    /// family. Or a network with the same prefix length: the rest of the
    /// address stays then.
    #[cfg_attr(feature = "schema", schemars(example = &"203.0.113.7"))]
    pub to: Network,
}

/// An address or a network; `None` if the text is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Network(pub Option<AddressRange>);

impl AddressMapConfig {
    fn new(entries: Vec<AddressMapEntry>) -> Self {
        let (map, _) = build(&entries);
        Self { entries, map }
    }

    /// The map.
    #[inline]
    pub fn map(&self) -> &AddressMap {
        &self.map
    }
}

/// The map of all right entries, and what is wrong with the others.
fn build(entries: &[AddressMapEntry]) -> (AddressMap, Vec<(usize, MapFault)>) {
    let mut map = AddressMap::default();
    let mut faults = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if let (Some(from), Some(to)) = (entry.from.0, entry.to.0)
            && let Err(fault) = map.add(from, to)
        {
            faults.push((index, fault));
        }
    }
    (map, faults)
}

/// Checks `address_map`, `network.believe_ip_from` and `network.reject_special_addresses`.
pub fn check_peer_addresses(
    map: &AddressMapConfig,
    believed: &BelievedClients,
    reject_special: bool,
    checks: &mut Checks,
) {
    for (index, entry) in map.entries.iter().enumerate() {
        for (key, network) in [("from", entry.from), ("to", entry.to)] {
            if network.0.is_none() {
                let message = format!("{key} is missing: an entry needs from and to");
                checks.fail(format!("address_map[{index}]"), message);
            }
        }
        if let Some(from) = entry.from.0.filter(|from| from.prefix_length() == 0) {
            let message = format!("{from} is every address of its family");
            checks.advise(format!("address_map[{index}].from"), message);
        }
        let to = entry.to.0.filter(|_| reject_special);
        if let Some((to, purpose)) = to.and_then(|to| Some((to, special_purpose(to.first())?))) {
            let message = format!(
                "{to} is reserved ({purpose}), so these peers are rejected by \
                 network.reject_special_addresses"
            );
            checks.advise(format!("address_map[{index}].to"), message);
        }
    }
    for (index, fault) in build(&map.entries).1 {
        let key = match fault {
            MapFault::Overlap { .. } => "from",
            MapFault::Family { .. } | MapFault::Length { .. } | MapFault::NoPeer(_) => "to",
        };
        checks.fail(format!("address_map[{index}].{key}"), fault);
    }
    if let Some(all) = believed.iter().find(|range| range.prefix_length() == 0) {
        checks.advise(
            "network.believe_ip_from",
            format!("with {all}, everyone can announce the address of anyone"),
        );
    }
}

/// The rules that the three keys make.
#[inline]
pub fn address_rules<'c>(
    map: &'c AddressMapConfig,
    believed: &'c BelievedClients,
    reject_special: bool,
) -> AddressRules<'c> {
    AddressRules {
        map: &map.map,
        believed,
        reject_special,
    }
}

impl Serialize for AddressMapConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AddressMapConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<AddressMapEntry>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tables, written as [[address_map]]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    if entries.len() == MAX_ENTRIES {
                        let message = format!("has more than {MAX_ENTRIES} entries, the maximum");
                        return Err(A::Error::custom(message));
                    }
                    entries.push(entry);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_seq(Entries).map(Self::new)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(range) => serializer.collect_str(range),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(Self(None)),
            text => text
                .parse()
                .map(|range| Self(Some(range)))
                .map_err(D::Error::custom),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for AddressMapConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AddressMapConfig".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let entry = generator.subschema_for::<AddressMapEntry>();
        schemars::json_schema!({ "type": "array", "items": entry })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Network {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}
