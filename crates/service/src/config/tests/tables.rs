//! Lists of tables.

use std::ffi::OsString;

use super::super::{
    AddressMapConfig, BelievedClients, Diagnostics, Environment, address_rules,
    check_peer_addresses, combine, recover,
};
use super::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Mapped {
    log_level: LogLevel,
    network: Clients,
    address_map: AddressMapConfig,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Clients {
    believe_ip_from: BelievedClients,
    reject_special_addresses: bool,
}

impl Config for Mapped {
    const DEFAULT_TOML: &'static str = r#"log_level = "info"

# Clients.
[network]
believe_ip_from = []
reject_special_addresses = false

# Places.
#
# [[address_map]]
# # Seen.
# from = "192.168.0.0/16"
# to = "203.0.113.7"
"#;
    const NEED_RESTART: &'static [&'static [&'static str]] = &[];
    const OLD_KEYS: &'static [&'static [OldKey]] = &[];

    fn invalid(&self) -> Vec<Diagnostic> {
        let mut checks = Checks::new();
        self.check(&mut checks);
        checks.finish(()).err().unwrap_or_default()
    }
}

impl Mapped {
    fn check(&self, checks: &mut Checks) {
        check_peer_addresses(
            &self.address_map,
            &self.network.believe_ip_from,
            self.network.reject_special_addresses,
            checks,
        );
    }

    fn mapped(&self, address: &str) -> String {
        let believed = &self.network.believe_ip_from;
        let rules = address_rules(&self.address_map, believed, false);
        rules.stored(address.parse().unwrap()).unwrap().to_string()
    }
}

const ENTRIES: &str = r#"
[[address_map]]
from = "192.168.0.0/16"
to = "203.0.113.7"

[[address_map]]
from = "10.0.0.0/24"
to = "198.51.100.0/24"
"#;

fn combined(
    file: &str,
    drop_in: Option<&str>,
    variable: Option<&str>,
) -> Result<Loaded<Mapped>, Diagnostics> {
    let mut layers = vec![Layer::file(file)];
    layers.extend(drop_in.map(|text| Layer::drop_in(Path::new("f.d/a.toml"), text)));
    let variables = variable.map(|value| ("AQUATIC_ADDRESS_MAP", OsString::from(value)));
    let environment = Environment::new("aquatic-udp", variables);
    combine(Some(Path::new("f")), &layers, &environment)
}

fn errors(file: &str) -> Vec<String> {
    let settings = |config: &Mapped| match config.invalid() {
        errors if errors.is_empty() => Ok(()),
        errors => Err(errors),
    };
    let result = combined(file, None, None)
        .map_err(Error::from)
        .and_then(|loaded| loaded.settings(settings));
    result
        .unwrap_err()
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn entries_are_read_and_written_back() {
    let loaded = combined(ENTRIES, None, None).unwrap();
    assert_eq!(loaded.config.mapped("192.168.3.4"), "203.0.113.7");
    assert_eq!(loaded.config.mapped("10.0.0.9"), "198.51.100.9");
    assert_eq!(loaded.config.mapped("10.0.1.9"), "10.0.1.9");
    let text = loaded.effective_toml();
    assert_eq!(text, format!("{}{ENTRIES}", Mapped::DEFAULT_TOML));
    let again = combined(&text, None, None).unwrap();
    assert_eq!(again.config, loaded.config);
    assert_eq!(again.effective_toml(), text);
    assert_eq!(
        combined("", None, None).unwrap().effective_toml(),
        Mapped::DEFAULT_TOML
    );
}

#[test]
fn another_file_or_a_variable_replaces_all_entries() {
    let over = "[[address_map]]\nfrom = '::1'\nto = '2001:db8::7'\n";
    let loaded = combined(ENTRIES, Some(over), None).unwrap();
    assert_eq!(loaded.config.mapped("::1"), "2001:db8::7");
    assert_eq!(loaded.config.mapped("10.0.0.9"), "10.0.0.9");
    let text = loaded.effective_toml();
    let entry = "# Set in f.d/a.toml:1:1\n[[address_map]]\nfrom = \"::1\"\nto = \"2001:db8::7\"\n";
    assert!(text.contains(entry), "{text}");

    let none = combined(ENTRIES, Some("address_map = []\n"), None).unwrap();
    assert_eq!(none.config, Mapped::default());

    for value in [
        "[{ from = '::2', to = '2001:db8::8' }]",
        "{ from = '::2', to = '2001:db8::8' }",
    ] {
        let loaded = combined(ENTRIES, Some(over), Some(value)).unwrap();
        assert_eq!(loaded.config.mapped("::2"), "2001:db8::8");
        assert_eq!(loaded.config.mapped("::1"), "::1");
    }
    let faults = combined("", None, Some("10.0.0.0/8")).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "AQUATIC_ADDRESS_MAP: address_map: each item must be a table such as { from = \
         \"10.0.0.0/8\", to = \"203.0.113.7\" }"
    );
}

#[test]
fn every_error_has_its_line() {
    let text = "\
[[address_map]]
from = '192.168.0.1/16'
to = 7
[[address_map]]
form = '10.0.0.0/8'
to = 'here'
[network]
believe_ip_from = ['x']
";
    assert_eq!(
        errors(text),
        [
            "f:2:8: address_map[0].from: 192.168.0.1/16 has bits beyond the prefix; expected \
             192.168.0.0/16",
            "f:3:6: address_map[0].to: must be a string in quotes, not a whole number",
            "f:5:1: address_map[1].form: unknown key; did you mean \"from\"? ([[address_map]] \
             has: from, to)",
            "f:6:6: address_map[1].to: \"here\" is no IP address; expected one such as \
             192.0.2.1, 192.0.2.0/24 or fd00::/8",
            "f:8:19: network.believe_ip_from: \"x\" is no IP address; expected one such as \
             192.0.2.1, 192.0.2.0/24 or fd00::/8",
        ]
    );
}

#[test]
fn entries_that_do_not_fit_have_the_line_of_the_later_one() {
    let text = format!(
        "{ENTRIES}
[[address_map]]
to = '203.0.113.8'
from = '192.168.7.0/24'
[[address_map]]
from = 'fd00::/8'
to = '203.0.113.8'
[[address_map]]
to = '203.0.113.8'
"
    );
    assert_eq!(
        errors(&text),
        [
            "f:12:8: address_map[2].from: 192.168.7.0/24 overlaps 192.168.0.0/16, which is \
             mapped, too; an address can be mapped in one way only",
            "f:15:6: address_map[3].to: 203.0.113.8 is not in the address family of fd00::/8; a \
             map stays within a family, so that the peers of both stay apart",
            "f:16:1: address_map[4]: from is missing: an entry needs from and to",
        ]
    );
}

#[test]
fn other_forms_are_explained() {
    for (text, message) in [
        (
            "[address_map]\nfrom = '::1'\n",
            "f:1:1: address_map: must be a list of tables, written as [[address_map]], not a section",
        ),
        (
            "address_map = 'x'\n",
            "f:1:15: address_map: must be a list of tables, written as [[address_map]], not a \
             string in quotes",
        ),
        (
            "address_map = [{ from = '::1', to = '::2' }, 3]\n",
            "f:1:46: address_map[1]: must be a table such as { from = \"10.0.0.0/8\", to = \
             \"203.0.113.7\" }, not a whole number",
        ),
        (
            "[[address_map]]\nfrom = 10.0.0.0/8\nto = '::1'\n",
            "f:2:8: address_map[0].from: put it in quotes: \"10.0.0.0/8\"",
        ),
        (
            "[[address_map]]\nfrom\n",
            "f:2:5: address_map.from: the value is missing: write KEY = VALUE",
        ),
    ] {
        let first = errors(text).remove(0);
        assert_eq!(first, message, "{text}");
    }
    let many = "[[address_map]]\nfrom = '::1'\nto = '::2'\n";
    let message = "has more than 256 entries, the maximum";
    assert!(errors(&many.repeat(257))[0].ends_with(message));
    assert!(errors(&many.repeat(2_000))[0].ends_with(message));
}

#[test]
fn what_is_probably_a_mistake_gives_advice() {
    let text = "\
network.believe_ip_from = ['0.0.0.0/0', '10.0.0.0/8']
network.reject_special_addresses = true
[[address_map]]
from = '::/0'
to = 'fd00::1'
";
    let loaded = combined(text, None, None).unwrap();
    let mut checks = Checks::new();
    loaded.config.check(&mut checks);
    assert_eq!(
        loaded.located(checks.take_advice()).lines(),
        [
            "f:1:27: network.believe_ip_from: with 0.0.0.0/0, everyone can announce the address \
             of anyone",
            "f:4:8: address_map[0].from: ::/0 is every address of its family",
            "f:5:6: address_map[0].to: fd00::1 is reserved (unique-local), so these peers are \
             rejected by network.reject_special_addresses",
        ]
    );
    assert!(checks.finish(()).is_ok());
}

#[test]
fn an_error_in_an_entry_does_not_cost_the_sockets() {
    let text = "[[address_map]]\nfrom = 'x'\nform = 1\n[network]\nbelieve_ip_from = ['::1']\n";
    let layers = [Layer::file(text)];
    let essential = ["network.believe_ip_from"];
    let recovered = recover::<Mapped>(&layers, Path::new("f"), &essential, |_| Vec::new()).unwrap();
    assert_eq!(recovered.faults.len(), 2);
    assert_eq!(
        recovered.loaded.config.address_map,
        AddressMapConfig::default()
    );
    assert_eq!(recovered.loaded.config.network.believe_ip_from.len(), 1);
}
