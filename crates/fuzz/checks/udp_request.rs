//! Invariants for every datagram from a client.

use aquatic_udp_protocol::{
    ConnectionIdKey, MIN_ANNOUNCE_LENGTH, Request, RequestError, TransactionId, write_error,
};

/// Larger than any datagram.
const BUFFER_LENGTH: usize = 1 << 16;

/// Panics if an invariant does not hold.
pub(crate) fn check(datagram: &[u8]) {
    let mut buffer = [0; BUFFER_LENGTH];
    let datagram = &datagram[..datagram.len().min(BUFFER_LENGTH)];
    match Request::parse(datagram) {
        Ok(Request::Connect(request)) => {
            assert_eq!(request.to_bytes(), datagram[..16]);
        }
        Ok(Request::Announce(request)) => {
            let url_data_length: usize = request.url_data.pieces().map(<[u8]>::len).sum();
            assert!(url_data_length <= datagram.len() - MIN_ANNOUNCE_LENGTH);

            // A parsed request is written so that it is parsed as the same request.
            let length = request.write(&mut buffer).expect("the buffer is large");
            assert_eq!(length, datagram.len());
            let again = Request::parse(&buffer[..length]);
            assert_eq!(again, Ok(Request::Announce(request)));
            refuse_made_up(request.connection_id);
        }
        Ok(Request::Scrape(request)) => {
            assert!(!request.info_hashes.is_empty());
            let length = request.write(&mut buffer).expect("the buffer is large");
            assert_eq!(buffer[..length], *datagram);
            refuse_made_up(request.connection_id);
        }
        Err(RequestError::TooShort { length }) => assert_eq!(length, datagram.len()),
        Err(RequestError::ProtocolId(_)) => {}
        Err(RequestError::Answerable {
            connection_id,
            transaction_id: TransactionId(transaction_id),
            fault,
        }) => {
            // The reply begins as the sender of the request expects.
            let text = fault.to_string();
            let length = write_error(&mut buffer, TransactionId(transaction_id), &text)
                .expect("the buffer is large");
            assert_eq!(length, 8 + text.len());
            assert_eq!(buffer[4..8], datagram[12..16]);
            refuse_made_up(connection_id);
        }
    }
}

/// No input contains a valid connection id, unless it guesses one of 2³².
fn refuse_made_up(connection_id: aquatic_udp_protocol::ConnectionId) {
    let key = ConnectionIdKey::from_bytes(*b"a key of nobody.");
    let [a, b, c, d, ..] = connection_id.0;
    let time = u32::from_be_bytes([a, b, c, d]);
    let address = [192, 0, 2, 1].into();
    assert_eq!(
        key.is_valid(connection_id, time, address, 120),
        key.connection_id(time, address) == connection_id
    );
}
