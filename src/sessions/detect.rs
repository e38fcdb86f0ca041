//! Recognition of session libraries by their keys (`sessions: auto`).
//!
//! A [`Detector`] looks at the names of a sample of keys. What it finds plausible are [`Candidate`]s with a few example keys; the frame asks
//! Redis for their types and TTLs, and [`Detector::verdict`] decides. Names are only counted, by which presets they fit, and at most
//! [`MAX_EXAMPLES`] of each kind are kept for that question; drop the detector with the answer.
//!
//! Rules: a library is accepted when at least [`MIN_KEYS`] keys match the ids that it makes itself, when these are at least
//! [`MIN_SHARE_PERCENT`] of the keys under its globs, and when the examples have its type. Keys that an accepted, more particular preset
//! counts, or knows as auxiliary, say nothing about those behind it. Presets that are a mere shape are never accepted.

use super::glob::Glob;
use super::stores::MAX_MATCHED_KEY_BYTES;
use crate::config::pattern::IdPattern;
use crate::config::presets::{ALL, Detection, KeyType, Preset};
use std::collections::BTreeMap;

/// Fewest keys that make a library plausible: with fewer, 95 % of them could be chance.
pub const MIN_KEYS: u64 = 20;

/// Least share of the keys under a preset's globs that its pattern must match, in percent.
pub const MIN_SHARE_PERCENT: u64 = 95;

/// Most example keys of a candidate: TYPE and PTTL of these cost the server 50 µs, and one odd key among them still is 95 %.
pub const MAX_EXAMPLES: usize = 20;

/// Longest key that is kept as an example, in bytes. Session keys are shorter than 200.
pub const MAX_EXAMPLE_BYTES: usize = 512;

/// Fewest examples that must still be there to judge types by them: sessions may end between SCAN and TYPE, but not most of them.
const MIN_EVIDENCE: usize = 5;

/// Most different ways to fit the presets that are told apart. The presets know a few dozen; a key beyond the limit is not counted.
const MAX_FITS: usize = 512;

/// Libraries that write sessions without a TTL when they are configured so. All the others always set one, so that keys without any are
/// something else.
const MAY_LIVE_FOREVER: &[&str] = &[
    "spring-session",
    "spring-session-indexed",
    "redisson-tomcat",
    "shiro-redis",
    "sa-token",
    "connect-redis",
    "koa-session-redis",
    "rack-redis",
    "rails-redis-store",
    "rails-cache-store",
    "aspnet-session-state",
];

/// A set of presets by their index in [`ALL`]. A test holds that there are no more than its bits.
type PresetSet = u64;

/// A preset that is plausible by the names of the keys.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The preset.
    pub preset: &'static Preset,
    /// Up to [`MAX_EXAMPLES`] of its keys, none longer than [`MAX_EXAMPLE_BYTES`].
    pub examples: Vec<Vec<u8>>,
}

/// What Redis says about an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEvidence {
    /// Its type; `None` when it is gone.
    pub key_type: Option<KeyType>,
    /// Whether it has a TTL; `None` when it is gone or was not asked.
    pub has_ttl: Option<bool>,
}

/// Which libraries were found.
#[derive(Debug, Default)]
pub struct Recognition {
    /// The accepted presets, the more particular first.
    pub accepted: Vec<&'static Preset>,
    /// What looked like sessions but was not sure.
    pub unsure: Vec<Unsure>,
}

/// A preset that was not accepted, and why.
#[derive(Debug)]
pub struct Unsure {
    /// The preset.
    pub preset: &'static Preset,
    /// A sentence for the log, `check` and the status page. It holds counts and names of presets, never a key.
    pub sentence: String,
}

/// One preset, ready to look at keys. Patterns are compiled when the first key comes under the globs: most servers know one library.
#[derive(Debug)]
struct Matcher {
    matches: Vec<CheckedGlob>,
    excludes: Vec<CheckedGlob>,
    counted: LazyPattern,
    /// Asked only about keys that `counted` matches.
    made: LazyPattern,
}

/// A glob behind cheap checks: all presets are held against every key, and a star at the beginning costs a try at each byte.
#[derive(Debug)]
struct CheckedGlob {
    /// The literal bytes that every match begins with.
    prefix: Box<[u8]>,
    /// What stands behind the last star, with its length in bytes: it can only match at the end of the key.
    tail: Option<(Glob, usize)>,
    /// Literal bytes that every match has somewhere; empty where `prefix` or `tail` say enough.
    needle: Box<[u8]>,
    /// The shortest match.
    least_bytes: usize,
    /// The whole glob; `None` where `prefix` and `tail` are all of it.
    glob: Option<Glob>,
}

