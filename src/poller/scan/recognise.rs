//! `sessions: auto`: a sample of keys is held against the presets, and what their names suggest is asked for its type and TTL.

use super::link::{Link, Stop};
use super::{ScanProgress, ScanReport};
use crate::config::InstanceConfig;
use crate::config::presets::{KeyType, Preset};
use crate::redis::{Command, Reply};
use crate::sessions::detect::{Candidate, Detector, KeyEvidence};
use crate::sessions::pacing::Pacer;
use crate::sessions::pass::{PACED_COUNT, Page, UNPACED_COUNT};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Keys of a page that are looked at before others have their turn: each is held against dozens of presets.
const KEYS_PER_TURN: usize = 512;

/// Steps without a key after which a sample ends: a table that was emptied is walked in steps of at least a thousand buckets.
const MOST_EMPTY_STEPS: u32 = 1000;

/// Examples that one paced batch asks about, at two commands each.
const EXAMPLES_PER_BATCH: usize = 16;

/// Shortest rest worth a timer.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// Which session libraries the keys of an instance are from.
#[derive(Debug, Default)]
pub struct Recognised {
    /// The accepted presets, the more particular first.
    pub accepted: Vec<&'static Preset>,
    /// Presets that were not sure, with the reason in a sentence that holds no key.
    pub unsure: Vec<(&'static Preset, String)>,
    /// How many keys were looked at.
    pub keys_observed: u64,
}

/// Looks at up to `scan.sample_keys` keys of the address's database.
pub(super) async fn recognise<R: From<ScanReport> + Send>(
    config: &InstanceConfig,
    share: f64,
    link: &mut Link<'_, R>,
) -> Result<Recognised, Stop> {
    let database = config.address.database;
    link.select(database).await?;
    let mut sample = Sample {
        config,
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
    }))
    .await;
    outcome
}

/// A sample of keys on its way.
struct Sample<'a> {
    config: &'a InstanceConfig,
    pacer: Pacer,
    detector: Detector,
    count: u32,
    lookups: u64,
}

impl Sample<'_> {
    async fn run<R: From<ScanReport> + Send>(&mut self, link: &mut Link<'_, R>) -> Result<Recognised, Stop> {
        self.observe(link).await?;
        let mut evidence = BTreeMap::new();
        for candidate in self.detector.candidates() {
            let found = self.ask(&candidate, link).await?;
            evidence.insert(candidate.preset.name, found);
        }
        let recognition = self.detector.verdict(&evidence);
        Ok(Recognised {
            accepted: recognition.accepted,
            unsure: recognition
                .unsure
                .into_iter()
                .map(|unsure| (unsure.preset, unsure.sentence))
                .collect(),
            keys_observed: self.detector.keys_observed(),
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

    /// Asks for type and TTL of a candidate's examples. A user who may not know one of them leaves it unknown.
    async fn ask<R: From<ScanReport> + Send>(
        &mut self,
        candidate: &Candidate,
        link: &mut Link<'_, R>,
    ) -> Result<Vec<KeyEvidence>, Stop> {
        let mut evidence = Vec::new();
        for examples in candidate.examples.chunks(EXAMPLES_PER_BATCH) {
            let about = |key: &Vec<u8>| {
                let key = key.as_slice();
                [Command::new(1, &["TYPE"]).arg(key), Command::new(1, &["PTTL"]).arg(key)]
            };
            let batch: Vec<Command> = examples.iter().flat_map(about).collect();
            let (replies, round_trip) = link.exchange(&batch).await?;
            self.lookups += batch.len() as u64;
            evidence.extend(replies.chunks_exact(2).filter_map(|pair| match pair {
                [kind, left] => Some(evidence_of(kind, left)),
                _ => None,
            }));
            self.rest(round_trip, batch.len()).await;
        }
        Ok(evidence)
    }

    async fn rest(&mut self, round_trip: Duration, work: usize) {
        let rest = self.pacer.rest_after(round_trip, work);
        if rest >= SHORTEST_REST {
            let resting = Instant::now();
            tokio::time::sleep(rest).await;
            self.pacer.rested(resting.elapsed());
        }
    }
}

/// What TYPE and PTTL say of a key.
fn evidence_of(kind: &Reply, left: &Reply) -> KeyEvidence {
    let name = match kind {
        Reply::Simple(name) => name.as_ref(),
        _ => b"",
    };
    KeyEvidence {
        key_type: KeyType::ALL.into_iter().find(|known| known.as_str().as_bytes() == name),
        has_ttl: match left {
            Reply::Integer(-1) => Some(false),
            Reply::Integer(left) if *left >= 0 => Some(true),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_evidence() {
        let error = || Reply::Error("NOPERM no".into());
        let kind = |name: &'static str| Reply::Simple(name.into());
        let pair = |evidence: KeyEvidence| (evidence.key_type, evidence.has_ttl);
        assert_eq!(
            pair(evidence_of(&kind("string"), &Reply::Integer(5))),
            (Some(KeyType::String), Some(true))
        );
        assert_eq!(
            pair(evidence_of(&kind("hash"), &Reply::Integer(-1))),
            (Some(KeyType::Hash), Some(false))
        );
        assert_eq!(pair(evidence_of(&kind("none"), &Reply::Integer(-2))), (None, None));
        assert_eq!(pair(evidence_of(&error(), &error())), (None, None));
    }
}
