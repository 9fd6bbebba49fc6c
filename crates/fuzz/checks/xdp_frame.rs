//! Invariants for every Ethernet frame, and for the answer to it.

use aquatic_xdp::FRAME_LENGTH;
use aquatic_xdp::frame::Request;

/// The sum in one's complement of 16-bit words, as RFC 1071 defines it.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.concat().chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Panics if an invariant does not hold.
pub(crate) fn check(frame: &[u8]) {
    let Ok(request) = Request::parse(frame) else {
        return;
    };
    let payload = request.payload();
    assert_eq!(payload.start, request.headers_length());
    assert!(payload.end <= frame.len());
    assert!(!request.source.ip().is_multicast() && !request.source.ip().is_unspecified());
    assert_ne!(request.source.ip(), request.destination.ip());
    assert_eq!(request.source.is_ipv4(), request.destination.is_ipv4());
    check_bytes(frame, &request);

    // What is beyond the datagram changes nothing, and nothing before its end is beyond.
    assert_eq!(
        Request::parse(&frame[..frame.len().min(packet_end(frame, &request))]),
        Ok(request)
    );
    assert!(Request::parse(&frame[..payload.end - 1]).is_err());

    let mut answer = [0x55; FRAME_LENGTH];
    let room = FRAME_LENGTH - payload.start;
    assert_eq!(request.write_answer(frame, &mut answer, room + 1), None);
    let reply = &frame[payload.clone()];
    let reply = &reply[..reply.len().min(room)];
    answer[payload.start..payload.start + reply.len()].copy_from_slice(reply);
    let length = request.write_answer(frame, &mut answer, reply.len());
    assert_eq!(length, Some(payload.start + reply.len()));
    let (answer, rest) = answer.split_at(payload.start + reply.len());
    assert!(rest.iter().all(|byte| *byte == 0x55));
    assert_eq!(answer[..6], frame[6..12]);
    assert_eq!(answer[6..12], frame[..6]);
    check_answer(answer, reply, &request);
}

/// Compares what was read with where it is in the frame.
fn check_bytes(frame: &[u8], request: &Request) {
    let datagram = request.headers_length() - 8;
    let port = |offset: usize| u16::from_be_bytes([frame[offset], frame[offset + 1]]);
    assert_eq!(request.source.port(), port(datagram));
    assert_eq!(request.destination.port(), port(datagram + 2));
    assert_eq!(request.payload().len() + 8, usize::from(port(datagram + 4)));
    let destination = match request.destination.ip() {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    assert!(frame[..datagram].ends_with(&destination));
}

/// Where the IP packet ends, in which the datagram may end earlier.
fn packet_end(frame: &[u8], request: &Request) -> usize {
    let network = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
    let (place, headers) = if request.source.is_ipv4() {
        (2, 0)
    } else {
        (4, 40)
    };
    let place = network + place;
    let length = u16::from_be_bytes([frame[place], frame[place + 1]]);
    network + headers + usize::from(length)
}

/// The answer is a request in the other direction, unless the client's own address could not
/// send one, and its checksum is whole.
fn check_answer(answer: &[u8], reply: &[u8], request: &Request) {
    let datagram = &answer[request.headers_length() - 8..];
    let addresses = match (request.destination.ip(), request.source.ip()) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
            [from.octets(), to.octets()].concat()
        }
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => {
            [from.octets(), to.octets()].concat()
        }
        _ => unreachable!("both have one family"),
    };
    let length = (datagram.len() as u16).to_be_bytes();
    assert_eq!(sum(&[&addresses, &length, &[0, 17], datagram]), 0xffff);
    assert_ne!(datagram[6..8], [0, 0]);
    if let Ok(back) = Request::parse(answer) {
        assert_eq!(back.source, request.destination);
        assert_eq!(back.destination, request.source);
        assert_eq!(answer[back.payload()], *reply);
    }
}
