//! The file of values that `rules` renders the shipped rules with: thresholds, selectors, capacities, and what is different about single
//! alerts. Read strictly like `exporter.yaml`; which thresholds and alerts there are, the caller says.

use super::decode::{Decoder, Field, Fields, TextRule};
use super::environment::Environment;
use super::names::{Scope, nearest};
use super::problem::{ConfigErrors, Problems};
use super::tree::MAX_FILE_BYTES;
use super::web::read_file;
use std::collections::BTreeMap;
use std::path::Path;

/// Stands for the name of the alert in `runbook_url`.
pub const ALERT_IN_URL: &str = "{alert}";

/// Longest text of a value: selectors and addresses are far shorter.
const MAX_TEXT_BYTES: usize = 1024;
/// Most capacities. Each becomes a line of one expression.
const MAX_CAPACITIES: usize = 1000;
/// Largest capacity. More sessions than any server holds, and exact as a number of PromQL.
const MAX_SESSIONS: u64 = 1_000_000_000_000;
/// Greatest hurry: beyond it waits of a minute would be shorter than the second between two scrapes.
const MAX_HURRY: f64 = 60.0;

/// What may be written in the file beside what is fixed.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The thresholds.
    pub thresholds: &'a [Threshold],
    /// The names of the alerts.
    pub alerts: &'a [&'static str],
}

/// How a value is written, in the file of values, in PromQL and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share between 0 and 1; for people in percent.
    Ratio,
    /// A span of time that metrics measure in seconds; `500ms` or `24h` in the file of values.
    Seconds,
    /// A plain number; what it counts says the help.
    Count,
    /// A number of bytes; for people in KiB, MiB or GiB.
    Bytes,
}

/// A number that decides when an alert fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Name in the file of values, and of the placeholder.
    pub name: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// Its default; seconds for [`Unit::Seconds`].
    pub default: f64,
    /// Lowest and highest that make sense.
    pub range: (f64, f64),
    /// The only values within the range that there may be, ascending; empty where any may.
    pub among: &'static [f64],
    /// What it decides, in one sentence for the file of values.
    pub help: &'static str,
}

/// What the file says. What it leaves out keeps its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertValues {
    /// `selector`: matchers of PromQL that select the series of the exporters.
    pub selector: Option<String>,
    /// `production`: matchers of PromQL that select the environments where users are.
    pub production: Option<String>,
    /// `runbook_url`: where the page of an alert is, with [`ALERT_IN_URL`] in place of its name, or what stands in front of it.
    pub runbook_url: Option<String>,
    /// `dashboard_url`: where Grafana is, without a slash at its end.
    pub dashboard_url: Option<String>,
    /// `hurry`: by how much waits and windows are divided, from 1 to 60.
    pub hurry: Option<f64>,
    /// `teams`: how each team is called.
    pub teams: BTreeMap<&'static str, String>,
    /// `thresholds`, within their ranges.
    pub thresholds: BTreeMap<&'static str, f64>,
    /// `capacity` of stores whose exporter names none.
    pub capacity: Vec<StoreCapacity>,
    /// `alerts`: what is different about single ones.
    pub alerts: BTreeMap<&'static str, AlertOverride>,
}

/// How many sessions a store may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCapacity {
    /// Label `store`.
    pub store: String,
    /// Label `instance`; `None` for every instance with such a store.
    pub instance: Option<String>,
    /// Label `environment`; `None` for all.
    pub environment: Option<String>,
    /// The capacity, from 1 up.
    pub sessions: u64,
}

/// What is different about an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertOverride {
    /// `enabled: off` leaves it out.
    pub enabled: Option<bool>,
    /// `for`: how long its condition must hold, as Prometheus reads it; `0s` for not at all.
    pub hold: Option<String>,
    /// `priority`: `P0` to `P3`.
    pub priority: Option<&'static str>,
    /// `team`: a team by any name.
    pub team: Option<String>,
}

/// The teams that own alerts, as the file calls them.
pub const TEAMS: [&str; 3] = ["backend", "ops", "security"];

/// The priorities that an alert may have.
const PRIORITIES: [&str; 4] = ["P0", "P1", "P2", "P3"];

