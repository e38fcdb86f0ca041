//! Hashes: which fields are asked for, and which become label values.

use super::super::Problem;
use super::super::histogram::{OTHER_FIELDS, histogram};
use super::super::number::{MAX_NUMBER_BYTES, label_value, value};
use super::{Finding, Found, Reader, Stage, Step, Turn, histogram_finding};
use crate::config::ApplicationRead;
use crate::redis::Reply;
use std::collections::{BTreeMap, BTreeSet};

/// A hash with at most this many fields (or twice `max_label_values`, if that is more) is read whole, so that label values are granted
/// by name. A reply of a thousand short fields is about 50 KB. Of a larger hash one page is looked at.
pub const WHOLE_FIELDS: usize = 1_000;

/// COUNT of HSCAN where the whole hash is wanted, beside twice its fields. Redis looks at ten buckets per COUNT, and a hash that was large
/// keeps its empty buckets for a while: this makes 10,000 of them per page, 0.2 ms of the server. The reply is bounded by the fields.
const WHOLE_COUNT: usize = 1_000;

/// Most pages of one hash in one turn: a table of 80,000 buckets. What has not come by then is asked for by name, as far as it was shown
/// before.
pub(super) const MAX_PAGES: u32 = 8;

/// What of a hash came so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    fields: BTreeMap<Vec<u8>, Vec<u8>>,
    count: u32,
    /// Fields that the hash has.
    total: usize,
}

/// Fields that are asked for by name.
#[derive(Debug)]
pub(super) struct Asked {
    names: Vec<Vec<u8>>,
    /// Fields that the hash has beside, as far as they are known.
    total: usize,
}

