//! `sessions: auto`: a sample of keys is held against the presets, and what their names suggest is asked for its type and TTL.

use super::link::{Link, Stop};
use super::memory::{Missing, ScanMemory, refusal_name};
use super::{ScanProgress, ScanReport, pace};
use crate::config::InstanceConfig;
use crate::config::presets::{KeyType, Preset};
use crate::redis::{Command, Reply, Unavailable, unavailability};
use crate::sessions::details::{DetailCommand, denies_command};
use crate::sessions::detect::{Candidate, Detector, KeyEvidence};
use crate::sessions::pacing::Pacer;
use crate::sessions::pass::{PACED_COUNT, Page, UNPACED_COUNT};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Keys of a page that are looked at before others have their turn: each is held against dozens of presets.
const KEYS_PER_TURN: usize = 512;

/// Steps without a key after which a sample ends: a table that was emptied is walked in steps of at least a thousand buckets.
const MOST_EMPTY_STEPS: u32 = 1000;

/// Examples that one paced batch asks about, at two commands each.
const EXAMPLES_PER_BATCH: usize = 16;

/// What examples are asked for. The type comes first: without it a key is no evidence.
const ASKED: [DetailCommand; 2] = [DetailCommand::Type, DetailCommand::Pttl];

/// Which session libraries the keys of an instance are from.
#[derive(Debug, Default)]
pub struct Recognised {
    /// The accepted presets, the more particular first.
    pub accepted: Vec<&'static Preset>,
    /// Presets that were not sure, with the reason in a sentence that holds no key.
    pub unsure: Vec<(&'static Preset, String)>,
    /// How many keys were looked at.
    pub keys_observed: u64,
    /// What the user may not ask about the keys of presets whose names fit, with the preset's name as that of the store.
    pub missing: BTreeSet<Missing>,
}

/// Looks at up to `scan.sample_keys` keys of the address's database. What is refused on the way is kept in `memory` and not asked for
/// again before it is forgotten there.
pub(super) async fn recognise<R: From<ScanReport> + Send>(
    config: &InstanceConfig,
    share: f64,
    link: &mut Link<'_, R>,
    memory: &mut ScanMemory,
) -> Result<Recognised, Stop> {
    let database = config.address.database;
    link.select(database).await?;
    let mut sample = Sample {
        config,
        memory,
        missing: BTreeSet::new(),
        pacer: Pacer::new(share),
        detector: Detector::new(),
        count: if share > 0.0 { PACED_COUNT } else { UNPACED_COUNT },
        lookups: 0,
    };
    let outcome = sample.run(link).await;
    link.report(ScanReport::Progress(ScanProgress {
        database,
        keys_examined: sample.detector.keys_observed(),
        redis_seconds: sample.pacer.used_seconds(),
        lookups: sample.lookups,
        misses: 0,
    }))
    .await;
    outcome
}

/// A sample of keys on its way.
struct Sample<'a> {
    config: &'a InstanceConfig,
    memory: &'a mut ScanMemory,
    missing: BTreeSet<Missing>,
    pacer: Pacer,
    detector: Detector,
    count: u32,
    lookups: u64,
}

