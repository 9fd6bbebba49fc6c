//! Rings of full size, gaps, and labels that increase, compared with a simple model.

use std::collections::BTreeMap;

use super::*;

const REQUESTS: Metric = Metric::counter("requests_total", "").labelled(&["family", "kind"]);
const PEERS: Metric = Metric::gauge("peers", "").labelled(&["family"]);
const SEEDERS: Metric = Metric::gauge("seeders", "").labelled(&["family"]);

const PLOTS: &[Plot] = &[
    Plot {
        title: "Requests",
        metrics: &[REQUESTS],
        by: Some("kind"),
    },
    Plot {
        title: "Peers",
        metrics: &[PEERS, SEEDERS],
        by: None,
    },
];

/// Ten seconds in milliseconds.
const STEP: u64 = 10_000;

fn requests(counts: &[(&str, &str, u64)]) -> Metrics {
    let mut metrics = Metrics::new("aquatic-test");
    for (family, kind, count) in counts {
        metrics.add(&REQUESTS, &[family, kind], *count);
    }
    metrics
}

fn values(history: &History, plot: usize, name: &str) -> Vec<Option<f32>> {
    let mut lines = history.plots[plot].lines.iter();
    let line = lines.find(|line| line.name == name);
    let line = line.unwrap_or_else(|| panic!("no line {name}"));
    line.values.iter().copied().collect()
}

#[test]
fn counters_are_rates_by_one_label() {
    let mut history = History::new(PLOTS);
    let first = requests(&[("ipv4", "announce", 1_000), ("ipv6", "announce", 7)]);
    history.sample(500, &first);
    let second = requests(&[
        ("ipv4", "announce", 1_100),
        ("ipv6", "announce", 17),
        ("ipv4", "scrape", 5),
    ]);
    history.sample(500 + STEP, &second);
    let announces = values(&history, 0, "announce");
    assert_eq!(announces, [None, Some(11.0)], "the first is not known");
    // Nothing was counted under this label before.
    assert_eq!(values(&history, 0, "scrape"), [None, Some(0.5)]);
}

#[test]
fn gauges_are_added_up_over_labels() {
    let mut history = History::new(PLOTS);
    let mut metrics = Metrics::new("aquatic-test");
    for family in ["ipv4", "ipv6"] {
        metrics.add(&PEERS, &[family], 5u64);
        metrics.add(&SEEDERS, &[family], 1u64);
    }
    history.sample(0, &metrics);
    assert_eq!(values(&history, 1, "peers"), [Some(10.0)]);
    assert_eq!(values(&history, 1, "seeders"), [Some(2.0)]);
    // A metric may be left out.
    history.sample(STEP, &Metrics::new("aquatic-test"));
    assert_eq!(values(&history, 1, "peers"), [Some(10.0), None]);
}

#[test]
fn samples_are_due_every_ten_seconds_however_late_they_are() {
    let mut history = History::new(PLOTS);
    assert_eq!(history.due_in(123_456), Duration::ZERO);
    let mut now = 123_456;
    for lateness in [0, 4_999, 1, 3_000, 0] {
        now += history.due_in(now).as_millis() as u64 + lateness;
        history.sample(now, &requests(&[("ipv4", "announce", now)]));
    }
    let announces = values(&history, 0, "announce");
    assert_eq!(announces.len(), 5, "there is no gap");
    assert!(announces[1..].iter().all(|value| *value == Some(1_000.0)));
    let behind = (now - 123_456) % STEP;
    assert_eq!(history.due_in(now), Duration::from_millis(STEP - behind));
    // Additional samples within ten seconds change nothing, nor does a clock that goes
    // back.
    history.sample(now + 4_000, &requests(&[]));
    history.sample(0, &requests(&[]));
    assert_eq!(values(&history, 0, "announce"), announces);
}

