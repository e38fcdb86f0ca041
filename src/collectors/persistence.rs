//! Collector `persistence`: INFO Persistence, whether the data would survive a restart.

use super::table::{Row, push_rows, row, row_descriptors};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, config, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;
use std::path::{Component, Path, PathBuf};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "persistence",
    help: "Snapshots and append-only file: whether they work, how old they are, whether the server is still loading.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, _| {
        let is_wanted = config.optional.compatibility.rdb_file_size;
        let parameters = grants::config_get(config).filter(|_| is_wanted);
        grants::commands(&["info"]).into_iter().chain(parameters).collect()
    },
    descriptors: || row_descriptors(ROWS).chain([&RDB_FILE_SIZE]).collect(),
    build: Build::FromReplies(|options| {
        let compatibility = &options.optional.compatibility;
        Box::new(Persistence {
            reader: config::Reader::new(compatibility),
            wants_file_size: compatibility.rdb_file_size,
        })
    }),
};

static RDB_FILE_SIZE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_rdb_current_size_bytes",
    "Size of the snapshot file as this exporter's own machine sees it; only with `compatibility: { rdb_file_size: on }`, where both share \
     a file system. Absent when there is no such file here.",
    "CONFIG GET dir dbfilename; the file system of this exporter",
);

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

struct Persistence {
    reader: config::Reader,
    wants_file_size: bool,
}

impl Collector for Persistence {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        if self.wants_file_size {
            self.reader.requests(server)
        } else {
            Vec::new()
        }
    }

    /// A CONFIG GET that fails is told by [`Collector::collect`].
    fn file(&self, context: &PollContext<'_>) -> Option<PathBuf> {
        if !self.wants_file_size {
            return None;
        }
        let parameters = self.reader.read_if_available(context).ok()??;
        rdb_file(parameters.get("dir")?, parameters.get("dbfilename")?)
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let mut samples = Samples::new();
        push_rows(context.info()?, ROWS, &mut samples);
        if self.wants_file_size {
            self.reader.read_if_available(context)?;
            if let Some(bytes) = context.file_bytes {
                samples.push(&RDB_FILE_SIZE, bytes as f64);
            }
        }
        Ok(samples)
    }
}

/// The path of the snapshot. Servers say an absolute folder and a plain name; anything else is no snapshot's path, and a path of this
/// exporter's own making would be looked at.
fn rdb_file(folder: &str, name: &str) -> Option<PathBuf> {
    let folder = Path::new(folder);
    let mut parts = Path::new(name).components();
    let is_plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    (folder.is_absolute() && is_plain).then(|| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, collect};
    use crate::redis::Reply;

    #[test]
    fn the_snapshot_is_a_plain_file_below_an_absolute_folder() {
        assert_eq!(rdb_file("/data", "dump.rdb"), Some(PathBuf::from("/data/dump.rdb")));
        for (folder, name) in [
            ("data", "dump.rdb"),
            ("/data", "../x"),
            ("/data", "/etc/passwd"),
            ("/", ""),
            ("/", ".."),
            ("/", "a/"),
        ] {
            assert_eq!(rdb_file(folder, name), None, "{folder} {name}");
        }
    }

    #[test]
    fn the_size_of_the_file_is_only_there_when_it_is_wanted() {
        let pairs = [("dir", "/data"), ("dbfilename", "dump.rdb")];
        let mut scene = Scene::new("redis_version:7.0.15\r\nloading:0\r\n");
        scene.file_bytes = Some(77);
        let Build::FromReplies(build) = SPEC.build else {
            panic!("persistence reads replies")
        };
        let file = |scene: &Scene| scene.with_context(|context| build(&scene.options).file(context));
        assert_eq!(scene.collect(&SPEC).unwrap().number(RDB_FILE_SIZE.name), None);
        assert_eq!(file(&scene), None);
        scene.options.optional.compatibility.rdb_file_size = true;
        let mut scene = scene.config(&pairs);
        assert_eq!(file(&scene), Some(PathBuf::from("/data/dump.rdb")));
        assert_eq!(scene.collect(&SPEC).unwrap().number(RDB_FILE_SIZE.name), Some(77.0));
        scene.file_bytes = None;
        let samples = scene
            .config_reply(Reply::Error("NOPERM no".into()))
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.number(RDB_FILE_SIZE.name), None);
        assert_eq!(samples.number("redis_loading_dump_file"), Some(0.0));
    }

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
