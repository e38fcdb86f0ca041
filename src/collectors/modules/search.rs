//! What the module `search` says about itself: names, types and scales as `redis_exporter` publishes them, which is why
//! some end in no unit, and some counters can fall.
//!
//! Source: the names of the fields in the compatibility list; what they mean says the documentation of valkey-search and of Redis Search
//! ("Information and statistics in INFO").

use crate::collectors::table::{Row, row};

/// Module `search` of Redis: Redis Search, in Redis 8 the query engine.
pub(super) static SEARCH: &[Row] = &[
    row!(
        Gauge,
        "redis_search_number_of_indexes",
        "modules (Redis Search)",
        "search_number_of_indexes",
        "Search indexes of the server."
    ),
    row!(
        Gauge,
        "redis_search_number_of_active_indexes",
        "modules (Redis Search)",
        "search_number_of_active_indexes",
        "Indexes in which something runs at the moment."
    ),
    row!(
        Gauge,
        "redis_search_number_of_active_indexes_running_queries",
        "modules (Redis Search)",
        "search_number_of_active_indexes_running_queries",
        "Indexes in which queries run at the moment."
    ),
    row!(
        Gauge,
        "redis_search_number_of_active_indexes_indexing",
        "modules (Redis Search)",
        "search_number_of_active_indexes_indexing",
        "Indexes that take up documents at the moment."
    ),
    row!(
        Gauge,
        "redis_search_total_active_write_threads",
        "modules (Redis Search)",
        "search_total_active_write_threads",
        "Threads that write to indexes at the moment."
    ),
    row!(
        Counter,
        "redis_search_indexing_time_ms_total",
        "modules (Redis Search)",
        "search_total_indexing_time",
        "Milliseconds spent on indexing."
    ),
    row!(
        Gauge,
        "redis_search_total_num_docs_in_indexes",
        "modules (Redis Search)",
        "search_total_num_docs_in_indexes",
        "Documents in all indexes together."
    ),
    row!(
        Gauge,
        "redis_search_used_memory_indexes_bytes",
        "modules (Redis Search)",
        "search_used_memory_indexes",
        "Memory of all indexes."
    ),
    row!(
        Gauge,
        "redis_search_used_memory_vector_index_bytes",
        "modules (Redis Search)",
        "search_used_memory_vector_index",
        "Memory of all vector indexes."
    ),
    row!(
        Gauge,
        "redis_search_largest_memory_index_bytes",
        "modules (Redis Search)",
        "search_largest_memory_index",
        "Memory of the largest index."
    ),
    row!(
        Gauge,
        "redis_search_smallest_memory_index_bytes",
        "modules (Redis Search)",
        "search_smallest_memory_index",
        "Memory of the smallest index."
    ),
    row!(
        Gauge,
        "redis_search_gc_collected_bytes",
        "modules (Redis Search)",
        "search_gc_bytes_collected",
        "Bytes that the collection of garbage gave back since the start; a gauge by compatibility."
    ),
    row!(
        Gauge,
        "redis_search_collected_bytes",
        "modules (Redis Search)",
        "search_bytes_collected",
        "Bytes that the collection of garbage gave back, under the name of RediSearch before 2.10; a gauge by compatibility."
    ),
    row!(
        Counter,
        "redis_search_gc_cycles_total",
        "modules (Redis Search)",
        "search_gc_total_cycles",
        "Cycles of the collection of garbage."
    ),
    row!(
        Counter,
        "redis_search_cycles_total",
        "modules (Redis Search)",
        "search_total_cycles",
        "Cycles of the collection of garbage, under the name of RediSearch before 2.10."
    ),
    row!(
        Counter,
        "redis_search_gc_run_ms_total",
        "modules (Redis Search)",
        "search_gc_total_ms_run",
        "Milliseconds spent on the collection of garbage."
    ),
    row!(
        Counter,
        "redis_search_run_ms_total",
        "modules (Redis Search)",
        "search_total_ms_run",
        "Milliseconds spent on the collection of garbage, under the name of RediSearch before 2.10."
    ),
    row!(
        Gauge,
        "redis_search_gc_total_docs_not_collected",
        "modules (Redis Search)",
        "search_gc_total_docs_not_collected",
        "Documents that were deleted and still take memory."
    ),
    row!(
        Gauge,
        "redis_search_gc_marked_deleted_vectors",
        "modules (Redis Search)",
        "search_gc_marked_deleted_vectors",
        "Vectors that are marked as deleted and still take memory."
    ),
    row!(
        Gauge,
        "redis_search_errors_indexing_failures",
        "modules (Redis Search)",
        "search_errors_indexing_failures",
        "Documents that could not be indexed, over all indexes."
    ),
    row!(
        Counter,
        "redis_search_queries_processed_total",
        "modules (Redis Search)",
        "search_total_queries_processed",
        "Queries that succeeded."
    ),
    row!(
        Counter,
        "redis_search_query_commands_total",
        "modules (Redis Search)",
        "search_total_query_commands",
        "Query commands that ran; a query read by a cursor counts once per command."
    ),
    row!(
        Counter,
        "redis_search_query_execution_time_ms_total",
        "modules (Redis Search)",
        "search_total_query_execution_time_ms",
        "Milliseconds spent on queries."
    ),
    row!(
        Counter,
        "redis_search_active_queries_total",
        "modules (Redis Search)",
        "search_total_active_queries",
        "Queries that run at the moment; a counter by compatibility, although it falls."
    ),
    row!(
        Gauge,
        "redis_search_dialect_1",
        "modules (Redis Search)",
        "search_dialect_1",
        "1 when dialect 1 was used since the start."
    ),
    row!(
        Gauge,
        "redis_search_dialect_2",
        "modules (Redis Search)",
        "search_dialect_2",
        "1 when dialect 2 was used since the start."
    ),
    row!(
        Gauge,
        "redis_search_dialect_3",
        "modules (Redis Search)",
        "search_dialect_3",
        "1 when dialect 3 was used since the start."
    ),
    row!(
        Gauge,
        "redis_search_dialect_4",
        "modules (Redis Search)",
        "search_dialect_4",
        "1 when dialect 4 was used since the start."
    ),
    row!(
        Gauge,
        "redis_search_global_idle",
        "modules (Redis Search)",
        "search_global_idle",
        "Cursors that wait to be read on."
    ),
    row!(
        Gauge,
        "redis_search_global_idle_user",
        "modules (Redis Search)",
        "search_global_idle_user",
        "Cursors of users that wait to be read on."
    ),
    row!(
        Gauge,
        "redis_search_global_idle_internal",
        "modules (Redis Search)",
        "search_global_idle_internal",
        "Cursors of the shards among themselves that wait to be read on."
    ),
    row!(
        Gauge,
        "redis_search_global_total",
        "modules (Redis Search)",
        "search_global_total",
        "Cursors that are open."
    ),
    row!(
        Gauge,
        "redis_search_global_total_user",
        "modules (Redis Search)",
        "search_global_total_user",
        "Cursors of users that are open."
    ),
    row!(
        Gauge,
        "redis_search_global_total_internal",
        "modules (Redis Search)",
        "search_global_total_internal",
        "Cursors of the shards among themselves that are open."
    ),
];

