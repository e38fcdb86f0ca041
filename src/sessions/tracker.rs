//! The number of sessions of one store between passes: events keep it current, passes correct it.
//!
//! A pass takes a while, and sessions come and go meanwhile: it may or may not have seen each of them. So a pass that found `count`
//! while `arrived` came and `left` went leaves the truth at its end between `count - left` and `count + arrived`. What was kept by events
//! stays if it lies in there: neither the unsharpness of a pass nor the noise of a sample moves the figure to and fro.
//!
//! One sample in twenty lies off by more than its own 95 % interval, and there is a sample every minute. So a sample alone replaces
//! nothing that events have kept: it does when the kept count lies outside its interval and it and the samples before it agree, beyond
//! doubt, on which side ([`Doubt`]).

mod doubt;

use super::estimate;
use super::figures::{App, Estimate};
use super::pass::apps::OTHER_APP;
use doubt::Doubt;
use std::collections::BTreeMap;

/// What is known of the sessions with one value of `app`.
#[derive(Debug, Clone, Default)]
struct Count {
    /// `None` before the first pass.
    value: Option<f64>,
    /// Lower and upper end; `None` while nobody can tell.
    interval: Option<(f64, f64)>,
    /// What the last pass found.
    pass: Option<Estimate>,
    /// Since the pass under way began, or the last one if none is.
    moved: Moved,
    /// From the beginning of the pass before it to its beginning.
    moved_before: Moved,
    /// What samples have said against the value.
    doubt: Doubt,
    /// Passes in a row that agree with the value only if more is stale than usual.
    excused: u32,
    /// Keys that passes in a row looked at without meeting such a session, as a share of all. At 1 every key was looked at.
    unmet: f64,
}

/// Sessions that came and went.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    arrived: f64,
    left: f64,
}

/// What a pass found of one store.
#[derive(Debug, Clone)]
pub struct Found {
    /// Sessions by `app`; those that a window did not meet are not among them.
    pub active: BTreeMap<App, Estimate>,
    /// Share of the keys that the pass looked at, 0 to 1; of several databases the least.
    pub covered: f64,
    /// Keys that have expired and are not deleted: no event has told of them, so that they may be in what events kept, and no SCAN
    /// meets them. Of all stores together, for nobody can see whose they were. `None` where nobody knows.
    pub undeleted: Option<f64>,
    /// Whether a replica was scanned. It may lag: what happened shortly before the pass need not be in it.
    pub at_replica: bool,
}

impl Found {
    /// A pass over every key of a primary.
    pub fn whole(active: BTreeMap<App, Estimate>) -> Self {
        Self {
            active,
            covered: EVERY_KEY,
            undeleted: Some(0.0),
            at_replica: false,
        }
    }
}

/// How much of the kept count may be stale.
#[derive(Debug, Clone, Copy)]
struct Stale {
    /// So much more than a pass found agrees with it.
    agrees: f64,
    /// And so much more is left in the count if it is corrected.
    stays: f64,
}

impl Count {
    /// What came and went without a pass having to show it.
    fn meanwhile(&self, at_replica: bool) -> Moved {
        let before = if at_replica {
            self.moved_before
        } else {
            Moved::default()
        };
        Moved {
            arrived: self.moved.arrived + before.arrived,
            left: self.moved.left + before.left,
        }
    }

    /// Takes in that a pass did not meet such a session. Gives back whether there is none.
    fn is_gone(&mut self, covered: f64) -> bool {
        let has_arrived = self.moved.arrived + self.moved_before.arrived > 0.0;
        // Who came behind a window could not be met by it, nor by those before it.
        self.unmet = if has_arrived { covered } else { self.unmet + covered };
        self.unmet >= EVERY_KEY && !has_arrived
    }

    /// What a pass says that did not meet such a session.
    fn unmet(&self, covered: f64) -> Estimate {
        if self.unmet >= EVERY_KEY {
            Estimate::exact(0.0)
        } else {
            estimate::count_in_fraction(0, covered)
        }
    }

    /// How much of what was kept may be stale, where a pass and what happened meanwhile say that there are at most `high`.
    fn stale(&mut self, kept: f64, high: f64, undeleted: Option<f64>) -> Stale {
        let usual = kept * STALE_SHARE;
        let Some(undeleted) = undeleted else {
            return Stale {
                agrees: usual,
                stays: usual,
            };
        };
        let usual = undeleted.min(usual);
        let is_beyond = kept > high + usual;
        self.excused = if is_beyond { self.excused.saturating_add(1) } else { 0 };
        if self.excused > MOST_EXCUSED {
            return Stale {
                agrees: usual,
                stays: 0.0,
            };
        }
        let all = undeleted.min(kept);
        Stale {
            agrees: all,
            stays: all,
        }
    }
}