#[test]
fn a_suspended_machine_leaves_a_gap() {
    let mut history = History::new(PLOTS);
    history.sample(0, &requests(&[("ipv4", "announce", 0)]));
    history.sample(STEP, &requests(&[("ipv4", "announce", 10)]));
    history.sample(5 * STEP, &requests(&[("ipv4", "announce", 50)]));
    let expected = [None, Some(1.0), None, None, None, Some(1.0)];
    assert_eq!(values(&history, 0, "announce"), expected);
    // A gap that is longer than what is shown, up to the largest possible time.
    history.sample(u64::MAX, &requests(&[("ipv4", "announce", 60)]));
    let announces = values(&history, 0, "announce");
    assert_eq!(announces.len(), SAMPLES);
    assert!(announces[..SAMPLES - 1].iter().all(Option::is_none));
}

#[test]
fn labels_that_increase_are_bounded() {
    let mut history = History::new(PLOTS);
    let mut expected_other = 0.0;
    for round in 0..2 * SAMPLES as u64 {
        // Ever more labels, each of which counts ten more requests in every round.
        let names: Vec<String> = (0..=round).map(|number| format!("kind{number}")).collect();
        let counts: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(number, name)| ("ipv4", name.as_str(), 10 * (round - number as u64 + 1)))
            .collect();
        history.sample(round * STEP, &requests(&counts));
        expected_other = (names.len() as f32 - MAX_LINES as f32).max(0.0);
    }
    let plot = &history.plots[0];
    assert_eq!(plot.lines.len(), MAX_LINES + 1);
    for line in &plot.lines {
        assert_eq!(line.values.len(), SAMPLES);
        assert!(line.values.capacity() < 2 * SAMPLES);
    }
    let other = values(&history, 0, OTHER);
    assert_eq!(other.last(), Some(&Some(expected_other)));
    assert_eq!(values(&history, 0, "kind0").last(), Some(&Some(1.0)));
}

/// Random times and counts over half a day, compared with a list of all samples.
#[test]
fn is_like_a_list_of_all_samples() {
    let mut random = Random(1);
    let mut history = History::new(PLOTS);
    let mut counts = BTreeMap::<String, u64>::new();
    // By interval: the time at which the sample was taken, and its counts.
    let mut all = BTreeMap::<u64, (u64, BTreeMap<String, u64>)>::new();
    let start = 77;
    let mut now = start;
    while now < 43_200_000 {
        for kind in ["connect", "announce", "scrape", "page"] {
            if random.below(10) > 0 || counts.contains_key(kind) {
                *counts.entry(kind.to_owned()).or_default() += random.below(100_000);
            }
        }
        let listed: Vec<_> = counts
            .iter()
            .map(|(kind, count)| ("ipv4", kind.as_str(), *count))
            .collect();
        history.sample(now, &requests(&listed));
        let slot = (now - start + STEP / 2) / STEP;
        all.entry(slot).or_insert_with(|| (now, counts.clone()));
        now += match random.below(100) {
            0 => random.below(2 * SAMPLES as u64 * STEP),
            1..10 => random.below(STEP),
            _ => history.due_in(now).as_millis() as u64 + random.below(STEP / 2),
        };
    }
    let newest = *all.keys().next_back().unwrap();
    assert!(newest > 3 * SAMPLES as u64, "several times around");
    for kind in counts.keys() {
        let found = values(&history, 0, kind);
        assert_eq!(found.len(), SAMPLES);
        for (value, slot) in found.iter().zip(newest + 1 - SAMPLES as u64..) {
            let expected = all.get(&slot).map(|(at, sums)| {
                let (_, (before, earlier)) = all.range(..slot).next_back().unwrap();
                let sum = |sums: &BTreeMap<String, u64>| sums.get(kind).copied().unwrap_or(0);
                let seconds = (at - before) as f64 / 1e3;
                ((sum(sums) - sum(earlier)) as f64 / seconds) as f32
            });
            assert_eq!(*value, expected, "{kind} {slot}");
        }
    }
}

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