/// Reads the file.
///
/// # Errors
/// Every problem found, sorted by place, none of which quotes a value.
pub fn load(path: &Path, known: Known<'_>) -> Result<AlertValues, ConfigErrors> {
    let origin = path.display().to_string();
    match read_file(path, "--values") {
        Ok(text) => parse(&text, &origin, known),
        Err(message) => {
            let mut problems = Problems::new(origin);
            problems.add(None, "", message);
            problems.into_result(None)
        }
    }
}

/// Reads the text of such a file; `origin` stands in front of every problem.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, origin: &str, known: Known<'_>) -> Result<AlertValues, ConfigErrors> {
    let mut problems = Problems::new(origin);
    if text.len() > MAX_FILE_BYTES {
        problems.add(None, "", format!("is larger than {MAX_FILE_BYTES} bytes"));
        return problems.into_result(None);
    }
    let root = super::tree::parse(text, &mut problems);
    // Nothing here is a secret or differs between machines; a value is what is written.
    let environment = Environment::of_pairs(&[]);
    let mut decoder = Decoder::new(problems, &environment);
    let values = root.map(|root| {
        let field = Field {
            node: &root,
            place: root.place,
            path: String::new(),
        };
        decode(&mut decoder, &field, known)
    });
    decoder.problems.into_result(Some(values.unwrap_or_default()))
}

fn decode(decoder: &mut Decoder<'_>, root: &Field<'_>, known: Known<'_>) -> AlertValues {
    let fields = decoder.fields(root, Scope::AlertValues);
    let selector = |decoder: &mut Decoder<'_>, key| given(&fields, key).and_then(|field| matchers(decoder, field));
    AlertValues {
        selector: selector(decoder, "selector"),
        production: selector(decoder, "production"),
        runbook_url: given(&fields, "runbook_url").and_then(|field| url(decoder, field, ALERT_IN_URL)),
        dashboard_url: given(&fields, "dashboard_url")
            .and_then(|field| url(decoder, field, ""))
            .map(|url| url.trim_end_matches('/').to_owned()),
        hurry: given(&fields, "hurry").and_then(|field| number_within(decoder, field, (1.0, MAX_HURRY))),
        teams: given(&fields, "teams").map_or_else(BTreeMap::new, |field| teams(decoder, field)),
        thresholds: given(&fields, "thresholds")
            .map_or_else(BTreeMap::new, |field| thresholds(decoder, field, known.thresholds)),
        capacity: given(&fields, "capacity").map_or_else(Vec::new, |field| capacities(decoder, field)),
        alerts: given(&fields, "alerts").map_or_else(BTreeMap::new, |field| overrides(decoder, field, known.alerts)),
    }
}

/// A key that was written with a value.
fn given<'f, 'n>(fields: &'f Fields<'n>, key: &str) -> Option<&'f Field<'n>> {
    fields.get(key).filter(|field| !field.node.is_null())
}

fn line(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    decoder.text(field, &TextRule::line(MAX_TEXT_BYTES))
}

/// Matchers as they stand between the braces of a selector.
fn matchers(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let text = line(decoder, field)?;
    let fits = are_matchers(&text);
    if !fits {
        decoder.refuse(
            field,
            "must be matchers of PromQL as they stand between braces, in single quotes: 'job=\"redis-session-exporter\"'",
        );
    }
    fits.then(|| text.trim().to_owned())
}

fn are_matchers(text: &str) -> bool {
    let mut rest = text;
    while let Some(following) = after_matcher(rest.trim_start()) {
        let following = following.trim_start();
        let Some(next) = following.strip_prefix(',') else {
            return following.is_empty();
        };
        rest = next;
    }
    false
}

