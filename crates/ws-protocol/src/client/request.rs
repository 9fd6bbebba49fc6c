//! Requests, as written by clients.

use aquatic_bittorrent::AnnounceEvent;

use crate::request::{Announce, Answer, Request, Scrape};
use crate::text::write_bytes;

/// Appends a request as JSON.
pub fn write_request(out: &mut Vec<u8>, request: &Request<'_>) {
    match request {
        Request::Announce(announce) => write_announce(out, announce),
        Request::Answer(answer) => write_answer(out, answer),
        Request::Scrape(scrape) => write_scrape(out, scrape),
    }
}

fn write_announce(out: &mut Vec<u8>, announce: &Announce<'_>) {
    out.extend_from_slice(b"{\"action\":\"announce\",\"info_hash\":");
    write_bytes(out, &announce.info_hash.0);
    out.extend_from_slice(b",\"peer_id\":");
    write_bytes(out, &announce.peer_id.0);
    let event = match announce.event {
        AnnounceEvent::None => None,
        AnnounceEvent::Started => Some("started"),
        AnnounceEvent::Stopped => Some("stopped"),
        AnnounceEvent::Completed => Some("completed"),
        AnnounceEvent::Paused => Some("paused"),
    };
    if let Some(event) = event {
        out.extend_from_slice(b",\"event\":\"");
        out.extend_from_slice(event.as_bytes());
        out.push(b'"');
    }
    let mut number = itoa::Buffer::new();
    let numbers = [
        (&b",\"left\":"[..], announce.left),
        (b",\"uploaded\":", announce.uploaded),
        (b",\"downloaded\":", announce.downloaded),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            out.extend_from_slice(name);
            out.extend_from_slice(number.format(value).as_bytes());
        }
    }
    if let Some(wanted) = announce.wanted {
        out.extend_from_slice(b",\"numwant\":");
        out.extend_from_slice(number.format(wanted).as_bytes());
    }
    if !announce.offers.is_empty() {
        out.extend_from_slice(b",\"offers\":[");
        for (index, offer) in announce.offers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"offer\":");
            out.extend_from_slice(offer.description.json().as_bytes());
            out.extend_from_slice(b",\"offer_id\":");
            write_bytes(out, &offer.id.0);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    out.extend_from_slice(b"{\"action\":\"announce\",\"info_hash\":");
    write_bytes(out, &answer.info_hash.0);
    out.extend_from_slice(b",\"peer_id\":");
    write_bytes(out, &answer.peer_id.0);
    out.extend_from_slice(b",\"to_peer_id\":");
    write_bytes(out, &answer.to_peer_id.0);
    out.extend_from_slice(b",\"offer_id\":");
    write_bytes(out, &answer.offer_id.0);
    out.extend_from_slice(b",\"answer\":");
    out.extend_from_slice(answer.description.json().as_bytes());
    out.push(b'}');
}

fn write_scrape(out: &mut Vec<u8>, scrape: &Scrape) {
    out.extend_from_slice(b"{\"action\":\"scrape\",\"info_hash\":[");
    for (index, info_hash) in scrape.info_hashes.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_bytes(out, &info_hash.0);
    }
    out.extend_from_slice(b"]}");
}
