//! Numbers and texts in bencode (BEP 3).

/// Appends `key`, which is already bencoded, and a number.
#[inline]
pub(crate) fn write_integer(out: &mut Vec<u8>, key: &[u8], number: u32) {
    out.extend_from_slice(key);
    out.push(b'i');
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(number).as_bytes());
    out.push(b'e');
}

/// Appends the length of a text, and the colon after it.
#[inline]
pub(crate) fn write_text_length(out: &mut Vec<u8>, length: usize) {
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(length).as_bytes());
    out.push(b':');
}

/// Appends a text.
#[inline]
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    write_text_length(out, text.len());
    out.extend_from_slice(text);
}