/// A share of the keys: all of them.
const EVERY_KEY: f64 = 1.0;

/// Passes in a row that may find more stale keys than [`STALE_SHARE`] before the count is corrected all the same. The server deletes what
/// exceeds that share within seconds. The stale keys of others, which nobody can tell from those of a store, must not hide an error
/// for ever.
const MOST_EXCUSED: u32 = 20;

/// Share of the kept count that may have expired without being deleted, where nobody can say how much it is. Redis' active expiry
/// lets about a tenth of the keys with a TTL be stale before it works harder (`active-expire-effort` 1).
const STALE_SHARE: f64 = 0.1;

/// The figure to be published for one value of `app`.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The value of `app`.
    pub app: App,
    /// Sessions.
    pub value: f64,
    /// Lower and upper end of the interval; `None` after events were missed, until the next pass.
    pub interval: Option<(f64, f64)>,
}

/// Keeps the count of one store.
#[derive(Debug, Clone)]
pub struct Tracker {
    counts: BTreeMap<App, Count>,
    /// Most values of `app`, beside [`OTHER_APP`].
    app_limit: usize,
    /// Whether events tell of every coming and going.
    is_live: bool,
    /// Grows whenever what was known of comings and goings is broken off: a gap, a beginning or an end of listening.
    era: u64,
    /// The era in which the pass under way began.
    pass_era: Option<u64>,
    drift: Option<f64>,
}

impl Tracker {
    /// Nothing counted, nothing heard. `app_limit` bounds the values of `app`.
    pub fn new(app_limit: usize) -> Self {
        Self {
            counts: BTreeMap::new(),
            app_limit,
            is_live: false,
            era: 0,
            pass_era: None,
            drift: None,
        }
    }

    /// Whether events keep the count.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Events tell of every coming and going from now on.
    pub fn go_live(&mut self) {
        if !self.is_live {
            self.is_live = true;
            self.break_off();
        }
    }

    /// Events are not heard for a while; the count stays what it was.
    pub fn go_deaf(&mut self) {
        if self.is_live {
            self.is_live = false;
            self.break_off();
        }
    }

    /// Events are not listened to any more: the count is that of the last pass again.
    pub fn fall_back(&mut self) {
        self.is_live = false;
        self.drift = None;
        self.era += 1;
        self.counts.retain(|_, count| count.pass.is_some());
        for count in self.counts.values_mut() {
            count.value = count.pass.map(|pass| pass.value);
            count.interval = count.pass.map(|pass| (pass.low, pass.high));
        }
    }

    /// Events were missed.
    pub fn gap(&mut self) {
        if self.is_live {
            self.break_off();
        }
    }

    fn break_off(&mut self) {
        self.era += 1;
        for count in self.counts.values_mut() {
            count.interval = None;
            count.doubt = Doubt::default();
        }
    }

    /// Sessions came and went.
    pub fn moved(&mut self, app: &App, arrived: u64, left: u64) {
        if !self.is_live {
            return;
        }
        let is_counted = self.counts.values().any(|count| count.value.is_some());
        let count = self.count(app);
        let (arrived, left) = (arrived as f64, left as f64);
        count.moved.arrived += arrived;
        count.moved.left += left;
        if is_counted && count.value.is_none() {
            // A value of `app` that the last pass did not meet had no session then.
            count.value = Some(0.0);
        }
        let shift = |number: f64| (number + arrived - left).max(0.0);
        count.value = count.value.map(shift);
        count.interval = count.interval.map(|(low, high)| (shift(low), shift(high)));
    }

    fn count(&mut self, app: &App) -> &mut Count {
        let is_full = is_named(app) && !self.counts.contains_key(app) && self.room() == 0;
        let app = if is_full { Some(OTHER_APP.into()) } else { app.clone() };
        self.counts.entry(app).or_default()
    }

    /// How many more values of `app` there may be.
    fn room(&self) -> usize {
        let named = self.counts.keys().filter(|app| is_named(app)).count();
        self.app_limit.saturating_sub(named)
    }

    /// A pass begins. One that was under way before is given up.
    pub fn pass_started(&mut self) {
        self.pass_era = Some(self.era);
        for count in self.counts.values_mut() {
            count.moved_before = std::mem::take(&mut count.moved);
        }
    }

