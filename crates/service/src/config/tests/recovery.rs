//! Values that are read from files with errors.

use super::super::recover;
use super::*;

/// The addresses and workers of a faulty file; `None` when they are in doubt.
fn recovered(text: &str) -> Option<(Vec<String>, u64)> {
    let essential = ["network.address", "workers"];
    let check = |config: &Sample| {
        let mut checks = Checks::new();
        config.metrics.address(&mut checks);
        if config.workers > Count::of::<8>() {
            checks.fail("workers", "more than the address allows");
        }
        checks.finish(()).err().unwrap_or_default()
    };
    let recovered =
        recover::<Sample>(&[Layer::file(text)], Path::new("f"), &essential, check).ok()?;
    assert!(!recovered.faults.is_empty(), "{text}");
    let config = recovered.loaded.config;
    let addresses = config.network.address.as_slice();
    let addresses = addresses.iter().map(ToString::to_string).collect();
    Some((addresses, config.workers.as_u64()))
}

/// A file that is not a configuration at all is not examined for minutes, and no values
/// are taken from it.
#[test]
fn more_mistakes_than_anyone_reads_are_not_examined() {
    let right = "workers = 3\n[network]\naddress = '127.0.0.1:1'\n[metrics]\n";
    for mistake in ["k{}\n", "k{} = 1\n", "k{} = x\n", "= {}\n"] {
        let mistakes = |count: usize| {
            let numbers = (0..count).map(|number| mistake.replace("{}", &number.to_string()));
            format!("{right}{}", numbers.collect::<String>())
        };
        let (addresses, _) = recovered(&mistakes(50)).expect("they are examined");
        assert_eq!(addresses, ["127.0.0.1:1"], "{mistake}");

        let text = mistakes(80_000);
        assert_eq!(recovered(&text), None, "{mistake}");
        let faults = faults(&text);
        assert!(faults[0].contains("is this the right file?"), "{mistake}");
        assert!((10..=100).contains(&faults.len()), "{}", faults.len());
    }
    // The unclosed list causes an error in each of the lines after it.
    let unclosed = format!("{right}address = ['x'\n{}", "key = 1\n".repeat(1_000));
    let (addresses, _) = recovered(&unclosed).expect("it is one mistake");
    assert_eq!(addresses, ["127.0.0.1:1"]);
    assert_eq!(faults(&unclosed).len(), 1);
    // All keys are on one line.
    let inline: String = (0..50_000)
        .map(|number| format!("k{number} = 1, "))
        .collect();
    assert_eq!(faults(&format!("network = {{ {inline} a = x }}")).len(), 1);
}

#[test]
fn addresses_are_read_whatever_else_is_wrong() {
    for mistake in [
        "[metrics]\naddress = 127.0.0.1:9000\n",
        "[metrics]\naddress = '127.0.0.1'\n",
        "[metrics]\naddress = 'x\n",
        "[metrics]\naddress = ['x'\n",
        "[metrics\naddress = '0.0.0.0:1'\n",
        "[metrics]\nno_such_key = 1\n",
        "[no_such_section]\naddress = '0.0.0.0:1'\n",
        "[access_list]\nmode = 'of'\n",
        "[access_list]\nmode = \"\"\"\n",
        "[access_list]\nmode\n",
        "= 1\n",
        "garbage\n",
        "[[metrics]]\n",
        "buffer = -1\n",
        "bufer = 1\n",
        "ratio = 'x'\n",
        "]\n",
        "\u{0}\n",
    ] {
        let right = "workers = 3\n[network]\naddress = '127.0.0.1:1'\n";
        let expected = Some((vec!["127.0.0.1:1".to_owned()], 3));
        assert_eq!(
            recovered(&format!("{right}{mistake}")),
            expected,
            "{mistake}"
        );
    }
    // Defaults are used if no key can be a misspelling of an essential one.
    let (addresses, _) = recovered("[metrics]\nno_such_key = 1\n").unwrap();
    assert_eq!(addresses, ["0.0.0.0:3000", "[::]:3000"]);
}

#[test]
fn a_value_with_a_syntax_error_has_no_other_error() {
    let text = "[network]\naddress = '127.0.0.1:1'\nbuffer = x y\n";
    let essential = ["network.address"];
    let recovered = recover::<Sample>(&[Layer::file(text)], Path::new("f"), &essential, |_| {
        Vec::new()
    });
    let told: Vec<_> = recovered
        .unwrap()
        .faults
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = "network.buffer: must be a whole number, such as 5, not x y";
    assert_eq!(told, [expected]);
}

#[test]
fn addresses_are_not_guessed() {
    for text in [
        "[network]\naddress = 127.0.0.1:1\n",
        "[network]\naddress = '127.0.0.1'\n",
        "[network]\naddress = '127.0.0.1:1\n",
        "[network]\naddress = ['127.0.0.1:1'\nbuffer = 1\n",
        "[network]\naddress = '127.0.0.1:1', '127.0.0.1:2'\n",
        "[network]\naddress = '127.0.0.1:1'\naddress = '127.0.0.1:2'\n",
        "[network]\naddress = []\n",
        "[network]\naddress = ['127.0.0.1:1', 'x']\n",
        "[network]\naddress = ['0.0.0.0:1', '127.0.0.1:1']\n",
        "[network]\nadress = '127.0.0.1:1'\n",
        "[network\naddress = '127.0.0.1:1'\n",
        "[netwrok]\naddress = '127.0.0.1:1'\n",
        "address = '127.0.0.1:1'\n",
        "network = '127.0.0.1:1'\n",
        "[network]\naddress '127.0.0.1:1'\n",
        "[network]\nuse_ipv4 = 1\naddress_ipv4 = '127.0.0.1:1'\n",
        "[network]\naddress_ipv4 = 127.0.0.1:1\n",
        "workers = 'x'\n[network]\naddress = '127.0.0.1:1'\n",
        "workers = -1\n[network]\naddress = '127.0.0.1:1'\n",
        "workers = 9\n[network]\naddress = '127.0.0.1:1'\n",
        "[metrics]\npath = \"\"\"\n[network]\naddress = '127.0.0.1:1'\n",
    ] {
        assert_eq!(recovered(text), None, "{text}");
    }
}
