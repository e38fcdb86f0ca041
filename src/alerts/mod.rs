//! The alert and recording rules that fit the metrics of this program: one file of `rules/` per concern, one value per rule, and
//! everything that somebody may want to set in one table of thresholds.
//!
//! The files under `alerts/rules/` are what [`render::file`] makes of [`FILES`] with the default [`Values`]; a test says so. So a new alert is
//! one value in one file, with its tests in `alerts/tests/` and its page in `docs/runbooks/`.

#[cfg(test)]
mod document;
pub mod render;
mod rules;
pub mod template;
#[cfg(test)]
pub(crate) mod tests;
pub mod values;

use crate::features::Feature;
use std::borrow::Cow;
pub use values::Values;

/// A file of rules, as Prometheus loads it.
pub struct File {
    /// Its name without `.yaml`, e.g. `availability`.
    pub name: &'static str,
    /// One sentence about what it is for; stands at its head.
    pub about: &'static str,
    /// Its groups, in the order in which they are written.
    pub groups: fn() -> Vec<Group>,
}

impl File {
    /// Its alerts, in their order.
    pub fn alerts(&self) -> Vec<Alert> {
        let rules = (self.groups)().into_iter().flat_map(|group| group.rules);
        rules
            .filter_map(|rule| match rule {
                Rule::Alert(alert) => Some(*alert),
                Rule::Record(_) => None,
            })
            .collect()
    }
}

/// All files, in the order in which they are best read. Recording rules come first, since the alerts build on them.
pub const FILES: &[File] = &[
    rules::recording::FILE,
    rules::availability::FILE,
    rules::sessions::FILE,
    rules::memory::FILE,
    rules::latency::FILE,
    rules::tls::FILE,
    rules::security::FILE,
    rules::persistence::FILE,
    rules::exporter::FILE,
    rules::slo::FILE,
];

/// Rules that Prometheus evaluates one after the other at one interval.
pub struct Group {
    /// Name of the group, unique over all files: `redis-session-store.` and the concern.
    pub name: &'static str,
    /// How often, e.g. `15s`.
    pub interval: &'static str,
    /// What is evaluated, in this order.
    pub rules: Vec<Rule>,
}

/// One rule.
pub enum Rule {
    /// A series that is computed and kept.
    Record(Record),
    /// An alert.
    Alert(Box<Alert>),
}

/// A recording rule.
pub struct Record {
    /// Name of the series: level, metric and operations, separated by colons.
    pub name: Cow<'static, str>,
    /// PromQL with placeholders, see [`template`].
    pub expr: Cow<'static, str>,
    /// Labels that the series gets.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
}

/// An alert, as it is written down. What is the same for all of them is added when it is rendered.
pub struct Alert {
    /// Name in CamelCase, also that of its page under `docs/runbooks/`. Several alerts share a name when they differ only in how urgent they are.
    pub name: &'static str,
    /// Names under which other rule sets know the same condition.
    pub also_known_as: &'static [&'static str],
    /// Everything that must be there so that it can fire at all.
    pub needs: &'static [Need],
    /// What its series are about, which decides which labels the alert carries.
    pub scope: Scope,
    /// PromQL with placeholders, see [`template`].
    pub expr: Cow<'static, str>,
    /// How long the condition must hold before it fires (`for`), e.g. `5m`; empty where the first evaluation counts.
    pub hold: Cow<'static, str>,
    /// How long it goes on firing after the condition ended (`keep_firing_for`); empty for not at all.
    pub keep: &'static str,
    /// How urgent it is, which also decides who hears of it.
    pub priority: Priority,
    /// Who owns it.
    pub team: Team,
    /// What it is a sign of. Of alerts with the same symptom about the same instance only the most urgent one is told.
    pub symptom: &'static str,
    /// Labels beside those of every alert. Never a value that changes while it fires.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// One sentence that stays the same while the alert fires: what is wrong, where. A template of Prometheus, with placeholders.
    pub summary: Cow<'static, str>,
    /// What was measured, with values, and what it means for users. A template of Prometheus, with placeholders.
    pub description: Cow<'static, str>,
    /// The first thing to do. A template of Prometheus, with placeholders.
    pub remediation: Cow<'static, str>,
    /// Where to look.
    pub dashboard: Dashboard,
}

impl Default for Alert {
    /// An alert about an instance that owns nothing yet: every alert says at least name, expression, urgency, symptom and texts.
    fn default() -> Self {
        Self {
            name: "",
            also_known_as: &[],
            needs: &[],
            scope: Scope::Instance,
            expr: "".into(),
            hold: "".into(),
            keep: "",
            priority: Priority::P3,
            team: Team::Backend,
            symptom: "",
            labels: Vec::new(),
            summary: "".into(),
            description: "".into(),
            remediation: "".into(),
            dashboard: Dashboard::Overview,
        }
    }
}