/// What follows the matcher with which the text begins. Of all that may be escaped in a string of PromQL only `\"` and `\\` are of use here.
fn after_matcher(text: &str) -> Option<&str> {
    let end = text.find(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))?;
    let (name, rest) = text.split_at(end);
    if !name.starts_with(|character: char| character.is_ascii_alphabetic() || character == '_') {
        return None;
    }
    let rest = rest.trim_start();
    let (operator, rest) = ["=~", "!~", "!=", "="]
        .iter()
        .find_map(|operator| Some((*operator, rest.strip_prefix(operator)?)))?;
    let mut characters = rest.trim_start().strip_prefix('"')?.chars();
    let mut value = String::new();
    loop {
        value.push(match characters.next()? {
            '"' => break,
            '\\' => characters.next().filter(|character| matches!(character, '"' | '\\'))?,
            character => character,
        });
    }
    let fits = !operator.ends_with('~') || is_regular_expression(&value);
    fits.then_some(characters.as_str())
}

/// Without the tables of Unicode, which this program does not have: with them `regex` would refuse even `.` and `\d`, but in tests, whose
/// other packages bring the tables along.
fn is_regular_expression(text: &str) -> bool {
    let pattern = regex::bytes::RegexBuilder::new(text).unicode(false).build();
    pattern.is_ok()
}

/// An address that people open in a browser; `placeholder` may stand in it.
fn url(decoder: &mut Decoder<'_>, field: &Field<'_>, placeholder: &str) -> Option<String> {
    let text = line(decoder, field)?;
    let is_http = text.starts_with("https://") || text.starts_with("http://");
    let is_plain = text
        .replace(placeholder, "")
        .chars()
        .all(|character| character.is_ascii_graphic() && !"\"'<>\\^`{|}$".contains(character));
    if !is_http || !is_plain {
        decoder.refuse(field, "must be an address that begins with https:// or http://");
        return None;
    }
    Some(text)
}

fn number_within(decoder: &mut Decoder<'_>, field: &Field<'_>, (lowest, highest): (f64, f64)) -> Option<f64> {
    let number = decoder.number(field)?;
    let fits = (lowest..=highest).contains(&number);
    if !fits {
        decoder.refuse(field, format!("must be a number from {lowest} to {highest}"));
    }
    fits.then_some(number)
}

fn teams(decoder: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<&'static str, String> {
    let fields = decoder.fields(field, Scope::AlertTeams);
    TEAMS
        .into_iter()
        .filter_map(|team| Some((team, label(decoder, given(&fields, team)?)?)))
        .collect()
}

/// The value of a label: a text without what would end it in a template.
fn label(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let text = line(decoder, field)?;
    let fits = !text.contains(['{', '}', '$', '"', '\\']);
    if !fits {
        decoder.refuse(field, "must not contain braces, quotes, `$` or a backslash");
    }
    fits.then_some(text)
}

fn thresholds(decoder: &mut Decoder<'_>, field: &Field<'_>, known: &[Threshold]) -> BTreeMap<&'static str, f64> {
    let mut values = BTreeMap::new();
    for (entry, value) in decoder.entries(field) {
        let Some(threshold) = known.iter().find(|threshold| threshold.name == &*entry.key) else {
            let names: Vec<&str> = known.iter().map(|threshold| threshold.name).collect();
            let hint = nearest(&entry.key, &names).map_or_else(
                || "`redis-session-exporter rules --print-values` lists them".to_owned(),
                |name| format!("did you mean `{name}`?"),
            );
            decoder.problems.add(
                entry.place,
                &field.path,
                format!("has a threshold that there is not; {hint}"),
            );
            continue;
        };
        if !value.node.is_null()
            && let Some(number) = threshold_value(decoder, &value, threshold)
        {
            values.insert(threshold.name, number);
        }
    }
    values
}

fn threshold_value(decoder: &mut Decoder<'_>, field: &Field<'_>, threshold: &Threshold) -> Option<f64> {
    let (lowest, highest) = threshold.range;
    if threshold.unit == Unit::Seconds {
        let seconds = decoder.duration(field)?.as_secs_f64();
        let shown = |seconds: f64| super::duration::format_duration(std::time::Duration::from_secs_f64(seconds));
        let is_within = |seconds: &f64| (lowest..=highest).contains(seconds);
        let fits = is_within(&seconds) && (threshold.among.is_empty() || threshold.among.contains(&seconds));
        if !fits && threshold.among.is_empty() {
            decoder.refuse(
                field,
                format!("must be a duration from {} to {}", shown(lowest), shown(highest)),
            );
        } else if !fits {
            let among = threshold.among.iter().copied().filter(is_within);
            let among: Vec<String> = among.map(shown).collect();
            decoder.refuse(field, format!("must be one of {}", among.join(", ")));
        }
        return fits.then_some(seconds);
    }
    number_within(decoder, field, threshold.range)
}

