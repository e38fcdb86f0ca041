//! Collector `memory`: INFO Memory, and whether the store is set up as its operator expects (`expect`).
//!
//! The one family `redis_expectation_met` covers persistence too; it is published here because one family comes from one
//! collector, and because memory with its eviction policy is what loses sessions first.

use super::expectations::{self, EXPECTATION_MET, PERSISTENCE_EXPECTED};
use super::table::{Row, push_rows, row, row_descriptors};
use super::{Build, CollectError, Collector, Expectations, PollContext, Schedule, Server, Spec, config, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "memory",
    help: "Memory used and allowed, fragmentation, buffers, and whether policy and persistence are as expected.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, _| {
        let parameters = config.expect.persistence.and_then(|_| grants::config_get(config));
        grants::commands(&["info"]).into_iter().chain(parameters).collect()
    },
    descriptors: || {
        row_descriptors(ROWS)
            .chain([&USED_RATIO, &EXPECTATION_MET, &PERSISTENCE_EXPECTED])
            .collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(Memory {
            reader: config::Reader::new(&options.optional.compatibility),
            expect: options.expect.clone(),
        })
    }),
};

static USED_RATIO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_memory_used_ratio",
    "Used memory as a share of maxmemory (1: full). Absent when the server has no limit.",
    "INFO Memory: used_memory, maxmemory",
);

