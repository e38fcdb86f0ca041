//! The catalogue: every metric that this program can emit, as a table for the terminal and as `docs/metrics.md`.
//!
//! Both are made from the descriptors, so neither can say anything that the program does not do.

#[cfg(test)]
pub(crate) mod compatibility;

use crate::collectors::{ALL, Schedule};
use crate::metric::Descriptor;
use crate::poller::self_metrics;
use crate::telemetry;
use std::fmt::Write;

/// Metrics that no collector publishes: those of the poller about its polls and of the process about itself. The caller names
/// the group, as the column `collector` shows it.
pub struct Group<'a> {
    /// Name of the group, e.g. `exporter`.
    pub name: &'a str,
    /// One sentence: what the operator learns from it.
    pub help: &'a str,
    /// Its metrics.
    pub descriptors: Vec<&'static Descriptor>,
}

/// What the poller says about its own work. Whoever wires the program adds the groups of the process and of HTTP.
pub fn poller_group() -> Group<'static> {
    Group {
        name: "exporter",
        help: "The exporter about its own work on each instance, and the bounded ones of redis_exporter's figures about itself.",
        descriptors: self_metrics::ALL.to_vec(),
    }
}

/// What the process says about itself.
pub fn process_group() -> Group<'static> {
    Group {
        name: "process",
        help: "The exporter's own process: build, configuration, HTTP, resources. Not on `/probe`.",
        descriptors: telemetry::DESCRIPTORS.iter().collect(),
    }
}

/// The catalogue as a table of tab separated columns with a header line, for the terminal.
pub fn table() -> String {
    render_table(&[poller_group(), process_group()])
}

/// The catalogue as `docs/metrics.md`.
pub fn markdown() -> String {
    render_markdown(&[poller_group(), process_group()])
}

/// The catalogue as the encoders need it: the order of all families about instances, and the names of the process' own.
pub fn exposition() -> crate::exposition::catalogue::Catalogue {
    let of_collectors = ALL.iter().flat_map(|spec| (spec.descriptors)());
    crate::exposition::catalogue::Catalogue::new(
        of_collectors.chain(poller_group().descriptors),
        &telemetry::DESCRIPTORS,
    )
}

/// Everything that can be emitted, collectors first in the order of [`ALL`].
fn groups<'a>(extra: &[Group<'a>]) -> Vec<(Group<'a>, Option<(bool, Schedule)>)> {
    ALL.iter()
        .map(|spec| {
            let group = Group {
                name: spec.name,
                help: spec.help,
                descriptors: (spec.descriptors)(),
            };
            (group, Some((spec.default_on, spec.schedule)))
        })
        .chain(extra.iter().map(|group| {
            let copy = Group {
                name: group.name,
                help: group.help,
                descriptors: group.descriptors.clone(),
            };
            (copy, None)
        }))
        .collect()
}

/// The interval that drives a collector, as the configuration calls it.
const fn interval(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Ping => "poll.ping_interval",
        Schedule::Info => "poll.info_interval",
        Schedule::Scan => "poll.scan_interval",
        Schedule::Connect => "poll.connect_interval",
        Schedule::SessionProbe => "session_probe.interval",
    }
}

/// `catalogue`: one line per metric, fields separated by TAB (name, type, labels, unit, collector, source, help), so that it
/// can be cut, sorted and searched. The first line names the fields.
pub fn render_table(extra: &[Group<'_>]) -> String {
    let mut table = "name\ttype\tlabels\tunit\tcollector\tsource\thelp\n".to_owned();
    for (group, _) in groups(extra) {
        for descriptor in group.descriptors {
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "{}\t{}\t{}\t{}\t{}\t{}\t{}",
                descriptor.name,
                descriptor.kind.as_str(),
                descriptor.labels.join(","),
                descriptor.unit().unwrap_or_default(),
                group.name,
                descriptor.source,
                descriptor.help,
            );
        }
    }
    table
}

