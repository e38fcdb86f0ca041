//! Collector `modules`: the modules of the server, and what those of them say that `redis_exporter` knows. INFO everything would hold it
//! too, with every other section once more; `INFO modules` holds the list of modules and their own sections alone (Redis 6.0).

mod search;
mod small;

use super::admission::{Admission, MAX_LABEL_VALUE_BYTES};
use super::table::{Row, push_rows, row_descriptors};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, Label, MetricKind, Samples};
use crate::redis::info::pairs;
use crate::redis::{Command, Info};
use std::collections::BTreeMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "modules",
    help: "The modules of the server, and what Redis Search, valkey-search, valkey-json and valkey-bloom say about themselves.",
    default_on: false,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || {
        let tables = TABLES.into_iter().flat_map(row_descriptors);
        std::iter::once(&MODULE).chain(tables).collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(Modules {
            label_values: options.label_values,
            modules: Admission::default(),
        })
    }),
};

static MODULE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_module_info",
    "1 for every module of the server: its version, that of the module interface, how many command filters it has, and the modules that use it \
     and that it uses.",
    "INFO modules: module",
)
.with_labels(&["name", "ver", "api", "filters", "usedby", "using"]);

/// Everything that modules say as numbers.
static TABLES: [&[Row]; 4] = [small::JSON, small::BLOOM, search::SEARCH, search::VALKEY_SEARCH];

/// Longest reply that is read. A server with every module that is known here says 10 KB.
const MAX_REPLY_BYTES: usize = 256 * 1024;

fn info_modules() -> Command {
    Command::new(1, &["INFO", "modules"])
}

struct Modules {
    label_values: usize,
    modules: Admission,
}

impl Collector for Modules {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        vec![info_modules()]
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let reply = context.reply(&info_modules())?;
        let text = reply
            .as_bytes()
            .ok_or_else(|| CollectError::shape(&info_modules(), "text was expected"))?;
        if text.len() > MAX_REPLY_BYTES {
            return Err(CollectError::shape(
                &info_modules(),
                "a reply of at most 256 KiB was expected",
            ));
        }
        let info = Info::parse(text);
        let mut samples = Samples::new();
        self.push_modules(&info, &mut samples);
        for table in TABLES {
            push_rows(&info, table, &mut samples);
        }
        Ok(samples)
    }
}

