//! Collector `tile38`: what a Tile38 server says of itself, where `compatibility.tile38` is on. It asks for nothing anywhere else.

use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;
use crate::redis::info::parse_number;
use std::collections::HashMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "tile38",
    help: "Of a Tile38 server, where `compatibility.tile38` says that it is one: objects, memory and the Go run time.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || FIELDS.iter().map(|(_, descriptor)| descriptor).collect(),
    build: Build::FromReplies(|options| {
        Box::new(Tile38 {
            is_on: options.optional.compatibility.tile38,
        })
    }),
};

/// What the names of Tile38's own fields begin with; those of the Go run time do not.
const PREFIX: &str = "tile38_";

/// A field of SERVER EXT, named as Tile38 does or with its prefix in front, and the metric that it becomes.
macro_rules! field {
    ($field:literal, $name:literal, $help:literal) => {
        (
            $field,
            Descriptor::new(
                MetricKind::Gauge,
                $name,
                $help,
                concat!("SERVER EXT (Tile38): ", $field),
            ),
        )
    };
}

static FIELDS: [(&str, Descriptor); 19] = [
    field!(
        "tile38_aof_size",
        "redis_tile38_aof_size_bytes",
        "Size of the append-only file."
    ),
    field!(
        "tile38_avg_point_size",
        "redis_tile38_avg_item_size_bytes",
        "Heap divided by the number of points; 0 without points."
    ),
    field!(
        "tile38_sys_cpus",
        "redis_tile38_cpus_total",
        "Processors of the machine."
    ),
    field!(
        "tile38_heap_released_bytes",
        "redis_tile38_heap_released_bytes",
        "Heap that was given back to the operating system."
    ),
    field!(
        "tile38_heap_alloc_bytes",
        "redis_tile38_heap_size_bytes",
        "Heap in use."
    ),
    field!(
        "tile38_http_transport",
        "redis_tile38_http_transport",
        "1 when the server answers HTTP too."
    ),
    field!(
        "tile38_in_memory_size",
        "redis_tile38_in_memory_size_bytes",
        "Size of all collections in memory, as Tile38 estimates it."
    ),
    field!(
        "tile38_max_heap_size",
        "redis_tile38_max_heap_size_bytes",
        "Configured limit of the heap; 0 means no limit."
    ),
    field!(
        "tile38_alloc_bytes",
        "redis_tile38_mem_alloc_bytes",
        "Memory allocated and in use."
    ),
    field!(
        "tile38_num_collections",
        "redis_tile38_num_collections_total",
        "Collections."
    ),
    field!("tile38_num_hooks", "redis_tile38_num_hooks_total", "Webhooks."),
    field!(
        "tile38_num_objects",
        "redis_tile38_num_objects_total",
        "Objects in all collections."
    ),
    field!(
        "tile38_num_points",
        "redis_tile38_num_points_total",
        "Points in all collections."
    ),
    field!(
        "tile38_pointer_size",
        "redis_tile38_pointer_size_bytes",
        "Size of a pointer."
    ),
    field!(
        "tile38_read_only",
        "redis_tile38_read_only",
        "1 while the server refuses writes."
    ),
    field!(
        "tile38_go_threads",
        "redis_tile38_threads_total",
        "Threads of the operating system."
    ),
    field!(
        "tile38_go_goroutines",
        "redis_tile38_go_goroutines_total",
        "Goroutines."
    ),
    field!(
        "tile38_last_gc_time_seconds",
        "redis_tile38_last_gc_time_seconds",
        "When the last garbage collection ended, in seconds since 1970."
    ),
    field!(
        "tile38_next_gc_bytes",
        "redis_tile38_next_gc_bytes",
        "Size of the heap at which the next garbage collection begins."
    ),
];

/// Most fields that are read; Tile38 1.33 has 57.
const MAX_FIELDS: usize = 1_000;

/// A number, or a flag as Go writes it.
fn number(text: &str) -> Option<f64> {
    match text.trim() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => parse_number(text),
    }
}

fn server_ext() -> Command {
    Command::new(1, &["SERVER", "EXT"])
}

struct Tile38 {
    /// `compatibility.tile38`
    is_on: bool,
}

impl Collector for Tile38 {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        if self.is_on { vec![server_ext()] } else { Vec::new() }
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let mut samples = Samples::new();
        if !self.is_on {
            // As every collector, nothing without INFO.
            return context.info().map(|_| samples);
        }
        let reply = context.reply(&server_ext())?;
        let elements = reply
            .as_array()
            .ok_or_else(|| CollectError::shape(&server_ext(), "a list of names and values was expected"))?;
        let mut values: HashMap<String, f64> = HashMap::new();
        for pair in elements.chunks_exact(2).take(MAX_FIELDS) {
            if let [name, value] = pair
                && let (Some(name), Some(value)) = (name.as_text(), value.as_text().and_then(number))
            {
                let name = name.strip_prefix(PREFIX).unwrap_or(name);
                values.entry(name.to_owned()).or_insert(value);
            }
        }
        for (field, descriptor) in &FIELDS {
            if let Some(value) = field.strip_prefix(PREFIX).and_then(|field| values.get(field)) {
                samples.push(descriptor, *value);
            }
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, parse_reply};
    use crate::redis::Reply;

    fn scene(reply: Reply) -> Scene {
        let mut scene = Scene::new("tile38_version:1.33.0\r\nredis_version:1.33.0\r\n").answer(server_ext(), reply);
        scene.options.optional.compatibility.tile38 = true;
        scene
    }

    /// Made after the source of Tile38 1.33 (tests/fixtures/README.md).
    #[test]
    fn every_field_is_read() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tile38/server-ext-synthetic.resp");
        let samples = scene(parse_reply(&std::fs::read(path).unwrap()))
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.families().len(), FIELDS.len());
        crate::catalogue::compatibility::assert_emits_listed(file!(), &samples);
        assert_eq!(samples.number("redis_tile38_http_transport"), Some(1.0));
        assert_eq!(samples.number("redis_tile38_read_only"), Some(0.0));
        assert_eq!(samples.number("redis_tile38_go_goroutines_total"), Some(16.0));
        assert_eq!(samples.number("redis_tile38_avg_item_size_bytes"), Some(431_082.0));
        assert_eq!(
            samples.number("redis_tile38_last_gc_time_seconds"),
            Some(1_795_190_100.25)
        );
    }

    #[test]
    fn odd_fields_are_left_out_and_other_servers_asked_nothing() {
        let words = [
            "heap_released_bytes",
            "x",
            "tile38_num_hooks",
            "4",
            "num_hooks",
            "5",
            "alone",
        ];
        let reply = Reply::Array(words.map(|word| Reply::Bulk(word.into())).to_vec());
        let samples = scene(reply).collect(&SPEC).unwrap();
        assert_eq!(samples.families().len(), 1);
        assert_eq!(samples.number("redis_tile38_num_hooks_total"), Some(4.0));
        assert!(matches!(
            scene(Reply::Integer(1)).collect(&SPEC),
            Err(CollectError::Shape { .. })
        ));
        let unknown = scene(Reply::Error("ERR unknown command 'SERVER'".into())).collect(&SPEC);
        assert!(matches!(unknown, Err(CollectError::Unavailable { .. })));
        assert!(Tile38 { is_on: false }.requests(None).is_empty());
        assert!(
            Scene::new("redis_version:7.0.15\r\n")
                .collect(&SPEC)
                .unwrap()
                .is_empty()
        );
    }
}