static ROWS: &[Row] = &[
    row!(
        Gauge,
        "redis_memory_used_bytes",
        "Memory",
        "used_memory",
        "Memory that the server has allocated."
    ),
    row!(
        Gauge,
        "redis_memory_max_bytes",
        "Memory",
        "maxmemory",
        "Configured limit (maxmemory); 0 means no limit."
    ),
    row!(
        Gauge,
        "redis_memory_used_rss_bytes",
        "Memory",
        "used_memory_rss",
        "Memory of the process as the operating system sees it; what an out-of-memory killer looks at."
    ),
    row!(
        Gauge,
        "redis_memory_used_peak_bytes",
        "Memory",
        "used_memory_peak",
        "Most memory ever allocated since the start."
    ),
    row!(
        Gauge,
        "redis_memory_used_overhead_bytes",
        "Memory",
        "used_memory_overhead",
        "Memory that is not data: buffers, tables, the server itself."
    ),
    row!(
        Gauge,
        "redis_memory_used_startup_bytes",
        "Memory",
        "used_memory_startup",
        "Memory of the empty server."
    ),
    row!(
        Gauge,
        "redis_memory_used_dataset_bytes",
        "Memory",
        "used_memory_dataset",
        "Memory of the data alone."
    ),
    row!(
        Gauge,
        "redis_memory_used_lua_bytes",
        "Memory",
        "used_memory_lua",
        "Memory of the Lua engine for EVAL."
    ),
    row!(
        Gauge,
        "redis_memory_used_vm_eval_bytes",
        "Memory (7.0+)",
        "used_memory_vm_eval",
        "Memory of the script engines for EVAL, not part of used memory."
    ),
    row!(
        Gauge,
        "redis_memory_used_vm_functions_bytes",
        "Memory (7.0+)",
        "used_memory_vm_functions",
        "Memory of the script engines for functions, not part of used memory."
    ),
    row!(
        Gauge,
        "redis_memory_used_vm_total",
        "Memory (7.0+)",
        "used_memory_vm_total",
        "Memory in bytes of all script engines, not part of used memory."
    ),
    row!(
        Gauge,
        "redis_memory_used_scripts_eval_bytes",
        "Memory (7.0+)",
        "used_memory_scripts_eval",
        "Memory of cached EVAL scripts."
    ),
    row!(
        Gauge,
        "redis_memory_used_functions_bytes",
        "Memory (7.0+)",
        "used_memory_functions",
        "Memory of functions."
    ),
    row!(
        Gauge,
        "redis_memory_used_scripts_bytes",
        "Memory (7.0+)",
        "used_memory_scripts",
        "Memory of cached scripts and functions together."
    ),
    row!(
        Gauge,
        "redis_memory_used_hash_templates_bytes",
        "Memory (Redis 8.10+)",
        "used_memory_hash_templates",
        "Memory of field layouts shared between hashes."
    ),
    row!(
        Gauge,
        "redis_number_of_cached_scripts",
        "Memory (7.0+)",
        "number_of_cached_scripts",
        "EVAL scripts in the cache."
    ),
    row!(
        Gauge,
        "redis_number_of_functions",
        "Memory (7.0+)",
        "number_of_functions",
        "Functions loaded."
    ),
    row!(
        Gauge,
        "redis_number_of_libraries",
        "Memory (7.0+)",
        "number_of_libraries",
        "Function libraries loaded."
    ),
    row!(
        Gauge,
        "redis_allocator_allocated_bytes",
        "Memory",
        "allocator_allocated",
        "Bytes handed out by the allocator."
    ),
    row!(
        Gauge,
        "redis_allocator_active_bytes",
        "Memory",
        "allocator_active",
        "Bytes in pages that the allocator uses."
    ),
    row!(
        Gauge,
        "redis_allocator_resident_bytes",
        "Memory",
        "allocator_resident",
        "Bytes that the allocator holds from the operating system."
    ),
    row!(
        Gauge,
        "redis_allocator_muzzy_bytes",
        "Memory (Redis 7.4+, Valkey 8.0+)",
        "allocator_muzzy",
        "Freed bytes that the operating system may take back at any time."
    ),
    row!(
        Gauge,
        "redis_allocator_frag_ratio",
        "Memory",
        "allocator_frag_ratio",
        "Active over allocated bytes: the true fragmentation."
    ),
    row!(
        Gauge,
        "redis_allocator_frag_bytes",
        "Memory",
        "allocator_frag_bytes",
        "Bytes lost to fragmentation."
    ),
    row!(
        Gauge,
        "redis_allocator_rss_ratio",
        "Memory",
        "allocator_rss_ratio",
        "Resident over active bytes: what the allocator could give back."
    ),
    row!(
        Gauge,
        "redis_allocator_rss_bytes",
        "Memory",
        "allocator_rss_bytes",
        "Bytes that the allocator could give back."
    ),
    row!(
        Gauge,
        "redis_mem_fragmentation_ratio",
        "Memory",
        "mem_fragmentation_ratio",
        "Resident over used memory. Below 1 means swapping; on a small data set a high value means nothing."
    ),
    row!(
        Gauge,
        "redis_mem_fragmentation_bytes",
        "Memory",
        "mem_fragmentation_bytes",
        "Resident less used memory; negative when part of the process is swapped out."
    ),
    row!(
        Gauge,
        "redis_mem_not_counted_for_eviction_bytes",
        "Memory",
        "mem_not_counted_for_evict",
        "Buffers that do not count against maxmemory."
    ),
    row!(
        Gauge,
        "redis_mem_replication_backlog_bytes",
        "Memory",
        "mem_replication_backlog",
        "Memory of the replication backlog."
    ),
    row!(
        Gauge,
        "redis_mem_total_replication_buffers_bytes",
        "Memory (7.0+)",
        "mem_total_replication_buffers",
        "Memory of all replication buffers together."
    ),
    row!(
        Gauge,
        "redis_mem_replicas_repl_buffer_bytes",
        "Memory (Valkey 9.1+)",
        "mem_replicas_repl_buffer",
        "Memory of the stream that a replica keeps while it synchronises over two channels."
    ),
    row!(
        Gauge,
        "redis_mem_clients_slaves",
        "Memory",
        "mem_clients_slaves",
        "Bytes of buffers of replicas."
    ),
    row!(
        Gauge,
        "redis_mem_clients_normal",
        "Memory",
        "mem_clients_normal",
        "Bytes of buffers of ordinary clients."
    ),
    row!(
        Gauge,
        "redis_mem_cluster_links_bytes",
        "Memory (7.0+)",
        "mem_cluster_links",
        "Memory of links to other cluster nodes."
    ),
    row!(
        Gauge,
        "redis_mem_aof_buffer_bytes",
        "Memory",
        "mem_aof_buffer",
        "Memory of append-only file buffers."
    ),
    row!(
        Gauge,
        "redis_mem_overhead_db_hashtable_rehashing_bytes",
        "Memory (Redis 7.4+, Valkey 8.0+)",
        "mem_overhead_db_hashtable_rehashing",
        "Extra memory while key tables grow or shrink."
    ),
    row!(
        Gauge,
        "redis_active_defrag_running",
        "Memory",
        "active_defrag_running",
        "CPU percentage that active defragmentation aims at; 0 when it rests."
    ),
    row!(
        Gauge,
        "redis_lazyfree_pending_objects",
        "Memory",
        "lazyfree_pending_objects",
        "Objects that wait to be freed in the background."
    ),
    row!(
        Gauge,
        "redis_lazyfreed_objects",
        "Memory (6.2+)",
        "lazyfreed_objects",
        "Objects freed in the background so far; only grows."
    ),
    row!(
        Gauge,
        "redis_memory_max_reservation_bytes",
        "Memory (Azure)",
        "maxmemory_reservation",
        "Memory reserved for other things than the cache, as in force."
    ),
    row!(
        Gauge,
        "redis_memory_max_reservation_desired_bytes",
        "Memory (Azure)",
        "maxmemory_desired_reservation",
        "Memory reserved for other things than the cache, as configured."
    ),
    row!(
        Gauge,
        "redis_memory_max_fragmentation_reservation_bytes",
        "Memory (Azure)",
        "maxfragmentationmemory_reservation",
        "Memory reserved for fragmentation, as in force."
    ),
    row!(
        Gauge,
        "redis_memory_max_fragmentation_reservation_desired_bytes",
        "Memory (Azure)",
        "maxfragmentationmemory_desired_reservation",
        "Memory reserved for fragmentation, as configured."
    ),
];

