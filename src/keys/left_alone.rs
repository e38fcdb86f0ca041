//! Keys that passes leave alone for a while, since asking about them again would fail again: they live at another node of the cluster,
//! or what is said about them is more than one exchange may take.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most keys that are remembered, some 32 bytes each: more than a configuration can name. Those beyond are asked about at every pass.
const MOST_KEYS: usize = 10_000;

/// Why a key is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Another node of the cluster holds its slot (`MOVED`, Redis cluster specification).
    Elsewhere,
    /// The reply about it broke the limits of an exchange, in size or in time.
    TooLarge,
}

/// What is left alone. Clones share it, so that what a pass found stays known when the pass fails.
#[derive(Debug, Clone, Default)]
pub struct LeftAlone {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    keys: HashMap<u64, Why>,
    hash: RandomState,
}

impl LeftAlone {
    /// Why a key of a database is left alone; `None` when it may be asked about.
    pub fn why(&self, database: u32, key: &[u8]) -> Option<Why> {
        let known = self.lock();
        if known.keys.is_empty() {
            return None;
        }
        known.keys.get(&known.hash.hash_one((database, key))).copied()
    }

    /// Leaves a key alone from now on.
    pub fn note(&self, database: u32, key: &[u8], why: Why) {
        let mut known = self.lock();
        if known.keys.len() < MOST_KEYS {
            let hash = known.hash.hash_one((database, key));
            known.keys.insert(hash, why);
        }
    }

    /// Lets everything be asked about again.
    pub fn forget(&self) {
        self.lock().keys.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held, and half a change of it would do no harm.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_alone_is_known_to_all_clones_and_bounded() {
        let alone = LeftAlone::default();
        let clone = alone.clone();
        clone.note(3, b"a", Why::TooLarge);
        assert_eq!(alone.why(3, b"a"), Some(Why::TooLarge));
        assert_eq!((alone.why(0, b"a"), alone.why(3, b"b")), (None, None));
        (0..2 * MOST_KEYS).for_each(|number| alone.note(0, number.to_string().as_bytes(), Why::Elsewhere));
        assert_eq!(alone.lock().keys.len(), MOST_KEYS);
        clone.forget();
        assert_eq!(alone.why(3, b"a"), None);
    }
}
