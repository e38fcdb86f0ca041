//! Sessions by the label `app`, with a limit on its values.

use crate::sessions::figures::App;
use std::collections::HashMap;

/// Label value of sessions whose own value found no place any more, is no valid UTF-8 or too long to be a label.
pub(in crate::sessions) const OTHER_APP: &str = crate::metric::OTHER;

/// Longest value that becomes a label. Names of applications are shorter; a key may have 16 KiB.
pub(in crate::sessions) const MAX_APP_BYTES: usize = 128;

/// The count of sessions without a value.
const NONE: u16 = 0;

/// The count of [`OTHER_APP`].
const OTHER: u16 = 1;

/// Counts by `app`.
#[derive(Debug)]
pub(super) struct AppCounts {
    /// Values by place; the first two are `None` and [`OTHER_APP`].
    names: Vec<App>,
    counts: Vec<u64>,
    places: HashMap<Box<[u8]>, u16>,
    most: usize,
    has_dropped: bool,
}

impl AppCounts {
    /// No sessions yet; `known` values have their places already. At most `most` values.
    pub(super) fn new(known: Vec<Box<str>>, most: usize) -> Self {
        let mut counts = Self {
            names: vec![None, Some(OTHER_APP.into())],
            counts: vec![0, 0],
            places: HashMap::new(),
            most: most.min(usize::from(u16::MAX - OTHER) - 1),
            has_dropped: false,
        };
        for name in known {
            counts.place(name.as_bytes());
        }
        counts
    }

    /// Counts a session and gives back the number of its value.
    pub(super) fn count(&mut self, app: Option<&[u8]>) -> u16 {
        let place = app.map_or(NONE, |app| self.place(app));
        if let Some(count) = self.counts.get_mut(usize::from(place)) {
            *count += 1;
        }
        place
    }

    fn place(&mut self, app: &[u8]) -> u16 {
        if let Some(place) = self.places.get(app) {
            return *place;
        }
        let name = std::str::from_utf8(app).ok().filter(|name| name.len() <= MAX_APP_BYTES);
        let place = u16::try_from(self.names.len())
            .ok()
            .filter(|_| self.places.len() < self.most);
        match (name, place) {
            (Some(OTHER_APP), _) => OTHER,
            (Some(name), Some(place)) => {
                self.places.insert(app.into(), place);
                self.names.push(Some(name.into()));
                self.counts.push(0);
                place
            }
            _ => {
                self.has_dropped = true;
                OTHER
            }
        }
    }

    /// All sessions.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether a value found no place.
    pub(super) fn has_dropped(&self) -> bool {
        self.has_dropped
    }

    /// The counts in the order of their numbers, also those of values without sessions.
    pub(super) fn into_counts(self) -> Vec<(App, u64)> {
        self.names.into_iter().zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_limit_are_other() {
        let mut counts = AppCounts::new(vec!["shop".into()], 2);
        for app in ["blog", "news", "shop", "blog", "other", "more"] {
            counts.count(Some(app.as_bytes()));
        }
        counts.count(None);
        assert!(counts.has_dropped());
        assert_eq!(counts.total(), 7);
        let found: Vec<(App, u64)> = counts.into_counts();
        let expected = [(None, 1), (Some("other"), 3), (Some("shop"), 1), (Some("blog"), 2)];
        assert_eq!(found, expected.map(|(name, count)| (name.map(Into::into), count)));
    }

    #[test]
    fn what_cannot_be_a_label_is_other() {
        let mut counts = AppCounts::new(Vec::new(), 50);
        assert_eq!(counts.count(Some(b"\xff\xfe")), OTHER);
        assert_eq!(counts.count(Some(&[b'a'; MAX_APP_BYTES + 1])), OTHER);
        assert_eq!(counts.count(Some(&[b'a'; MAX_APP_BYTES])), 2);
        assert_eq!(counts.count(None), NONE);
    }
}
