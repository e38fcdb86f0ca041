//! What is wrong with an expression of a panel.

use crate::alerts::tests::{OF_APPLICATIONS, known_series, records};
use crate::catalogue;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Expr, LabelModifier, VectorSelector};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Spans that stand for the variables while an expression is parsed; no other span is like them.
const RATE_INTERVAL: Duration = Duration::from_secs(77_777);
const STAND_INS: [(&str, &str); 3] = [
    ("$__rate_interval", "77777s"),
    ("$__range", "88888s"),
    ("$__interval", "66666s"),
];

/// Labels of metrics that only the application knows, beside those of every instance.
const LABELS_OF_APPLICATIONS: [(&str, &str); 4] = [
    ("session_encryption_errors_total", "error_type"),
    ("tokens_validation_errors_total", "error_type"),
    ("redis_pool_connections", "state"),
    ("sessions_created_total", "source"),
];

/// Series with the labels that they have.
pub(super) struct Knowledge {
    series: BTreeMap<String, BTreeSet<String>>,
    /// Types of the metrics of the catalogue.
    kinds: BTreeMap<String, String>,
    /// Those about the exporter's process or a target: their `instance` is the exporter.
    of_targets: BTreeSet<String>,
}

fn labels(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Knowledge {
    pub(super) fn new() -> Self {
        let mut series = known_series();
        for name in OF_APPLICATIONS {
            let of_instance = ["job", "environment", "instance"];
            series.entry(name.to_owned()).or_insert_with(|| labels(&of_instance));
        }
        for (name, label) in LABELS_OF_APPLICATIONS {
            series.entry(name.to_owned()).or_default().insert(label.to_owned());
        }
        for record in records() {
            let level = record.name.split(':').next().unwrap_or_default().to_owned();
            let mut of_record: BTreeSet<String> = level.split('_').map(str::to_owned).collect();
            if level == "slo" {
                of_record = labels(&["job", "environment", "instance", "slo"]);
            }
            of_record.extend(record.labels.iter().map(|(name, _)| (*name).to_owned()));
            series.entry(record.name.to_string()).or_default().extend(of_record);
        }
        let mut of_targets = labels(&["up", "scrape_duration_seconds", "scrape_samples_scraped"]);
        for name in &of_targets {
            series.insert(name.clone(), labels(&["job", "instance"]));
        }
        let alert = [
            "alertname",
            "alertstate",
            "priority",
            "team",
            "symptom",
            "job",
            "environment",
            "instance",
            "store",
        ];
        for name in ["ALERTS", "ALERTS_FOR_STATE"] {
            series.insert(name.to_owned(), labels(&alert));
        }
        let mut kinds = BTreeMap::new();
        for line in catalogue::table().lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            kinds.insert(fields[0].to_owned(), fields[1].to_owned());
            if fields[4] == "process" {
                of_targets.insert(fields[0].to_owned());
                of_targets.extend(["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", fields[0])));
            }
        }
        Self {
            series,
            kinds,
            of_targets,
        }
    }

    /// What is wrong with the query of a variable.
    pub(super) fn problems_of_variable(&self, selector: &str, label: &str) -> Vec<String> {
        let mut problems = problems_of_selectors(self, selector, false);
        let name = selector.split('{').next().unwrap_or_default();
        if !self.series.get(name).is_some_and(|labels| labels.contains(label)) {
            problems.push(format!("{name} has no {label}"));
        }
        problems
    }
}

/// Whether a selector has this matcher: by regular expression with the variable.
fn follows(selector: &VectorSelector, label: &str) -> bool {
    let variable = format!("${label}");
    selector.matchers.matchers.iter().any(|matcher: &Matcher| {
        matcher.name == label && matches!(matcher.op, MatchOp::Re(_)) && matcher.value.contains(&variable)
    })
}

struct Findings<'a> {
    knowledge: &'a Knowledge,
    /// Whether the variable `instance` must be followed.
    of_panel: bool,
    problems: Vec<String>,
    /// Whether something is selected that cannot follow `instance`, since it is about the exporter.
    about_exporter: bool,
    /// Labels of everything that was selected, and those that some operation keeps or joins by.
    selected: BTreeSet<String>,
    kept: BTreeSet<String>,
}

