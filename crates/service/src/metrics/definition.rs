//! Definitions of metrics, of which both the metrics page and its reference are made.

/// What is said of a metric: its name, kind, description and labels.
///
/// Names follow the conventions of Prometheus: base units (`_seconds`, `_bytes`), `_total`
/// for counters, points in time as `_timestamp_seconds`. A mistake in a constant is an
/// error of the compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    labels: &'static [&'static str],
    is_of_any_process: bool,
}

/// What the values of a metric do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only increase while the process runs.
    Counter,
    /// They increase and decrease.
    Gauge,
    /// Numbers of observations, by size.
    Histogram,
    /// Always 1; what there is to know are the labels.
    Info,
}

impl Metric {
    /// Values that only increase while the process runs.
    ///
    /// # Panics
    ///
    /// If the name does not end with `_total`.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        assert!(ends_with(name, "_total"), "counters end with _total");
        Self::new(name, Kind::Counter, help)
    }

    /// Values that increase and decrease.
    ///
    /// # Panics
    ///
    /// If the name ends with `_total`, as only those of counters do.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        assert!(!ends_with(name, "_total"), "only counters end with _total");
        Self::new(name, Kind::Gauge, help)
    }

    /// Durations, as [`DurationHistogram`](super::DurationHistogram) counts them.
    ///
    /// # Panics
    ///
    /// If the name does not end with `_seconds`.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        assert!(ends_with(name, "_seconds"), "durations end with _seconds");
        Self::new(name, Kind::Histogram, help)
    }

    /// Constant labels.
    ///
    /// # Panics
    ///
    /// If the name does not end with `_info`.
    pub const fn info(name: &'static str, help: &'static str) -> Self {
        assert!(ends_with(name, "_info"), "they end with _info");
        Self::new(name, Kind::Info, help)
    }

    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        assert!(is_name(name), "names have lower-case letters, digits and _");
        Self {
            name,
            kind,
            help,
            labels: &[],
            is_of_any_process: false,
        }
    }

    /// With these labels, whose values are given in this order.
    ///
    /// # Panics
    ///
    /// If one is not a valid name.
    #[must_use]
    pub const fn labelled(mut self, labels: &'static [&'static str]) -> Self {
        let mut index = 0;
        while index < labels.len() {
            assert!(is_name(labels[index]), "labels are names");
            index += 1;
        }
        self.labels = labels;
        self
    }

    /// With the name that programs of any kind give it, without the daemon's prefix.
    #[must_use]
    pub(crate) const fn of_any_process(mut self) -> Self {
        self.is_of_any_process = true;
        self
    }

    /// The name without the daemon's prefix.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The name on the page of this daemon: `aquatic_udp_torrents`.
    pub fn name_in(&self, daemon: &str) -> String {
        if self.is_of_any_process {
            self.name.to_owned()
        } else {
            format!("{}_{}", daemon.replace('-', "_"), self.name)
        }
    }

    /// What its values do.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The description.
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// The names of its labels.
    pub const fn labels(&self) -> &'static [&'static str] {
        self.labels
    }
}

impl Kind {
    /// The name in the Prometheus text format, which knows no [`Info`](Self::Info).
    pub const fn in_prometheus(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const fn ends_with(name: &str, end: &str) -> bool {
    let (name, end) = (name.as_bytes(), end.as_bytes());
    let Some(start) = name.len().checked_sub(end.len()) else {
        return false;
    };
    let mut index = 0;
    while index < end.len() {
        if name[start + index] != end[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn is_name(name: &str) -> bool {
    let name = name.as_bytes();
    let mut index = 0;
    while index < name.len() {
        let is_inner = name[index].is_ascii_digit() || name[index] == b'_';
        if !name[index].is_ascii_lowercase() && (index == 0 || !is_inner) {
            return false;
        }
        index += 1;
    }
    index > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_prefix_of_their_daemon() {
        let metric = Metric::gauge("torrents", "Torrents");
        assert_eq!(metric.name_in("aquatic-udp"), "aquatic_udp_torrents");
        let metric = Metric::gauge("process_open_fds", "Open").of_any_process();
        assert_eq!(metric.name_in("aquatic-udp"), "process_open_fds");
    }

    #[test]
    fn names_are_checked() {
        assert!(ends_with("a_total", "_total"));
        assert!(!ends_with("total", "_total"));
        assert!(!ends_with("a_totals", "_total"));
        assert!(is_name("a_1"));
        for name in ["", "_a", "1a", "A", "a-b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
