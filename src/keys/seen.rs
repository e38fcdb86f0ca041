//! Keys that were met before in a pass: SCAN may return one more than once around a rehash.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Hashes of keys, up to a number of them.
#[derive(Debug)]
pub(super) struct Seen {
    hashes: HashSet<u64>,
    hash: RandomState,
    most: usize,
}

impl Seen {
    /// Nothing met yet; no more than `most` keys are remembered, 8 bytes each and their slack.
    pub(super) fn new(most: usize) -> Self {
        Self {
            hashes: HashSet::new(),
            hash: RandomState::new(),
            most,
        }
    }

    /// Whether the key was not met before, as far as is remembered. It counts as met from now on.
    pub(super) fn is_new(&mut self, key: &[u8]) -> bool {
        let hash = self.hash.hash_one(key);
        if self.hashes.len() < self.most {
            self.hashes.insert(hash)
        } else {
            !self.hashes.contains(&hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once_while_there_is_room() {
        let mut seen = Seen::new(2);
        assert!(seen.is_new(b"a") && seen.is_new(b"b"));
        assert!(!seen.is_new(b"a") && !seen.is_new(b"b"));
        assert!(
            seen.is_new(b"c") && seen.is_new(b"c"),
            "beyond it nothing is remembered"
        );
        assert!(!seen.is_new(b"a"));
    }
}