impl Findings<'_> {
    fn selector(&mut self, selector: &VectorSelector, function: &str) {
        let name = selector.name.clone().unwrap_or_default();
        let Some(has) = self.knowledge.series.get(&name) else {
            self.problems.push(format!("there is no {name}"));
            return;
        };
        self.selected.extend(has.iter().cloned());
        for matcher in &selector.matchers.matchers {
            if !has.contains(&matcher.name) {
                self.problems.push(format!("{name} has no label {}", matcher.name));
            }
        }
        if !follows(selector, "job") && self.of_panel {
            self.problems.push(format!("{name} does not follow the variable job"));
        }
        let of_exporter_alerts = name.starts_with("ALERTS")
            && selector
                .matchers
                .matchers
                .iter()
                .any(|matcher| matcher.name == "environment" && matcher.op == MatchOp::Equal);
        if self.knowledge.of_targets.contains(&name) || of_exporter_alerts {
            self.about_exporter = true;
        } else if self.of_panel && !follows(selector, "instance") {
            self.problems
                .push(format!("{name} does not follow the variable instance"));
        }
        let is_counter = (name.ends_with("_total") || (name.ends_with("_bucket") && !self.is_gauge_histogram(&name)))
            && !self.is_gauge(&name);
        let over_time = ["rate", "irate", "increase"].contains(&function);
        if is_counter && self.of_panel && !over_time {
            self.problems
                .push(format!("{name} is a counter, of which only the growth means something"));
        }
        if !is_counter && over_time && !self.may_grow(&name) {
            self.problems
                .push(format!("{name} is no counter: {function} of it means nothing"));
        }
    }

    fn kind(&self, name: &str) -> &str {
        self.knowledge.kinds.get(name).map_or("", String::as_str)
    }

    fn is_gauge(&self, name: &str) -> bool {
        self.kind(name) == "gauge"
    }

    fn is_gauge_histogram(&self, name: &str) -> bool {
        self.kind(name.trim_end_matches("_bucket")) == "gaugehistogram"
    }

    /// Counters whose name does not say it, and gauges by compatibility that only grow.
    fn may_grow(&self, name: &str) -> bool {
        let base = name.trim_end_matches("_sum").trim_end_matches("_count");
        matches!(self.kind(name), "counter")
            || matches!(self.kind(base), "histogram" | "summary")
            || ONLY_GROW.contains(&name)
    }

    fn walk(&mut self, expression: &Expr, function: &str) {
        match expression {
            Expr::Aggregate(AggregateExpr {
                expr, param, modifier, ..
            }) => {
                if let Some(LabelModifier::Include(by)) = modifier {
                    self.kept.extend(by.labels.iter().cloned());
                }
                self.walk(expr, "");
                if let Some(parameter) = param {
                    self.walk(parameter, "");
                }
            }
            Expr::Unary(unary) => self.walk(&unary.expr, function),
            Expr::Binary(BinaryExpr { lhs, rhs, modifier, .. }) => {
                if let Some(LabelModifier::Include(on)) =
                    modifier.as_ref().and_then(|modifier| modifier.matching.as_ref())
                {
                    self.kept.extend(on.labels.iter().cloned());
                }
                self.walk(lhs, function);
                self.walk(rhs, function);
            }
            Expr::Paren(paren) => self.walk(&paren.expr, function),
            Expr::Subquery(subquery) => self.walk(&subquery.expr, function),
            Expr::VectorSelector(selector) => self.selector(selector, function),
            Expr::MatrixSelector(matrix) => {
                if ["rate", "irate"].contains(&function) && matrix.range != RATE_INTERVAL {
                    self.problems.push("a rate is taken over $__rate_interval".to_owned());
                }
                self.selector(&matrix.vs, function);
            }
            Expr::Call(call) => {
                for argument in &call.args.args {
                    self.walk(argument, call.func.name);
                }
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }
}

/// Gauges by compatibility that only grow until the server starts again.
const ONLY_GROW: [&str; 4] = [
    "redis_slowlog_last_id",
    "redis_replica_resyncs_full",
    "redis_replica_partial_resync_denied",
    "redis_aof_delayed_fsync",
];

fn findings<'a>(knowledge: &'a Knowledge, expression: &str, of_panel: bool) -> Findings<'a> {
    let mut findings = Findings {
        knowledge,
        of_panel,
        problems: Vec::new(),
        about_exporter: false,
        selected: BTreeSet::new(),
        kept: BTreeSet::new(),
    };
    let mut plain = expression.to_owned();
    for (variable, span) in STAND_INS {
        plain = plain.replace(variable, span);
    }
    match parser::parse(&plain) {
        Ok(parsed) => findings.walk(&parsed, ""),
        Err(error) => findings.problems.push(format!("{expression}: {error}")),
    }
    findings
}

fn problems_of_selectors(knowledge: &Knowledge, expression: &str, of_panel: bool) -> Vec<String> {
    findings(knowledge, expression, of_panel).problems
}

/// What is wrong with the query of a panel, whose series have names made of this legend.
pub(super) fn problems_of(knowledge: &Knowledge, expression: &str, legend: &str) -> Vec<String> {
    let mut findings = findings(knowledge, expression, true);
    for label in &findings.kept {
        if !findings.selected.contains(label) {
            findings
                .problems
                .push(format!("nothing selected has the label {label}: {expression}"));
        }
    }
    for part in legend.split("{{").skip(1) {
        let label = part.split("}}").next().unwrap_or_default();
        if !findings.kept.contains(label) {
            findings
                .problems
                .push(format!("the legend says {label}, which no series has: {expression}"));
        }
    }
    findings.problems
}

/// Whether an expression selects something that cannot follow `instance`, since it is about the exporter.
pub(super) fn is_about_exporter(knowledge: &Knowledge, expression: &str) -> bool {
    findings(knowledge, expression, true).about_exporter
}
