//! What a dashboard is made of, and how a panel is written down.

use super::options;
use serde_json::{Map, Value, json};

/// A headline with the panels below it.
pub(super) struct Section {
    /// The headline.
    pub(super) title: &'static str,
    /// Whether it is folded until somebody opens it; its queries run only then.
    pub(super) folded: bool,
    /// Its panels, from left to right and from top to bottom.
    pub(super) panels: Vec<Panel>,
}

/// A section that is open.
pub(super) fn open(title: &'static str, panels: Vec<Panel>) -> Section {
    Section {
        title,
        folded: false,
        panels,
    }
}

/// A section that is folded.
pub(super) fn folded(title: &'static str, panels: Vec<Panel>) -> Section {
    Section {
        title,
        folded: true,
        panels,
    }
}

/// How Grafana draws a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One or a few values in large letters.
    Stat,
    /// A value between two ends.
    Gauge,
    /// Values as bars, the largest first.
    BarGauge,
    /// Values over time.
    TimeSeries,
    /// Rows and columns.
    Table,
    /// A distribution over time.
    Heatmap,
    /// Shares of a whole.
    Pie,
    /// States over time.
    StateTimeline,
}

impl Kind {
    /// Its id in Grafana.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Gauge => "gauge",
            Self::BarGauge => "bargauge",
            Self::TimeSeries => "timeseries",
            Self::Table => "table",
            Self::Heatmap => "heatmap",
            Self::Pie => "piechart",
            Self::StateTimeline => "state-timeline",
        }
    }
}

/// How a query is asked and what becomes of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Over the time that the dashboard shows.
    Range,
    /// The newest value alone.
    Instant,
    /// The newest value alone, as rows of a table.
    Table,
    /// Over time, as buckets of a histogram.
    Heatmap,
}

/// One query of a panel.
pub(super) struct Query {
    /// PromQL; `@instance` and the like are written out, see [`super::expression::expand`].
    pub(super) expression: String,
    /// Name of its series, with labels in double braces.
    pub(super) legend: &'static str,
    /// How it is asked.
    pub(super) ask: Ask,
}

/// One panel. Built from one of the functions below and the methods that follow; what is not said has the default of its kind.
pub(super) struct Panel {
    pub(super) kind: Kind,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// Columns (of 24) and rows (of about 38 pixels).
    pub(super) size: (u32, u32),
    pub(super) queries: Vec<Query>,
    pub(super) options: Value,
    pub(super) defaults: Map<String, Value>,
    pub(super) custom: Map<String, Value>,
    pub(super) overrides: Vec<Value>,
    pub(super) transformations: Vec<Value>,
    /// Titles and addresses.
    pub(super) links: Vec<(String, String)>,
    /// A span of its own, e.g. `24h`, whatever the dashboard shows.
    pub(super) time_from: Option<&'static str>,
    /// Shortest step between two points.
    pub(super) interval: Option<&'static str>,
}

impl Panel {
    fn new(kind: Kind, title: &'static str, size: (u32, u32)) -> Self {
        let mut defaults = Map::new();
        defaults.insert("color".to_owned(), json!({"mode": options::color_mode(kind)}));
        Self {
            kind,
            title,
            about: "",
            size,
            queries: Vec::new(),
            options: options::options(kind),
            defaults,
            custom: options::custom(kind),
            overrides: Vec::new(),
            transformations: Vec::new(),
            links: Vec::new(),
            time_from: None,
            interval: None,
        }
    }

    /// What it shows, from which metric, and what to do when it looks bad.
    pub(super) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// A query in the way that panels of this kind usually ask.
    pub(super) fn query(self, expression: impl Into<String>, legend: &'static str) -> Self {
        let ask = match self.kind {
            Kind::Table => Ask::Table,
            Kind::Heatmap => Ask::Heatmap,
            Kind::BarGauge | Kind::Pie => Ask::Instant,
            Kind::Stat | Kind::Gauge | Kind::TimeSeries | Kind::StateTimeline => Ask::Range,
        };
        self.ask(ask, expression, legend)
    }

    /// A query for the newest value alone.
    pub(super) fn instant(self, expression: impl Into<String>, legend: &'static str) -> Self {
        self.ask(Ask::Instant, expression, legend)
    }

    fn ask(mut self, ask: Ask, expression: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push(Query {
            expression: expression.into(),
            legend,
            ask,
        });
        self
    }

