//! When to try again, and what to say of it.

use super::error::EngineError;
use super::status::{EngineStatus, Half};

const FIRST_MILLISECONDS: u64 = 100;
const LONGEST_MILLISECONDS: u64 = 5_000;

/// After what only an operator can mend.
const REFUSED_MILLISECONDS: u64 = 5_000;

/// After full memory, so that nobody trims all at once.
const FULL_MILLISECONDS: u64 = 500;

/// How often the same trouble is logged when it comes and goes.
const LOG_MILLISECONDS: u64 = 60_000;

/// The trouble that one half of a link has with its engine.
#[derive(Debug)]
pub(super) struct Pauses {
    half: Half,
    tries: u32,
    until: u64,
    /// What was logged last, and when it may be again.
    logged: Option<(String, u64)>,
    is_in_trouble: bool,
}

impl Pauses {
    pub(super) fn new(half: Half) -> Self {
        Self {
            half,
            tries: 0,
            until: 0,
            logged: None,
            is_in_trouble: false,
        }
    }

    /// Whether it is too early.
    pub(super) fn is_pause(&self, now: u64) -> bool {
        now < self.until
    }

    /// Something went wrong.
    pub(super) fn fail(&mut self, error: &EngineError, now: u64, status: &EngineStatus) {
        let pause = match error {
            EngineError::Away(_) => {
                let doubled = FIRST_MILLISECONDS << self.tries.min(10);
                doubled.min(LONGEST_MILLISECONDS)
            }
            EngineError::Full => FULL_MILLISECONDS,
            EngineError::Refused(_) => REFUSED_MILLISECONDS,
        };
        self.tries = self.tries.saturating_add(1);
        self.until = now.saturating_add(pause);
        self.is_in_trouble = true;
        let text = error.to_string();
        status.set_trouble(self.half, Some(text.clone()));
        let was_logged = self
            .logged
            .as_ref()
            .is_some_and(|(logged, until)| *logged == text && now < *until);
        if was_logged {
            return;
        }
        let what = match self.half {
            Half::Publisher => "cannot tell other nodes what changes here",
            Half::Reader => "cannot read what changes at other nodes",
        };
        match error {
            EngineError::Away(_) => log::warn!("{what}: {text}"),
            EngineError::Full | EngineError::Refused(_) => log::error!("{what}: {text}"),
        }
        self.logged = Some((text, now.saturating_add(LOG_MILLISECONDS)));
    }

    /// It works.
    pub(super) fn succeed(&mut self, status: &EngineStatus) {
        self.tries = 0;
        self.until = 0;
        if self.is_in_trouble {
            self.is_in_trouble = false;
            status.set_trouble(self.half, None);
            match self.half {
                Half::Publisher => log::info!("other nodes are told again what changes here"),
                Half::Reader => log::info!("what changes at other nodes is read again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let status = EngineStatus::default();
        let mut pauses = Pauses::new(Half::Reader);
        let away = EngineError::Away("gone".into());
        let mut last = 0;
        for _ in 0..100 {
            assert!(!pauses.is_pause(1_000));
            pauses.fail(&away, 0, &status);
            let pause = pauses.until;
            assert!(pauses.is_pause(pause - 1) && !pauses.is_pause(pause));
            assert!(pause >= last && pause <= LONGEST_MILLISECONDS);
            last = pause;
            pauses.until = 0;
        }
        assert_eq!(last, LONGEST_MILLISECONDS);
        assert_eq!(status.trouble().as_deref(), Some("gone"));
        pauses.succeed(&status);
        assert_eq!(status.trouble(), None);
        pauses.fail(&away, 0, &status);
        assert_eq!(pauses.until, FIRST_MILLISECONDS);
    }
}
