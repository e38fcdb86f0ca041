//! What `check` says about groups of keys and about streams: whether the user may run what they need, on the keys that they are about.

use super::Report;
use super::attempts::{Asked, Fits, Subject, attempt};
use crate::collectors::grants::escaped;
use crate::config::InstanceConfig;
use crate::keys::{key_groups, streams};
use crate::redis::{Connection, RedisError};
use std::collections::BTreeSet;

/// A name that no server has a key of, most likely; whether it has does not matter.
const NO_KEY: &str = "redis-session-exporter:check";

const SCAN: Asked = Asked {
    words: &["SCAN"],
    tail: &["0", "COUNT", "1"],
    fits: Fits::NoKey,
};
const INFO_KEYSPACE: Asked = Asked {
    words: &["INFO"],
    tail: &["keyspace"],
    fits: Fits::NoKey,
};
const CONSUMERS: Asked = Asked {
    words: &["XINFO", "CONSUMERS"],
    tail: &[NO_KEY],
    // It has no such group, which would be an error of the server; the commands before it are granted with it.
    fits: Fits::Never,
};

/// One line for each of the two that runs.
///
/// # Errors
/// When an exchange fails; nothing more can be asked over this connection then.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), (&'static str, RedisError)> {
    let running = crate::keys::collectors(config);
    if running.contains(key_groups::COLLECTOR) {
        let described = describe_groups(report, config, connection).await;
        described.map_err(|error| (key_groups::COLLECTOR, error))?;
    }
    if running.contains(streams::COLLECTOR) {
        let described = describe_streams(report, config, connection).await;
        described.map_err(|error| (streams::COLLECTOR, error))?;
    }
    Ok(())
}

async fn describe_groups(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), RedisError> {
    let Some(groups) = &config.optional.key_groups else {
        return Ok(());
    };
    let named: BTreeSet<u32> = groups.databases.iter().copied().collect();
    let is_everywhere = named.is_empty();
    let databases = if is_everywhere {
        [config.address.database].into()
    } else {
        named
    };
    let mut asked = vec![SCAN, Asked::of(&["MEMORY", "USAGE"], Fits::Anything)];
    if is_everywhere {
        asked.push(INFO_KEYSPACE);
    }
    let subjects = databases.into_iter().map(|database| Subject {
        database,
        key: NO_KEY.to_owned(),
        rule: "*".to_owned(),
    });
    let subjects: Vec<Subject> = subjects.collect();
    let tried = attempt(report, config, connection, &subjects, &asked).await?;
    let sentence = match tried.reasons().join("; ") {
        reasons if reasons.is_empty() => "ok".to_owned(),
        reasons if tried.is_missing("SCAN") || tried.is_missing("SELECT") => format!("cannot run: {reasons}"),
        reasons if tried.is_missing("INFO") => {
            format!("the database of the address alone, without `databases`: {reasons}")
        }
        reasons => format!("keys are counted, their memory is unknown in part or whole: {reasons}"),
    };
    report.line(key_groups::COLLECTOR, &format!("{sentence}{}", tried.remark()));
    Ok(())
}

async fn describe_streams(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), RedisError> {
    let streams = &config.optional.streams;
    let mut subjects = Vec::new();
    // A glob as a key shows whether the user may read what it finds: rules about keys are globs that take it for one.
    for pattern in &streams.patterns {
        subjects.extend(pattern.databases.iter().map(|database| Subject {
            database: *database,
            key: pattern.glob.clone(),
            rule: pattern.glob.clone(),
        }));
    }
    for named in &streams.single {
        subjects.extend(named.database.map(|database| Subject {
            database,
            key: named.key.clone(),
            rule: escaped(&named.key),
        }));
    }
    let mut asked = vec![
        Asked::of(&["TYPE"], Fits::Anything),
        Asked::of(&["XINFO", "STREAM"], Fits::Type("stream")),
        Asked::of(&["XINFO", "GROUPS"], Fits::Type("stream")),
    ];
    if streams.consumers {
        asked.push(CONSUMERS);
    }
    if !streams.patterns.is_empty() {
        asked.push(SCAN);
    }
    let tried = attempt(report, config, connection, &subjects, &asked).await?;
    let sentence = match tried.reasons().join("; ") {
        reasons if reasons.is_empty() => "ok".to_owned(),
        reasons if tried.is_missing("XINFO STREAM") || tried.is_missing("SELECT") => format!("cannot run: {reasons}"),
        reasons => format!("a part: {reasons}"),
    };
    report.line(streams::COLLECTOR, &format!("{sentence}{}", tried.remark()));
    Ok(())
}
