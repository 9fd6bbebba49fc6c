//! What a check has found.

use serde::Serialize;

/// How good or bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It could not be examined, or does not apply; the text says why.
    Unchecked,
    /// It is as it should be.
    Ok,
    /// It may cause trouble, or excludes some clients.
    Warning,
    /// Clients are not served, or wrongly.
    Wrong,
}

impl State {
    /// The word in the table and in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }

    /// The exit code if this is the worst state.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Unchecked | Self::Ok => 0,
            Self::Warning => 1,
            Self::Wrong => 2,
        }
    }
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) state: State,
    /// What is so.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(what: impl Into<String>) -> Self {
        Self::new(State::Ok, what, None)
    }

    pub(crate) fn unchecked(what: impl Into<String>) -> Self {
        Self::new(State::Unchecked, what, None)
    }

    pub(crate) fn warning(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(State::Warning, what, Some(advice.into()))
    }

    pub(crate) fn wrong(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(State::Wrong, what, Some(advice.into()))
    }

    /// The check has panicked.
    pub(crate) fn failed() -> Self {
        Self::warning("the check itself failed", "please report this")
    }

    fn new(state: State, what: impl Into<String>, advice: Option<String>) -> Self {
        Self {
            state,
            what: what.into(),
            advice,
        }
    }
}

/// The worst state.
pub(crate) fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> State {
    let states = findings.into_iter().map(|finding| finding.state);
    states.max().unwrap_or(State::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_state_determines_the_exit_code() {
        let ok = Finding::ok("");
        let unchecked = Finding::unchecked("");
        let warning = Finding::warning("", "");
        let wrong = Finding::wrong("", "");
        for (findings, code) in [
            (&[][..], 0),
            (&[&ok, &unchecked], 0),
            (&[&warning, &ok], 1),
            (&[&ok, &wrong, &warning], 2),
        ] {
            assert_eq!(worst(findings.iter().copied()).exit_code(), code);
        }
    }
}
