//! Collector `keyspace`: INFO Keyspace, keys per database.

use super::admission::{Admission, MAX_DATABASES};
use super::compound::{compounds, count};
use super::table::MILLISECONDS_PER_SECOND;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, config, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;
use std::collections::BTreeMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "keyspace",
    help: "Keys per database, and how many of them have a time to live.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, _| {
        let is_wanted = config.optional.compatibility.empty_databases;
        let parameters = grants::config_get(config).filter(|_| is_wanted);
        grants::commands(&["info"]).into_iter().chain(parameters).collect()
    },
    descriptors: || {
        vec![
            &KEYS,
            &KEYS_EXPIRING,
            &AVERAGE_TTL,
            &KEYS_CACHED,
            &KEYS_WITH_EXPIRING_ITEMS,
        ]
    },
    build: Build::FromReplies(|options| {
        let compatibility = &options.optional.compatibility;
        Box::new(Keyspace {
            reader: config::Reader::new(compatibility),
            empty_databases: compatibility.empty_databases,
            databases: Admission::default(),
        })
    }),
};

static KEYS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_db_keys",
    "Keys in the database, those included that have ended but were not removed yet. Empty databases are 0 where the server \
     says how many there are.",
    "INFO Keyspace: dbN keys; CONFIG GET databases",
)
.with_labels(&["db"]);

static KEYS_EXPIRING: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_db_keys_expiring",
    "Keys in the database that have a time to live.",
    "INFO Keyspace: dbN expires; CONFIG GET databases",
)
.with_labels(&["db"]);

static AVERAGE_TTL: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_db_avg_ttl_seconds",
    "Average time to live as the server estimates it from samples; slow to follow, and 0 when it does not know (on replicas \
     always).",
    "INFO Keyspace: dbN avg_ttl",
)
.with_labels(&["db"]);

static KEYS_CACHED: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_db_keys_cached",
    "Keys of the database that KeyDB holds in memory in front of its FLASH storage.",
    "INFO Keyspace (KeyDB): dbN cached_keys",
)
.with_labels(&["db"]);

static KEYS_WITH_EXPIRING_ITEMS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_db_keys_with_expiring_items",
    "Hashes in the database with fields that have a time to live of their own.",
    "INFO Keyspace: dbN subexpiry (Redis 7.4+), keys_with_volatile_items (Valkey 9.0+)",
)
.with_labels(&["db"]);

struct Keyspace {
    reader: config::Reader,
    /// Whether databases without keys are 0, for which the server must say how many there are.
    empty_databases: bool,
    databases: Admission,
}

impl Collector for Keyspace {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        if self.empty_databases {
            self.reader.requests(server)
        } else {
            Vec::new()
        }
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        let mut databases: BTreeMap<u64, &str> = BTreeMap::new();
        for compound in compounds(info, "db") {
            // `db0_distrib_strings_sizes` and the like are other fields; `db007` is no database.
            let number = compound
                .name
                .parse()
                .ok()
                .filter(|number: &u64| number.to_string() == compound.name);
            if let Some(number) = number {
                databases.insert(number, compound.value);
            }
        }
        // A cluster has one database, so the peer fills none there.
        if self.empty_databases
            && !context.server.cluster_enabled
            && let Some(parameters) = self.reader.read_if_available(context)?
            && let Some(number) = parameters.get("databases").and_then(|text| text.parse::<u64>().ok())
        {
            for number in 0..number.min(MAX_DATABASES as u64) {
                databases.entry(number).or_insert("keys=0,expires=0");
            }
        }
        let named: Vec<(String, &str)> = databases
            .into_iter()
            .map(|(number, value)| (format!("db{number}"), value))
            .collect();
        let candidates = named
            .iter()
            .map(|(name, value)| (name.as_str(), count(value, "keys").unwrap_or_default()));
        samples.note_dropped(self.databases.decide(candidates, MAX_DATABASES));
        for (name, value) in named.into_iter().filter(|(name, _)| self.databases.admits(name)) {
            let mut push = |descriptor, number: Option<f64>| {
                if let Some(number) = number {
                    samples.push_with(descriptor, vec![("db", name.clone().into())], number);
                }
            };
            push(&KEYS, count(value, "keys"));
            push(&KEYS_EXPIRING, count(value, "expires"));
            push(
                &AVERAGE_TTL,
                count(value, "avg_ttl").map(|milliseconds| milliseconds / MILLISECONDS_PER_SECOND),
            );
            push(&KEYS_CACHED, count(value, "cached_keys"));
            push(
                &KEYS_WITH_EXPIRING_ITEMS,
                count(value, "subexpiry").or_else(|| count(value, "keys_with_volatile_items")),
            );
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::Scene;
    use crate::redis::Reply;

    const INFO: &str = "redis_version:8.0.2\r\n# Keyspace\r\ndb0:keys=5,expires=2,avg_ttl=1500,subexpiry=3\r\n\
        db7:keys=9,expires=0,avg_ttl=-1,keys_with_volatile_items=1\r\ndb07:keys=1\r\ndb:keys=1\r\ndb1_distrib_sets_items:1=1\r\n";

    #[test]
    fn fields_are_read_by_name_and_gaps_are_filled() {
        let samples = Scene::new(INFO).config(&[("databases", "4")]).collect(&SPEC).unwrap();
        assert_eq!(samples.number_with(KEYS.name, &["db0"]), Some(5.0));
        assert_eq!(samples.number_with(KEYS.name, &["db3"]), Some(0.0));
        assert_eq!(samples.number_with(KEYS.name, &["db7"]), Some(9.0));
        assert_eq!(samples.number_with(KEYS_EXPIRING.name, &["db1"]), Some(0.0));
        assert_eq!(samples.number_with(AVERAGE_TTL.name, &["db0"]), Some(1.5));
        assert_eq!(samples.number_with(AVERAGE_TTL.name, &["db7"]), None);
        assert_eq!(samples.number_with(KEYS_CACHED.name, &["db0"]), None);
        assert_eq!(samples.number_with(KEYS_WITH_EXPIRING_ITEMS.name, &["db7"]), Some(1.0));
        assert_eq!(samples.families()[0].samples.len(), 5);
    }

    #[test]
    fn without_config_only_what_info_names_is_there() {
        let scene = Scene::new(INFO).config_reply(Reply::Error("NOPERM no".into()));
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.families()[0].samples.len(), 2);
    }

    #[test]
    fn empty_databases_may_be_left_out() {
        let mut scene = Scene::new(INFO).config(&[("databases", "4")]);
        scene.options.optional.compatibility.empty_databases = false;
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.number_with(KEYS.name, &["db0"]), Some(5.0));
        assert_eq!(samples.number_with(KEYS.name, &["db3"]), None);
        let Build::FromReplies(build) = SPEC.build else {
            panic!("keyspace reads replies")
        };
        assert_eq!(build(&scene.options).requests(Some(&scene.server)), []);
    }

    #[test]
    fn a_cluster_is_not_filled_and_a_huge_number_of_databases_is_bounded() {
        let cluster = format!("{INFO}cluster_enabled:1\r\n");
        let samples = Scene::new(&cluster)
            .config(&[("databases", "16")])
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.families()[0].samples.len(), 2);
        let samples = Scene::new(INFO)
            .config(&[("databases", "2147483647")])
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.families()[0].samples.len(), MAX_DATABASES);
    }
}