/// A pattern that is compiled when it is first needed.
#[derive(Debug)]
enum LazyPattern {
    /// There is none: nothing matches.
    Absent,
    /// What got here matches.
    Any,
    /// Not needed so far.
    Text(&'static str),
    /// Compiled.
    Ready(IdPattern),
}

/// How a key fits the presets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    /// It is under their globs and not auxiliary.
    under: PresetSet,
    /// It has an id that the library makes itself.
    made: PresetSet,
    /// Their pattern decides that it is a session.
    counted: PresetSet,
    /// They know it as auxiliary.
    auxiliary: PresetSet,
}

/// Keys that fit the presets in the same way.
#[derive(Debug, Default)]
struct Keys {
    count: u64,
    examples: Vec<Vec<u8>>,
}

/// How many keys speak for a preset when some others are accepted.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    under: u64,
    made: u64,
    counted: u64,
}

/// Looks at keys and tells which session libraries wrote them.
#[derive(Debug)]
pub struct Detector {
    matchers: Vec<Matcher>,
    /// For each first byte of a key, the presets that may have to do with it.
    by_first_byte: Vec<PresetSet>,
    fits: BTreeMap<Fit, Keys>,
    keys_observed: u64,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// A detector that has seen nothing. It holds the globs of all presets, some tens of kilobytes, and compiles a pattern when it needs it.
    pub fn new() -> Self {
        let matchers: Vec<Matcher> = ALL.iter().map(Matcher::new).collect();
        let mut by_first_byte: Vec<PresetSet> = vec![0; usize::from(u8::MAX) + 1];
        for (index, matcher) in matchers.iter().enumerate() {
            for glob in matcher.matches.iter().chain(&matcher.excludes) {
                match glob.prefix.first() {
                    Some(byte) => {
                        if let Some(set) = by_first_byte.get_mut(usize::from(*byte)) {
                            *set |= bit(index);
                        }
                    }
                    None => by_first_byte.iter_mut().for_each(|set| *set |= bit(index)),
                }
            }
        }
        Self {
            matchers,
            by_first_byte,
            fits: BTreeMap::new(),
            keys_observed: 0,
        }
    }

    /// Looks at a key. A key over [`MAX_MATCHED_KEY_BYTES`] counts as observed and fits nothing.
    pub fn observe(&mut self, key: &[u8]) {
        self.keys_observed += 1;
        let Some(first) = key.first().filter(|_| key.len() <= MAX_MATCHED_KEY_BYTES) else {
            return;
        };
        let possible = self.by_first_byte.get(usize::from(*first)).copied().unwrap_or_default();
        let mut fit = Fit::default();
        for (index, matcher) in self.matchers.iter_mut().enumerate() {
            if possible & bit(index) != 0 {
                matcher.look(key, bit(index), &mut fit);
            }
        }
        if fit == Fit::default() || (self.fits.len() >= MAX_FITS && !self.fits.contains_key(&fit)) {
            return;
        }
        let keys = self.fits.entry(fit).or_default();
        keys.count += 1;
        if fit.made != 0 && key.len() <= MAX_EXAMPLE_BYTES && keys.examples.len() < MAX_EXAMPLES {
            keys.examples.push(key.to_vec());
        }
    }

    /// How many keys were looked at.
    pub fn keys_observed(&self) -> u64 {
        self.keys_observed
    }

