//! A client of TLS that can send any record, and so what no library sends.

use std::io;

use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::{
    ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
};

/// Length of the salt in TLS 1.2 with AES-GCM, which precedes the explicit part of the
/// nonce (RFC 5288, 3).
const SALT: usize = 4;

/// Bytes before the payload of a record.
const HEADER: usize = 5;

/// The keys of a connection.
pub struct Records {
    encrypter: Box<dyn MessageEncrypter>,
    sent: u64,
    decrypter: Box<dyn MessageDecrypter>,
    received: u64,
}

impl Records {
    /// Takes over the keys of a client that has completed its handshake and processed
    /// everything that it received. Its configuration must have
    /// `enable_secret_extraction`.
    ///
    /// # Panics
    /// When it has no keys.
    #[must_use]
    pub fn of(client: ClientConnection) -> Self {
        let suite = client.negotiated_cipher_suite().expect("a handshake");
        let secrets = client.dangerous_extract_secrets().expect("keys");
        let ((sent, sending), (received, receiving)) = (secrets.tx, secrets.rx);
        let key = |secrets| match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (key, iv),
            _ => panic!("the server prefers AES-GCM"),
        };
        let ((sending, sending_iv), (receiving, receiving_iv)) = (key(sending), key(receiving));
        let (encrypter, decrypter) = match suite {
            SupportedCipherSuite::Tls13(suite) => (
                suite.aead_alg.encrypter(sending, sending_iv),
                suite.aead_alg.decrypter(receiving, receiving_iv),
            ),
            SupportedCipherSuite::Tls12(suite) => {
                let (salt, explicit) = sending_iv.as_ref().split_at(SALT);
                let receiving_iv = &receiving_iv.as_ref()[..SALT];
                (
                    suite.aead_alg.encrypter(sending, salt, explicit),
                    suite.aead_alg.decrypter(receiving, receiving_iv),
                )
            }
        };
        let mut records = Self {
            encrypter,
            sent: 0,
            decrypter,
            received,
        };
        // The library's encrypter has to be used for all sequence numbers from the first
        // on.
        while records.sent < sent {
            let _ = records.seal(ContentType::ApplicationData, b"passed over");
        }
        records
    }

    /// A record with this payload.
    ///
    /// # Panics
    /// When it is too long.
    #[must_use]
    pub fn seal(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let chunks = [payload];
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::new(&chunks),
        };
        let sealed = self.encrypter.encrypt(message, self.sent);
        self.sent += 1;
        sealed.expect("a record").encode()
    }

    /// Removes the first record of the server from `received`, and appends its payload to
    /// `plain` if it is application data.
    ///
    /// # Errors
    /// When the record is incomplete or damaged.
    pub fn open(&mut self, received: &mut Vec<u8>, plain: &mut Vec<u8>) -> io::Result<ContentType> {
        let [kind, _, _, high, low, ..] = received[..] else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let end = HEADER + usize::from(u16::from_be_bytes([high, low]));
        if received.len() < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut record: Vec<u8> = received.drain(..end).collect();
        let kind = ContentType::from(kind);
        let version = ProtocolVersion::TLSv1_2;
        let opaque = InboundOpaqueMessage::new(kind, version, &mut record[HEADER..]);
        let opened = self.decrypter.decrypt(opaque, self.received);
        self.received += 1;
        let message = opened.map_err(io::Error::other)?;
        if message.typ == ContentType::ApplicationData {
            plain.extend_from_slice(message.payload);
        }
        Ok(message.typ)
    }
}
