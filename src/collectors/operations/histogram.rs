//! The server's histograms of execution times, put onto the buckets of every duration histogram of ours.
//!
//! The server's buckets have upper edges of 1, 2, 4, 8, 16, 33, 66 ... 541065, 1073741 µs, rounded down to whole microseconds; it leaves out
//! those that add nothing, and takes whatever lasted longer than a second for one second (Redis 7.0, `LATENCY HISTOGRAM`). How long an
//! observation lasted inside its bucket is not known, so it counts only where even the bucket's upper edge fits: the result is never
//! better than the truth, by less than a factor of two and the distance to the next of our bounds.

use super::super::latency::distribution;
use super::account::{Continuity, Foreign, settle};
use super::mapping::{self, Operation};
use crate::metric::{DURATION_BUCKETS_SECONDS, Distribution};
use crate::redis::Reply;
use std::collections::{BTreeMap, BTreeSet};

/// A longer time is recorded as this one (`LATENCY_HISTOGRAM_MAX_VALUE` of Redis 7.0 and later): what lies in the bucket around it may
/// have lasted for ever.
const CUT_AT_MICROSECONDS: u64 = 1_000_000;

/// Cells of a histogram of ours: one per bound, and one for what lies above the last.
const CELLS: usize = DURATION_BUCKETS_SECONDS.len() + 1;

/// Observations of one command per bucket of the server: upper edge in microseconds, and how many lie in it. What it does not put
/// into any stands at the largest number.
pub(super) type Counts = BTreeMap<u64, u64>;

/// Reads LATENCY HISTOGRAM: `[command, [calls, n, histogram_usec, [edge, count at or below, ...]], ...]`, as far as it is about
/// commands that may be session operations. `None` when it is no list.
pub(super) fn parse(reply: &Reply) -> Option<BTreeMap<&'static str, Counts>> {
    let known: BTreeMap<&[u8], &'static str> = mapping::commands(&BTreeSet::new())
        .map(|(command, _)| (command.as_bytes(), command))
        .collect();
    let mut histograms = BTreeMap::new();
    for pair in reply.as_array()?.chunks_exact(2) {
        let [name, detail] = pair else { continue };
        if let Some(command) = name.as_bytes().and_then(|name| known.get(name))
            && let Some(histogram) = distribution(detail, 0.0)
        {
            histograms.insert(*command, counts(&histogram));
        }
    }
    Some(histograms)
}

fn counts(histogram: &Distribution) -> Counts {
    let mut below = 0;
    let mut counts = Counts::new();
    for (edge, at_or_below) in &histogram.buckets {
        // Edges were whole numbers on the wire; a negative one becomes 0, which is not better than the truth since nothing is faster.
        *counts.entry(*edge as u64).or_default() += at_or_below.saturating_sub(below);
        below = *at_or_below;
    }
    let rest = histogram.count.saturating_sub(below);
    if rest > 0 {
        *counts.entry(u64::MAX).or_default() += rest;
    }
    counts
}

/// The cell of ours for observations in the server's bucket with this upper edge.
fn cell_of(edge: u64) -> usize {
    if edge >= CUT_AT_MICROSECONDS {
        return CELLS - 1;
    }
    // The edge is rounded down, so the slowest observation may have lasted almost one microsecond longer.
    let slowest = (edge + 1) as f64 / super::super::table::MICROSECONDS_PER_SECOND;
    DURATION_BUCKETS_SECONDS.partition_point(|bound| *bound < slowest)
}

/// A histogram of ours that grows.
#[derive(Debug, Clone, Default)]
struct Accumulated {
    cells: [u64; CELLS],
    microseconds: u64,
}

impl Accumulated {
    fn add(&mut self, edge: u64, count: u64) {
        if let Some(cell) = self.cells.get_mut(cell_of(edge)) {
            *cell = cell.saturating_add(count);
        }
    }

    fn distribution(&self) -> Distribution {
        let mut total: u64 = 0;
        let mut cumulative = self.cells.iter().map(|cell| {
            total = total.saturating_add(*cell);
            total
        });
        let buckets = DURATION_BUCKETS_SECONDS.into_iter().zip(&mut cumulative).collect();
        let count = cumulative.next().unwrap_or_default();
        Distribution {
            buckets,
            sum: self.microseconds as f64 / super::super::table::MICROSECONDS_PER_SECOND,
            count,
        }
    }
}

/// Follows the server's histograms from poll to poll.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    accumulated: BTreeMap<Operation, Accumulated>,
    previous: Option<BTreeMap<&'static str, Counts>>,
    /// Calls of ours that have to be taken off yet, per command.
    debts: BTreeMap<&'static str, u64>,
}

impl Latencies {
    /// Forgets what it saw: the next histograms are the first ones. What was accumulated stays.
    pub(super) fn forget(&mut self) {
        self.previous = None;
        self.debts.clear();
    }

