//! The options that may follow an announce (BEP 41).

/// Option types (BEP 41, "Option types").
mod option {
    pub(super) const END_OF_OPTIONS: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const URL_DATA: u8 = 2;
}

/// Path and query of the tracker's URL as given to the client, such as
/// `/announce?passkey=…`. The options are only parsed on request.
///
/// URL data of more than 255 bytes are split into several options, which are joined.
/// Options never make an announce fail: unknown ones are skipped, and if an option exceeds
/// the end of the datagram, parsing stops and the result is what was found before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UrlData<'a> {
    options: &'a [u8],
}

impl<'a> UrlData<'a> {
    /// The URL data in these options.
    #[inline]
    #[must_use]
    pub const fn from_options(options: &'a [u8]) -> Self {
        Self { options }
    }

    /// All options as received, including others than URL data.
    #[inline]
    #[must_use]
    pub const fn options(&self) -> &'a [u8] {
        self.options
    }

    /// The parts of the URL data in their order, without empty ones.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut options = self.options;
        std::iter::from_fn(move || {
            loop {
                let (&kind, rest) = options.split_first()?;
                if kind == option::NOP {
                    options = rest;
                    continue;
                }
                if kind == option::END_OF_OPTIONS {
                    // The rest is padding, now and in the next call.
                    options = &[];
                    return None;
                }
                // BEP 41: every other option has a length byte, so that unknown ones can be
                // skipped.
                let piece = rest
                    .split_first()
                    .and_then(|(&length, rest)| rest.split_at_checked(usize::from(length)));
                let Some((data, rest)) = piece else {
                    options = &[];
                    return None;
                };
                options = rest;
                if kind == option::URL_DATA && !data.is_empty() {
                    return Some(data);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(options: &[u8]) -> Vec<u8> {
        UrlData::from_options(options)
            .pieces()
            .flatten()
            .copied()
            .collect()
    }

    #[test]
    fn joins_pieces() {
        // BEP 41 gives this path in one option and in two as examples.
        assert_eq!(joined(b"\x02\x0c/dir?a=b&c=d"), b"/dir?a=b&c=d");
        assert_eq!(joined(b"\x02\x05/dir?\x02\x07a=b&c=d"), b"/dir?a=b&c=d");
        assert_eq!(
            joined(b"\x01\x02\x05/dir?\x01\x01\x02\x03a=b\x00"),
            b"/dir?a=b"
        );
    }

    #[test]
    fn skips_what_it_does_not_know() {
        assert_eq!(joined(b"\x09\x03abc\x02\x02/x"), b"/x");
        assert_eq!(joined(b"\xff\x00\x02\x02/x"), b"/x");
        assert_eq!(joined(b"\x02\x00\x02\x02/x"), b"/x");
    }

    #[test]
    fn stops_at_the_end_and_where_it_is_cut_off() {
        assert_eq!(joined(b""), b"");
        assert_eq!(joined(b"\x00\x02\x02/x"), b"");
        assert_eq!(joined(b"\x02"), b"");
        assert_eq!(joined(b"\x02\x03/x"), b"");
        assert_eq!(joined(b"\x02\x02/x\x02\x7f/y"), b"/x");
        assert_eq!(joined(b"\x02\x02/x\x09"), b"/x");
    }

    proptest! {
        #[test]
        fn any_bytes_end(options: Vec<u8>) {
            prop_assert!(joined(&options).len() <= options.len());
        }

        #[test]
        fn any_path_comes_back(path: Vec<u8>, nops in 0_usize..3) {
            let mut options = Vec::new();
            for piece in path.chunks(255) {
                options.extend(std::iter::repeat_n(option::NOP, nops));
                options.push(option::URL_DATA);
                options.push(u8::try_from(piece.len()).unwrap());
                options.extend_from_slice(piece);
            }
            prop_assert_eq!(joined(&options), path);
        }
    }
}