    /// Unit id of Grafana, e.g. `s`, `bytes`, `percentunit`.
    pub(super) fn unit(self, unit: &'static str) -> Self {
        self.default("unit", json!(unit))
    }

    /// Digits after the point.
    pub(super) fn decimals(self, decimals: u8) -> Self {
        self.default("decimals", json!(decimals))
    }

    /// Lowest value of the axis.
    pub(super) fn min(self, min: f64) -> Self {
        self.default("min", number(min))
    }

    /// Highest value of the axis.
    pub(super) fn max(self, max: f64) -> Self {
        self.default("max", number(max))
    }

    /// What stands there when the query returns nothing, because nothing has a meaning.
    pub(super) fn empty(self, text: &'static str) -> Self {
        self.default("noValue", json!(text))
    }

    /// Another setting that all fields have.
    pub(super) fn default(mut self, name: &str, value: Value) -> Self {
        self.defaults.insert(name.to_owned(), value);
        self
    }

    /// The colour below the first of the steps, and those from each step on.
    pub(super) fn steps(self, first: &'static str, steps: &[(f64, &'static str)]) -> Self {
        self.default("thresholds", thresholds(first, steps))
    }

    /// Dashed lines at these values.
    pub(super) fn lines(mut self, steps: &[(f64, &'static str)]) -> Self {
        self.custom
            .insert("thresholdsStyle".to_owned(), json!({"mode": "dashed"}));
        self.steps("transparent", steps)
    }

    /// How the axis or the line is drawn, see [`options::custom`].
    pub(super) fn custom(mut self, name: &str, value: Value) -> Self {
        self.custom.insert(name.to_owned(), value);
        self
    }

    /// A setting of the panel of its kind, see [`options::options`].
    pub(super) fn option(mut self, name: &str, value: Value) -> Self {
        if let Value::Object(options) = &mut self.options {
            options.insert(name.to_owned(), value);
        }
        self
    }

    /// Areas on top of each other, where the sum means something.
    pub(super) fn stacked(self) -> Self {
        self.custom("stacking", json!({"mode": "normal", "group": "A"}))
            .custom("fillOpacity", json!(30))
    }

    /// A logarithmic axis, where a tenfold difference matters.
    pub(super) fn logarithmic(self) -> Self {
        self.custom("scaleDistribution", json!({"type": "log", "log": 10}))
    }

    /// The axis reaches at least up to here, so that a line at a threshold is seen.
    pub(super) fn reach(self, highest: f64) -> Self {
        self.custom("axisSoftMax", number(highest))
    }

    /// The legend as a table on the right, for many series.
    pub(super) fn legend_right(self) -> Self {
        self.option(
            "legend",
            json!({"displayMode": "table", "placement": "right", "showLegend": true, "calcs": ["lastNotNull", "max"], "sortBy": "Max", "sortDesc": true}),
        )
    }

    /// Texts and colours instead of values.
    pub(super) fn mappings(self, mappings: Value) -> Self {
        self.default("mappings", mappings)
    }

    /// Settings of the series or columns whose name is this.
    pub(super) fn field(self, name: &str, properties: &[(&str, Value)]) -> Self {
        self.override_by("byName", name, properties)
    }

    /// Settings of the series whose name matches this regular expression.
    pub(super) fn fields(self, pattern: &str, properties: &[(&str, Value)]) -> Self {
        self.override_by("byRegexp", &format!("/{pattern}/"), properties)
    }

    fn override_by(mut self, matcher: &str, name: &str, properties: &[(&str, Value)]) -> Self {
        let properties: Vec<Value> = properties
            .iter()
            .map(|(id, value)| json!({"id": id, "value": value}))
            .collect();
        self.overrides
            .push(json!({"matcher": {"id": matcher, "options": name}, "properties": properties}));
        self
    }

    /// One colour for the series of this name.
    pub(super) fn color(self, name: &str, color: &str) -> Self {
        self.field(name, &[("color", fixed(color))])
    }

    /// A dashed line in one colour for series that are limits.
    pub(super) fn dashed(self, pattern: &str, color: &str) -> Self {
        self.fields(
            pattern,
            &[
                ("custom.lineStyle", json!({"fill": "dash", "dash": [10, 10]})),
                ("custom.fillOpacity", json!(0)),
                ("color", fixed(color)),
            ],
        )
    }

    /// Series that the legend does not name, since the panel's description does.
    pub(super) fn quiet(self, pattern: &str) -> Self {
        self.fields(
            pattern,
            &[(
                "custom.hideFrom",
                json!({"legend": true, "tooltip": false, "viz": false}),
            )],
        )
    }

    /// Columns of a table, in their order: names of fields and what stands above them. Fields that are not named are left out; queries
    /// answer as `Value #A`, `Value #B` and so on.
    pub(super) fn columns(mut self, columns: &[(&str, &str)]) -> Self {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let index: Map<String, Value> = columns
            .iter()
            .zip(0_u32..)
            .map(|((name, _), index)| ((*name).to_owned(), json!(index)))
            .collect();
        let rename: Map<String, Value> = columns
            .iter()
            .filter(|(name, title)| name != title)
            .map(|(name, title)| ((*name).to_owned(), json!(title)))
            .collect();
        if self.queries.len() > 1 {
            self.transformations.push(json!({"id": "merge", "options": {}}));
        }
        self.transformations
            .push(json!({"id": "filterFieldsByName", "options": {"include": {"names": names}}}));
        self.transformations.push(json!({
            "id": "organize",
            "options": {"excludeByName": {}, "includeByName": {}, "indexByName": index, "renameByName": rename},
        }));
        self
    }

    /// The largest rows first, by the title of a column, and at most so many.
    pub(super) fn largest(mut self, column: &str, rows: u32) -> Self {
        self.transformations
            .push(json!({"id": "sortBy", "options": {"fields": {}, "sort": [{"field": column, "desc": true}]}}));
        self.transformations
            .push(json!({"id": "limit", "options": {"limitField": rows}}));
        self
    }

    /// Links to the runbooks of these alerts.
    pub(super) fn runbooks(mut self, alerts: &[&'static str]) -> Self {
        for alert in alerts {
            self.links
                .push((format!("Runbook {alert}"), format!("${{runbooks:raw}}{alert}")));
        }
        self
    }

    /// A link to another dashboard with the same variables and time.
    pub(super) fn see(mut self, title: &str, uid: &str) -> Self {
        self.links.push((
            title.to_owned(),
            format!("/d/{uid}?${{__url_time_range}}&${{__all_variables}}"),
        ));
        self
    }

    /// Where its data lead when somebody clicks on them.
    pub(super) fn data_link(self, title: &str, url: &str) -> Self {
        self.default("links", json!([{"title": title, "url": url}]))
    }

    /// A span of its own, whatever the dashboard shows.
    pub(super) fn last(mut self, span: &'static str) -> Self {
        self.time_from = Some(span);
        self
    }

    /// Shortest step between two points.
    pub(super) fn step(mut self, interval: &'static str) -> Self {
        self.interval = Some(interval);
        self
    }
}

/// A colour that does not change with the value.
pub(super) fn fixed(color: &str) -> Value {
    json!({"mode": "fixed", "fixedColor": color})
}

/// The colour below the first of the steps, and those from each step on.
pub(super) fn thresholds(first: &str, steps: &[(f64, &'static str)]) -> Value {
    let mut all = vec![json!({"value": null, "color": first})];
    all.extend(
        steps
            .iter()
            .map(|(value, color)| json!({"value": number(*value), "color": color})),
    );
    json!({"mode": "absolute", "steps": all})
}

/// A whole number is written without a point.
fn number(value: f64) -> Value {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "compared with the original before it is used"
    )]
    let whole = value as i64;
    #[allow(
        clippy::cast_precision_loss,
        reason = "a loss makes the two unequal, and the original is used"
    )]
    if whole as f64 == value {
        json!(whole)
    } else {
        json!(value)
    }
}

/// One or a few values in large letters.
pub(super) fn stat(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::Stat, title, (width, height))
}

/// A value between two ends.
pub(super) fn gauge(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::Gauge, title, (width, height))
}

/// Values as bars, the largest first.
pub(super) fn bars(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::BarGauge, title, (width, height))
}

/// Values over time.
pub(super) fn graph(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::TimeSeries, title, (width, height))
}

/// Rows and columns.
pub(super) fn table(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::Table, title, (width, height))
}

/// A distribution over time.
pub(super) fn heatmap(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::Heatmap, title, (width, height)).step("1m")
}

/// Shares of a whole.
pub(super) fn pie(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::Pie, title, (width, height))
}

/// States over time.
pub(super) fn timeline(title: &'static str, width: u32, height: u32) -> Panel {
    Panel::new(Kind::StateTimeline, title, (width, height))
}
