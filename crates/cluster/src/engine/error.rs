//! Why an engine does not do what it is asked.

use redis::{ErrorKind, RedisError, ServerError};

use super::ACL_RULES;

/// Why an engine does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It is not there, or not well. Trying again with a new connection may help.
    #[error("{0}")]
    Away(String),
    /// It has no memory left.
    #[error("the engine's memory is full: raise its maxmemory, or lower cluster.max_stream_bytes")]
    Full,
    /// Somebody has to change something; the text says what.
    #[error("{0}")]
    Refused(String),
}

impl EngineError {
    /// Something came that no engine sends.
    pub(super) fn strange_reply(to: &str) -> Self {
        Self::Away(format!("the engine's reply to {to} is not understood"))
    }

    fn from_code(code: &str, detail: &str) -> Self {
        match code {
            "OOM" => Self::Full,
            "NOPERM" => Self::Refused(format!(
                "the engine does not allow its user what is needed ({detail}); this suffices: \
                 ACL SETUSER … {ACL_RULES}"
            )),
            "WRONGTYPE" => Self::Refused(
                "another program uses a key of this cluster: choose another cluster.namespace, \
                 or delete the key"
                    .into(),
            ),
            "NOAUTH" | "WRONGPASS" => wrong_password(detail),
            _ => Self::Away(format!("{code} {detail}")),
        }
    }
}

impl From<&ServerError> for EngineError {
    fn from(error: &ServerError) -> Self {
        Self::from_code(error.code(), error.details().unwrap_or_default())
    }
}

impl From<RedisError> for EngineError {
    fn from(error: RedisError) -> Self {
        let detail = error.detail().unwrap_or_default();
        if error.kind() == ErrorKind::AuthenticationFailed {
            return wrong_password(detail);
        }
        if let Some(code) = error.code() {
            return Self::from_code(code, detail);
        }
        if error.is_timeout() {
            // The crate's own words are "Resource temporarily unavailable".
            return Self::Away("no answer within a second".into());
        }
        let text = error.to_string();
        // Whoever reads it sees one line of a log.
        Self::Away(text.replace(['\r', '\n'], " "))
    }
}

fn wrong_password(detail: &str) -> EngineError {
    EngineError::Refused(format!(
        "the engine refuses cluster.username and the password in cluster.password_file ({detail})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let refused = |code, detail| match EngineError::from_code(code, detail) {
            EngineError::Refused(text) => text,
            other => panic!("{code}: {other:?}"),
        };
        assert!(refused("NOPERM", "for xadd").contains("+xadd"));
        assert!(refused("WRONGTYPE", "x").contains("cluster.namespace"));
        assert!(refused("NOAUTH", "x").contains("cluster.password_file"));
        assert!(refused("WRONGPASS", "x").contains("cluster.password_file"));
        assert_eq!(EngineError::from_code("OOM", "x"), EngineError::Full);
        for code in ["READONLY", "UNBLOCKED", "LOADING", "MOVED", "ERR"] {
            let error = EngineError::from_code(code, "x");
            assert_eq!(error, EngineError::Away(format!("{code} x")));
        }
    }

    #[test]
    fn errors_of_connections_are_in_words() {
        use std::io::{Error, ErrorKind};
        let text = |kind| EngineError::from(RedisError::from(Error::from(kind))).to_string();
        assert_eq!(text(ErrorKind::WouldBlock), "no answer within a second");
        assert_eq!(text(ErrorKind::TimedOut), "no answer within a second");
        assert!(text(ErrorKind::ConnectionRefused).contains("connection refused"));
    }
}
