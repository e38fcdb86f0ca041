//! Snapshots, append-only files, replicas, clusters.
//!
//! Whether data should survive a restart is what `expect.persistence` says, and where it says nothing, what the server is set up for: a store that is a cache on purpose has
//! `persistence: none` or no save points and no append-only file, and pages for neither.

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Team};
use crate::features;

pub(crate) const FILE: File = File {
    name: "persistence",
    about: "Snapshots, append-only files, replicas, clusters.",
    groups,
};

fn groups() -> Vec<Group> {
    let alerts = [
        redis_persistence_failing(),
        redis_backup_missing(),
        redis_expectation_not_met(),
        redis_replica_link_down(),
        redis_replication_lag(),
        redis_replicas_missing(),
        redis_cluster_not_ok(),
    ];
    vec![Group {
        name: "redis-session-store.persistence",
        interval: "15s",
        rules: alerts.into_iter().map(Into::into).collect(),
    }]
}

fn redis_persistence_failing() -> Alert {
    Alert {
        name: "RedisPersistenceFailing",
        also_known_as: &["BackupFailed"],
        expr: "label_replace(\n\
               \x20 min by (job, environment, instance) (redis_rdb_last_bgsave_status{$job}) == 0\n\
               \x20 and on (job, environment, instance)\n\
               \x20 job_environment_instance:redis_snapshots_wanted:max == 1,\n\
               \x20 \"failing\", \"snapshot\", \"\", \"\"\n\
               )\n\
               or\n\
               label_replace(\n\
               \x20 min by (job, environment, instance) (redis_aof_last_write_status{$job}) == 0\n\
               \x20 and on (job, environment, instance)\n\
               \x20 job_environment_instance:redis_appends_wanted:max == 1,\n\
               \x20 \"failing\", \"append-only file\", \"\", \"\"\n\
               )\n\
               or\n\
               label_replace(\n\
               \x20 min by (job, environment, instance) (redis_aof_last_bgrewrite_status{$job}) == 0\n\
               \x20 and on (job, environment, instance)\n\
               \x20 job_environment_instance:redis_appends_wanted:max == 1,\n\
               \x20 \"failing\", \"rewrite of the append-only file\", \"\", \"\"\n\
               )"
        .into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "persistence",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) cannot write its data to disk ({{ $labels.failing }}).".into(),
        description: "The last attempt of {{ $labels.instance }} ({{ $labels.environment }}) at this has failed: {{ $labels.failing }}. A restart now would log out everybody who came since the last good one, and by its default settings the server refuses writes while a snapshot or the append-only file fails: nobody can log in then."
            .into(),
        remediation: "Look at the free space and the permissions of the server's data folder (CONFIG GET dir), then read the reason in its log.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// A snapshot without a single write since is as good as a new one, so that an idle store has no missing backup. Before the first snapshot the server names its own start.
fn redis_backup_missing() -> Alert {
    Alert {
        name: "RedisBackupMissing",
        also_known_as: &["BackupMissing"],
        needs: &[Need::AnyOf(&[
            Need::Expectation("persistence"),
            Need::Feature(features::CONFIGURATION),
        ])],
        expr: "time() - max by (job, environment, instance) (redis_rdb_last_save_timestamp_seconds{$job} > 0) > $backup_age\n\
               and on (job, environment, instance)\n\
               max by (job, environment, instance) (redis_rdb_changes_since_last_save{$job}) > 0\n\
               and on (job, environment, instance)\n\
               job_environment_instance:redis_snapshots_wanted:max == 1"
            .into(),
        hold: "15m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "persistence",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) has taken no snapshot for more than $backup_age.".into(),
        description: "The last snapshot of {{ $labels.instance }} ({{ $labels.environment }}) ended {{ $value | humanizeDuration }} ago, or the server was started then and has taken none, and its data has changed since. What a backup copies is that old."
            .into(),
        remediation: "Run BGSAVE and wait until INFO persistence shows a newer rdb_last_save_time; then find out why it does not come by itself (CONFIG GET save, the job that takes it).".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn redis_expectation_not_met() -> Alert {
    Alert {
        name: "RedisExpectationNotMet",
        needs: &[Need::Feature(features::EXPECTATIONS)],
        expr: "min by (job, environment, instance, expectation) (redis_expectation_met{$job}) == 0".into(),
        hold: "15m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "expectation",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) is not set up as expected: {{ $labels.expectation }}.".into(),
        description: "For $for {{ $labels.expectation }} of {{ $labels.instance }} ({{ $labels.environment }}) has not been what the configuration of the exporter expects. Often a restart or a failover brought back other settings; sessions may be evicted or lost with a restart that should not be."
            .into(),
        remediation: "Compare CONFIG GET maxmemory-policy save appendonly with expect of the instance, and mend the one that is wrong, in redis.conf too.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// A replica that was just set up has no link until it has copied everything, which may take long; one that had a link within the last hours and lost it is told at once.
fn redis_replica_link_down() -> Alert {
    Alert {
        name: "RedisReplicaLinkDown",
        also_known_as: &["DbReplicationLag"],
        expr: "min by (job, environment, instance) (redis_master_link_up{$job}) == 0\n\
               unless on (job, environment, instance)\n\
               (\n\
               \x20 max by (job, environment, instance) (redis_master_sync_in_progress{$job}) == 1\n\
               \x20 unless on (job, environment, instance)\n\
               \x20 max by (job, environment, instance) (max_over_time(redis_master_link_up{$job}[6h:1m])) == 1\n\
               )"
            .into(),
        hold: "2m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "replication",
        summary: "Replica {{ $labels.instance }} ({{ $labels.environment }}) has lost its primary.".into(),
        description: "For $for the link of {{ $labels.instance }} ({{ $labels.environment }}) to its primary has been down. What it answers grows old, and a failover to it would log out everybody who came since."
            .into(),
        remediation: "Is the primary up (RedisConnectionLost)? If it is, read master_link_down_since_seconds of INFO replication and the log of the replica.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// Redis knows no lag in seconds: a replica is a minute behind when it has not confirmed what its primary had written a minute ago. Both positions are from one INFO of the primary.
/// A replica in its first copy is not yet `online`.
fn redis_replication_lag() -> Alert {
    Alert {
        name: "RedisReplicationLag",
        also_known_as: &["DbReplicationLag"],
        expr: "max by (job, environment, instance) (redis_master_repl_offset{$job})\n\
               - on (job, environment, instance) group_right\n\
               max by (job, environment, instance, slave_ip, slave_port) (redis_connected_slave_offset_bytes{$job,slave_state=\"online\"})\n\
               and on (job, environment, instance, slave_ip, slave_port)\n\
               (\n\
               \x20 max by (job, environment, instance, slave_ip, slave_port) (redis_connected_slave_offset_bytes{$job,slave_state=\"online\"})\n\
               \x20 < on (job, environment, instance) group_left\n\
               \x20 max by (job, environment, instance) (redis_master_repl_offset{$job} offset 1m)\n\
               \x20 or\n\
               \x20 max by (job, environment, instance, slave_ip, slave_port) (redis_connected_slave_lag_seconds{$job,slave_state=\"online\"}) > $replication_silence\n\
               )"
            .into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "replication",
        summary: "A replica ({{ $labels.slave_ip }}:{{ $labels.slave_port }}) of {{ $labels.instance }} ({{ $labels.environment }}) does not keep up.".into(),
        description: "The replica {{ $labels.slave_ip }}:{{ $labels.slave_port }} of {{ $labels.instance }} ({{ $labels.environment }}) has not confirmed what was written a minute ago, or not confirmed anything for more than $replication_silence, and this for $for; it is {{ $value | humanize1024 }}B behind. A failover to it would log out who came in between."
            .into(),
        remediation: "Look at the CPU and the slow log of the replica and at the network between the two; raise repl-backlog-size before it has to copy everything.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// Held against the middle of the last hours, so that neither a replica that was there for a minute (a backup with `redis-cli --rdb` is one) nor a gap in the scrapes counts. A primary that
/// became a replica has none of its own.
fn redis_replicas_missing() -> Alert {
    Alert {
        name: "RedisReplicasMissing",
        expr: "max by (job, environment, instance) (quantile_over_time(0.5, redis_connected_slaves{$job}[6h:1m]))\n\
               - on (job, environment, instance)\n\
               max by (job, environment, instance) (redis_connected_slaves{$job})\n\
               >= 1\n\
               unless on (job, environment, instance)\n\
               redis_master_link_up{$job}"
            .into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "replication",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) has fewer replicas than before.".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}) has lost {{ $value | printf \"%.0f\" }} of the replicas that it had for most of the last six hours. There is less to fail over to, and with min-replicas-to-write the primary may soon refuse writes."
            .into(),
        remediation: "Find the replica that is missing (INFO replication names those that are there) and read its log; one that was taken away on purpose is forgotten within three hours.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn redis_cluster_not_ok() -> Alert {
    Alert {
        name: "RedisClusterNotOk",
        also_known_as: &["RedisClusterStateNotOk", "RedisClusterSlotFail"],
        expr: "max by (job, environment, instance) (redis_cluster_slots_fail{$job}) > 0\n\
               or\n\
               max by (job, environment, instance) (redis_cluster_slots_fail{$job})\n\
               and on (job, environment, instance)\n\
               min by (job, environment, instance) (redis_cluster_state{$job}) == 0"
            .into(),
        hold: "1m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "cluster",
        summary: "The cluster that {{ $labels.instance }} ({{ $labels.environment }}) belongs to does not serve all sessions.".into(),
        description: "As {{ $labels.instance }} ({{ $labels.environment }}) sees it, {{ $value | printf \"%.0f\" }} slots of the cluster are on a node that has failed; 0 means that slots are assigned to nobody or that it cannot reach the majority. Sessions in such slots cannot be read or made; by the default of cluster-require-full-coverage none can."
            .into(),
        remediation: "Find the failed primary with CLUSTER NODES and bring it back, or promote its replica with CLUSTER FAILOVER FORCE.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