fn capacities(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<StoreCapacity> {
    let Some(items) = decoder.items(field, "{ store: web, sessions: 100000 }") else {
        return Vec::new();
    };
    if items.len() > MAX_CAPACITIES {
        decoder.refuse(field, format!("has more than {MAX_CAPACITIES} items"));
        return Vec::new();
    }
    items.iter().filter_map(|item| capacity(decoder, item)).collect()
}

fn capacity(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<StoreCapacity> {
    let fields = decoder.fields(field, Scope::AlertCapacity);
    let text = |decoder: &mut Decoder<'_>, key| given(&fields, key).and_then(|field| line(decoder, field));
    let (store, instance, environment) = (
        text(decoder, "store"),
        text(decoder, "instance"),
        text(decoder, "environment"),
    );
    let sessions = given(&fields, "sessions").and_then(|field| decoder.whole_number(field, 1, MAX_SESSIONS));
    for (key, is_missing) in [
        ("store", given(&fields, "store").is_none()),
        ("sessions", given(&fields, "sessions").is_none()),
    ] {
        if is_missing {
            decoder.refuse(
                field,
                format!("needs `{key}`; write for example {{ store: web, sessions: 100000 }}"),
            );
        }
    }
    Some(StoreCapacity {
        store: store?,
        instance,
        environment,
        sessions: sessions?,
    })
}

fn overrides(
    decoder: &mut Decoder<'_>,
    field: &Field<'_>,
    known: &[&'static str],
) -> BTreeMap<&'static str, AlertOverride> {
    let mut overrides = BTreeMap::new();
    for (entry, value) in decoder.entries(field) {
        let Some(name) = known.iter().find(|name| **name == &*entry.key) else {
            let hint = nearest(&entry.key, known).map_or_else(
                || "docs/alerts.md lists them".to_owned(),
                |name| format!("did you mean `{name}`?"),
            );
            decoder.problems.add(
                entry.place,
                &field.path,
                format!("names an alert that there is not; {hint}"),
            );
            continue;
        };
        // A name of ours is no secret.
        let value = Field {
            path: format!("{}.{name}", field.path),
            ..value
        };
        overrides.insert(*name, override_of(decoder, &value));
    }
    overrides
}

fn override_of(decoder: &mut Decoder<'_>, field: &Field<'_>) -> AlertOverride {
    let fields = decoder.fields(field, Scope::AlertOverride);
    AlertOverride {
        enabled: given(&fields, "enabled").and_then(|field| decoder.switch(field)),
        hold: given(&fields, "for").and_then(|field| hold(decoder, field)),
        priority: given(&fields, "priority").and_then(|field| decoder.one_of(field, &PRIORITIES)),
        team: given(&fields, "team").and_then(|field| label(decoder, field)),
    }
}

/// A wait as Prometheus reads it, which knows the same units.
fn hold(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let duration = decoder.duration_or_zero(field)?;
    Some(super::duration::format_duration(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_told_from_what_prometheus_would_refuse() {
        for text in [
            r#"job="redis""#,
            r#" job =~ "redis-[ab]|x\\.y.*" , team!="say \"a, b\"",_x!~"\\d+$" "#,
            r#"job="""#,
        ] {
            assert!(are_matchers(text), "{text}");
        }
        for text in [
            "",
            "job",
            "job=x",
            r#"job="x",""#,
            r#"job="x","#,
            r#"job="x" team="y""#,
            r#"{job="x"}"#,
            r#"1job="x""#,
            r#"job=="x""#,
            r#"job="x"#,
            r#"job="a\.b""#,
            r#"job=~"a(""#,
            r#"job="x"} or up{job="y""#,
        ] {
            assert!(!are_matchers(text), "{text}");
        }
    }
}
