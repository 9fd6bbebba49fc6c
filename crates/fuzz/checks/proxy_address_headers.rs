//! Invariants for all values of headers with a client's address.

use aquatic_stream::AddressHeader;

/// Panics if an invariant does not hold.
pub(crate) fn check(value: &[u8]) {
    for name in ["X-Forwarded-For", "Forwarded"] {
        let header = AddressHeader::new(name);
        if let Ok(address) = header.address(Some(value)) {
            assert_eq!(address, address.to_canonical());
        }
    }
    // The last value, which the nearest proxy has added, counts.
    let list = AddressHeader::new("X-Forwarded-For");
    let appended = [value, b", 192.0.2.1"].concat();
    let expected = [192, 0, 2, 1].into();
    assert_eq!(list.address(Some(&appended)), Ok(expected));
    // If it is within quotes, no address is used.
    let forwarded = AddressHeader::new("Forwarded");
    let appended = [value, b", for=192.0.2.1;by=_proxy"].concat();
    let address = forwarded.address(Some(&appended));
    assert!(address.is_err() || address == Ok(expected));
}