/// Module `search` of Valkey: valkey-search.
pub(super) static VALKEY_SEARCH: &[Row] = &[
    row!(
        Gauge,
        "redis_search_used_memory_bytes",
        "modules (valkey-search)",
        "search_used_memory_bytes",
        "Memory of the module."
    ),
    row!(
        Gauge,
        "redis_search_number_of_attributes",
        "modules (valkey-search)",
        "search_number_of_attributes",
        "Attributes of all indexes together."
    ),
    row!(
        Gauge,
        "redis_search_total_indexed_documents",
        "modules (valkey-search)",
        "search_total_indexed_documents",
        "Documents in all indexes together."
    ),
    row!(
        Gauge,
        "redis_search_query_queue_size",
        "modules (valkey-search)",
        "search_query_queue_size",
        "Queries that wait for a thread."
    ),
    row!(
        Gauge,
        "redis_search_writer_queue_size",
        "modules (valkey-search)",
        "search_writer_queue_size",
        "Changes of documents that wait to be indexed."
    ),
    row!(
        Counter,
        "redis_search_worker_pool_suspend_count",
        "modules (valkey-search)",
        "search_worker_pool_suspend_cnt",
        "How often the threads that read and write were suspended for a fork."
    ),
    row!(
        Counter,
        "redis_search_writer_resumed_count",
        "modules (valkey-search)",
        "search_writer_resumed_cnt",
        "How often the writing threads went on."
    ),
    row!(
        Counter,
        "redis_search_reader_resumed_count",
        "modules (valkey-search)",
        "search_reader_resumed_cnt",
        "How often the reading threads went on."
    ),
    row!(
        Counter,
        "redis_search_writer_suspension_expired_count",
        "modules (valkey-search)",
        "search_writer_suspension_expired_cnt",
        "How often a suspension of the writing threads lasted too long and was ended."
    ),
    row!(
        Counter,
        "redis_search_rdb_load_success_count",
        "modules (valkey-search)",
        "search_rdb_load_success_cnt",
        "Indexes that were loaded from a snapshot."
    ),
    row!(
        Counter,
        "redis_search_rdb_load_failure_count",
        "modules (valkey-search)",
        "search_rdb_load_failure_cnt",
        "Indexes that could not be loaded from a snapshot."
    ),
    row!(
        Counter,
        "redis_search_rdb_save_success_count",
        "modules (valkey-search)",
        "search_rdb_save_success_cnt",
        "Indexes that were saved to a snapshot."
    ),
    row!(
        Counter,
        "redis_search_rdb_save_failure_count",
        "modules (valkey-search)",
        "search_rdb_save_failure_cnt",
        "Indexes that could not be saved to a snapshot."
    ),
    row!(
        Counter,
        "redis_search_successful_requests_count",
        "modules (valkey-search)",
        "search_successful_requests_count",
        "Queries that succeeded."
    ),
    row!(
        Counter,
        "redis_search_failure_requests_count",
        "modules (valkey-search)",
        "search_failure_requests_count",
        "Queries that failed."
    ),
    row!(
        Counter,
        "redis_search_hybrid_requests_count",
        "modules (valkey-search)",
        "search_hybrid_requests_count",
        "Queries by vector and filter together."
    ),
    row!(
        Counter,
        "redis_search_inline_filtering_requests_count",
        "modules (valkey-search)",
        "search_inline_filtering_requests_count",
        "Queries that filtered while they searched the vectors."
    ),
    row!(
        Counter,
        "redis_search_hnsw_add_exceptions_count",
        "modules (valkey-search)",
        "search_hnsw_add_exceptions_count",
        "Vectors that could not be added to an HNSW graph."
    ),
    row!(
        Counter,
        "redis_search_hnsw_remove_exceptions_count",
        "modules (valkey-search)",
        "search_hnsw_remove_exceptions_count",
        "Vectors that could not be removed from an HNSW graph."
    ),
    row!(
        Counter,
        "redis_search_hnsw_modify_exceptions_count",
        "modules (valkey-search)",
        "search_hnsw_modify_exceptions_count",
        "Vectors that could not be changed in an HNSW graph."
    ),
    row!(
        Counter,
        "redis_search_hnsw_search_exceptions_count",
        "modules (valkey-search)",
        "search_hnsw_search_exceptions_count",
        "Searches of an HNSW graph that broke off."
    ),
    row!(
        Counter,
        "redis_search_hnsw_create_exceptions_count",
        "modules (valkey-search)",
        "search_hnsw_create_exceptions_count",
        "HNSW graphs that could not be made."
    ),
    row!(
        Gauge,
        "redis_search_string_interning_store_size",
        "modules (valkey-search)",
        "search_string_interning_store_size",
        "Strings that are kept once for all indexes."
    ),
    row!(
        Counter,
        "redis_search_vector_externing_entry_count",
        "modules (valkey-search)",
        "search_vector_externing_entry_count",
        "Vectors that indexes share with the keys; a counter by compatibility."
    ),
    row!(
        Gauge,
        "redis_search_vector_externing_hash_extern_errors",
        "modules (valkey-search)",
        "search_vector_externing_hash_extern_errors",
        "Hashes whose vector could not be shared with its index."
    ),
    row!(
        Counter,
        "redis_search_vector_externing_generated_value_count",
        "modules (valkey-search)",
        "search_vector_externing_generated_value_cnt",
        "Values made from shared vectors."
    ),
    row!(
        Gauge,
        "redis_search_vector_externing_num_lru_entries",
        "modules (valkey-search)",
        "search_vector_externing_num_lru_entries",
        "Made values that are kept for the next reader."
    ),
    row!(
        Counter,
        "redis_search_vector_externing_lru_promote_count",
        "modules (valkey-search)",
        "search_vector_externing_lru_promote_cnt",
        "How often a kept value was read again."
    ),
    row!(
        Counter,
        "redis_search_vector_externing_deferred_entry_count",
        "modules (valkey-search)",
        "search_vector_externing_deferred_entry_cnt",
        "Vectors that are shared later."
    ),
];
