//! Collector `sentinel_peers`: the other Sentinels that watch each primary, one series each. Off by default, since addresses and run ids
//! become label values. On a server that is no Sentinel it asks for nothing.

use super::label_text::label_text;
use super::sentinel::known_primaries;
use super::sentinel::primaries::{Entry, Primary, list, masters, primaries};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, Label, MetricKind, Samples};
use crate::redis::Command;
use std::collections::BTreeSet;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "sentinel_peers",
    help: "Of a Sentinel: which other Sentinels watch the same primaries, with their addresses.",
    default_on: false,
    schedule: Schedule::Info,
    grants: |_, server| {
        if server.is_sentinel {
            grants::commands(&["info", "sentinel|masters", "sentinel|sentinels"])
        } else {
            grants::commands(&["info"])
        }
    },
    descriptors: || vec![&PEER],
    build: Build::FromReplies(|_| Box::new(SentinelPeers)),
};

/// Most Sentinels that are shown per primary: three to seven watch one; more only slow its failover down.
const MAX_PEERS: usize = 50;

/// Most series of the collector: ten Sentinels of each of a hundred primaries.
const MAX_SERIES: usize = 1_000;

/// The labels that are fields of the same name.
const FIELDS: [&str; 5] = ["name", "ip", "port", "runid", "flags"];

static PEER: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_peer_info",
    "Another Sentinel that watches the primary, 1 for each. flags hold s_down while this Sentinel holds it for down.",
    "SENTINEL SENTINELS",
)
.with_labels(&["master_name", "master_address", "name", "ip", "port", "runid", "flags"]);

struct SentinelPeers;

impl Collector for SentinelPeers {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        match server {
            Some(server) if server.is_sentinel => vec![masters()],
            _ => Vec::new(),
        }
    }

    fn follow_up(&self, context: &PollContext<'_>) -> Vec<Command> {
        known_primaries(context).iter().map(Primary::sentinels).collect()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        context.info()?;
        let mut samples = Samples::new();
        if !context.server.is_sentinel {
            return Ok(samples);
        }
        let (primaries, left_out) = primaries(context.reply(&masters())?)?;
        samples.note_dropped(left_out);
        let mut shown = 0;
        for primary in &primaries {
            let command = primary.sentinels();
            let reply = match context.reply(&command) {
                Ok(reply) => reply,
                // A primary that somebody removed meanwhile.
                Err(CollectError::Failed { .. }) => continue,
                Err(error) => return Err(error),
            };
            let mut peers: BTreeSet<Vec<String>> = BTreeSet::new();
            let entries = list(reply, &command)?;
            for entry in entries.iter().filter_map(Entry::of) {
                let value = |field: &&str| label_text(entry.get(field).unwrap_or_default());
                peers.insert(FIELDS.iter().map(value).collect());
            }
            let room = MAX_PEERS.min(MAX_SERIES.saturating_sub(shown));
            samples.note_dropped(entries.len().saturating_sub(peers.len().min(room)));
            for peer in peers.into_iter().take(room) {
                shown += 1;
                let mut labels: Vec<Label> = primary.labels();
                labels.extend(FIELDS.into_iter().zip(peer.into_iter().map(Into::into)));
                samples.push_with(&PEER, labels, 1.0);
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

    fn recorded(name: &str) -> Reply {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentinel/redis-7.0");
        parse_reply(&std::fs::read(folder.join(name)).unwrap())
    }

    fn sentinels(name: &'static str) -> Command {
        Command::new(2, &["SENTINEL", "SENTINELS", name])
    }

    #[test]
    fn every_other_sentinel_is_one_series() {
        let samples = Scene::new("redis_version:7.0.15\r\nredis_mode:sentinel\r\n")
            .answer(masters(), recorded("sentinel-masters.resp"))
            .answer(sentinels("mymaster"), recorded("sentinel-sentinels.resp"))
            .collect(&SPEC)
            .unwrap();
        let family = &samples.families()[0];
        assert_eq!(family.descriptor.name, "redis_sentinel_peer_info");
        assert_eq!(family.samples.len(), 2);
        let names: Vec<&str> = family.samples[0].labels.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, PEER.labels);
        assert_eq!(family.samples[0].labels[6].1, "sentinel");
    }

    #[test]
    fn a_server_that_is_no_sentinel_is_asked_nothing() {
        assert!(SentinelPeers.requests(Some(&Server::default())).is_empty());
        assert!(SentinelPeers.requests(None).is_empty());
        assert!(
            Scene::new("redis_version:7.0.15\r\n")
                .collect(&SPEC)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn peers_are_bounded_and_counted() {
        let peer = |number: usize| {
            let words = [
                "name".to_owned(),
                format!("s{number}"),
                "flags".to_owned(),
                "sentinel".to_owned(),
            ];
            Reply::Array(words.into_iter().map(|word| Reply::Bulk(word.into())).collect())
        };
        let samples = Scene::new("redis_mode:sentinel\r\n")
            .answer(masters(), recorded("sentinel-masters.resp"))
            .answer(
                sentinels("mymaster"),
                Reply::Array((0..MAX_PEERS + 9).map(peer).collect()),
            )
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.families()[0].samples.len(), MAX_PEERS);
        assert_eq!(samples.dropped(), 9);
    }
}
