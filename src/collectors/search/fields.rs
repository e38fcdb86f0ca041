//! The fields of FT.INFO that become metrics, and how they are found.
//!
//! The reply is a flat list in which each name is followed by its value: a number, a text, or a list of its own. Which fields there are
//! differs between versions and products, so they are found by their names; what a server does not say is absent.

use crate::collectors::table::MEBIBYTE;
use crate::metric::{Descriptor, MetricKind};
use crate::redis::Reply;
use crate::redis::info::parse_number;

/// One field and the metric that it becomes.
#[derive(Debug)]
pub struct Field {
    /// Its name in RediSearch.
    pub(super) name: &'static str,
    /// Its name in valkey-search, where that has another one for the same thing.
    in_valkey_search: Option<&'static str>,
    /// What the number is multiplied with.
    scale: f64,
    /// The metric.
    pub descriptor: Descriptor,
}

macro_rules! field {
    ($kind:ident, $metric:literal, $name:literal, $scale:expr, $help:literal) => {
        field!($kind, $metric, $name, $scale, $help, None)
    };
    ($kind:ident, $metric:literal, $name:literal, $scale:expr, $help:literal, $other:expr) => {
        Field {
            name: $name,
            in_valkey_search: $other,
            scale: $scale,
            descriptor: Descriptor::new(MetricKind::$kind, $metric, $help, concat!("FT.INFO: ", $name))
                .with_labels(&["index_name"]),
        }
    };
}

/// All of them. Names, types and scales are those of `redis_exporter`.
pub static FIELDS: [Field; 24] = [
    field!(
        Gauge,
        "redis_search_index_num_docs",
        "num_docs",
        1.0,
        "Documents in the index."
    ),
    field!(
        Gauge,
        "redis_search_index_max_doc_id",
        "max_doc_id",
        1.0,
        "Largest internal number of a document: documents and new versions of them that were ever indexed."
    ),
    field!(
        Gauge,
        "redis_search_index_num_terms",
        "num_terms",
        1.0,
        "Distinct terms in the index."
    ),
    field!(
        Gauge,
        "redis_search_index_num_records",
        "num_records",
        1.0,
        "Records in the index."
    ),
    field!(
        Gauge,
        "redis_search_index_inverted_size_bytes",
        "inverted_sz_mb",
        MEBIBYTE,
        "Memory of the inverted index."
    ),
    field!(
        Gauge,
        "redis_search_index_total_inverted_index_blocks",
        "total_inverted_index_blocks",
        1.0,
        "Blocks of the inverted indexes; RediSearch counts those of all indexes together."
    ),
    field!(
        Gauge,
        "redis_search_index_vector_index_size_bytes",
        "vector_index_sz_mb",
        MEBIBYTE,
        "Memory of the vector index."
    ),
    field!(
        Gauge,
        "redis_search_index_offset_vectors_size_bytes",
        "offset_vectors_sz_mb",
        MEBIBYTE,
        "Memory of the positions of terms in documents."
    ),
    field!(
        Gauge,
        "redis_search_index_doc_table_size_bytes",
        "doc_table_size_mb",
        MEBIBYTE,
        "Memory of the table of documents."
    ),
    field!(
        Gauge,
        "redis_search_index_sortable_values_size_bytes",
        "sortable_values_size_mb",
        MEBIBYTE,
        "Memory of the values of sortable fields."
    ),
    field!(
        Gauge,
        "redis_search_index_key_table_size_bytes",
        "key_table_size_mb",
        MEBIBYTE,
        "Memory of the table of keys."
    ),
    field!(
        Gauge,
        "redis_search_index_tag_overhead_size_bytes",
        "tag_overhead_sz_mb",
        MEBIBYTE,
        "Memory of what makes searches by tag fast."
    ),
    field!(
        Gauge,
        "redis_search_index_text_overhead_size_bytes",
        "text_overhead_sz_mb",
        MEBIBYTE,
        "Memory of what makes searches by text fast."
    ),
    field!(
        Gauge,
        "redis_search_index_total_index_memory_size_bytes",
        "total_index_memory_sz_mb",
        MEBIBYTE,
        "Memory of the index altogether."
    ),
    field!(
        Gauge,
        "redis_search_index_geoshapes_size_bytes",
        "geoshapes_sz_mb",
        MEBIBYTE,
        "Memory of geometric shapes."
    ),
    field!(
        Gauge,
        "redis_search_index_avg_per_doc_records",
        "records_per_doc_avg",
        1.0,
        "Records per document, on average. Absent while the index is empty."
    ),
    field!(
        Gauge,
        "redis_search_index_avg_per_record_bytes",
        "bytes_per_record_avg",
        1.0,
        "Bytes per record, on average. Absent while the index is empty."
    ),
    field!(
        Gauge,
        "redis_search_index_avg_per_term_offsets",
        "offsets_per_term_avg",
        1.0,
        "Positions per term, on average. Absent while the index is empty."
    ),
    field!(
        Gauge,
        "redis_search_index_avg_per_record_offset_bits",
        "offset_bits_per_record_avg",
        1.0,
        "Bits of positions per record, on average. Absent while there are none."
    ),
    field!(
        Gauge,
        "redis_search_index_indexing",
        "indexing",
        1.0,
        "1 while keys that were there before the index are still being indexed. On valkey-search its backfill_in_progress.",
        Some("backfill_in_progress")
    ),
    field!(
        Gauge,
        "redis_search_index_percent_indexed",
        "percent_indexed",
        1.0,
        "Share of the keys that is indexed, 0 to 1, whatever the name says. On valkey-search its backfill_complete_percent.",
        Some("backfill_complete_percent")
    ),
    field!(
        Gauge,
        "redis_search_index_hash_indexing_failures",
        "hash_indexing_failures",
        1.0,
        "Keys that could not be indexed."
    ),
    field!(
        Counter,
        "redis_search_index_number_of_uses_total",
        "number_of_uses",
        1.0,
        "Times that the index was used."
    ),
    field!(
        Gauge,
        "redis_search_index_cleaning",
        "cleaning",
        1.0,
        "1 while the index is being deleted."
    ),
];

/// The numbers of a reply, each field at most once. Where a field is named twice the first counts.
pub fn read(elements: &[Reply]) -> impl Iterator<Item = (&'static Field, f64)> {
    let (pairs, _) = elements.as_chunks::<2>();
    let number = |wanted: &str| {
        let [_, value] = pairs
            .iter()
            .find(|[name, _]| name.as_bytes() == Some(wanted.as_bytes()))?;
        number(value)
    };
    FIELDS.iter().filter_map(move |field| {
        let found = number(field.name).or_else(|| number(field.in_valkey_search?))?;
        let is_sentinel = field.descriptor.kind == MetricKind::Counter && found < 0.0;
        (!is_sentinel).then_some((field, found * field.scale))
    })
}

/// A number or a text that holds a finite one. Averages over nothing come as `nan` or `-nan`, which is no value.
fn number(value: &Reply) -> Option<f64> {
    match value {
        Reply::Integer(number) => Some(*number as f64),
        _ => parse_number(value.as_text()?),
    }
}
