//! Which values a label may take when a server names more of them than the limit allows.

use std::collections::{BTreeMap, BTreeSet};

/// Most commands that become values of `cmd` in one family. A Redis 8 with all its modules knows about 600 commands with their
/// subcommands, so no real server reaches this; `limits.label_values` does not apply, since cutting `cmd` at 50 would break
/// dashboards made for `redis_exporter`.
pub const MAX_COMMANDS: usize = 1_000;

/// Most error prefixes that become values of `err`. Redis 7.2.4 and Valkey stop counting new prefixes at 128 themselves, so only
/// older servers, on which a script invents prefixes, reach this.
pub const MAX_ERRORS: usize = 128;

/// Most databases that become values of `db`. The peer zero-fills all of `CONFIG GET databases` (16 by default, up to 2^31);
/// nobody reads a panel of a thousand databases.
pub const MAX_DATABASES: usize = 1_000;

/// Most I/O threads that become values of `thread`: Valkey allows 256, Redis 128.
pub const MAX_THREADS: usize = 256;

/// Longest label value that is kept, in bytes; the longest command name of any server is below 60. Longer ones come from a broken
/// or hostile server and would make every scrape heavy.
pub const MAX_LABEL_VALUE_BYTES: usize = 200;

/// The values that a label has been granted. A value stays as long as the server names it, so that series do not come and go
/// when ranks change; free places go to the heaviest newcomers, by name where weights are equal.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    granted: BTreeSet<String>,
}

impl Admission {
    /// Decides about the values of one poll, given with their weights (calls, errors; larger is more wanted). Afterwards
    /// [`Admission::admits`] answers for each. Returns how many values were refused.
    pub fn decide<'a>(&mut self, candidates: impl Iterator<Item = (&'a str, f64)>, limit: usize) -> usize {
        let mut present: BTreeMap<&str, f64> = BTreeMap::new();
        let mut too_long = 0;
        for (value, weight) in candidates {
            if value.len() > MAX_LABEL_VALUE_BYTES {
                too_long += 1;
            } else {
                present.insert(value, weight);
            }
        }
        if present.len() <= limit {
            self.granted = present.keys().map(|value| (*value).to_owned()).collect();
            return too_long;
        }
        self.granted.retain(|value| present.contains_key(value.as_str()));
        // A reload may have lowered the limit below what was granted.
        while self.granted.len() > limit {
            self.granted.pop_last();
        }
        let refused = present.len() - limit;
        let mut newcomers: Vec<(&str, f64)> = present
            .into_iter()
            .filter(|(value, _)| !self.granted.contains(*value))
            .collect();
        newcomers.sort_by(|left, right| right.1.total_cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        let free = limit.saturating_sub(self.granted.len());
        self.granted
            .extend(newcomers.into_iter().take(free).map(|(value, _)| value.to_owned()));
        too_long + refused
    }

    /// Whether the last decision granted this value.
    pub fn admits(&self, value: &str) -> bool {
        self.granted.contains(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_limit_everything_is_granted() {
        let mut admission = Admission::default();
        assert_eq!(admission.decide([("get", 1.0), ("set", 0.0)].into_iter(), 2), 0);
        assert!(admission.admits("get") && admission.admits("set") && !admission.admits("del"));
    }

    #[test]
    fn beyond_the_limit_the_heaviest_win_and_then_stay() {
        let mut admission = Admission::default();
        let first = [("a", 1.0), ("b", 5.0), ("c", 3.0)];
        assert_eq!(admission.decide(first.into_iter(), 2), 1);
        assert!(admission.admits("b") && admission.admits("c") && !admission.admits("a"));
        let ranks_changed = [("a", 100.0), ("b", 5.0), ("c", 3.0)];
        assert_eq!(admission.decide(ranks_changed.into_iter(), 2), 1);
        assert!(admission.admits("b") && admission.admits("c") && !admission.admits("a"));
        let one_left = [("a", 100.0), ("c", 3.0), ("d", 1.0)];
        assert_eq!(admission.decide(one_left.into_iter(), 2), 1);
        assert!(admission.admits("a") && admission.admits("c") && !admission.admits("d"));
    }

    #[test]
    fn a_value_without_end_is_refused() {
        let long = "x".repeat(MAX_LABEL_VALUE_BYTES + 1);
        let mut admission = Admission::default();
        assert_eq!(admission.decide([(long.as_str(), 1.0)].into_iter(), 10), 1);
        assert!(!admission.admits(&long));
    }

    #[test]
    fn a_lowered_limit_takes_places_back() {
        let mut admission = Admission::default();
        admission.decide([("a", 1.0), ("b", 1.0), ("c", 1.0)].into_iter(), 3);
        assert_eq!(admission.decide([("a", 1.0), ("b", 1.0), ("c", 1.0)].into_iter(), 1), 2);
        assert!(admission.admits("a") && !admission.admits("b"));
    }
}