    /// Takes the server's histograms of this poll. `operation_of` says where the time of a command belongs. Nothing is added when it
    /// is not known what came since the poll before.
    pub(super) fn advance(
        &mut self,
        now: BTreeMap<&'static str, Counts>,
        continuity: Continuity,
        foreign: &BTreeMap<&'static str, Foreign>,
        operation_of: &BTreeMap<&'static str, Operation>,
    ) {
        let before = self.previous.take().filter(|_| continuity != Continuity::Unknown);
        let Some(before) = before else {
            self.debts.clear();
            self.previous = Some(now);
            return;
        };
        let none = Counts::new();
        // A command of ours that the server has not counted yet is owed as well.
        let commands: BTreeSet<&'static str> = now.keys().chain(foreign.keys()).copied().collect();
        for command in commands {
            let ours = foreign.get(command).copied().unwrap_or_default();
            let counts = now.get(command).unwrap_or(&none);
            let mut new = match (continuity, before.get(command)) {
                (Continuity::Continued, Some(before)) => since(counts, before),
                _ => counts.clone(),
            };
            take_fastest(&mut new, self.debts.entry(command).or_default(), ours.own_executed);
            if let Some(operation) = operation_of.get(command) {
                let accumulated = self.accumulated.entry(*operation).or_default();
                for (edge, count) in new {
                    accumulated.add(edge, count);
                }
                accumulated.microseconds = accumulated.microseconds.saturating_add(ours.microseconds);
            }
        }
        if continuity == Continuity::BeganAnew {
            self.debts.clear();
        }
        self.previous = Some(now);
    }

    /// What was accumulated for an operation; empty before anything was.
    pub(super) fn distribution(&self, operation: Operation) -> Distribution {
        let accumulated = self.accumulated.get(&operation).cloned().unwrap_or_default();
        accumulated.distribution()
    }
}

/// What came since. One bucket that fell means that the server began this histogram anew.
fn since(now: &Counts, before: &Counts) -> Counts {
    let fell = before
        .iter()
        .any(|(edge, count)| now.get(edge).copied().unwrap_or_default() < *count);
    if fell {
        return now.clone();
    }
    now.iter()
        .map(|(edge, count)| (*edge, count - before.get(edge).copied().unwrap_or_default().min(*count)))
        .collect()
}

