//! Writes frames.

use super::header::{EIGHT_BYTES, FINAL, Kind, MASKED, TWO_BYTES};
use super::{CloseCode, MAX_CONTROL_PAYLOAD, mask};

/// Appends a text message of a server; `write` appends its content.
#[inline]
pub fn write_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    write_frame(out, Kind::Text, None, write);
}

/// Appends a ping of a server. At most [`MAX_CONTROL_PAYLOAD`] bytes of `payload` are sent.
pub fn write_ping(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Kind::Ping, None, payload);
}

/// Appends a pong of a server with this payload.
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Kind::Pong, None, payload);
}

/// Appends a close frame of a server. `reason`, which is for humans, is truncated if it is
/// too long.
pub fn write_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    write_close_frame(out, None, code, reason);
}

pub(crate) fn write_close_frame(
    out: &mut Vec<u8>,
    mask: Option<[u8; 4]>,
    code: CloseCode,
    reason: &str,
) {
    let room = MAX_CONTROL_PAYLOAD - size_of::<u16>();
    let reason = &reason[..reason.floor_char_boundary(room)];
    write_frame(out, Kind::Close, mask, |out| {
        out.extend_from_slice(&code.number().to_be_bytes());
        out.extend_from_slice(reason.as_bytes());
    });
}

/// Appends a ping or a pong.
pub(crate) fn write_control(out: &mut Vec<u8>, kind: Kind, mask: Option<[u8; 4]>, payload: &[u8]) {
    let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
    write_frame(out, kind, mask, |out| out.extend_from_slice(payload));
}

/// Length of a header without mask for the usual payloads, of 126 bytes to 64 KiB.
const USUAL_HEADER: usize = 4;

/// Differences of the header length for longer and shorter payloads.
const LONGER: usize = 6;
const SHORTER: usize = 2;

/// Appends a frame; `write` appends its payload.
#[inline]
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    kind: Kind,
    mask: Option<[u8; 4]>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let at = out.len();
    // The header is filled in when the length is known.
    out.extend_from_slice(&[0; USUAL_HEADER]);
    if let Some(mask) = mask {
        out.extend_from_slice(&mask);
    }
    let payload_at = out.len();
    write(out);
    let payload = &mut out[payload_at..];
    let length = payload.len();
    let mut masked = 0;
    if let Some(mask) = mask {
        mask::apply(payload, mask);
        masked = MASKED;
    }
    out[at] = FINAL | kind as u8;
    if let Ok(length) = u8::try_from(length)
        && length < TWO_BYTES
    {
        out[at + 1] = masked | length;
        out.copy_within(at + USUAL_HEADER.., at + USUAL_HEADER - SHORTER);
        out.truncate(out.len() - SHORTER);
    } else if let Ok(length) = u16::try_from(length) {
        out[at + 1] = masked | TWO_BYTES;
        out[at + 2..at + USUAL_HEADER].copy_from_slice(&length.to_be_bytes());
    } else {
        out[at + 1] = masked | EIGHT_BYTES;
        out.splice(at + USUAL_HEADER..at + USUAL_HEADER, [0; LONGER]);
        let length = (length as u64).to_be_bytes();
        out[at + 2..at + USUAL_HEADER + LONGER].copy_from_slice(&length);
    }
}
