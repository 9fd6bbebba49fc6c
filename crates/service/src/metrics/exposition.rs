//! Metrics in text formats and JSON.
//!
//! No library is used: each of those looked at writes one text format, takes its values
//! from counters of its own, which several threads increment with locked instructions, or
//! knows no JSON. What is needed is three formats of counters that workers already have.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value as Json};

use super::definition::{Kind, Metric};
use super::histogram::Durations;

/// A list of metrics with their values, in the order in which they were added.
///
/// In JSON, labels become nested objects, by their values:
/// `{"aquatic_udp_requests_total": {"announce": {"ipv4": 1}}}`.
#[derive(Debug)]
pub struct Metrics {
    daemon: String,
    families: Vec<Family>,
}

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// That of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An integer.
    Integer(u64),
    /// A floating-point number.
    Float(f64),
    /// Durations, for histograms alone.
    Durations(Box<Durations>),
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

impl From<Durations> for Value {
    fn from(durations: Durations) -> Self {
        Self::Durations(Box::new(durations))
    }
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    name: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<String>,
    value: Value,
}

impl Metrics {
    /// Creates an empty list for this daemon: `aquatic-udp`.
    pub fn new(daemon: &str) -> Self {
        Self {
            daemon: daemon.to_owned(),
            families: Vec::new(),
        }
    }

    /// Adds a value of a metric, with the values of its labels in their order.
    pub fn add(&mut self, metric: &Metric, labels: &[&str], value: impl Into<Value>) {
        let value = value.into();
        debug_assert_eq!(
            labels.len(),
            metric.labels().len(),
            "{metric:?}: {labels:?}"
        );
        debug_assert_eq!(
            matches!(value, Value::Durations(_)),
            metric.kind() == Kind::Histogram,
            "{metric:?}: {value:?}"
        );
        let name = metric.name_in(&self.daemon);
        let sample = Sample {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
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
                debug_assert_eq!(family.metric, *metric, "{name} has two definitions");
                family.samples.push(sample);
            }
            None => self.families.push(Family {
                metric: *metric,
                name,
                samples: vec![sample],
            }),
        }
    }

    /// The values of a metric, each with its labels, in the order in which they were added;
    /// none of a histogram.
    pub(crate) fn values(&self, metric: &Metric) -> impl Iterator<Item = (&[String], f64)> {
        let families = self.families.iter();
        let samples = families
            .filter(|family| family.metric == *metric)
            .flat_map(|family| &family.samples);
        samples.filter_map(|sample| match sample.value {
            Value::Integer(value) => Some((&*sample.labels, value as f64)),
            Value::Float(value) => Some((&*sample.labels, value)),
            Value::Durations(_) => None,
        })
    }

    /// All metrics in a text format.
    pub fn to_text(&self, format: TextFormat) -> String {
        let mut text = String::new();
        for family in &self.families {
            family.write(format, &mut text);
        }
        if format == TextFormat::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    /// The same metrics as JSON.
    pub fn to_json(&self) -> Json {
        let mut root = Map::new();
        for family in &self.families {
            for sample in &family.samples {
                let labels = sample.labels.iter().map(String::as_str);
                let path: Vec<&str> = std::iter::once(family.name.as_str())
                    .chain(labels)
                    .collect();
                insert(&mut root, &path, sample.value.to_json());
            }
        }
        Json::Object(root)
    }
}

impl Value {
    fn to_json(&self) -> Json {
        match self {
            Self::Integer(value) => Json::from(*value),
            // JSON has neither infinity nor "not a number".
            Self::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::from),
            Self::Durations(durations) => {
                let buckets: Map<String, Json> = durations
                    .up_to()
                    .map(|(bound, count)| (bound.to_owned(), Json::from(count)))
                    .collect();
                serde_json::json!({
                    "buckets": buckets,
                    "count": durations.count(),
                    "sum": durations.sum_seconds(),
                })
            }
        }
    }
}

// Writing to a string cannot fail.
impl Family {
    fn write(&self, format: TextFormat, text: &mut String) {
        let (name, kind) = self.head(format);
        let help = Escaped {
            text: self.metric.help(),
            quotes: format == TextFormat::OpenMetrics,
        };
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        if format == TextFormat::OpenMetrics {
            let units = ["seconds", "bytes"];
            let unit = units.iter().find(|unit| {
                let before = name.strip_suffix(**unit);
                before.is_some_and(|before| before.ends_with('_'))
            });
            if let Some(unit) = unit {
                let _ = writeln!(text, "# UNIT {name} {unit}");
            }
        }
        for sample in &self.samples {
            let labels = self.labels(sample);
            match &sample.value {
                Value::Integer(value) => {
                    let _ = writeln!(text, "{}{} {value}", self.name, in_braces(&labels));
                }
                Value::Float(value) => {
                    let value = Float(*value);
                    let _ = writeln!(text, "{}{} {value}", self.name, in_braces(&labels));
                }
                Value::Durations(durations) => {
                    for (bound, count) in durations.up_to() {
                        let mut labels = labels.clone();
                        labels.push(format!("le=\"{bound}\""));
                        let _ =
                            writeln!(text, "{}_bucket{} {count}", self.name, in_braces(&labels));
                    }
                    let (sum, count) = (durations.sum_seconds(), durations.count());
                    let labels = in_braces(&labels);
                    let _ = writeln!(text, "{}_sum{labels} {sum}", self.name);
                    let _ = writeln!(text, "{}_count{labels} {count}", self.name);
                }
            }
        }
    }