struct Memory {
    reader: config::Reader,
    expect: Expectations,
}

impl Collector for Memory {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        if self.expect.persistence.is_some() {
            self.reader.requests(server)
        } else {
            Vec::new()
        }
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        push_rows(info, ROWS, &mut samples);
        if let (Some(used), Some(limit)) = (info.number("used_memory"), info.number("maxmemory"))
            && limit > 0.0
        {
            samples.push(&USED_RATIO, used / limit);
        }
        expectations::push_expected_persistence(&self.expect, &mut samples);
        for (expectation, met) in expectations::judge(context, &self.reader, &self.expect)? {
            let value = if met { 1.0 } else { 0.0 };
            samples.push_with(&EXPECTATION_MET, vec![("expectation", expectation.into())], value);
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, collect};
    use crate::config::Persistence;

    #[test]
    fn the_ratio_is_absent_without_a_limit() {
        assert_eq!(
            collect(&SPEC, "used_memory:50\r\nmaxmemory:200\r\n").number(USED_RATIO.name),
            Some(0.25)
        );
        assert_eq!(
            collect(&SPEC, "used_memory:50\r\nmaxmemory:0\r\n").number(USED_RATIO.name),
            None
        );
    }

    #[test]
    fn only_configured_expectations_are_judged() {
        let info = "redis_version:7.0.15\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n";
        assert!(collect(&SPEC, info).families().is_empty());
        let mut expecting = Scene::new(info);
        expecting.options.expect.persistence = Some(Persistence::Rdb);
        // CONFIG GET is denied: nobody knows whether the expectation is met, and it is one all the same.
        let expecting = expecting.config_reply(crate::redis::Reply::Error("NOPERM no".into()));
        let samples = expecting.collect(&SPEC).unwrap();
        assert_eq!(samples.number_with(PERSISTENCE_EXPECTED.name, &["rdb"]), Some(1.0));
        assert_eq!(samples.number_with(EXPECTATION_MET.name, &["persistence"]), None);
        let expect = Expectations {
            maxmemory_policy: vec!["noeviction".to_owned()],
            persistence: Some(Persistence::None),
        };
        let mut scene = Scene::new(info).config(&[("save", "")]);
        scene.options.expect = expect;
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(
            samples.number_with(EXPECTATION_MET.name, &["maxmemory_policy"]),
            Some(0.0)
        );
        assert_eq!(samples.number_with(EXPECTATION_MET.name, &["persistence"]), Some(1.0));
        assert_eq!(samples.number_with(PERSISTENCE_EXPECTED.name, &["none"]), Some(1.0));
        assert_eq!(expectations::unmet(&samples), ["maxmemory_policy"]);
    }
}
