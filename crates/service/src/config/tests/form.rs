//! Files that are not TOML.

use super::super::recover;
use super::*;

fn one(text: &str) -> String {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{text}: {faults:#?}");
    faults[0].clone()
}

#[test]
fn mistakes_have_a_place_a_key_and_what_would_be_right() {
    assert_eq!(
        faults("workers = 1\nlog_level = \"info\n[network]\nbuffer == 3\n"),
        [
            "f:2:13: log_level: the text that begins here has no closing quote",
            "f:4:9: network.buffer: extra `=`, expected nothing",
        ]
    );
    for (text, expected) in [
        (
            "workers = 1\nworkers = 2\n",
            "f:2:1: workers: is set twice; remove one",
        ),
        (
            "[network]\nbuffer = 1\n[network]\n",
            "f:3:2: network: duplicate section; put all of its keys into one",
        ),
        (
            "[network\nbuffer = 1\n",
            "f:1:9: network: the closing bracket of the section name is missing",
        ),
        (
            "[network]\nbuffer : 1\n",
            "f:2:8: network.buffer: the value is missing: write KEY = VALUE",
        ),
        (
            "[network]\nbuffer =\nratio = 1.5\n",
            "f:2:9: network.buffer: a value is missing, such as 5",
        ),
        (
            "[network]\naddress = ['127.0.0.1:1', '[::1]:1'\nbuffer = 1\n[metrics]\n",
            "f:2:11: network.address: the list that begins here has no end: write ] behind its \
             last item",
        ),
        (
            "[network]\naddress = '127.0.0.1:1', '[::1]:1'\n",
            "f:2:11: network.address: unexpected characters after the string; write several as a \
             list: [\"…\", \"…\"]",
        ),
    ] {
        assert_eq!(one(text), expected);
    }
}

#[test]
fn a_text_without_quotes_is_shown_with_them() {
    for (value, rest) in [
        ("127.0.0.1:3000", "put it in quotes: \"127.0.0.1:3000\""),
        (
            "127.0.0.1:3000 # all",
            "put it in quotes: \"127.0.0.1:3000\"",
        ),
        ("[::]:3000", "put it in quotes: \"[::]:3000\""),
        ("2001:db8::1", "put it in quotes: \"2001:db8::1\""),
        ("localhost:3000", "put it in quotes: \"localhost:3000\""),
        ("“127.0.0.1:3000”", "put it in quotes: \"127.0.0.1:3000\""),
        (
            "[127.0.0.1:3000, [::]:3000]",
            "put each string in quotes: [\"127.0.0.1:3000\", \"[::]:3000\"]",
        ),
        (
            "[\"127.0.0.1:3000\", [::]:3000]",
            "put each string in quotes: [\"127.0.0.1:3000\", \"[::]:3000\"]",
        ),
        (
            "[127.0.0.1:3000 [::]:3000]",
            "put each string in quotes, and a comma between two: [\"127.0.0.1:3000\", \
             \"[::]:3000\"]",
        ),
        (
            "['127.0.0.1:3000', '127.0.0.2:3000' \"[::]:3000\"] # two, really",
            "a comma is missing between \"127.0.0.2:3000\" and \"[::]:3000\"",
        ),
        (
            "[\n  '127.0.0.1:3000' # here, too\n  '[::]:3000',\n]",
            "a comma is missing between \"127.0.0.1:3000\" and \"[::]:3000\"",
        ),
    ] {
        assert_eq!(
            faults(&format!("[network]\naddress = {value}\n")),
            [format!("f:2:11: network.address: {rest}")]
        );
    }
    assert_eq!(
        faults(
            "workers = 4x\nlog_level = warn\n[network]\nratio = 1,5\n[access_list]\n\
             path = /etc/list\n[metrics]\npeer_clients = yes\npeer_id_prefixes = True\n"
        ),
        [
            "f:1:11: workers: must be a whole number, such as 0, not 4x",
            "f:2:13: log_level: put it in quotes: \"warn\"",
            "f:4:9: network.ratio: must be a number with a fraction, such as 1.5, not 1,5",
            "f:6:8: access_list.path: put it in quotes: \"/etc/list\"",
            "f:8:16: metrics.peer_clients: must be true or false, not yes",
            "f:9:20: metrics.peer_id_prefixes: must be true or false, not True",
        ]
    );
}

#[test]
fn keys_of_very_many_names_are_refused_before_they_fill_the_stack() {
    let deep = "a.".repeat(100_000);
    for (text, place) in [
        (format!("{deep}a = 1\n"), "1:64"),
        (format!("\n[{deep}a]\n"), "2:65"),
        (format!("a = [{{ {deep}a = 1 }}]\n"), "1:71"),
    ] {
        let expected = format!("f:{place}: a key of more than 32 names");
        assert_eq!(faults(&text), [expected]);
        let layers = [Layer::file(&text)];
        let essential = ["network.address"];
        let recovered = recover::<Sample>(&layers, Path::new("f"), &essential, |_| Vec::new());
        assert!(recovered.is_err());
    }
    // Dots in strings and comments do not count as dots in keys.
    let dots = ".".repeat(100);
    let text = format!("# {dots}\n[access_list]\npath = '{dots}' # {dots}\n");
    assert_eq!(loaded(&text).config.access_list.path, Path::new(&dots));
}
