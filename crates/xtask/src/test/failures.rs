//! What the runner says of tests that failed, to be repeated at the end, where it is looked for.

/// What begins the output of a test that failed, before its name.
const BEGIN: &str = "---- ";

/// At most so many lines of a test are repeated: what it expected and what it saw.
const LINES_OF_A_TEST: usize = 30;

/// At most so many lines are repeated in all.
const LINES: usize = 600;

/// The beginnings of the outputs of tests that failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    lines: Vec<String>,
    /// How many more lines of the present test are kept.
    left: usize,
}

impl Failures {
    /// Looks at the next line of output.
    pub(super) fn see(&mut self, line: &str) {
        if line.starts_with(BEGIN) && line.ends_with(" ----") {
            self.left = LINES_OF_A_TEST;
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.left = 0;
        }
        if self.left > 0 && self.lines.len() < LINES && !line.is_empty() {
            self.left -= 1;
            self.lines.push(line.to_owned());
        }
    }

    /// The lines that are repeated, none if nothing failed.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_failed_tests_is_kept() {
        let output = "\
running 2 tests
test a::works ... ok
test a::fails ... FAILED

failures:

---- a::fails stdout ----

thread 'a::fails' panicked at src/a.rs:1:2:
left: 1

failures:
    a::fails

test result: FAILED. 1 passed; 1 failed; 0 ignored
";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.see(line));
        assert_eq!(
            failures.lines(),
            [
                "---- a::fails stdout ----",
                "thread 'a::fails' panicked at src/a.rs:1:2:",
                "left: 1",
            ]
        );
    }

    #[test]
    fn a_long_output_is_cut() {
        let mut failures = Failures::default();
        for test in 0..100 {
            failures.see(&format!("---- {test} stdout ----"));
            for _ in 0..1_000 {
                failures.see("a line");
            }
        }
        assert_eq!(failures.lines().len(), LINES);
        assert_eq!(failures.lines()[LINES_OF_A_TEST], "---- 1 stdout ----");
    }
}