impl Modules {
    /// `module:name=search,ver=21005,api=1,filters=0,usedby=[],using=[ReJSON],options=[handle-io-errors]`. Redis 5 says name and version only.
    fn push_modules(&mut self, info: &Info, samples: &mut Samples) {
        let mut modules: BTreeMap<&str, Vec<Label>> = BTreeMap::new();
        let mut dropped = 0;
        for field in info.fields().filter(|field| field.name == "module") {
            let mut labels: Vec<Label> = Vec::new();
            for label in MODULE.labels {
                let value = pairs(field.value)
                    .find(|(name, _)| name == label)
                    .map(|(_, value)| value);
                labels.extend(value.map(|value| (*label, value.to_owned().into())));
            }
            let name = pairs(field.value)
                .find(|(name, _)| *name == "name")
                .map(|(_, value)| value);
            let Some(name) = name else { continue };
            if labels.iter().any(|(_, value)| value.len() > MAX_LABEL_VALUE_BYTES) {
                dropped += 1;
            } else {
                modules.entry(name).or_insert(labels);
            }
        }
        let candidates = modules.keys().map(|name| (*name, 0.0));
        samples.note_dropped(dropped + self.modules.decide(candidates, self.label_values));
        for (name, labels) in modules {
            if self.modules.admits(name) {
                samples.push_with(&MODULE, labels, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::compatibility::assert_emits_listed;
    use crate::collectors::testing::{Scene, parse_reply};
    use crate::redis::Reply;

    fn scene(text: &str) -> Scene {
        let reply = Reply::Bulk(bytes::Bytes::copy_from_slice(text.as_bytes()));
        Scene::new("redis_version:8.0.2\r\n").answer(info_modules(), reply)
    }

    /// Verbatim from Redis 8.0 and, with the module of a distribution's package, Redis 7.0; the second line is made up as the others are.
    const REDIS_8: &str = "# Modules\r\n\
        module:name=vectorset,ver=1,api=1,filters=0,usedby=[],using=[],options=[handle-io-errors|handle-repl-async-load]\r\n\
        module:name=search,ver=80000,api=1,filters=1,usedby=[a|b],using=[ReJSON],options=[handle-io-errors]\r\n\
        module:name=ft,ver=10200,api=1,filters=0,usedby=[],using=[],options=[]\r\n\
        \r\n# search_indexes\r\nsearch_number_of_indexes:3\r\nsearch_total_indexing_time:12.5\r\nsearch_dialect_2:1\r\n\
        search_index_version:1\r\nsearch_used_memory_indexes_human:1\r\nbf_bloom_defrag_hits:7\r\njson_num_documents:9\r\n";

    #[test]
    fn modules_and_what_they_say() {
        let samples = scene(REDIS_8).collect(&SPEC).unwrap();
        let labels = ["search", "80000", "1", "1", "[a|b]", "[ReJSON]"];
        assert_eq!(samples.number_with(MODULE.name, &labels), Some(1.0));
        assert_eq!(
            samples.number_with(MODULE.name, &["ft", "10200", "1", "0", "[]", "[]"]),
            Some(1.0)
        );
        assert_eq!(samples.families()[0].samples.len(), 3);
        assert_eq!(samples.number("redis_search_number_of_indexes"), Some(3.0));
        assert_eq!(samples.number("redis_search_indexing_time_ms_total"), Some(12.5));
        assert_eq!(samples.number("redis_search_dialect_2"), Some(1.0));
        assert_eq!(samples.number("redis_search_dialect_1"), None);
        assert_eq!(samples.number("redis_bf_bloom_defrag_hits_total"), Some(7.0));
        assert_eq!(samples.number("redis_json_num_documents"), Some(9.0));
    }

    /// A real server with modules that say every field of the compatibility list, and what redis_exporter 1.86 made of it.
    #[test]
    fn the_peer_finds_the_same_names_types_labels_and_values() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/compat");
        let reply = parse_reply(&std::fs::read(folder.join("modules-redis_exporter-1.86.resp")).unwrap());
        let samples = Scene::new("redis_version:7.0.15\r\n")
            .answer(info_modules(), reply)
            .collect(&SPEC)
            .unwrap();
        let mut ours = std::collections::BTreeSet::new();
        for family in samples.families() {
            let name = family.descriptor.name;
            ours.insert(format!("# TYPE {name} {}", family.descriptor.kind.as_str()));
            for sample in &family.samples {
                let mut labels: Vec<String> = sample
                    .labels
                    .iter()
                    .map(|(label, value)| format!("{label}=\"{value}\""))
                    .collect();
                labels.sort_unstable();
                let labels = if labels.is_empty() {
                    String::new()
                } else {
                    format!("{{{}}}", labels.join(","))
                };
                let crate::metric::Value::Number(value) = sample.value else {
                    panic!("{name} is no number")
                };
                ours.insert(format!("{name}{labels} {value}"));
            }
        }
        let text = std::fs::read_to_string(folder.join("modules-redis_exporter-1.86.prom")).unwrap();
        let theirs: std::collections::BTreeSet<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(ours, theirs);
        assert_emits_listed(file!(), &samples);
        // Every row of the tables is among them, and three modules are.
        assert_eq!(samples.families().len(), (SPEC.descriptors)().len());
        assert_eq!(samples.families()[0].samples.len(), 3);
    }

    #[test]
    fn a_server_without_modules_shows_nothing() {
        assert!(scene("# Modules\r\n").collect(&SPEC).unwrap().is_empty());
        assert!(scene("").collect(&SPEC).unwrap().is_empty());
    }

    #[test]
    fn old_servers_say_less_and_hostile_ones_are_bounded() {
        let samples = scene("module:name=old,ver=1\r\nmodule:name=old,ver=2\r\nmodule:ver=3\r\n")
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.families()[0].samples.len(), 1);
        assert_eq!(samples.families()[0].samples[0].labels.len(), 2);
        let many: String = (0..60)
            .map(|number| format!("module:name=m{number},ver=1\r\n"))
            .collect();
        let long = format!("module:name={},ver=1\r\n", "x".repeat(MAX_LABEL_VALUE_BYTES + 1));
        let samples = scene(&(many + &long)).collect(&SPEC).unwrap();
        assert_eq!((samples.families()[0].samples.len(), samples.dropped()), (50, 11));
        let endless = scene(&"x".repeat(MAX_REPLY_BYTES + 1)).collect(&SPEC);
        assert!(matches!(endless, Err(CollectError::Shape { .. })));
    }
}
