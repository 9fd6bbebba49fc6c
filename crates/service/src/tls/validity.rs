//! Expiry date of a certificate, and whether it is self-signed.
//!
//! This is all that is needed of a certificate (RFC 5280, 4.1), and only for warnings. So
//! the few elements before are skipped, instead of using a library for all of X.509.

/// DER tags (X.690) of the elements before the date.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`, the version.
const VERSION: u8 = 0xa0;

/// The expiry time of a DER certificate, in seconds since 1970; `None` if it cannot be
/// parsed, or is earlier.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let issuer = any_element(from_issuer(certificate)?)?;
    let (validity, _) = element(issuer.rest, SEQUENCE)?;
    let not_before = any_element(validity)?;
    let not_after = any_element(not_before.rest)?;
    epoch_seconds(not_after.tag, not_after.content)
}

/// Whether a DER certificate names itself as its issuer (RFC 5280, 6.1: "self-issued"), as
/// those do that are signed with their own key. False if it cannot be parsed.
#[must_use]
pub fn is_self_issued(certificate: &[u8]) -> bool {
    let names = || {
        let issuer = any_element(from_issuer(certificate)?)?;
        let validity = any_element(issuer.rest)?;
        let subject = any_element(validity.rest)?;
        Some((issuer.content, subject.content))
    };
    names().is_some_and(|(issuer, subject)| issuer == subject)
}

/// The elements of a certificate from the issuer on: issuer, validity, subject.
fn from_issuer(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    let mut rest = to_be_signed;
    if rest.first() == Some(&VERSION) {
        rest = any_element(rest)?.rest;
    }
    // serialNumber, signature.
    for _ in 0..2 {
        rest = any_element(rest)?.rest;
    }
    Some(rest)
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

/// Returns the content of the first element, if it has this tag, and the bytes after the
/// element.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let element = any_element(bytes)?;
    (element.tag == tag).then_some((element.content, element.rest))
}

/// X.690, 8.1: a tag, a length (one byte, or a number of bytes and as many bytes), the
/// content.
fn any_element(bytes: &[u8]) -> Option<Element<'_>> {
    let [tag, first, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // Longer elements, of more than 2^24 bytes, are not in a certificate.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(Element {
        tag: *tag,
        content,
        rest,
    })
}

/// Parses a time, RFC 5280, 4.1.2.5: `YYMMDDHHMMSSZ`, where 50 is 1950, or
/// `YYYYMMDDHHMMSSZ`.
fn epoch_seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let (digits, b"Z") = text.split_at_checked(text.len().checked_sub(1)?)? else {
        return None;
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let (year, rest) = match tag {
        UTC_TIME if digits.len() == 12 => {
            let year = number(&digits[..2]);
            let century = if year >= 50 { 1900 } else { 2000 };
            (century + year, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() == 14 => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let (pairs, _) = rest.as_chunks::<2>();
    let mut pairs = pairs.iter().map(|pair| number(pair));
    let mut within = |least, most| pairs.next().filter(|it| (least..=most).contains(it));
    let (month, day) = (within(1, 12)?, within(1, 31)?);
    let (hour, minute, second) = (within(0, 23)?, within(0, 59)?, within(0, 60)?);
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    u64::try_from(seconds).ok()
}

/// Number of days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years start in March here, so that a leap day is their last day.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March on, any five months have 153 days.
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_TO_1970: i64 = 719_468;
    year * 365 + leap_days + day_of_year - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use aquatic_test_harness::certificates::{
        EC_CERTIFICATE, EC_CERTIFICATE_EXPIRED, RSA_CERTIFICATE,
    };
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn dates_are_seconds() {
        let utc = |text: &str| epoch_seconds(UTC_TIME, text.as_bytes());
        let generalized = |text: &str| epoch_seconds(GENERALIZED_TIME, text.as_bytes());
        // The expected values are from `date -u -d … +%s`.
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("240229235959Z"), Some(1_709_251_199));
        assert_eq!(utc("491231235959Z"), Some(2_524_607_999));
        assert_eq!(utc("500101000000Z"), None, "1950");
        assert_eq!(generalized("20500101000000Z"), Some(2_524_608_000));
        assert_eq!(generalized("20000301000000Z"), Some(951_868_800));
        // RFC 5280, 4.1.2.5: no expiry date is known.
        assert_eq!(generalized("99991231235959Z"), Some(253_402_300_799));
        for text in [
            "",
            "Z",
            "240229235959",
            "2402292359Z",
            "241329235959Z",
            "240200235959Z",
            "240229245959Z",
            "24022923595xZ",
            "20240229235959Z",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
    }

    #[test]
    fn reads_certificates_and_survives_what_is_none() {
        for pem in [EC_CERTIFICATE, RSA_CERTIFICATE] {
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let expiry = not_after(&certificate).unwrap();
            assert!(expiry > 1_700_000_000, "{expiry}");
            for end in 0..certificate.len() {
                assert_eq!(not_after(&certificate[..end]), None);
            }
            // No value of any byte causes a panic.
            let mut damaged = certificate.to_vec();
            for place in 0..damaged.len().min(400) {
                for value in [0, 1, 0x7f, 0x80, 0x83, 0xff] {
                    let right = std::mem::replace(&mut damaged[place], value);
                    let _ = not_after(&damaged);
                    damaged[place] = right;
                }
            }
        }
        let expired = CertificateDer::from_pem_slice(EC_CERTIFICATE_EXPIRED.as_bytes()).unwrap();
        // 2021-01-01.
        assert_eq!(not_after(&expired), Some(1_609_459_200));
        assert_eq!(not_after(b""), None);
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