impl Sample<'_> {
    async fn run<R: From<ScanReport> + Send>(&mut self, link: &mut Link<'_, R>) -> Result<Recognised, Stop> {
        pace::find_floor(&mut self.pacer, link, self.config.address.database).await?;
        self.observe(link).await?;
        let mut evidence = BTreeMap::new();
        for candidate in self.detector.candidates() {
            let found = self.ask(&candidate, link).await?;
            evidence.insert(candidate.preset.name, found);
        }
        let recognition = self.detector.verdict(&evidence);
        let unsure = recognition.unsure.into_iter().map(|unsure| {
            let denial = denial(unsure.preset, &self.missing);
            (unsure.preset, denial.unwrap_or(unsure.sentence))
        });
        Ok(Recognised {
            accepted: recognition.accepted,
            unsure: unsure.collect(),
            keys_observed: self.detector.keys_observed(),
            missing: std::mem::take(&mut self.missing),
        })
    }

    /// Reads the names.
    async fn observe<R: From<ScanReport> + Send>(&mut self, link: &mut Link<'_, R>) -> Result<(), Stop> {
        let mut cursor = b"0".to_vec();
        let mut empty_steps = 0;
        while self.detector.keys_observed() < self.config.scan.sample_keys && empty_steps < MOST_EMPTY_STEPS {
            let command = Command::new(1, &["SCAN"])
                .arg(cursor)
                .arg("COUNT")
                .arg(self.count.to_string());
            let (replies, round_trip) = link.exchange(&[command]).await?;
            let reply = replies.first().ok_or_else(|| Stop::failed(link.shape_error("SCAN")))?;
            if let Reply::Error(_) = reply {
                return Err(Stop::failed(link.refusal("SCAN", reply)));
            }
            let page = Page::new(reply).map_err(|_| Stop::failed(link.shape_error("SCAN")))?;
            empty_steps = if page.is_empty() { empty_steps + 1 } else { 0 };
            for keys in page.keys().chunks(KEYS_PER_TURN) {
                for key in keys {
                    let key = key.as_bytes().ok_or_else(|| Stop::failed(link.shape_error("SCAN")))?;
                    self.detector.observe(key);
                }
                tokio::task::yield_now().await;
            }
            self.rest(round_trip, page.len()).await;
            cursor = page.cursor().to_vec();
            if cursor == b"0" {
                break;
            }
        }
        Ok(())
    }

    /// Asks for type and TTL of a candidate's examples. One example first: a user who may not ask costs the server two denials then, and
    /// not two for each example.
    async fn ask<R: From<ScanReport> + Send>(
        &mut self,
        candidate: &Candidate,
        link: &mut Link<'_, R>,
    ) -> Result<Vec<KeyEvidence>, Stop> {
        let preset = candidate.preset.name;
        let mut evidence = Vec::new();
        let (first, others) = candidate.examples.split_at(candidate.examples.len().min(1));
        for examples in std::iter::once(first).chain(others.chunks(EXAMPLES_PER_BATCH)) {
            let is_free = |command: &DetailCommand| self.refusal(*command, preset).is_none();
            let asked: Vec<DetailCommand> = ASKED.into_iter().filter(is_free).collect();
            if examples.is_empty() || !asked.contains(&DetailCommand::Type) {
                break;
            }
            let about = |key: &Vec<u8>| {
                let key = key.clone();
                asked
                    .iter()
                    .map(move |command| Command::new(1, &[command.name()]).arg(key.clone()))
                    .collect::<Vec<_>>()
            };
            let batch: Vec<Command> = examples.iter().flat_map(about).collect();
            let (replies, round_trip) = link.exchange(&batch).await?;
            self.lookups += batch.len() as u64;
            for replies in replies.chunks_exact(asked.len()) {
                for (command, reply) in asked.iter().zip(replies) {
                    self.note_refusal(*command, preset, reply);
                }
                evidence.push(evidence_of(&asked, replies));
            }
            self.rest(round_trip, batch.len()).await;
        }
        for command in ASKED {
            let general = self.memory.refusal(command.name());
            if let Some(reason) = self.refusal(command, preset) {
                self.missing.insert(Missing {
                    command: command.name(),
                    store: general.is_none().then(|| preset.to_owned()),
                    reason,
                });
            }
        }
        Ok(evidence)
    }

    /// Why a command is not to be asked about the keys of a preset: because of the command itself, or of these keys.
    fn refusal(&self, command: DetailCommand, preset: &str) -> Option<Unavailable> {
        let own = refusal_name(command, preset);
        let general = self.memory.refusal(command.name());
        general.or_else(|| self.memory.refusal(&own))
    }

    fn note_refusal(&mut self, command: DetailCommand, preset: &str, reply: &Reply) {
        let Some(reason) = unavailability(reply) else { return };
        let now = Instant::now();
        if reason == Unavailable::Unsupported || denies_command(reply) {
            self.memory.refuse(command.name(), reason, now);
        } else {
            self.memory.refuse(&refusal_name(command, preset), reason, now);
        }
    }

    async fn rest(&mut self, round_trip: Duration, work: usize) {
        let rest = self.pacer.rest_after(round_trip, work);
        pace::rest(&mut self.pacer, rest).await;
    }
}