/// Text of `docs/metrics.md`.
pub fn render_markdown(extra: &[Group<'_>]) -> String {
    let mut page = "# Metrics\n\n\
        <!-- Generated from the source by `UPDATE=1 cargo test --lib catalogue`; a test fails when it is not current. -->\n\n\
        Every metric that the exporter can emit, by collector. Each series about an instance also carries `environment`, \
        `instance` and the instance's own labels. What could not be read is absent, never 0.\n\n\
        Labels are bounded: at most 1000 commands (`cmd`), 1000 databases (`db`), 1000 parameters of the server (`key` of \
        `redis_config_*`), 256 threads (`thread`) and 128 errors (`err`); \
         `key` at most `limits.checked_keys` names of keys that a pattern finds; `key_group` at most `max_groups` and one per database, \
        `stream` 1000 per database that patterns find and as many that are named, `group` 100 per stream, `consumer` 100 per group; every other label at most `limits.label_values` values. What is left out is counted in \
        `redis_session_exporter_series_dropped_total{reason=\"label_values\"}`.\n"
        .to_owned();
    for (group, schedule) in groups(extra) {
        let _ = write!(page, "\n## {}\n\n{}", group.name, group.help);
        if let Some((default_on, schedule)) = schedule {
            let default = if default_on { "on" } else { "off" };
            let _ = write!(page, " By default {default}, every `{}`.", interval(schedule));
        }
        if group.descriptors.is_empty() {
            page.push_str("\n\nWhich metrics there are says `application_metrics`, see application-metrics.md.\n");
            continue;
        }
        page.push_str("\n\n| name | type | labels | meaning | source |\n|---|---|---|---|---|\n");
        for descriptor in group.descriptors {
            let labels: Vec<String> = descriptor.labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} |",
                descriptor.name,
                descriptor.kind.as_str(),
                labels.join(", "),
                escaped(descriptor.help),
                escaped(descriptor.source),
            );
        }
    }
    page
}

/// Text that stays one cell of a Markdown table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    pub(super) fn project(path: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    /// Writes the file with UPDATE=1, else fails when it is not current.
    pub(super) fn assert_current(path: &str, text: &str) {
        let path = project(path);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is not current; run: UPDATE=1 cargo test --lib catalogue",
            path.display()
        );
    }

    #[test]
    fn no_two_metrics_clash_in_either_dialect() {
        assert_eq!(exposition().conflicts(), Vec::<String>::new().as_slice());
    }

    #[test]
    fn the_document_is_current() {
        assert_current("docs/metrics.md", &markdown());
    }

    #[test]
    fn every_name_is_announced_once_and_well_formed() {
        let mut seen = BTreeSet::new();
        for (group, _) in groups(&[poller_group(), process_group()]) {
            // What the application publishes says the configuration.
            assert!(
                !group.descriptors.is_empty() || group.name == "application",
                "{} has no metrics",
                group.name
            );
            for descriptor in group.descriptors {
                let name = descriptor.name;
                assert!(seen.insert(name), "{name} is announced twice");
                assert!(
                    name.bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                    "{name}"
                );
                assert!(descriptor.help.ends_with('.'), "{name}: help is no sentence");
                assert!(
                    !descriptor.source.is_empty() && !descriptor.help.contains(['\n', '\t']),
                    "{name}"
                );
            }
        }
    }

    /// Collectors' names are held against it where the configuration is read; these groups are above it.
    #[test]
    fn no_metric_of_the_application_takes_a_name_of_the_exporter_or_its_process() {
        let groups = [poller_group(), process_group()];
        for descriptor in groups.iter().flat_map(|group| &group.descriptors) {
            let kind = if descriptor.name.ends_with("_total") {
                "counter"
            } else {
                "gauge"
            };
            let text = format!(
                "instances: [ {{ address: h, application_metrics: [ {{ name: {}, type: {kind}, key: k }} ] }} ]",
                descriptor.name
            );
            let environment = crate::config::Environment::of_pairs(&[]);
            let loaded = crate::config::load_str(&text, "f", Path::new(""), &environment);
            let errors = loaded.expect_err(descriptor.name).to_string();
            assert!(errors.contains("is a name of this exporter"), "{errors}");
        }
    }

    #[test]
    fn collectors_are_listed_once_under_the_names_of_the_contract() {
        let names: Vec<&str> = ALL.iter().map(|spec| spec.name).collect();
        let contract = "ping connect server memory clients stats persistence replication cpu commandstats latency slowlog \
                        errorstats keyspace cluster config tls sessions events operations session_probe application";
        let optional = "check_keys check_single_keys count_keys config_all system modules cluster_slot_stats lua search client_list client_counts sentinel \
                        sentinel_peers tile38 key_groups streams";
        let all = format!("{contract} {optional}");
        assert_eq!(names, all.split_whitespace().collect::<Vec<_>>());
        let is_optional = |name: &str| optional.split_whitespace().any(|optional| optional == name);
        // These are silent on any other server.
        let of_other_servers = ["sentinel", "tile38"];
        assert!(
            ALL.iter()
                .all(|spec| { spec.default_on != is_optional(spec.name) || of_other_servers.contains(&spec.name) })
        );
    }

    #[test]
    fn the_table_has_one_line_per_metric() {
        let table = render_table(&[]);
        let metrics: usize = ALL.iter().map(|spec| (spec.descriptors)().len()).sum();
        assert_eq!(table.lines().count(), metrics + 1);
        assert!(table.lines().all(|line| line.split('\t').count() == 7));
        assert!(table.contains("\nredis_start_time_seconds\tgauge\t\tseconds\tserver\t"));
    }
}
