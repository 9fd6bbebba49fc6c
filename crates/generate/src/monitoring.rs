//! What monitors the daemons: a dashboard for Grafana, and alerts and recording rules for
//! Prometheus, made of the metrics that there are.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use aquatic_service::metrics::Kind;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::metrics::Described;

/// Columns of a dashboard.
const COLUMNS: u32 = 24;

/// Height of a panel, in rows of the grid, and of a panel without a plot.
const HEIGHT: u32 = 8;
const LOW_HEIGHT: u32 = 4;

/// What the names of samples of a histogram have behind its own.
const BUCKETS: &str = "_bucket";

/// The version of the layout of dashboards, which Grafana converts to its own: that of
/// Grafana 10.
const SCHEMA_VERSION: u32 = 38;

/// The names of the metrics of a daemon, without its prefix and with it.
type Names = BTreeMap<&'static str, String>;

/// A daemon, as templates know it.
#[derive(Debug, Serialize)]
struct Monitored {
    name: &'static str,
    metrics: Names,
}

/// The panels of the dashboard, in `panels.toml`, which says what the fields mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Panels {
    overview: Vec<Panel>,
    panel: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    unit: String,
    description: Option<String>,
    #[serde(default)]
    kind: PanelKind,
    #[serde(default = "default_width")]
    width: u32,
    query: Vec<Query>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum PanelKind {
    #[default]
    TimeSeries,
    Stat,
    Table,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    expr: String,
    legend: String,
}

fn default_width() -> u32 {
    COLUMNS / 3
}

/// The daemons that have metrics, in order.
fn monitored(metrics: &[Described]) -> Vec<Monitored> {
    let daemons: BTreeSet<&str> = metrics.iter().flat_map(|it| &it.daemons).copied().collect();
    let daemons = daemons.into_iter().map(|name| {
        let own = metrics.iter().filter(|it| it.daemons.contains(&name));
        Monitored {
            name,
            metrics: own
                .map(|it| (it.metric.name(), it.metric.name_in(name)))
                .collect(),
        }
    });
    daemons.collect()
}

/// The rules for Prometheus.
///
/// # Errors
///
/// The template is wrong, or names a metric that a daemon does not have.
pub(super) fn rules(metrics: &[Described]) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Prometheus has templates of its own, in curly brackets.
    environment.set_syntax(
        SyntaxConfig::builder()
            .block_delimiters("[%", "%]")
            .variable_delimiters("[[", "]]")
            .trim_blocks(true)
            .keep_trailing_newline(true)
            .build()?,
    );
    let template = environment.template_from_str(include_str!("monitoring/rules.yml"))?;
    let daemons = BTreeMap::from([("daemons", monitored(metrics))]);
    template.render(Serde(daemons)).context("rules.yml")
}