/// What the user must be granted so that this preset can be recognised, in a sentence; `None` when nothing was denied.
///
/// A denied command leaves open whether the keys are denied too, and a user who may read all keys takes no further rule for keys.
fn denial(preset: &Preset, missing: &BTreeSet<Missing>) -> Option<String> {
    let denied: Vec<&Missing> = missing
        .iter()
        .filter(|missing| missing.concerns(preset.name) && missing.reason == Unavailable::Denied)
        .collect();
    let of_type = denied
        .iter()
        .find(|missing| missing.command == DetailCommand::Type.name())?;
    let join = |words: Vec<String>, between: &str| words.join(between);
    let commands = join(
        denied.iter().map(|missing| missing.command.to_uppercase()).collect(),
        " and ",
    );
    let rules = join(
        denied.iter().map(|missing| format!("+{}", missing.command)).collect(),
        " ",
    );
    let keys = join(preset.matches.iter().map(|glob| format!("%R~{glob}")).collect(), " ");
    let grant = match of_type.store {
        Some(_) => format!("`{rules} {keys}`"),
        None => format!("`{rules}`, and `{keys}` unless it may read all keys"),
    };
    Some(format!(
        "its keys have the right names, but the user may not run {commands} on them: grant {grant}, or write `preset: {}` under `sessions`.",
        preset.name
    ))
}

/// What the replies to these commands say of a key.
fn evidence_of(asked: &[DetailCommand], replies: &[Reply]) -> KeyEvidence {
    let mut evidence = KeyEvidence {
        key_type: None,
        has_ttl: None,
    };
    for (command, reply) in asked.iter().zip(replies) {
        match (command, reply) {
            (DetailCommand::Type, Reply::Simple(name)) => {
                let is_named = |known: &KeyType| known.as_str().as_bytes() == name.as_ref();
                evidence.key_type = KeyType::ALL.into_iter().find(is_named);
            }
            (DetailCommand::Pttl, Reply::Integer(-1)) => evidence.has_ttl = Some(false),
            (DetailCommand::Pttl, Reply::Integer(left)) if *left >= 0 => evidence.has_ttl = Some(true),
            _ => {}
        }
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_evidence() {
        let error = || Reply::Error("NOPERM no".into());
        let kind = |name: &'static str| Reply::Simple(name.into());
        let of = |asked: &[DetailCommand], replies: &[Reply]| {
            let evidence = evidence_of(asked, replies);
            (evidence.key_type, evidence.has_ttl)
        };
        assert_eq!(
            of(&ASKED, &[kind("string"), Reply::Integer(5)]),
            (Some(KeyType::String), Some(true))
        );
        assert_eq!(
            of(&ASKED, &[kind("hash"), Reply::Integer(-1)]),
            (Some(KeyType::Hash), Some(false))
        );
        assert_eq!(of(&ASKED, &[kind("none"), Reply::Integer(-2)]), (None, None));
        assert_eq!(of(&ASKED, &[error(), error()]), (None, None));
        assert_eq!(of(&ASKED[..1], &[kind("hash")]), (Some(KeyType::Hash), None));
    }

    #[test]
    fn what_is_denied_is_named_with_its_grants() {
        let preset = crate::config::presets::ALL
            .iter()
            .find(|preset| preset.name == "connect-redis")
            .unwrap();
        let missing = |command, store: Option<&str>, reason| Missing {
            command,
            store: store.map(str::to_owned),
            reason,
        };
        let both = |store| {
            let missing = ["type", "pttl"].map(|command| missing(command, store, Unavailable::Denied));
            denial(preset, &BTreeSet::from(missing)).unwrap()
        };
        let of_keys = both(Some("connect-redis"));
        assert!(of_keys.contains("PTTL and TYPE"), "{of_keys}");
        assert!(of_keys.contains("`+pttl +type %R~sess:*"), "{of_keys}");
        let of_commands = both(None);
        assert!(of_commands.contains("`+pttl +type`, and `%R~sess:*"), "{of_commands}");
        for other in [
            missing("pttl", Some("connect-redis"), Unavailable::Denied),
            missing("type", Some("laravel"), Unavailable::Denied),
            missing("type", Some("connect-redis"), Unavailable::Unsupported),
        ] {
            assert_eq!(denial(preset, &BTreeSet::from([other])), None);
        }
    }
}