    /// The presets that are plausible by the names alone, the more particular first, each with the keys whose TYPE and PTTL
    /// [`Self::verdict`] wants to know.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut accepted: PresetSet = 0;
        let mut candidates = Vec::new();
        for (index, preset) in ALL.iter().enumerate() {
            if is_auto(preset) && self.tally(index, accepted).is_plausible() {
                let examples = self
                    .kept(accepted)
                    .filter(|(fit, _)| fit.made & bit(index) != 0)
                    .flat_map(|(_, keys)| keys.examples.iter().cloned())
                    .take(MAX_EXAMPLES)
                    .collect();
                candidates.push(Candidate { preset, examples });
                accepted |= bit(index);
            }
        }
        candidates
    }

    /// Decides, by the name of each candidate, what Redis said about its examples. A candidate without evidence is not accepted.
    pub fn verdict(&self, evidence: &BTreeMap<&'static str, Vec<KeyEvidence>>) -> Recognition {
        let mut accepted: PresetSet = 0;
        // Whose keys need no second guess: those of libraries that were accepted or of which there is a doubt to tell already.
        let mut explained: PresetSet = 0;
        let mut recognition = Recognition::default();
        for (index, preset) in ALL.iter().enumerate() {
            let tally = self.tally(index, if is_auto(preset) { accepted } else { explained });
            let doubt = match preset.detection {
                Detection::Auto { .. } if tally.is_plausible() => {
                    let evidence = evidence.get(preset.name).map(Vec::as_slice).unwrap_or_default();
                    match doubt_by_evidence(preset, evidence) {
                        None => {
                            accepted |= bit(index);
                            recognition.accepted.push(preset);
                            None
                        }
                        doubt => doubt,
                    }
                }
                Detection::Auto { .. } => tally.doubt(),
                Detection::ByName => tally.doubt_by_shape(if is_anchored(preset) {
                    tally.under
                } else {
                    self.keys_observed
                }),
            };
            explained |= accepted;
            if let Some(doubt) = doubt {
                if is_auto(preset) {
                    explained |= bit(index);
                }
                let sentence = format!(
                    "{doubt}; if these are sessions, write `preset: {}` under `sessions`.",
                    preset.name
                );
                recognition.unsure.push(Unsure { preset, sentence });
            }
        }
        recognition
    }

    /// The keys that the accepted presets leave to the others.
    fn kept(&self, accepted: PresetSet) -> impl Iterator<Item = (&Fit, &Keys)> {
        self.fits
            .iter()
            .filter(move |(fit, _)| (fit.counted | fit.auxiliary) & accepted == 0)
    }

    fn tally(&self, index: usize, accepted: PresetSet) -> Tally {
        let mut tally = Tally::default();
        for (fit, keys) in self.kept(accepted) {
            let of = |set: PresetSet| if set & bit(index) != 0 { keys.count } else { 0 };
            tally.under += of(fit.under);
            tally.made += of(fit.made);
            tally.counted += of(fit.counted);
        }
        tally
    }
}

impl Tally {
    fn is_plausible(self) -> bool {
        self.made >= MIN_KEYS && is_share(self.made, self.under)
    }

    /// Why a preset that is recognised by its ids was not plausible, where it comes near.
    fn doubt(self) -> Option<String> {
        if self.made >= MIN_KEYS {
            return Some(format!(
                "{} of {} keys under its globs have ids as it makes them, less than {MIN_SHARE_PERCENT} %",
                self.made, self.under
            ));
        }
        (self.counted >= MIN_KEYS && is_share(self.counted, self.under)).then(|| {
            format!(
                "{} of {} keys under its globs could be its sessions, but only {} have ids as it makes them by itself",
                self.counted, self.under, self.made
            )
        })
    }

    /// What to say of a preset that is a mere shape, when most of `whole` keys have it.
    fn doubt_by_shape(self, whole: u64) -> Option<String> {
        (self.counted >= MIN_KEYS && is_share(self.counted, whole)).then(|| {
            format!(
                "{} of {whole} keys have the shape of its sessions, which other keys may have too",
                self.counted
            )
        })
    }
}

/// Why the examples do not agree with the preset; `None` when they do.
fn doubt_by_evidence(preset: &Preset, evidence: &[KeyEvidence]) -> Option<String> {
    let types: Vec<KeyType> = evidence.iter().filter_map(|key| key.key_type).collect();
    if types.len() < MIN_EVIDENCE {
        return Some("its keys have the right names, but too few of them could be asked for their type".to_owned());
    }
    if let Some(expected) = preset.key_type {
        let agreeing = types.iter().filter(|found| **found == expected).count();
        if agreeing * 100 < types.len() * usize::try_from(MIN_SHARE_PERCENT).unwrap_or(100) {
            return Some(format!(
                "its keys have the right names, but {} of {} examples are not of type {}",
                types.len() - agreeing,
                types.len(),
                expected.as_str()
            ));
        }
    }
    let ttls: Vec<bool> = evidence.iter().filter_map(|key| key.has_ttl).collect();
    let none_expires = ttls.len() >= MIN_EVIDENCE && !ttls.contains(&true);
    (none_expires && !MAY_LIVE_FOREVER.contains(&preset.name))
        .then(|| "its keys have the right names, but none of the examples has a TTL, which it always sets".to_owned())
}

