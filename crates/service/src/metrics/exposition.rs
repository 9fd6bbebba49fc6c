//! Metrics in Prometheus text format and JSON.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value as Json};

/// A list of metrics, in the order in which they were added.
///
/// Names do not include the daemon's prefix: `requests_total` becomes
/// `aquatic_udp_requests_total`. In JSON, labels become nested objects, by their values:
/// `{"aquatic_udp_requests_total": {"announce": {"ipv4": 1}}}`.
#[derive(Debug)]
pub struct Metrics {
    prefix: String,
    families: Vec<Family>,
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// An integer.
    Integer(u64),
    /// A floating-point number.
    Float(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Integer(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Debug)]
struct Family {
    name: String,
    help: &'static str,
    kind: Kind,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

impl Metrics {
    /// Creates an empty list for this daemon: `aquatic-udp`.
    pub fn new(daemon: &str) -> Self {
        Self {
            prefix: daemon.replace('-', "_"),
            families: Vec::new(),
        }
    }

    /// Adds a value that only increases while the process runs. By convention, the name
    /// ends with `_total`.
    pub fn counter(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: impl Into<Value>,
    ) {
        self.add(Kind::Counter, name, help, labels, value.into());
    }

    /// Adds a value that may increase and decrease. By convention, the name ends with its
    /// unit: `_bytes`, `_seconds`.
    pub fn gauge(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: impl Into<Value>,
    ) {
        self.add(Kind::Gauge, name, help, labels, value.into());
    }

    /// The text format of Prometheus, version 0.0.4.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        for family in &self.families {
            let name = &family.name;
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            text.push_str("# HELP ");
            text.push_str(name);
            text.push(' ');
            escape(family.help, false, &mut text);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n# TYPE {name} {kind}");
            for sample in &family.samples {
                text.push_str(name);
                for (index, (label, value)) in sample.labels.iter().enumerate() {
                    text.push(if index == 0 { '{' } else { ',' });
                    text.push_str(label);
                    text.push_str("=\"");
                    escape(value, true, &mut text);
                    text.push('"');
                }
                if !sample.labels.is_empty() {
                    text.push('}');
                }
                let _ = match sample.value {
                    Value::Integer(value) => writeln!(text, " {value}"),
                    Value::Float(value) => writeln!(text, " {}", Float(value)),
                };
            }
        }
        text
    }

    /// The same metrics as JSON.
    pub fn to_json(&self) -> Json {
        let mut root = Map::new();
        for family in &self.families {
            for sample in &family.samples {
                let value = match sample.value {
                    Value::Integer(value) => Json::from(value),
                    // JSON has neither infinity nor "not a number".
                    Value::Float(value) => Number::from_f64(value).map_or(Json::Null, Json::from),
                };
                let labels = sample.labels.iter().map(|(_, value)| value.as_str());
                let path: Vec<&str> = std::iter::once(family.name.as_str())
                    .chain(labels)
                    .collect();
                insert(&mut root, &path, value);
            }
        }
        Json::Object(root)
    }

    fn add(
        &mut self,
        kind: Kind,
        name: &str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: Value,
    ) {
        debug_assert!(
            is_name(name) && labels.iter().all(|(label, _)| is_name(label)),
            "{name} {labels:?}: names have lower-case letters, digits and _"
        );
        let name = format!("{}_{name}", self.prefix);
        let sample = Sample {
            labels: labels
                .iter()
                .map(|(label, value)| (*label, (*value).to_owned()))
                .collect(),
            value,
        };
        // Samples of a family must be adjacent; they usually are added in this order.
        match self
            .families
            .iter_mut()
            .rev()
            .find(|family| family.name == name)
        {
            Some(family) => {
                debug_assert!(family.kind == kind, "{name} is added as two kinds");
                family.samples.push(sample);
            }
            None => self.families.push(Family {
                name,
                help,
                kind,
                samples: vec![sample],
            }),
        }
    }
}

/// A floating-point number in the syntax of Prometheus.
struct Float(f64);

impl std::fmt::Display for Float {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == f64::INFINITY {
            f.write_str("+Inf")
        } else if self.0 == f64::NEG_INFINITY {
            f.write_str("-Inf")
        } else {
            write!(f, "{}", self.0)
        }
    }
}

fn insert(object: &mut Map<String, Json>, path: &[&str], value: Json) {
    /// The key of a value that also has nested values.
    const OWN: &str = "value";

    let Some((first, rest)) = path.split_first() else {
        object.insert(OWN.to_owned(), value);
        return;
    };
    let entry = object.entry(*first).or_insert(Json::Null);
    if let Json::Object(inner) = entry {
        insert(inner, rest, value);
    } else if rest.is_empty() {
        *entry = value;
    } else {
        let mut inner = Map::new();
        if !entry.is_null() {
            inner.insert(OWN.to_owned(), entry.take());
        }
        insert(&mut inner, rest, value);
        *entry = Json::Object(inner);
    }
}

fn escape(text: &str, is_label: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if is_label => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let mut metrics = Metrics::new("aquatic-test");
        metrics.counter("requests_total", "Requests", &[("kind", "a\"\\\n")], 1u64);
        metrics.gauge("age_seconds", "Age\nin \"seconds\" \\", &[], 1.5);
        metrics.counter(
            "requests_total",
            "Requests",
            &[("kind", "b"), ("family", "ipv4")],
            2usize,
        );
        metrics.gauge("odd", "Odd", &[], f64::INFINITY);
        metrics
    }

    #[test]
    fn prometheus_text_is_grouped_and_escaped() {
        assert_eq!(
            metrics().to_prometheus(),
            "# HELP aquatic_test_requests_total Requests\n\
             # TYPE aquatic_test_requests_total counter\n\
             aquatic_test_requests_total{kind=\"a\\\"\\\\\\n\"} 1\n\
             aquatic_test_requests_total{kind=\"b\",family=\"ipv4\"} 2\n\
             # HELP aquatic_test_age_seconds Age\\nin \"seconds\" \\\\\n\
             # TYPE aquatic_test_age_seconds gauge\n\
             aquatic_test_age_seconds 1.5\n\
             # HELP aquatic_test_odd Odd\n\
             # TYPE aquatic_test_odd gauge\n\
             aquatic_test_odd +Inf\n"
        );
    }

    #[test]
    fn json_nests_by_label_values() {
        assert_eq!(
            metrics().to_json().to_string(),
            r#"{"aquatic_test_requests_total":{"a\"\\\n":1,"b":{"ipv4":2}},"#.to_owned()
                + r#""aquatic_test_age_seconds":1.5,"aquatic_test_odd":null}"#
        );
    }

    #[test]
    fn json_keeps_values_that_have_others_below_them() {
        let mut metrics = Metrics::new("x");
        metrics.gauge("a", "", &[], 1u64);
        metrics.gauge("a", "", &[("kind", "b")], 2u64);
        metrics.gauge("c", "", &[("kind", "b")], 3u64);
        metrics.gauge("c", "", &[], 4u64);
        assert_eq!(
            metrics.to_json().to_string(),
            r#"{"x_a":{"value":1,"b":2},"x_c":{"b":3,"value":4}}"#
        );
    }
}
