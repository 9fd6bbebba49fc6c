//! Limits of the running process, and io_uring.

use std::fs;

use aquatic_service::resource_limits::{Limit, Limits};

use crate::finding::Finding;
use crate::sockets::daemon_processes;
use crate::subject::Subject;

/// The limits of the running daemon, with its process id.
fn of_running(subject: &Subject) -> Option<(u32, Limits)> {
    let listening = &subject.configured.as_ref()?.listening;
    let process = daemon_processes(subject.name, listening).pop_first()?;
    let text = fs::read_to_string(format!("/proc/{}/limits", process.id)).ok()?;
    Some((process.id, Limits::parse(&text)?))
}

/// Checks how many files the running daemon may open.
pub(crate) fn examine_descriptors(subject: &Subject) -> Vec<Finding> {
    let needed = subject.configured.as_ref();
    let Some(needed) = needed.and_then(|it| it.particulars.open_files) else {
        return Vec::new();
    };
    let Some((id, limits)) = of_running(subject) else {
        return vec![not_visible(subject)];
    };
    let open = fs::read_dir(format!("/proc/{id}/fd"))
        .map(Iterator::count)
        .ok();
    vec![judge_files(needed, limits.open_files, open)]
}

fn judge_files(needed: u64, limit: Limit, open: Option<usize>) -> Finding {
    let now = open.map_or(String::new(), |open| format!(", {open} of them now"));
    match limit {
        Limit::At(limit) if limit < needed => Finding::warning(
            format!(
                "the tracker may open {limit} files{now}, but network.max_connections may need \
                 {needed}, so it refuses connections before that"
            ),
            format!(
                "set LimitNOFILE={needed} in a drop-in of the unit (systemctl edit), or run \
                 ulimit -n {needed} before starting it; or lower network.max_connections"
            ),
        ),
        Limit::At(limit) => Finding::ok(format!(
            "the tracker may open {limit} files{now}; {needed} are enough"
        )),
        Limit::Unlimited => Finding::ok(format!("the tracker may open any number of files{now}")),
    }
}

/// Checks how much memory the running daemon may lock.
pub(crate) fn examine_locked_memory(subject: &Subject) -> Vec<Finding> {
    let needed = subject.configured.as_ref();
    let Some(needed) = needed.and_then(|it| it.particulars.locked_memory_bytes) else {
        return Vec::new();
    };
    let Some((_, limits)) = of_running(subject) else {
        return vec![not_visible(subject)];
    };
    vec![judge_memory(needed, limits.locked_memory_bytes)]
}

fn judge_memory(needed: u64, limit: Limit) -> Finding {
    match limit {
        Limit::At(limit) if limit < needed => Finding::wrong(
            format!(
                "the tracker may lock {limit} bytes of memory, but its event loop needs {needed}"
            ),
            "set LimitMEMLOCK=64M in a drop-in of the unit (systemctl edit), or network.event_loop \
             to \"mio\"",
        ),
        Limit::At(limit) => Finding::ok(format!("the tracker may lock {limit} bytes of memory")),
        Limit::Unlimited => Finding::ok("the tracker may lock any amount of memory"),
    }
}

/// Checks io_uring, for a process like this one.
pub(crate) fn examine_io_uring(subject: &Subject) -> Vec<Finding> {
    let result = subject.configured.as_ref();
    match result.and_then(|it| it.particulars.io_uring.as_ref()) {
        None => Vec::new(),
        Some(Ok(())) => vec![Finding::ok("available, as far as this process can see")],
        Some(Err(reason)) => vec![Finding::wrong(
            reason.clone(),
            "do what the text says; network.event_loop = \"auto\" needs no io_uring",
        )],
    }
}

fn not_visible(subject: &Subject) -> Finding {
    Finding::unchecked(format!(
        "no process of {} that this user can examine listens",
        subject.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    #[test]
    fn low_limits_are_found() {
        for (limit, state) in [
            (Limit::At(999), State::Warning),
            (Limit::At(1000), State::Ok),
            (Limit::Unlimited, State::Ok),
        ] {
            assert_eq!(judge_files(1000, limit, Some(3)).state, state);
        }
        for (limit, state) in [
            (Limit::At(999), State::Wrong),
            (Limit::At(1000), State::Ok),
            (Limit::Unlimited, State::Ok),
        ] {
            assert_eq!(judge_memory(1000, limit).state, state);
        }
    }
}
