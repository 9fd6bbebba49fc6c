//! What aquatic-metrics(7) says.

use std::collections::BTreeMap;

/// A metric as the manual describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its kind in the text format of Prometheus.
    pub kind: String,
    /// The names of its labels.
    pub labels: Vec<String>,
}

/// The metrics of a daemon, by their names on its page.
///
/// # Panics
/// When the page does not have the expected form.
#[must_use]
pub fn metrics(daemon: &str) -> BTreeMap<String, Described> {
    parse(include_str!("../../../man/aquatic-metrics.7"), daemon)
}

fn parse(page: &str, daemon: &str) -> BTreeMap<String, Described> {
    let (_, list) = page.split_once(".Sh METRICS\n").expect("a section");
    let (list, _) = list.split_once("\n.El\n").expect("a list");
    let entries = list.split("\n.It Li ").skip(1);
    let mut metrics = BTreeMap::new();
    for entry in entries {
        let only_in = entry.lines().find_map(|line| line.strip_prefix("Only in "));
        if only_in.is_some_and(|daemons| !daemons.contains(daemon)) {
            continue;
        }
        let (head, _) = entry.split_once('\n').expect("a description");
        let (name, form) = head.split_once(" Pq ").expect("a kind");
        let (kind, labels) = form.split_once(" by ").unwrap_or((form, ""));
        let name = if name.starts_with("process_") {
            name.to_owned()
        } else {
            format!("{}_{name}", daemon.replace('-', "_"))
        };
        let described = Described {
            kind: kind.replace("info", "gauge"),
            labels: labels
                .split(", ")
                .filter(|label| !label.is_empty())
                .map(str::to_owned)
                .collect(),
        };
        metrics.insert(name, described);
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let page = ".Sh METRICS\n.Bl\n.It Li a_total Pq counter by b, c\nA.\n\
                    .It Li process_d Pq gauge\nD.\n.It Li e_info Pq info by f\nE.\n.br\n\
                    Only in aquatic-ws.\n.El\n";
        let metrics = parse(page, "aquatic-udp");
        let names: Vec<_> = metrics.keys().collect();
        assert_eq!(names, ["aquatic_udp_a_total", "process_d"]);
        assert_eq!(metrics["aquatic_udp_a_total"].labels, ["b", "c"]);
        assert_eq!(parse(page, "aquatic-ws")["aquatic_ws_e_info"].kind, "gauge");
    }
}
