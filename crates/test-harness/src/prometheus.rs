//! Reads the Prometheus text format, strictly, as a scraper would.

use std::collections::{BTreeMap, BTreeSet};

/// All samples of one page.
#[derive(Debug, Default)]
pub struct Samples {
    samples: Vec<Sample>,
    /// Names declared as counter or gauge.
    kinds: BTreeMap<String, String>,
}

/// The suffixes of the names of a histogram's samples.
const IN_HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Samples {
    /// Reads a page.
    ///
    /// # Errors
    /// The first line that is not valid: an unknown form of comment, a sample without a
    /// declared type, a repeated sample, a value that is not a number, or a counter whose
    /// name does not end in `_total`.
    pub fn parse(page: &str) -> Result<Self, String> {
        let mut samples = Self::default();
        let mut seen = BTreeSet::new();
        if !page.ends_with('\n') {
            return Err("the last line has no line feed".to_owned());
        }
        for line in page.lines().filter(|line| !line.is_empty()) {
            if let Some(declaration) = line.strip_prefix("# TYPE ") {
                samples.declare(declaration)?;
            } else if line.starts_with('#') {
                if !line.starts_with("# HELP ") {
                    return Err(format!("neither HELP nor TYPE: {line}"));
                }
            } else {
                let sample = Sample::parse(line).ok_or_else(|| format!("no sample: {line}"))?;
                if !samples.kinds.contains_key(&sample.name) && !samples.is_in_histogram(&sample) {
                    return Err(format!("no TYPE before: {line}"));
                }
                if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                    return Err(format!("told twice: {line}"));
                }
                samples.samples.push(sample);
            }
        }
        Ok(samples)
    }

    /// The sum of all samples with this name that have all of `labels`; `None` if there
    /// are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let matching = self.samples.iter().filter(|sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|have| have == value))
        });
        matching
            .map(|sample| sample.value)
            .fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// Every name on the page.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// The name, kind, and labels of each metric, without the label `le` of histograms.
    #[must_use]
    pub fn families(&self) -> BTreeMap<&str, (&str, BTreeSet<&str>)> {
        let labels = |name: &str| {
            let samples = self.samples.iter().filter(|sample| {
                let rest = sample.name.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || IN_HISTOGRAM.contains(&rest))
            });
            let labels = samples.flat_map(|sample| sample.labels.keys());
            labels
                .map(String::as_str)
                .filter(|label| *label != "le")
                .collect()
        };
        let families = self.kinds.iter();
        families
            .map(|(name, kind)| (name.as_str(), (kind.as_str(), labels(name))))
            .collect()
    }

    fn is_in_histogram(&self, sample: &Sample) -> bool {
        let names = IN_HISTOGRAM
            .iter()
            .filter_map(|end| sample.name.strip_suffix(end));
        let mut kinds = names.filter_map(|name| self.kinds.get(name));
        kinds.any(|kind| kind == "histogram")
    }

    fn declare(&mut self, declaration: &str) -> Result<(), String> {
        let (name, kind) = declaration
            .split_once(' ')
            .ok_or_else(|| format!("no kind: {declaration}"))?;
        if !matches!(kind, "counter" | "gauge" | "histogram") {
            return Err(format!("unexpected kind: {declaration}"));
        }
        if (kind == "counter") != name.ends_with("_total") {
            return Err(format!("counters end in _total, and only they: {name}"));
        }
        match self.kinds.insert(name.to_owned(), kind.to_owned()) {
            Some(_) => Err(format!("declared twice: {name}")),
            None => Ok(()),
        }
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}')?)?),
            None => (series, BTreeMap::new()),
        };
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then_some(Self {
            name: name.to_owned(),
            labels,
            value: value.parse().ok()?,
        })
    }
}

fn parse_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    escaped @ ('"' | '\\') => escaped,
                    _ => return None,
                }),
                (_, character) => value.push(character),
            }
        };
        labels.insert(key.to_owned(), value);
        text = &rest[end..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{kind=\"connect\",family=\"ipv4\"} 3
requests_total{kind=\"connect\",family=\"ipv6\"} 4
# TYPE name_of_things gauge
name_of_things{name=\"a \\\"b\\\\ c\"} 1.5
";

    #[test]
    fn samples_are_summed_by_label() {
        let samples = Samples::parse(PAGE).unwrap();
        let kind = ("kind", "connect");
        assert_eq!(samples.sum("requests_total", &[kind]), Some(7.0));
        let one = samples.sum("requests_total", &[kind, ("family", "ipv6")]);
        assert_eq!(one, Some(4.0));
        assert_eq!(samples.sum("requests_total", &[("kind", "scrape")]), None);
        let named = samples.sum("name_of_things", &[("name", "a \"b\\ c")]);
        assert_eq!(named, Some(1.5));
        assert_eq!(samples.names().count(), 2);
    }

    #[test]
    fn faults_are_named() {
        for (fault, page) in [
            ("told twice", "# TYPE a gauge\na 1\na 2\n"),
            ("no TYPE", "a 1\n"),
            ("no sample", "# TYPE a gauge\na one\n"),
            ("no sample", "# TYPE a gauge\na{b=\"c} 1\n"),
            ("no line feed", "# TYPE a gauge\na 1"),
            ("end in _total", "# TYPE a counter\na 1\n"),
        ] {
            let error = Samples::parse(page).unwrap_err();
            assert!(error.contains(fault), "{page:?} gave {error:?}");
        }
    }
}