    /// The pass that began last ended well and found this. Gives back whether another pass is wanted at once, since events were missed
    /// while this one ran.
    pub fn pass_ended(&mut self, pass: &Found) -> bool {
        let is_whole = self.pass_era.take() == Some(self.era);
        let was_counted = self.counts.values().any(|count| count.value.is_some());
        let mut drift = 0.0;
        self.counts.retain(|app, count| {
            if pass.active.contains_key(app) {
                count.unmet = 0.0;
                return true;
            }
            // Values of `app` that are gone make room for others.
            let is_gone = count.is_gone(pass.covered);
            if is_gone {
                drift -= count.value.unwrap_or_default();
            }
            !is_gone
        });
        let found = self.within_limit(&pass.active);
        for app in found.keys() {
            self.counts.entry(app.clone()).or_default();
        }
        for (app, count) in &mut self.counts {
            let estimate = found.get(app).copied().unwrap_or_else(|| count.unmet(pass.covered));
            count.pass = Some(estimate);
            let Moved { arrived, left } = count.meanwhile(pass.at_replica);
            let (low, high) = ((estimate.low - left).max(0.0), estimate.high + arrived);
            if !is_whole || !self.is_live {
                // A gap may have cost a few events or all of them: a sample that contradicts tells, one that does not is only noise.
                let is_noise = |kept: &f64| self.is_live && !estimate.is_exact() && (low..=high).contains(kept);
                let value = count.value.filter(is_noise).unwrap_or(estimate.value);
                if let Some(before) = count.value {
                    drift += value - before;
                }
                count.value = Some(value);
                count.interval = is_whole.then_some((estimate.low, estimate.high));
                continue;
            }
            let corrected = (estimate.value + (count.moved.arrived - count.moved.left) / 2.0)
                .round()
                .clamp(low, high);
            let value = match count.value {
                None => corrected,
                Some(kept) => {
                    let stale = count.stale(kept, high, pass.undeleted);
                    let is_inside = (low..=high + stale.agrees).contains(&kept);
                    let nearest = kept.clamp(corrected, corrected + stale.stays);
                    // Where events were missed nothing speaks for what was kept.
                    let decides = estimate.is_exact() || count.interval.is_none();
                    let value = if decides {
                        if is_inside { kept } else { nearest }
                    } else {
                        count.doubt.note(nearest - kept, &estimate, arrived + left);
                        match count.doubt.correction().filter(|_| !is_inside) {
                            Some(correction) => (kept + correction).round().max(0.0),
                            None => kept,
                        }
                    };
                    drift += value - kept;
                    value
                }
            };
            if count.value != Some(value) || estimate.is_exact() {
                count.doubt = Doubt::default();
            }
            count.value = Some(value);
            count.interval = Some((low.min(value), high.max(value)));
        }
        let is_over =
            |app: &App, count: &Count| count.value == Some(0.0) && count.unmet >= EVERY_KEY && !found.contains_key(app);
        self.counts.retain(|app, count| !is_over(app, count));
        self.drift = (self.is_live && was_counted).then_some(drift);
        self.is_live && !is_whole
    }

    /// What was found, with the values of `app` for which there is no room counted together. Those that are known keep their places; of
    /// the others those with the most sessions get one.
    fn within_limit(&self, found: &BTreeMap<App, Estimate>) -> BTreeMap<App, Estimate> {
        let is_new = |app: &App| is_named(app) && !self.counts.contains_key(app);
        let (mut new, known): (Vec<_>, Vec<_>) = found
            .iter()
            .map(|(app, estimate)| (app.clone(), *estimate))
            .partition(|(app, _)| is_new(app));
        new.sort_by(|(_, left), (_, right)| right.value.total_cmp(&left.value));
        let rest = new.split_off(self.room().min(new.len()));
        let mut within: BTreeMap<App, Estimate> = known.into_iter().chain(new).collect();
        for (_, estimate) in rest {
            let other = within
                .entry(Some(OTHER_APP.into()))
                .or_insert_with(|| Estimate::exact(0.0));
            *other = estimate::sum(other, &estimate);
        }
        within
    }

    /// The figures, by `app`; empty before the first pass.
    pub fn figures(&self) -> impl Iterator<Item = Figure> + '_ {
        self.counts.iter().filter_map(|(app, count)| {
            Some(Figure {
                app: app.clone(),
                value: count.value?,
                interval: count.interval,
            })
        })
    }

    /// Sessions over all values of `app`; `None` before the first pass.
    pub fn total(&self) -> Option<f64> {
        self.figures()
            .map(|figure| figure.value)
            .reduce(|total, value| total + value)
    }

    /// What the last pass added to what events had made of the count (negative: took from it). `None` without events, and before a
    /// second pass.
    pub fn drift(&self) -> Option<f64> {
        self.drift
    }
}

/// Whether it is a value of its own, which needs one of the places.
fn is_named(app: &App) -> bool {
    app.as_deref().is_some_and(|name| name != OTHER_APP)
}

#[cfg(test)]
mod tests;
