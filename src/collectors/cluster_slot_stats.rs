//! Collector `cluster_slot_stats`: keys, time and traffic of single hash slots of a cluster, to find the one that is hot.

use super::admission::Admission;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::{Command, Reply};
use std::collections::BTreeMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "cluster_slot_stats",
    help: "Keys, processor time and traffic of a cluster's hash slots (Redis 8.2+, Valkey 8.0+): of the busiest of the node's, at most \
           `limits.label_values`. It costs the server 3 ms per poll on a node that holds all 16384 slots.",
    default_on: false,
    schedule: Schedule::Info,
    grants: |_, server| {
        let of_clusters = server.cluster_enabled.then(|| grants::command("cluster|slot-stats"));
        grants::commands(&["info"]).into_iter().chain(of_clusters).collect()
    },
    descriptors: || STATISTICS.iter().map(|(_, descriptor)| descriptor).collect(),
    build: Build::FromReplies(|options| {
        Box::new(ClusterSlotStats {
            label_values: options.label_values,
            slots: Admission::default(),
        })
    }),
};

/// What is said of a slot, and the metric that it becomes. All but the keys only where the server counts them.
static STATISTICS: [(&str, Descriptor); 4] = [
    (
        "key-count",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_cluster_slot_key_count",
            "Keys in the slot.",
            "CLUSTER SLOT-STATS: key-count",
        )
        .with_labels(&["slot"]),
    ),
    (
        "cpu-usec",
        Descriptor::new(
            MetricKind::Counter,
            "redis_cluster_slot_cpu_usec_total",
            "Microseconds that commands on the slot took; only with cluster-slot-stats-enabled.",
            "CLUSTER SLOT-STATS: cpu-usec",
        )
        .with_labels(&["slot"]),
    ),
    (
        "network-bytes-in",
        Descriptor::new(
            MetricKind::Counter,
            "redis_cluster_slot_network_bytes_in_total",
            "Bytes of commands on the slot; only with cluster-slot-stats-enabled.",
            "CLUSTER SLOT-STATS: network-bytes-in",
        )
        .with_labels(&["slot"]),
    ),
    (
        "network-bytes-out",
        Descriptor::new(
            MetricKind::Counter,
            "redis_cluster_slot_network_bytes_out_total",
            "Bytes of replies to commands on the slot; only with cluster-slot-stats-enabled.",
            "CLUSTER SLOT-STATS: network-bytes-out",
        )
        .with_labels(&["slot"]),
    ),
];

/// First version of Redis with CLUSTER SLOT-STATS.
const REDIS_SINCE: (u32, u32, u32) = (8, 2, 0);

/// First version of Valkey with it.
const VALKEY_SINCE: (u32, u32, u32) = (8, 0, 0);

/// Hash slots of a cluster (Redis Cluster specification).
const SLOTS: i64 = 16_384;

/// All slots of the node in one answer: ORDERBY would be six times as cheap, but shows other slots at each poll where they are alike.
fn slot_stats() -> Command {
    Command::new(2, &["CLUSTER", "SLOT-STATS", "SLOTSRANGE", "0", "16383"])
}

/// Whether this node can say it. Others are not asked.
fn has_slot_stats(server: &Server) -> bool {
    let since = if server.product == "valkey" {
        VALKEY_SINCE
    } else {
        REDIS_SINCE
    };
    server.cluster_enabled && server.version_numbers >= since
}

struct ClusterSlotStats {
    label_values: usize,
    slots: Admission,
}

impl Collector for ClusterSlotStats {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        let server = server.filter(|server| has_slot_stats(server));
        server.map(|_| slot_stats()).into_iter().collect()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        // Without INFO nobody knows whether the server has any.
        context.info()?;
        let mut samples = Samples::new();
        if !has_slot_stats(context.server) {
            return Ok(samples);
        }
        let slots = slots_of(context.reply(&slot_stats())?)?;
        // Where time is not counted a slot is as busy as it has keys.
        let candidates = slots.values().map(|slot| {
            let time = slot.values.get("cpu-usec").copied().unwrap_or_default();
            let keys = slot.values.get("key-count").copied().unwrap_or_default();
            (slot.name.as_str(), if time > 0 { time } else { keys } as f64)
        });
        samples.note_dropped(self.slots.decide(candidates, self.label_values));
        for slot in slots.values().filter(|slot| self.slots.admits(&slot.name)) {
            for (name, descriptor) in &STATISTICS {
                if let Some(value) = slot.values.get(name) {
                    samples.push_with(descriptor, vec![("slot", slot.name.clone().into())], *value as f64);
                }
            }
        }
        Ok(samples)
    }
}

/// One slot: its number as text, and what is said of it.
struct Slot {
    name: String,
    values: BTreeMap<&'static str, i64>,
}