impl Turn<'_> {
    /// A hash with a field per label value: by name where the names are all known, else it is counted first.
    pub(super) fn ask_labelled(&mut self) -> Step {
        let declared = self.declared();
        if !declared.is_empty() && declared.len() >= self.metric.max_label_values {
            return self.ask_lengths(declared, 0);
        }
        self.ask_fields()
    }

    /// The label values of the file, as many as may be.
    pub(super) fn declared(&self) -> Vec<Vec<u8>> {
        let values = self.metric.label_values.iter().take(self.metric.max_label_values);
        values.map(|value| value.as_bytes().to_vec()).collect()
    }

    pub(super) fn ask_lengths(&mut self, names: Vec<Vec<u8>>, total: usize) -> Step {
        if names.is_empty() {
            return Step::Done(Ok(Finding {
                found: Found::Numbers(Vec::new()),
                dropped: total,
            }));
        }
        let commands = names
            .iter()
            .map(|name| self.on_key("HSTRLEN").arg(name.clone()))
            .collect();
        self.ask(Stage::FieldLengths(Asked { names, total }), commands)
    }

    fn ask_page(&mut self, cursor: &[u8], pages: Pages, whole: bool) -> Step {
        let count = if whole {
            pages.total.saturating_mul(2).max(WHOLE_COUNT)
        } else {
            self.metric.max_label_values
        };
        let command = self
            .on_key("HSCAN")
            .arg(cursor)
            .arg("COUNT")
            .arg(count.max(1).to_string());
        self.ask(Stage::Scan { pages, whole }, vec![command])
    }

    /// The label values of the file that are not there yet: 0 for a counter.
    pub(super) fn born(&self, present: &BTreeSet<&[u8]>) -> Vec<(Option<String>, f64)> {
        if !self.is_counter() {
            return Vec::new();
        }
        let declared = self.metric.label_values.iter().take(self.metric.max_label_values);
        let absent = declared.filter(|value| !present.contains(value.as_bytes()));
        absent.map(|value| (Some(value.clone()), 0.0)).collect()
    }

    pub(super) fn on_field_count(&mut self, reader: &mut Reader, total: usize) -> Step {
        self.exists = total > 0;
        if total == 0 {
            if self.is_histogram() {
                let empty = histogram(&self.metric.buckets, std::iter::empty());
                return Step::Done(empty.map(histogram_finding));
            }
            return self.missing();
        }
        if self.is_histogram() {
            // Other bounds than the configured ones are legal, so there may be some more.
            if total > WHOLE_FIELDS.max(self.metric.buckets.len() + OTHER_FIELDS) {
                return Step::Done(Err(Problem::TooManyFields));
            }
        } else if total > WHOLE_FIELDS.max(self.metric.max_label_values.saturating_mul(2)) {
            let names = self.names(reader, &[]);
            if names.len() >= self.metric.max_label_values {
                return self.ask_lengths(names, total);
            }
            let pages = Pages {
                total,
                ..Pages::default()
            };
            return self.ask_page(b"0", pages, false);
        }
        let pages = Pages {
            total,
            ..Pages::default()
        };
        self.ask_page(b"0", pages, true)
    }

    /// Which fields become label values: those of the file, those that did so before, then by name.
    fn names(&self, reader: &Reader, seen: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut names = self.declared();
        let mut taken: BTreeSet<Vec<u8>> = names.iter().cloned().collect();
        let mut sorted = seen.to_vec();
        sorted.sort_unstable();
        let granted = reader.granted.iter().map(Vec::as_slice);
        for name in granted.chain(sorted) {
            if names.len() >= self.metric.max_label_values {
                break;
            }
            if label_value(name).is_some() && taken.insert(name.to_vec()) {
                names.push(name.to_vec());
            }
        }
        names
    }

    pub(super) fn on_page(
        &mut self,
        reader: &mut Reader,
        mut pages: Pages,
        whole: bool,
        reply: &Reply,
    ) -> Option<Step> {
        let [cursor, items] = reply.as_array()? else {
            return None;
        };
        let cursor = cursor.as_bytes()?.to_vec();
        let items = items.as_array()?;
        for pair in items.chunks(2) {
            let [field, value] = pair else { return None };
            // A later page is the newer truth about a field that came twice.
            pages
                .fields
                .insert(field.as_bytes()?.to_vec(), value.as_bytes()?.to_vec());
        }
        pages.count += 1;
        let is_complete = whole && cursor == b"0";
        if whole && !is_complete && pages.count < MAX_PAGES {
            return Some(self.ask_page(&cursor, pages, whole));
        }
        if self.is_histogram() {
            if !is_complete {
                return Some(Step::Done(Err(Problem::Unstable)));
            }
            let fields = pages.fields.iter().map(|(field, value)| (&field[..], &value[..]));
            return Some(Step::Done(
                histogram(&self.metric.buckets, fields).map(histogram_finding),
            ));
        }
        let seen: Vec<&[u8]> = pages.fields.keys().map(Vec::as_slice).collect();
        if is_complete {
            // Whoever is gone gives its place away.
            reader.granted.retain(|name| pages.fields.contains_key(name));
            let names = self.names(reader, &seen);
            let values = names.iter().map(|name| pages.fields.get(name).map(Vec::as_slice));
            return Some(self.labelled(reader, &names, values, pages.fields.len()));
        }
        let names = self.names(reader, &seen);
        Some(self.ask_lengths(names, pages.total))
    }

    pub(super) fn on_lengths(&mut self, asked: Asked, replies: &[Reply]) -> Option<Step> {
        if replies.len() != asked.names.len() {
            return None;
        }
        for reply in replies {
            let length = usize::try_from(reply.as_integer()?).ok()?;
            self.exists |= length > 0;
            if length > MAX_NUMBER_BYTES {
                return Some(Step::Done(Err(Problem::NotANumber)));
            }
        }
        let mut command = self.on_key("HMGET");
        for name in &asked.names {
            command = command.arg(name.clone());
        }
        Some(self.ask(Stage::FieldValues(asked), vec![command]))
    }

    pub(super) fn on_values(&mut self, reader: &mut Reader, asked: &Asked, reply: &Reply) -> Option<Step> {
        let items = reply.as_array()?;
        if items.len() != asked.names.len() {
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(match item {
                Reply::Null => None,
                other => Some(other.as_bytes()?),
            });
        }
        self.exists |= values.iter().any(Option::is_some);
        if let ApplicationRead::Field(_) = self.metric.read {
            return Some(match values.first().copied().flatten() {
                Some(text) => self.done_with(value(self.metric.descriptor.kind, text)),
                None => self.missing(),
            });
        }
        Some(self.labelled(reader, &asked.names, values.into_iter(), asked.total))
    }

    /// The values of these fields, as far as they exist, under their label values. The rest of `total` was dropped.
    fn labelled<'v>(
        &self,
        reader: &mut Reader,
        names: &[Vec<u8>],
        values: impl Iterator<Item = Option<&'v [u8]>>,
        total: usize,
    ) -> Step {
        let mut present: BTreeSet<&[u8]> = BTreeSet::new();
        let mut numbers = Vec::new();
        let mut granted = BTreeSet::new();
        for (name, text) in names.iter().zip(values) {
            let (Some(text), Some(label)) = (text, label_value(name)) else {
                continue;
            };
            match value(self.metric.descriptor.kind, text) {
                Ok(number) => numbers.push((Some(label), number)),
                // A metric is all or nothing: without this value its sum would be wrong.
                Err(problem) => return Step::Done(Err(problem)),
            }
            present.insert(name);
            granted.insert(name.clone());
        }
        reader.granted = granted;
        let dropped = total.saturating_sub(present.len());
        numbers.extend(self.born(&present));
        Step::Done(Ok(Finding {
            found: Found::Numbers(numbers),
            dropped,
        }))
    }
}