/// The dashboard for Grafana, as JSON.
///
/// # Errors
///
/// `panels.toml` is wrong, or has no panel for a metric.
pub(super) fn dashboard(metrics: &[Described]) -> anyhow::Result<String> {
    let panels: Panels =
        toml::from_str(include_str!("monitoring/panels.toml")).context("panels.toml")?;
    let daemons = monitored(metrics);
    let shown = panels.overview.iter().chain(&panels.panel);
    let shown: String = shown.flat_map(|it| &it.query).map(|it| &*it.expr).collect();
    for Described { metric, .. } in metrics {
        let end = match metric.kind() {
            Kind::Histogram => BUCKETS,
            Kind::Counter | Kind::Gauge | Kind::Info => "",
        };
        let name = metric.name();
        ensure!(
            shown.contains(&format!("<{name}{end}>")),
            "{name} is in no panel of panels.toml"
        );
    }

    let mut grid = Grid::default();
    grid.row("All daemons");
    for panel in &panels.overview {
        let of_daemons = daemons.iter().map(|daemon| panel.queries(daemon));
        let description = panel
            .description(metrics)
            .with_context(|| panel.title.clone())?;
        grid.panel(panel, of_daemons.flatten().collect(), description);
    }
    for daemon in &daemons {
        grid.row(daemon.name);
        for panel in &panels.panel {
            let description = panel
                .description(metrics)
                .with_context(|| panel.title.clone())?;
            grid.panel(panel, panel.queries(daemon), description);
        }
    }
    let dashboard = json!({
        "uid": "aquatic",
        "title": "aquatic",
        "description": "BitTorrent trackers: aquatic-udp, aquatic-http, aquatic-ws",
        "tags": ["aquatic", "bittorrent"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": { "from": "now-6h", "to": "now" },
        "timezone": "browser",
        "templating": { "list": variables() },
        "panels": grid.panels,
    });
    Ok(serde_json::to_string_pretty(&dashboard)? + "\n")
}

/// What can be chosen at the top.
fn variables() -> Value {
    let of_label = |label: &str, filter: &str| {
        let query =
            format!("label_values({{__name__=~\"aquatic_.+_build_info\"{filter}}}, {label})");
        json!({
            "name": label,
            "label": label,
            "type": "query",
            "datasource": datasource(),
            "query": { "query": query, "refId": label },
            "refresh": 2,
            "includeAll": true,
            "allValue": ".*",
            "multi": true,
            "sort": 1,
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
        })
    };
    json!([
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "includeAll": false,
            "multi": false,
        },
        of_label("job", ""),
        of_label("instance", ",job=~\"$job\""),
    ])
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Panel {
    /// What is said of it: that of its first metric, unless there is more to say.
    fn description<'a>(&'a self, metrics: &'a [Described]) -> Option<&'a str> {
        if let Some(description) = &self.description {
            return Some(description);
        }
        let (_, name) = self.query.first()?.expr.split_once('<')?;
        let (name, _) = name.split_once('>')?;
        let name = name.strip_suffix(BUCKETS).unwrap_or(name);
        let metric = metrics.iter().find(|it| it.metric.name() == name)?;
        Some(metric.metric.help())
    }

    /// Its queries for a daemon, of those whose metrics the daemon has.
    fn queries(&self, daemon: &Monitored) -> Vec<Query> {
        let queries = self.query.iter().filter_map(|query| {
            Some(Query {
                expr: of_daemon(&query.expr, &daemon.metrics)?,
                legend: query.legend.replace("DAEMON", daemon.name),
            })
        });
        queries.collect()
    }
}

/// A query for a daemon; `None` if it does not have all of its metrics.
fn of_daemon(expr: &str, metrics: &Names) -> Option<String> {
    let mut query = String::new();
    let mut rest = expr;
    while let Some((before, name)) = rest.split_once('<') {
        let Some((name, after)) = name.split_once('>').filter(|(name, _)| is_name(name)) else {
            // The operator.
            query += &rest[..=before.len()];
            rest = name;
            continue;
        };
        let (name, end) = match name.strip_suffix(BUCKETS) {
            Some(histogram) => (histogram, BUCKETS),
            None => (name, ""),
        };
        let name = metrics.get(name)?;
        query += &format!("{before}{name}{end}{{job=~\"$job\",instance=~\"$instance\"}}");
        rest = after;
    }
    Some(query + rest)
}

fn is_name(text: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || char == '_';
    !text.is_empty() && text.chars().all(is_allowed)
}

/// Panels from left to right, in rows that can be folded.
#[derive(Default)]
struct Grid {
    panels: Vec<Value>,
    x: u32,
    y: u32,
    /// The height of the current line.
    height: u32,
    id: u32,
}

impl Grid {
    fn place(&mut self, width: u32, height: u32) -> Value {
        if self.x + width > COLUMNS {
            self.next_line();
        }
        let place = json!({ "x": self.x, "y": self.y, "w": width, "h": height });
        self.x += width;
        self.height = self.height.max(height);
        self.id += 1;
        place
    }

    fn next_line(&mut self) {
        self.x = 0;
        self.y += std::mem::take(&mut self.height);
    }

    /// A line with a title, below which are the panels that follow.
    fn row(&mut self, title: &str) {
        self.next_line();
        let place = self.place(COLUMNS, 1);
        self.panels.push(json!({
            "id": self.id,
            "type": "row",
            "title": title,
            "collapsed": false,
            "gridPos": place,
            "panels": [],
        }));
        self.next_line();
    }

    /// A panel, unless there is nothing to query.
    fn panel(&mut self, panel: &Panel, queries: Vec<Query>, description: &str) {
        if queries.is_empty() {
            return;
        }
        let height = match panel.kind {
            PanelKind::TimeSeries => HEIGHT,
            PanelKind::Stat | PanelKind::Table => LOW_HEIGHT,
        };
        let place = self.place(panel.width, height);
        let is_table = panel.kind == PanelKind::Table;
        let targets = queries.into_iter().enumerate().map(|(index, query)| {
            json!({
                "refId": format!("Q{index}"),
                "datasource": datasource(),
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": panel.kind != PanelKind::TimeSeries,
                "range": panel.kind == PanelKind::TimeSeries,
                "format": if is_table { "table" } else { "time_series" },
            })
        });
        let targets: Vec<Value> = targets.collect();
        let options = match panel.kind {
            PanelKind::TimeSeries => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            PanelKind::Stat => json!({
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                "colorMode": "none",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "value_and_name",
                "wideLayout": true,
                "showPercentChange": false,
            }),
            PanelKind::Table => json!({ "showHeader": true }),
        };
        self.panels.push(json!({
            "id": self.id,
            "type": panel.kind,
            "title": panel.title,
            "description": description,
            "datasource": datasource(),
            "gridPos": place,
            "targets": targets,
            "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0 }, "overrides": [] },
            "options": options,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_of_the_metrics_of_a_daemon() {
        let metrics = Names::from([("peers", "a_peers".to_owned()), ("t", "a_t".to_owned())]);
        let of = |expr| of_daemon(expr, &metrics);
        let chosen = r#"{job=~"$job",instance=~"$instance"}"#;
        assert_eq!(of("sum(<peers>)"), Some(format!("sum(a_peers{chosen})")));
        assert_eq!(
            of("<t_bucket> < 1"),
            Some(format!("a_t_bucket{chosen} < 1"))
        );
        assert_eq!(of("1 <= 2"), Some("1 <= 2".to_owned()));
        assert_eq!(of("<peers> / <seeders>"), None);
    }

    #[test]
    fn panels_do_not_overlap() {
        let mut grid = Grid::default();
        let mut taken = BTreeSet::new();
        for (width, height) in [(8, 8), (8, 4), (12, 8), (24, 1), (4, 4), (24, 8)] {
            let place = grid.place(width, height);
            let [x, y] = ["x", "y"].map(|key| place[key].as_u64().unwrap());
            for column in x..x + u64::from(width) {
                assert!(column < COLUMNS.into());
                for row in y..y + u64::from(height) {
                    assert!(taken.insert((column, row)), "{column}, {row}");
                }
            }
        }
    }
}