impl Matcher {
    fn new(preset: &'static Preset) -> Self {
        let compile = |globs: &[&str]| globs.iter().map(|glob| CheckedGlob::new(glob)).collect();
        Self {
            matches: compile(preset.matches),
            excludes: compile(preset.excludes),
            made: match preset.detection {
                Detection::Auto { id } if id == preset.id => LazyPattern::Any,
                Detection::Auto { id } => LazyPattern::Text(id),
                Detection::ByName => LazyPattern::Absent,
            },
            counted: LazyPattern::Text(preset.id),
        }
    }

    /// Notes how the key fits this preset.
    fn look(&mut self, key: &[u8], this: PresetSet, fit: &mut Fit) {
        if self.excludes.iter().any(|glob| glob.matches(key)) {
            fit.auxiliary |= this;
        } else if self.matches.iter().any(|glob| glob.matches(key)) {
            fit.under |= this;
            if self.counted.matches(key) {
                fit.counted |= this;
                if self.made.matches(key) {
                    fit.made |= this;
                }
            }
        }
    }
}

impl CheckedGlob {
    /// From a glob of a preset. A class is one byte, and these globs hold neither escapes nor stars in classes (a test holds that).
    fn new(text: &str) -> Self {
        let length = |part: &str| {
            let mut is_in_class = false;
            part.bytes()
                .filter(|byte| {
                    is_in_class = *byte == b'[' || (is_in_class && *byte != b']');
                    !is_in_class && *byte != b'*'
                })
                .count()
        };
        let prefix: String = text.chars().take_while(|letter| !"*?[".contains(*letter)).collect();
        let stars = text.matches('*').count();
        let last = text.rsplit_once('*');
        let needle = text
            .split(['*', '?', '[', ']'])
            .max_by_key(|piece| piece.len())
            .filter(|_| prefix.is_empty() && stars > 1);
        let is_all = stars == 1 && last.is_some_and(|(before, _)| before == prefix);
        Self {
            tail: last.map(|(_, tail)| (Glob::new(tail.as_bytes()), length(tail))),
            needle: needle.unwrap_or_default().as_bytes().into(),
            least_bytes: length(text),
            glob: (!is_all).then(|| Glob::new(text.as_bytes())),
            prefix: prefix.into_bytes().into(),
        }
    }

    fn matches(&self, key: &[u8]) -> bool {
        let ends_well = |(tail, length): &(Glob, usize)| {
            let end = key.len().checked_sub(*length).and_then(|start| key.get(start..));
            end.is_some_and(|end| tail.matches(end))
        };
        key.len() >= self.least_bytes
            && key.starts_with(&self.prefix)
            && self.tail.as_ref().is_none_or(ends_well)
            && self.has_needle(key)
            && self.glob.as_ref().is_none_or(|glob| glob.matches(key))
    }

    /// Whether the needle is somewhere in the key; the first byte decides at nearly every position, without a call.
    fn has_needle(&self, key: &[u8]) -> bool {
        let Some(first) = self.needle.first() else {
            return true;
        };
        key.windows(self.needle.len())
            .any(|part| part.first() == Some(first) && part == &*self.needle)
    }
}

impl LazyPattern {
    fn matches(&mut self, key: &[u8]) -> bool {
        if let Self::Text(text) = self {
            // A test holds that every pattern of a preset compiles.
            *self = IdPattern::new(text).map_or(Self::Absent, Self::Ready);
        }
        match self {
            Self::Ready(pattern) => pattern.matches(key),
            Self::Any => true,
            Self::Absent | Self::Text(_) => false,
        }
    }
}

/// The set of one preset. Beyond the bits of the set it is empty, so that such a preset is never recognised.
fn bit(index: usize) -> PresetSet {
    u32::try_from(index)
        .ok()
        .and_then(|index| 1_u64.checked_shl(index))
        .unwrap_or_default()
}

/// Whether the globs of a preset begin with something of its own. Where they do not, keys of its shape are everywhere, and it is worth a word
/// only when they are nearly all that there is.
fn is_anchored(preset: &Preset) -> bool {
    preset.matches.iter().all(|glob| !glob.starts_with(['*', '?', '[']))
}

fn is_auto(preset: &Preset) -> bool {
    matches!(preset.detection, Detection::Auto { .. })
}

/// Whether `part` is at least [`MIN_SHARE_PERCENT`] of `whole`.
fn is_share(part: u64, whole: u64) -> bool {
    part.saturating_mul(100) >= whole.saturating_mul(MIN_SHARE_PERCENT)
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
