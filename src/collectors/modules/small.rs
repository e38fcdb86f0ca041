//! What the modules `bf` and `json` say about themselves: names, types and scales as `redis_exporter` publishes them.
//!
//! Source: the names of the fields in the compatibility list; what they mean says the documentation of valkey-bloom and valkey-json.

use crate::collectors::table::{Row, row};

/// Module `bf`: valkey-bloom.
pub(super) static BLOOM: &[Row] = &[
    row!(
        Gauge,
        "redis_bf_bloom_capacity_across_objects",
        "modules (valkey-bloom)",
        "bf_bloom_capacity_across_objects",
        "Items that all Bloom filters can hold at their error rates."
    ),
    row!(
        Counter,
        "redis_bf_bloom_defrag_hits_total",
        "modules (valkey-bloom)",
        "bf_bloom_defrag_hits",
        "Allocations of Bloom filters that active defragmentation moved."
    ),
    row!(
        Counter,
        "redis_bf_bloom_defrag_misses_total",
        "modules (valkey-bloom)",
        "bf_bloom_defrag_misses",
        "Allocations of Bloom filters that active defragmentation looked at and left where they were."
    ),
    row!(
        Gauge,
        "redis_bf_bloom_num_filters_across_objects",
        "modules (valkey-bloom)",
        "bf_bloom_num_filters_across_objects",
        "Filters below all Bloom objects; an object that scales out has several."
    ),
    row!(
        Gauge,
        "redis_bf_bloom_num_items_across_objects",
        "modules (valkey-bloom)",
        "bf_bloom_num_items_across_objects",
        "Items added to all Bloom filters."
    ),
    row!(
        Gauge,
        "redis_bf_bloom_num_objects",
        "modules (valkey-bloom)",
        "bf_bloom_num_objects",
        "Bloom filters of the server."
    ),
    row!(
        Gauge,
        "redis_bf_bloom_total_memory_bytes",
        "modules (valkey-bloom)",
        "bf_bloom_total_memory_bytes",
        "Memory of all Bloom filters."
    ),
];

/// Module `json`: valkey-json.
pub(super) static JSON: &[Row] = &[
    row!(
        Gauge,
        "redis_json_num_documents",
        "modules (valkey-json)",
        "json_num_documents",
        "JSON documents of the server."
    ),
    row!(
        Gauge,
        "redis_json_total_memory_bytes",
        "modules (valkey-json)",
        "json_total_memory_bytes",
        "Memory of all JSON documents."
    ),
];
