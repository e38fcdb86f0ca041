//! Collector `system`: what INFO says about the machine below the server.

use super::table::{Row, TableCollector, row, row_descriptors};
use super::{Build, Schedule, Spec, grants};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "system",
    help: "The machine below the server.",
    default_on: false,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || row_descriptors(ROWS).collect(),
    build: Build::FromReplies(|options| TableCollector::boxed(ROWS, options)),
};

static ROWS: &[Row] = &[row!(
    Gauge,
    "redis_total_system_memory_bytes",
    "Memory",
    "total_system_memory",
    "Memory of the machine that the server runs on. In a container it is that of the host, not the container's limit."
)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::collect;

    #[test]
    fn the_memory_of_the_machine_is_read_and_absent_where_it_is_not_said() {
        let name = "redis_total_system_memory_bytes";
        assert_eq!(
            collect(&SPEC, "total_system_memory:25276510208\r\n").number(name),
            Some(25_276_510_208.0)
        );
        assert_eq!(
            collect(&SPEC, "total_system_memory_human:23.54G\r\n").number(name),
            None
        );
    }
}