    /// The name and kind of the family.
    fn head(&self, format: TextFormat) -> (&str, &'static str) {
        let kind = self.metric.kind();
        match (format, kind) {
            (TextFormat::OpenMetrics, Kind::Counter) => {
                (self.without("_total"), kind.in_prometheus())
            }
            (TextFormat::OpenMetrics, Kind::Info) => (self.without("_info"), "info"),
            _ => (&self.name, kind.in_prometheus()),
        }
    }

    fn without(&self, suffix: &str) -> &str {
        self.name.strip_suffix(suffix).unwrap_or(&self.name)
    }

    /// The labels of a sample: `kind="announce"`.
    fn labels(&self, sample: &Sample) -> Vec<String> {
        let names = self.metric.labels().iter();
        names
            .zip(&sample.labels)
            .map(|(name, value)| {
                let value = Escaped {
                    text: value,
                    quotes: true,
                };
                format!("{name}=\"{value}\"")
            })
            .collect()
    }
}

fn in_braces(labels: &[String]) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", labels.join(","))
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
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        object.insert((*first).to_owned(), value);
        return;
    }
    let entry = object.entry(*first).or_insert_with(|| Map::new().into());
    // All samples of a family have as many labels, so that it is an object.
    if let Json::Object(inner) = entry {
        insert(inner, rest, value);
    }
}

/// Text of which lines, backslashes, and quotation marks if so, are escaped.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.text.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quotes => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::DurationHistogram;
    use super::*;

    const REQUESTS: Metric = Metric::counter("requests_total", "Requests").labelled(&["kind"]);
    const AGE: Metric = Metric::gauge("age_seconds", "Age\nin \"seconds\" \\");
    const ODD: Metric = Metric::gauge("odd", "Odd");
    const BUILD: Metric = Metric::info("build_info", "Version").labelled(&["version"]);

    fn metrics() -> Metrics {
        let mut metrics = Metrics::new("aquatic-test");
        metrics.add(&REQUESTS, &["a\"\\\n"], 1u64);
        metrics.add(&AGE, &[], 1.5);
        metrics.add(&REQUESTS, &["b"], 2usize);
        metrics.add(&ODD, &[], f64::INFINITY);
        metrics.add(&BUILD, &["1.0"], 1u64);
        metrics
    }

    #[test]
    fn prometheus_text_is_grouped_and_escaped() {
        assert_eq!(
            metrics().to_text(TextFormat::Prometheus),
            "# HELP aquatic_test_requests_total Requests\n\
             # TYPE aquatic_test_requests_total counter\n\
             aquatic_test_requests_total{kind=\"a\\\"\\\\\\n\"} 1\n\
             aquatic_test_requests_total{kind=\"b\"} 2\n\
             # HELP aquatic_test_age_seconds Age\\nin \"seconds\" \\\\\n\
             # TYPE aquatic_test_age_seconds gauge\n\
             aquatic_test_age_seconds 1.5\n\
             # HELP aquatic_test_odd Odd\n\
             # TYPE aquatic_test_odd gauge\n\
             aquatic_test_odd +Inf\n\
             # HELP aquatic_test_build_info Version\n\
             # TYPE aquatic_test_build_info gauge\n\
             aquatic_test_build_info{version=\"1.0\"} 1\n"
        );
    }

    #[test]
    fn openmetrics_names_families_without_suffixes_and_has_an_end() {
        assert_eq!(
            metrics().to_text(TextFormat::OpenMetrics),
            "# HELP aquatic_test_requests Requests\n\
             # TYPE aquatic_test_requests counter\n\
             aquatic_test_requests_total{kind=\"a\\\"\\\\\\n\"} 1\n\
             aquatic_test_requests_total{kind=\"b\"} 2\n\
             # HELP aquatic_test_age_seconds Age\\nin \\\"seconds\\\" \\\\\n\
             # TYPE aquatic_test_age_seconds gauge\n\
             # UNIT aquatic_test_age_seconds seconds\n\
             aquatic_test_age_seconds 1.5\n\
             # HELP aquatic_test_odd Odd\n\
             # TYPE aquatic_test_odd gauge\n\
             aquatic_test_odd +Inf\n\
             # HELP aquatic_test_build Version\n\
             # TYPE aquatic_test_build info\n\
             aquatic_test_build_info{version=\"1.0\"} 1\n\
             # EOF\n"
        );
    }

    #[test]
    fn histograms_are_cumulative() {
        const TIMES: Metric = Metric::histogram("time_seconds", "Time").labelled(&["kind"]);
        let histogram = DurationHistogram::default();
        histogram.end(histogram.begin(), 3);
        let mut durations = Durations::default();
        durations.add(&histogram);
        let mut metrics = Metrics::new("x");
        metrics.add(&TIMES, &["a"], durations);
        let text = metrics.to_text(TextFormat::Prometheus);
        for part in [
            "# TYPE x_time_seconds histogram\n",
            "x_time_seconds_bucket{kind=\"a\",le=\"1e-06\"} ",
            "x_time_seconds_bucket{kind=\"a\",le=\"+Inf\"} 3\n",
            "x_time_seconds_sum{kind=\"a\"} 0.0",
            "x_time_seconds_count{kind=\"a\"} 3\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(
            metrics.to_json()["x_time_seconds"]["a"]["buckets"]["1.0"],
            3
        );
        assert_eq!(metrics.to_json()["x_time_seconds"]["a"]["count"], 3);
    }

    #[test]
    fn json_nests_by_label_values() {
        assert_eq!(
            metrics().to_json().to_string(),
            r#"{"aquatic_test_requests_total":{"a\"\\\n":1,"b":2},"aquatic_test_age_seconds":1.5,"#
                .to_owned()
                + r#""aquatic_test_odd":null,"aquatic_test_build_info":{"1.0":1}}"#
        );
    }
}
