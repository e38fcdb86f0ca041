//! What the health answers and the status page say about a server, out of the same replies as the metrics.

use super::compound::{CommandStat, command_stats, compounds, count, find};
use super::errorstats::{self, WRITE_REFUSALS};
use super::table::MICROSECONDS_PER_SECOND;
use super::{Server, expectations, identify};
use crate::config::Expectations;
use crate::redis::Info;
use crate::snapshot::details::InfoFacts;

/// Longest `used_memory_human` that is shown; real ones are below 10 bytes.
const MAX_HUMAN_BYTES: usize = 32;

/// The facts of one INFO. `expires_at` and `new_write_refusals` are left to the caller, who knows the clock and the previous
/// count ([`write_refusals`]). `unmet_expectations` are those that INFO alone decides; the samples of the collector `memory` know
/// whether snapshots are configured as well ([`expectations::unmet`]).
pub fn facts(info: &Info, server: &Server, expect: &Expectations) -> InfoFacts {
    let stats = command_stats(info);
    let seconds_per_call = |name| find(&stats, name).and_then(CommandStat::seconds_per_call);
    let verdicts = expectations::judge_with(info, None, expect);
    InfoFacts {
        expires_at: None,
        product: format!("{} {}", server.product, server.version).trim_end().to_owned(),
        version: server.version.clone(),
        uptime_seconds: info.number("uptime_in_seconds"),
        used_memory_bytes: info.number("used_memory"),
        used_memory_human: info
            .get("used_memory_human")
            .filter(|text| text.len() <= MAX_HUMAN_BYTES)
            .map(|text| text.trim().to_owned()),
        max_memory_bytes: info.number("maxmemory"),
        total_keys: total_keys(info),
        keyspace_hits: info.number("keyspace_hits"),
        keyspace_misses: info.number("keyspace_misses"),
        own_keyspace_hits: 0.0,
        own_keyspace_misses: 0.0,
        persistence_ok: persistence_ok(info),
        set_seconds: seconds_per_call("set"),
        get_seconds: seconds_per_call("get"),
        new_write_refusals: 0.0,
        unmet_expectations: verdicts
            .into_iter()
            .filter(|(_, met)| !met)
            .map(|(name, _)| name)
            .collect(),
    }
}

/// Writes refused since the server's start or CONFIG RESETSTAT (OOM, MISCONF, READONLY, NOREPLICAS), `None` when it does not
/// count errors. A falling count is a restart.
pub fn write_refusals(info: &Info) -> Option<f64> {
    errorstats::is_readable(info, &identify(info)).then(|| {
        let counts = errorstats::error_counts(info);
        counts
            .iter()
            .filter(|(error, _)| WRITE_REFUSALS.contains(&error.as_str()))
            .map(|(_, count)| count)
            .sum()
    })
}

/// Keys of all databases; 0 when INFO has the section's place but no database, `None` when it says nothing of keys at all.
fn total_keys(info: &Info) -> Option<f64> {
    let databases: Vec<f64> = compounds(info, "db")
        .into_iter()
        .filter(|compound| compound.name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|compound| count(compound.value, "keys"))
        .collect();
    // An empty server lists no database, so the absence of all is 0 on a server that otherwise answered INFO in full.
    let is_full_reply = info.get("keyspace_hits").is_some();
    (is_full_reply || !databases.is_empty()).then(|| databases.iter().sum())
}

/// Whether the last snapshot and the last write to the append-only file worked, as far as INFO says.
fn persistence_ok(info: &Info) -> Option<bool> {
    let states: Vec<bool> = ["rdb_last_bgsave_status", "aof_last_write_status"]
        .into_iter()
        .filter_map(|field| info.get(field))
        .map(|text| text.trim() == "ok")
        .collect();
    (!states.is_empty()).then(|| states.iter().all(|ok| *ok))
}

impl CommandStat<'_> {
    /// Mean execution time, `None` before the first call.
    fn seconds_per_call(&self) -> Option<f64> {
        (self.calls > 0.0).then(|| self.microseconds / self.calls / MICROSECONDS_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::Scene;

    const INFO: &str = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nuptime_in_seconds:7\r\n\
        used_memory:50\r\nused_memory_human:2.5M\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\nkeyspace_hits:3\r\n\
        rdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\ncmdstat_get:calls=4,usec=2000000\r\nerrorstat_OOM:count=5\r\n\
        errorstat_ERR:count=50\r\ndb0:keys=3,expires=0\r\ndb3:keys=4,expires=0\r\n";

    #[test]
    fn every_fact_of_a_full_reply() {
        let expect = Expectations {
            maxmemory_policy: vec!["noeviction".into()],
            persistence: None,
        };
        let scene = Scene::new(INFO);
        let facts = facts(&scene.info, &scene.server, &expect);
        assert_eq!(
            (facts.product.as_str(), facts.version.as_str()),
            ("valkey 8.1.1", "8.1.1")
        );
        assert_eq!(
            (facts.used_memory_human.as_deref(), facts.total_keys),
            (Some("2.5M"), Some(7.0))
        );
        assert_eq!((facts.get_seconds, facts.set_seconds), (Some(0.5), None));
        assert_eq!(facts.persistence_ok, Some(false));
        assert_eq!(facts.unmet_expectations, ["maxmemory_policy"]);
    }

    #[test]
    fn unknown_stays_unknown() {
        let scene = Scene::new("");
        let facts = facts(&scene.info, &scene.server, &Expectations::default());
        assert_eq!(
            (facts.total_keys, facts.persistence_ok, facts.used_memory_bytes),
            (None, None, None)
        );
    }

    #[test]
    fn only_refused_writes_are_refusals() {
        let refusals = |text: &str| write_refusals(&Scene::new(text).info);
        assert_eq!(refusals(INFO), Some(5.0));
        assert_eq!(refusals("redis_version:7.0.15\r\n"), Some(0.0));
        assert_eq!(refusals("redis_version:6.0.16\r\n"), None);
    }
}