/// `[[slot, [name, number, ...]], ...]`
fn slots_of(reply: &Reply) -> Result<BTreeMap<i64, Slot>, CollectError> {
    let shape = || CollectError::shape(&slot_stats(), "a list of slots with names and numbers was expected");
    let mut slots = BTreeMap::new();
    for entry in reply.as_array().ok_or_else(shape)? {
        let Some([slot, statistics, ..]) = entry.as_array() else {
            return Err(shape());
        };
        let slot = slot
            .as_integer()
            .filter(|slot| (0..SLOTS).contains(slot))
            .ok_or_else(shape)?;
        let mut values = BTreeMap::new();
        for pair in statistics.as_array().ok_or_else(shape)?.chunks_exact(2) {
            let [name, value] = pair else { continue };
            let known = STATISTICS.iter().find(|(known, _)| name.as_text() == Some(known));
            if let (Some((name, _)), Some(value)) = (known, value.as_integer().filter(|value| *value >= 0)) {
                values.insert(*name, value);
            }
        }
        let name = slot.to_string();
        slots.insert(slot, Slot { name, values });
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::compatibility::assert_emits_listed;
    use crate::collectors::testing::{Scene, parse_reply};

    const VALKEY: &str = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\ncluster_enabled:1\r\n";

    /// Verbatim from Valkey 9.1 with cluster-slot-stats-enabled, and without.
    const COUNTED: &[u8] = b"*1\r\n*2\r\n:12182\r\n*8\r\n$9\r\nkey-count\r\n:1\r\n$8\r\ncpu-usec\r\n:28\r\n$16\r\nnetwork-bytes-in\r\n:31\r\n\
        $17\r\nnetwork-bytes-out\r\n:5\r\n";
    const NOT_COUNTED: &[u8] =
        b"*2\r\n*2\r\n:0\r\n*2\r\n$9\r\nkey-count\r\n:0\r\n*2\r\n:1\r\n*2\r\n$9\r\nkey-count\r\n:3\r\n";

    fn scene(info: &str, reply: &[u8]) -> Scene {
        Scene::new(info).answer(slot_stats(), parse_reply(reply))
    }

    #[test]
    fn slots_are_read_as_far_as_the_server_counts() {
        let samples = scene(VALKEY, COUNTED).collect(&SPEC).unwrap();
        assert_emits_listed(file!(), &samples);
        assert_eq!(
            samples.number_with("redis_cluster_slot_key_count", &["12182"]),
            Some(1.0)
        );
        assert_eq!(
            samples.number_with("redis_cluster_slot_cpu_usec_total", &["12182"]),
            Some(28.0)
        );
        assert_eq!(
            samples.number_with("redis_cluster_slot_network_bytes_in_total", &["12182"]),
            Some(31.0)
        );
        assert_eq!(
            samples.number_with("redis_cluster_slot_network_bytes_out_total", &["12182"]),
            Some(5.0)
        );
        let samples = scene(VALKEY, NOT_COUNTED).collect(&SPEC).unwrap();
        assert_eq!(samples.families().len(), 1);
        assert_eq!(samples.number_with("redis_cluster_slot_key_count", &["0"]), Some(0.0));
    }

    #[test]
    fn the_busiest_slots_are_kept_and_the_others_counted() {
        let mut scene = scene(VALKEY, NOT_COUNTED);
        scene.options.label_values = 1;
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.number_with("redis_cluster_slot_key_count", &["1"]), Some(3.0));
        assert_eq!((samples.families()[0].samples.len(), samples.dropped()), (1, 1));
    }

    #[test]
    fn only_servers_that_can_are_asked() {
        let asked = |info: &str| {
            let scene = Scene::new(info);
            let Build::FromReplies(build) = SPEC.build else {
                panic!("cluster_slot_stats reads replies")
            };
            let asked = build(&scene.options).requests(Some(&scene.server)).len();
            // Whoever is not asked has no slots to show, which is no failure.
            assert!(asked == 1 || scene.collect(&SPEC).unwrap().is_empty());
            asked == 1
        };
        assert!(asked(VALKEY));
        assert!(asked("redis_version:8.2.0\r\ncluster_enabled:1\r\n"));
        assert!(!asked("redis_version:8.0.2\r\ncluster_enabled:1\r\n"));
        assert!(!asked("redis_version:8.2.0\r\ncluster_enabled:0\r\n"));
    }

    #[test]
    fn what_is_no_list_of_slots_is_an_error() {
        for broken in [
            b":1\r\n".as_slice(),
            b"*1\r\n:1\r\n",
            b"*1\r\n*2\r\n:16384\r\n*0\r\n",
            b"*1\r\n*2\r\n:1\r\n:1\r\n",
        ] {
            assert!(matches!(
                scene(VALKEY, broken).collect(&SPEC),
                Err(CollectError::Shape { .. })
            ));
        }
    }
}
