//! Collector `persistence`: INFO Persistence, whether the data would survive a restart.

use super::table::{Row, TableCollector, row, row_descriptors};
use super::{Build, Schedule, Spec};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "persistence",
    help: "Snapshots and append-only file: whether they work, how old they are, whether the server is still loading.",
    default_on: true,
    schedule: Schedule::Info,
    descriptors: || row_descriptors(ROWS).collect(),
    build: Build::FromReplies(|options| TableCollector::boxed(ROWS, options)),
};

static ROWS: &[Row] = &[
    row!(
        Gauge,
        "redis_loading_dump_file",
        "Persistence",
        "loading",
        "1 while the server reads its data into memory and refuses every session."
    ),
    row!(
        Gauge,
        "redis_async_loading",
        "Persistence (7.0+)",
        "async_loading",
        "1 while a replica takes over a new data set and still serves the old one."
    ),
    row!(
        Gauge,
        "redis_rdb_changes_since_last_save",
        "Persistence",
        "rdb_changes_since_last_save",
        "Writes since the last snapshot: what a crash now would lose where only snapshots are on."
    ),
    row!(
        Gauge,
        "redis_rdb_bgsave_in_progress",
        "Persistence",
        "rdb_bgsave_in_progress",
        "1 while a snapshot is written."
    ),
    row!(
        Gauge,
        "redis_rdb_last_save_timestamp_seconds",
        "Persistence",
        "rdb_last_save_time",
        "When the last snapshot ended well, in seconds since 1970; the start of the server before the first."
    ),
    row!(
        Gauge,
        "redis_rdb_last_bgsave_status",
        "Persistence",
        "rdb_last_bgsave_status",
        "1 when the last snapshot worked. 0 makes the server refuse writes where stop-writes-on-bgsave-error is on.",
        Status
    ),
    row!(
        Gauge,
        "redis_rdb_last_bgsave_duration_sec",
        "Persistence",
        "rdb_last_bgsave_time_sec",
        "Seconds that the last snapshot took; -1 when there was none."
    ),
    row!(
        Gauge,
        "redis_rdb_current_bgsave_duration_sec",
        "Persistence",
        "rdb_current_bgsave_time_sec",
        "Seconds that the snapshot now being written has taken; -1 when none is."
    ),
    row!(
        Gauge,
        "redis_rdb_saves_total",
        "Persistence (7.0+)",
        "rdb_saves",
        "Snapshots since the start; a gauge by compatibility, although it only grows."
    ),
    row!(
        Gauge,
        "redis_rdb_last_cow_size_bytes",
        "Persistence",
        "rdb_last_cow_size",
        "Memory copied because of writes during the last snapshot: the head room that the next one needs."
    ),
    row!(
        Gauge,
        "redis_rdb_last_load_expired_keys",
        "Persistence (7.0+)",
        "rdb_last_load_keys_expired",
        "Keys left out at the last load because they had ended."
    ),
    row!(
        Gauge,
        "redis_rdb_last_load_loaded_keys",
        "Persistence (7.0+)",
        "rdb_last_load_keys_loaded",
        "Keys read at the last load."
    ),
    row!(
        Gauge,
        "redis_aof_enabled",
        "Persistence",
        "aof_enabled",
        "1 when the append-only file is on."
    ),
    row!(
        Gauge,
        "redis_aof_rewrite_in_progress",
        "Persistence",
        "aof_rewrite_in_progress",
        "1 while the append-only file is rewritten."
    ),
    row!(
        Gauge,
        "redis_aof_rewrite_scheduled",
        "Persistence",
        "aof_rewrite_scheduled",
        "1 when a rewrite waits for a snapshot to end."
    ),
    row!(
        Gauge,
        "redis_aof_last_rewrite_duration_sec",
        "Persistence",
        "aof_last_rewrite_time_sec",
        "Seconds that the last rewrite took; -1 when there was none."
    ),
    row!(
        Gauge,
        "redis_aof_current_rewrite_duration_sec",
        "Persistence",
        "aof_current_rewrite_time_sec",
        "Seconds that the rewrite now running has taken; -1 when none is."
    ),
    row!(
        Gauge,
        "redis_aof_last_bgrewrite_status",
        "Persistence",
        "aof_last_bgrewrite_status",
        "1 when the last rewrite of the append-only file worked.",
        Status
    ),
    row!(
        Gauge,
        "redis_aof_last_write_status",
        "Persistence",
        "aof_last_write_status",
        "1 when the last write to the append-only file worked. 0 (disk full?) makes the server refuse writes.",
        Status
    ),
    row!(
        Gauge,
        "redis_aof_last_cow_size_bytes",
        "Persistence",
        "aof_last_cow_size",
        "Memory copied because of writes during the last rewrite."
    ),
    row!(
        Gauge,
        "redis_aof_current_size_bytes",
        "Persistence (append-only file on)",
        "aof_current_size",
        "Size of the append-only file."
    ),
    row!(
        Gauge,
        "redis_aof_base_size_bytes",
        "Persistence (append-only file on)",
        "aof_base_size",
        "Size of the append-only file at the start or after the last rewrite."
    ),
    row!(
        Gauge,
        "redis_aof_pending_rewrite",
        "Persistence (append-only file on)",
        "aof_pending_rewrite",
        "1 when a rewrite will follow the running snapshot."
    ),
    row!(
        Gauge,
        "redis_aof_buffer_length",
        "Persistence (append-only file on)",
        "aof_buffer_length",
        "Bytes that wait to be written to the append-only file."
    ),
    row!(
        Gauge,
        "redis_aof_rewrite_buffer_length",
        "Persistence (before 7.0)",
        "aof_rewrite_buffer_length",
        "Bytes collected while the append-only file is rewritten."
    ),
    row!(
        Gauge,
        "redis_aof_pending_bio_fsync",
        "Persistence (append-only file on)",
        "aof_pending_bio_fsync",
        "Flushes of the append-only file that wait in the background."
    ),
    row!(
        Gauge,
        "redis_aof_delayed_fsync",
        "Persistence (append-only file on)",
        "aof_delayed_fsync",
        "Writes that had to wait for a slow flush; only grows. The disk is too slow."
    ),
    row!(
        Gauge,
        "redis_module_fork_in_progress",
        "Persistence",
        "module_fork_in_progress",
        "1 while a module's fork runs."
    ),
    row!(
        Gauge,
        "redis_module_fork_last_cow_size",
        "Persistence",
        "module_fork_last_cow_size",
        "Bytes copied because of writes during a module's last fork."
    ),
    row!(
        Gauge,
        "redis_backup_in_progress",
        "Persistence (Redis 8.10+)",
        "backup_in_progress",
        "1 while a backup is written."
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::collect;

    #[test]
    fn a_failed_snapshot_is_zero_and_no_snapshot_is_minus_one() {
        let samples = collect(
            &SPEC,
            "rdb_last_bgsave_status:err\r\nrdb_current_bgsave_time_sec:-1\r\n",
        );
        assert_eq!(samples.number("redis_rdb_last_bgsave_status"), Some(0.0));
        assert_eq!(samples.number("redis_rdb_current_bgsave_duration_sec"), Some(-1.0));
        assert_eq!(samples.number("redis_aof_last_write_status"), None);
    }
}