impl From<Alert> for Rule {
    fn from(alert: Alert) -> Self {
        Self::Alert(Box::new(alert))
    }
}

/// Something without which an alert cannot fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A feature, see `redis_session_exporter_feature_available`.
    Feature(Feature),
    /// A metric that only the application knows, to be named under `application_metrics`.
    ApplicationMetric(&'static str),
    /// A server of at least this version of Redis, or a fork that says it is compatible with it: major, minor.
    Redis(u32, u32),
    /// A server of this product (`Valkey`, `Dragonfly`) of at least this version of its own: name, major, minor. 0.0 is any version.
    Product(&'static str, u32, u32),
    /// What `expect` of the instance must say, e.g. `persistence`.
    Expectation(&'static str),
    /// That the server is no cache on purpose: `expect.maxmemory_policy` of the instance allows to evict any key, and that is its policy.
    NoCache,
    /// An environment where users are: `production` in the file of values.
    Production,
    /// At least one of these.
    AnyOf(&'static [Need]),
}

impl std::fmt::Display for Need {
    /// In words for people: `events`, `the application's job_queue_pending`, `Redis 7.2 or later`, alternatives with `or`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Feature(feature) => formatter.write_str(feature.name),
            Self::ApplicationMetric(name) => write!(formatter, "the application's {name}"),
            Self::Redis(major, minor) => write!(formatter, "Redis {major}.{minor} or later"),
            Self::Product(name, 0, 0) => formatter.write_str(name),
            Self::Product(name, major, minor) => write!(formatter, "{name} {major}.{minor} or later"),
            Self::Expectation(name) => write!(formatter, "expect.{name}"),
            Self::NoCache => formatter.write_str("a server that is no cache (allkeys-… in expect.maxmemory_policy)"),
            Self::Production => formatter.write_str("an environment that `production` of the rules matches (prod…)"),
            Self::AnyOf(needs) => {
                for (index, need) in needs.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " or " };
                    write!(formatter, "{separator}{need}")?;
                }
                Ok(())
            }
        }
    }
}

/// What the series of an alert are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A store of an instance: `job`, `environment`, `instance`, `store`.
    Store,
    /// An instance: `job`, `environment`, `instance`.
    Instance,
    /// All instances of an environment: `job`, `environment`.
    Environment,
    /// A target of Prometheus, the exporter that is: `job`, `instance`.
    Target,
    /// Nothing that has a label beside `job`, if that.
    Everything,
}

impl Scope {
    /// The labels that tell one alert of this scope from another.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Store => &["job", "environment", "instance", "store"],
            Self::Instance => &["job", "environment", "instance"],
            Self::Environment => &["job", "environment"],
            Self::Target => &["job", "instance"],
            Self::Everything => &[],
        }
    }
}

/// How urgent an alert is. Prometheus and Alertmanager see it as the label `priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Users cannot log in, or are about to be unable to: somebody is woken now.
    P0,
    /// Users are affected or will be within the hour: paged, and told in the channel; within 15 minutes.
    P1,
    /// Somebody should look today: the team's channel, within an hour of working time.
    P2,
    /// A ticket, within a day.
    P3,
    /// No finding at all: the heartbeat of the alerting pipeline.
    None,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 5] = [Self::P0, Self::P1, Self::P2, Self::P3, Self::None];

    /// Value of the label `priority`.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::None => "none",
        }
    }

    /// Value of the label `severity`, as Prometheus' users know it: pages are critical, channels warning, tickets info.
    pub const fn severity(self) -> &'static str {
        match self {
            Self::P0 | Self::P1 => "critical",
            Self::P2 => "warning",
            Self::P3 => "info",
            Self::None => "none",
        }
    }
}

/// Who owns an alert, as the label `team`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Team {
    /// Who builds the application whose sessions these are.
    Backend,
    /// Who runs the servers.
    Ops,
    /// Who answers attacks and leaks.
    Security,
}

impl Team {
    /// Value of the label `team`, unless the values say otherwise.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Ops => "ops",
            Self::Security => "security",
        }
    }
}

/// A dashboard that is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dashboard {
    /// Whether users can log in now.
    Overview,
    /// Why not.
    Debug,
    /// How much of the error budget is left.
    Slo,
    /// All instances at a glance.
    Fleet,
}

impl Dashboard {
    /// The uid in Grafana, which is also the name of its file.
    pub const fn uid(self) -> &'static str {
        match self {
            Self::Overview => "redis-session-overview",
            Self::Debug => "redis-session-debug",
            Self::Slo => "redis-session-slo",
            Self::Fleet => "redis-session-fleet",
        }
    }
}

/// Every alert of every file, in their order.
pub fn alerts() -> Vec<Alert> {
    FILES.iter().flat_map(File::alerts).collect()
}