/// Takes our own calls off. Which observations are theirs is not known; without the fastest ones the rest is never faster than it was.
fn take_fastest(counts: &mut Counts, debt: &mut u64, own: u64) {
    *debt = debt.saturating_add(own);
    for count in counts.values_mut() {
        *count = settle(*count, debt, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::parse_reply;
    use proptest::prelude::*;

    /// Upper edges of Redis 7.0.15 and Valkey 9.1, as they answered.
    const SERVER_EDGES: [u64; 21] = [
        1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227, 8454, 16908, 33816, 67633, 135_266, 270_532, 541_065,
        1_073_741,
    ];

    /// Where the server puts a duration, in nanoseconds.
    fn server_edge(nanoseconds: u64) -> u64 {
        let recorded = nanoseconds.min(1_000_000_000);
        *SERVER_EDGES.iter().find(|edge| recorded < (**edge + 1) * 1000).unwrap()
    }

    /// Verbatim from Redis 7.0.15: GET four times, SET once, DEBUG SLEEP of 0.3, 0.7, 1.5 and 2.5 s.
    const REPLY: &[u8] = b"*6\r\n$5\r\ndebug\r\n*4\r\n$5\r\ncalls\r\n:4\r\n$14\r\nhistogram_usec\r\n*4\r\n:541065\r\n:1\r\n:1073741\r\n:4\r\n\
        $3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:4\r\n$14\r\nhistogram_usec\r\n*4\r\n:2\r\n:1\r\n:4\r\n:4\r\n\
        $3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:16\r\n:1\r\n";

    #[test]
    fn the_server_omits_what_it_has_not_got_and_we_what_is_no_session_operation() {
        let histograms = parse(&parse_reply(REPLY)).unwrap();
        assert_eq!(
            histograms,
            BTreeMap::from([
                ("get", Counts::from([(2, 1), (4, 3)])),
                ("set", Counts::from([(16, 1)]))
            ])
        );
        assert_eq!(parse(&Reply::Null), None);
    }

    #[test]
    fn each_edge_has_its_bound() {
        let bound = |edge| DURATION_BUCKETS_SECONDS.get(cell_of(edge)).copied();
        let table = [
            (1, Some(0.0005)),
            (264, Some(0.0005)),
            (499, Some(0.0005)),
            (500, Some(0.001)),
            (528, Some(0.001)),
            (1056, Some(0.0025)),
            (2113, Some(0.0025)),
            (4227, Some(0.005)),
            (8454, Some(0.01)),
            (16908, Some(0.02)),
            (33816, Some(0.05)),
            (67633, Some(0.1)),
            (135_266, Some(0.25)),
            (270_532, Some(0.5)),
            (541_065, Some(1.0)),
            (1_073_741, None),
            (u64::MAX, None),
        ];
        for (edge, expected) in table {
            assert_eq!(bound(edge), expected, "{edge} µs");
        }
    }

    fn histograms(name: &'static str, durations: &[u64]) -> BTreeMap<&'static str, Counts> {
        let mut counts = Counts::new();
        for duration in durations {
            *counts.entry(server_edge(*duration)).or_default() += 1;
        }
        BTreeMap::from([(name, counts)])
    }

    fn gets() -> BTreeMap<&'static str, Operation> {
        BTreeMap::from([("get", Operation::Get)])
    }

    fn foreign(own_executed: u64, microseconds: u64) -> BTreeMap<&'static str, Foreign> {
        let get = Foreign {
            own_executed,
            microseconds,
            ..Foreign::default()
        };
        BTreeMap::from([("get", get)])
    }

    #[test]
    fn our_own_calls_leave_from_the_fastest_end_and_are_owed_until_they_show() {
        let mut latencies = Latencies::default();
        latencies.advance(BTreeMap::new(), Continuity::Unknown, &BTreeMap::new(), &gets());
        let quick_and_slow = [2_000, 3_000, 700_000, 4_000_000];
        let now = histograms("get", &quick_and_slow);
        latencies.advance(now.clone(), Continuity::Continued, &foreign(2, 5_000), &gets());
        let distribution = latencies.distribution(Operation::Get);
        assert_eq!((distribution.count, distribution.sum), (2, 0.005));
        assert_eq!(distribution.buckets[0], (0.0005, 0), "the quick ones were ours");
        assert_eq!(distribution.buckets[1], (0.001, 0));
        assert_eq!(distribution.buckets[2], (0.0025, 1));
        // Three of ours were sent but not executed yet.
        latencies.advance(now, Continuity::Continued, &foreign(3, 0), &gets());
        let more = [&quick_and_slow[..], &[2_000, 2_000, 2_000]].concat();
        latencies.advance(histograms("get", &more), Continuity::Continued, &foreign(0, 0), &gets());
        assert_eq!(latencies.distribution(Operation::Get).count, 2);
    }

    #[test]
    fn a_histogram_that_begins_anew_adds_what_it_has() {
        let mut latencies = Latencies::default();
        latencies.advance(
            histograms("get", &[1_000; 9]),
            Continuity::Unknown,
            &foreign(0, 0),
            &gets(),
        );
        assert_eq!(
            latencies.distribution(Operation::Get).count,
            0,
            "that was before we watched"
        );
        latencies.advance(
            histograms("get", &[1_000; 3]),
            Continuity::BeganAnew,
            &foreign(0, 0),
            &gets(),
        );
        assert_eq!(latencies.distribution(Operation::Get).count, 3);
        latencies.advance(
            histograms("get", &[1_000; 2]),
            Continuity::Continued,
            &foreign(0, 0),
            &gets(),
        );
        assert_eq!(latencies.distribution(Operation::Get).count, 5);
        latencies.forget();
        latencies.advance(
            histograms("get", &[1_000; 50]),
            Continuity::Continued,
            &foreign(0, 0),
            &gets(),
        );
        assert_eq!(
            latencies.distribution(Operation::Get).count,
            5,
            "it was not asked in between"
        );
    }

    proptest! {
        /// Whatever durations there were, no bucket holds more than truly were at or below its bound, and all are counted.
        #[test]
        fn never_better_than_the_truth(durations in prop::collection::vec(0_u64..20_000_000_000, 0..200), own in 0_usize..20) {
            let own = own.min(durations.len());
            let mut latencies = Latencies::default();
            latencies.advance(BTreeMap::new(), Continuity::Unknown, &BTreeMap::new(), &gets());
            latencies.advance(histograms("get", &durations), Continuity::Continued, &foreign(own as u64, 0), &gets());
            let distribution = latencies.distribution(Operation::Get);
            prop_assert_eq!(distribution.count, (durations.len() - own) as u64);
            let mut below = 0;
            for (bound, count) in &distribution.buckets {
                // The calls that are ours may be any of them: the last ones here.
                let truly = durations[..durations.len() - own].iter().filter(|duration| **duration as f64 / 1e9 <= *bound).count();
                prop_assert!(*count <= truly as u64, "{} at {}, truly {}", count, bound, truly);
                prop_assert!(*count >= below);
                below = *count;
            }
            prop_assert!(distribution.count >= below);
        }

        /// However the server's numbers jump, ours never fall.
        #[test]
        fn never_falling(polls in prop::collection::vec(
            (prop::collection::btree_map(prop_oneof![any::<u64>(), 0_u64..2_000_000], any::<u64>(), 0..8), 0_u8..3, any::<u64>(), any::<u64>()),
            0..30,
        )) {
            let mut latencies = Latencies::default();
            let mut before = latencies.distribution(Operation::Get);
            for (counts, continuity, own, microseconds) in polls {
                let continuity = [Continuity::Continued, Continuity::BeganAnew, Continuity::Unknown][usize::from(continuity)];
                latencies.advance(BTreeMap::from([("get", counts)]), continuity, &foreign(own, microseconds), &gets());
                let now = latencies.distribution(Operation::Get);
                prop_assert!(now.sum >= before.sum && now.count >= before.count && now.sum.is_finite());
                for (now, before) in now.buckets.iter().zip(&before.buckets) {
                    prop_assert!(now.1 >= before.1);
                }
                prop_assert!(now.buckets.is_sorted_by_key(|(_, count)| *count));
                before = now;
            }
        }
    }
}
