//! Errors of an engine.

use std::io;

use redis::ServerError;

use super::ACL_RULES;

/// Maximum number of characters of an engine's own words that are passed on.
const MAX_TEXT: usize = 200;

/// Why an engine does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached or does not work. A new connection may help.
    #[error("{0}")]
    Away(String),
    /// Its memory is full.
    #[error("the engine's memory is full: raise its maxmemory, or lower cluster.max_stream_bytes")]
    Full,
    /// A reply is too long to be kept in memory.
    #[error(
        "the engine sends replies of more than 4 MiB: if another program writes into the streams, \
         choose another cluster.namespace"
    )]
    TooLong,
    /// An operator has to change something; the text says what.
    #[error("{0}")]
    Refused(String),
}

impl EngineError {
    /// A reply has a form that this command never has.
    pub(super) fn unexpected_reply(command: &str) -> Self {
        Self::Away(format!("the engine's reply to {command} is not understood"))
    }

    /// What an error means when it is the answer to AUTH.
    pub(super) fn at_login(self) -> Self {
        match self {
            // There is no password in the engine, for instance.
            Self::Away(text) if text.starts_with("ERR ") => wrong_password(&text),
            error => error,
        }
    }

    fn from_code(code: &str, detail: &str) -> Self {
        let [code, detail] = [code, detail].map(clean);
        match &*code {
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
            "NOAUTH" | "WRONGPASS" => wrong_password(&detail),
            "DENIED" => Self::Refused(
                "the engine serves only its own host (protected mode) until it has a password: \
                 set one there, and in cluster.password_file"
                    .into(),
            ),
            _ => Self::Away(format!("{code} {detail}")),
        }
    }
}

impl From<&ServerError> for EngineError {
    fn from(error: &ServerError) -> Self {
        Self::from_code(error.code(), error.details().unwrap_or_default())
    }
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, FileTooLarge, TimedOut, UnexpectedEof, WouldBlock, WriteZero,
        };
        match error.kind() {
            // The system's own words are "Resource temporarily unavailable".
            WouldBlock | TimedOut => Self::Away("no answer in time".into()),
            BrokenPipe | UnexpectedEof | WriteZero => {
                Self::Away("the engine closed the connection".into())
            }
            FileTooLarge => Self::TooLong,
            _ => Self::Away(clean(&error.to_string())),
        }
    }
}

/// One line, without what a terminal would interpret.
pub(super) fn clean(text: &str) -> String {
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(MAX_TEXT).map(printable).collect()
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
        assert!(refused("DENIED", "Redis is running in …").contains("cluster.password_file"));
        assert_eq!(EngineError::from_code("OOM", "x"), EngineError::Full);
        for code in ["READONLY", "UNBLOCKED", "LOADING", "MOVED", "ERR"] {
            let error = EngineError::from_code(code, "x");
            assert_eq!(error, EngineError::Away(format!("{code} x")));
        }
        let login = EngineError::from_code("ERR", "AUTH called without any password").at_login();
        assert!(matches!(login, EngineError::Refused(_)));
        let loading = EngineError::from_code("LOADING", "x");
        assert_eq!(loading.clone().at_login(), loading);
    }

    #[test]
    fn errors_of_connections_are_in_words() {
        use std::io::{Error, ErrorKind};
        let text = |kind| EngineError::from(Error::from(kind)).to_string();
        assert_eq!(text(ErrorKind::WouldBlock), "no answer in time");
        assert_eq!(text(ErrorKind::TimedOut), "no answer in time");
        // Which of these errors occurs depends on timing.
        for kind in [ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof] {
            assert_eq!(text(kind), "the engine closed the connection");
        }
        assert!(text(ErrorKind::ConnectionRefused).contains("connection refused"));
    }

    #[test]
    fn what_an_engine_says_is_one_short_line() {
        let detail = format!("\u{1b}[31m\r\n{}", "x".repeat(10_000));
        let EngineError::Away(text) = EngineError::from_code("ERR\u{7}", &detail) else {
            panic!("it may pass");
        };
        assert!(text.starts_with("ERR   [31m  xx"), "{text}");
        assert!(text.len() < 300);
    }
}
