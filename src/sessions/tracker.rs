//! The number of sessions of one store between passes: events keep it current, passes correct it.
//!
//! A pass takes a while, and sessions come and go meanwhile: it may or may not have seen each of them. So a pass that found `count`
//! while `arrived` came and `left` went leaves the truth at its end between `count - left` and `count + arrived`. What was kept by events
//! stays if it lies in there: neither the unsharpness of a pass nor the noise of a sample moves the figure to and fro.
//!
//! One sample in twenty lies off by more than its own 95 % interval, and there is a sample every minute. So a sample alone replaces
//! nothing that events have kept: it does when the kept count lies outside its interval and it and the samples before it agree, beyond
//! doubt, on which side ([`Doubt`]).

use super::figures::{App, Estimate};
use super::pass::apps::OTHER_APP;
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
    /// Since the pass under way began.
    arrived: f64,
    left: f64,
    /// What samples have said against the value.
    doubt: Doubt,
}

/// How many standard deviations the samples together must lie off before they replace what events kept. At 4 one of 16,000 samples
/// would err if they were judged one by one: with one a minute, less than one in ten days.
const BEYOND_DOUBT: f64 = 4.0;

/// How much of the weight of earlier samples is left when a new one comes: what began to go wrong lately must not be outvoted by
/// a long good past. About twenty samples count.
const REMEMBERED: f64 = 0.95;

/// Share of the kept count that may have expired without being deleted, where nobody can say how much it is. Redis' active expiry
/// lets about a tenth of the keys with a TTL be stale before it works harder (`active-expire-effort` 1).
const STALE_SHARE: f64 = 0.1;

/// Standard deviations that a 95 % interval reaches to either side.
const DEVIATIONS_OF_INTERVAL: f64 = 1.96;

/// By how much samples lie off what events kept, each weighted by how sharp it is and how recent.
#[derive(Debug, Clone, Copy, Default)]
struct Doubt {
    /// Sum of weight times deviation.
    weighted: f64,
    /// Sum of weights.
    weight: f64,
    /// Variance of `weighted`, were the kept count right.
    variance: f64,
}

impl Doubt {
    /// Takes a sample that lies off by `deviation` while `moved` sessions came and went. A deviation that stays the same shows: the
    /// kept count moves with events, and so does the truth that samples are about.
    ///
    /// While much comes and goes, a sample is about no single moment: then it says the less the more moved.
    fn note(&mut self, deviation: f64, sample: &Estimate, moved: f64) {
        let reach = (sample.high - sample.value).max(sample.value - sample.low);
        // An interval narrower than one session is one of a count.
        let spread = (reach / DEVIATIONS_OF_INTERVAL).max(moved).max(0.5);
        let weight = 1.0 / (spread * spread);
        self.weighted = self.weighted * REMEMBERED + weight * deviation;
        self.weight = self.weight * REMEMBERED + weight;
        self.variance = self.variance * REMEMBERED * REMEMBERED + weight;
    }

    /// What is to be added to the kept count, if that is beyond doubt.
    fn correction(&self) -> Option<f64> {
        let deviations = self.weighted.abs() / self.variance.sqrt();
        (deviations > BEYOND_DOUBT).then(|| self.weighted / self.weight)
    }
}

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
    /// Most values of `app`.
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
        count.arrived += arrived;
        count.left += left;
        if is_counted && count.value.is_none() {
            // A value of `app` that the last pass did not meet had no session then.
            count.value = Some(0.0);
        }
        let shift = |number: f64| (number + arrived - left).max(0.0);
        count.value = count.value.map(shift);
        count.interval = count.interval.map(|(low, high)| (shift(low), shift(high)));
    }

    fn count(&mut self, app: &App) -> &mut Count {
        let is_full = app.is_some() && !self.counts.contains_key(app) && self.counts.len() >= self.app_limit;
        let app = if is_full { Some(OTHER_APP.into()) } else { app.clone() };
        self.counts.entry(app).or_default()
    }

    /// A pass begins. One that was under way before is given up.
    pub fn pass_started(&mut self) {
        self.pass_era = Some(self.era);
        for count in self.counts.values_mut() {
            (count.arrived, count.left) = (0.0, 0.0);
        }
    }

    /// The pass that began last ended well and found this. Gives back whether another pass is wanted at once, since events were missed
    /// while this one ran.
    ///
    /// `undeleted` are keys that have expired and are not deleted: no event has told of them, so that they may be in what events kept,
    /// and no sample meets them. `None` where nobody knows.
    pub fn pass_ended(&mut self, found: &BTreeMap<App, Estimate>, undeleted: Option<f64>) -> bool {
        let is_whole = self.pass_era.take() == Some(self.era);
        let is_exact = found.values().all(Estimate::is_exact);
        let was_counted = self.counts.values().any(|count| count.value.is_some());
        let mut drift = 0.0;
        for app in found.keys() {
            self.counts.entry(app.clone()).or_default();
        }
        for (app, count) in &mut self.counts {
            // What an exact pass did not meet is not there; what a sample did not meet may be.
            let estimate = match found.get(app) {
                Some(estimate) => *estimate,
                None if is_exact => Estimate::exact(0.0),
                None => continue,
            };
            count.pass = Some(estimate);
            let (low, high) = ((estimate.low - count.left).max(0.0), estimate.high + count.arrived);
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
            let corrected = (estimate.value + (count.arrived - count.left) / 2.0)
                .round()
                .clamp(low, high);
            let value = match count.value {
                None => corrected,
                Some(kept) => {
                    let value = if estimate.is_exact() {
                        if (low..=high).contains(&kept) { kept } else { corrected }
                    } else {
                        let stale = undeleted.unwrap_or(kept * STALE_SHARE);
                        let is_inside = (low..=high + stale).contains(&kept);
                        let nearest = kept.clamp(corrected, corrected + stale);
                        count.doubt.note(nearest - kept, &estimate, count.arrived + count.left);
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
        if is_exact {
            // Values of `app` that are gone make room for others.
            let is_gone = |app: &App, count: &Count| count.value == Some(0.0) && !found.contains_key(app);
            self.counts.retain(|app, count| !is_gone(app, count));
        }
        self.drift = (self.is_live && was_counted).then_some(drift);
        self.is_live && !is_whole
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
            .fold(None, |total, value| Some(total.unwrap_or(0.0) + value))
    }

    /// What the last pass added to what events had made of the count (negative: took from it). `None` without events, and before a
    /// second pass.
    pub fn drift(&self) -> Option<f64> {
        self.drift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> Tracker {
        Tracker::new(3)
    }

    fn exact(count: f64) -> BTreeMap<App, Estimate> {
        BTreeMap::from([(None, Estimate::exact(count))])
    }

    fn sample(low: f64, value: f64, high: f64) -> BTreeMap<App, Estimate> {
        BTreeMap::from([(None, Estimate { value, low, high })])
    }

    fn shown(tracker: &Tracker) -> Option<(f64, Option<(f64, f64)>)> {
        let mut figures = tracker.figures();
        let figure = figures.next()?;
        assert!(figures.next().is_none());
        Some((figure.value, figure.interval))
    }

    /// A live tracker after an exact pass that found this.
    fn live(count: f64) -> Tracker {
        let mut tracker = tracker();
        tracker.go_live();
        tracker.pass_started();
        assert!(!tracker.pass_ended(&exact(count), Some(0.0)));
        tracker
    }

    #[test]
    fn without_events_the_pass_is_what_is_shown() {
        let mut tracker = tracker();
        assert_eq!(shown(&tracker), None);
        tracker.moved(&None, 3, 0);
        assert_eq!(shown(&tracker), None, "nothing was counted yet");
        tracker.pass_started();
        assert!(!tracker.pass_ended(&exact(10.0), Some(0.0)));
        assert_eq!(shown(&tracker), Some((10.0, Some((10.0, 10.0)))));
        tracker.pass_started();
        assert!(!tracker.pass_ended(&sample(8.0, 12.0, 20.0), Some(0.0)));
        assert_eq!(shown(&tracker), Some((12.0, Some((8.0, 20.0)))));
        assert_eq!(tracker.drift(), None);
    }

    #[test]
    fn events_move_value_and_interval() {
        let mut tracker = live(10.0);
        tracker.moved(&None, 3, 1);
        assert_eq!(shown(&tracker), Some((12.0, Some((12.0, 12.0)))));
        assert_eq!(tracker.total(), Some(12.0));
        tracker.moved(&None, 0, 20);
        assert_eq!(shown(&tracker), Some((0.0, Some((0.0, 0.0)))), "never below 0");
    }

    #[test]
    fn an_exact_pass_leaves_the_truth_within_what_happened_meanwhile() {
        // Kept before the pass, arrived and left during it, found, then: value, interval, drift.
        let table = [
            (10.0, (0, 0), 10.0, 10.0, (10.0, 10.0), 0.0),
            (10.0, (0, 0), 13.0, 13.0, (13.0, 13.0), 3.0),
            (10.0, (5, 0), 10.0, 15.0, (10.0, 15.0), 0.0),
            (10.0, (5, 0), 15.0, 15.0, (15.0, 20.0), 0.0),
            (10.0, (4, 2), 9.0, 12.0, (7.0, 13.0), 0.0),
            (10.0, (4, 2), 20.0, 21.0, (18.0, 24.0), 9.0),
            (10.0, (0, 9), 3.0, 1.0, (0.0, 3.0), 0.0),
            (100.0, (0, 4), 3.0, 1.0, (0.0, 3.0), -95.0),
        ];
        for (kept, (arrived, left), found, value, interval, drift) in table {
            let mut tracker = live(kept);
            tracker.pass_started();
            tracker.moved(&None, arrived, left);
            assert!(!tracker.pass_ended(&exact(found), Some(0.0)));
            let case = format!("kept {kept}, {arrived} arrived, {left} left, found {found}");
            assert_eq!(shown(&tracker), Some((value, Some(interval))), "{case}");
            assert_eq!(tracker.drift(), Some(drift), "{case}");
        }
    }

    #[test]
    fn samples_do_not_saw() {
        let mut tracker = tracker();
        tracker.go_live();
        tracker.pass_started();
        tracker.pass_ended(&sample(900.0, 1000.0, 1100.0), Some(0.0));
        assert_eq!(shown(&tracker), Some((1000.0, Some((900.0, 1100.0)))));
        assert_eq!(tracker.drift(), None, "there was nothing to correct");
        for (low, value, high) in [
            (880.0, 980.0, 1080.0),
            (950.0, 1050.0, 1150.0),
            (1000.0, 1090.0, 1190.0),
        ] {
            tracker.pass_started();
            tracker.pass_ended(&sample(low, value, high), Some(0.0));
            assert_eq!(shown(&tracker), Some((1000.0, Some((low, high)))));
            assert_eq!(tracker.drift(), Some(0.0));
        }
        // One sample in twenty is like this.
        tracker.pass_started();
        tracker.pass_ended(&sample(1001.0, 1100.0, 1200.0), Some(0.0));
        assert_eq!(shown(&tracker), Some((1000.0, Some((1000.0, 1200.0)))));
        // Two that agree are beyond doubt; the correction is what all of them say together.
        tracker.pass_started();
        tracker.pass_ended(&sample(1200.0, 1300.0, 1400.0), Some(0.0));
        let (value, interval) = shown(&tracker).unwrap();
        assert!((1080.0..1200.0).contains(&value), "{value}");
        assert_eq!(interval, Some((value, 1400.0)));
        assert_eq!(tracker.drift(), Some(value - 1000.0));
    }

    #[test]
    fn a_thousand_samples_leave_the_truth_alone_and_find_an_error() {
        // Normal deviations of 1 % around a truth of 10,000, by the sum of twelve even ones.
        let mut random = fastrand::Rng::with_seed(11);
        let mut estimate = |truth: f64| {
            let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            let value = (truth + normal * 100.0).round();
            sample(value - 196.0, value, value + 196.0)
        };
        let mut tracker = live(10_000.0);
        let mut outside = 0;
        for _ in 0..1000 {
            let found = estimate(10_000.0);
            outside += u32::from((found[&None].value - 10_000.0).abs() > 196.0);
            tracker.pass_started();
            tracker.pass_ended(&found, Some(0.0));
            let (value, interval) = shown(&tracker).unwrap();
            assert_eq!(value, 10_000.0);
            let (low, high) = interval.unwrap();
            assert!((low..=high).contains(&value));
        }
        assert!(
            (30..80).contains(&outside),
            "{outside} of the samples alone would have moved it"
        );
        // 150 sessions went without an event: less than one sample shows.
        let found_after = (1..200).find(|_| {
            tracker.pass_started();
            tracker.pass_ended(&estimate(9_850.0), Some(0.0));
            shown(&tracker).unwrap().0 != 10_000.0
        });
        assert!(found_after.is_some_and(|samples| samples < 60), "{found_after:?}");
        let (value, _) = shown(&tracker).unwrap();
        assert!((value - 9_850.0).abs() < 100.0, "{value}");
    }

    #[test]
    fn what_has_expired_and_is_not_deleted_is_no_error_of_events() {
        // 1,000 of the 10,000 that events kept have expired; every sample says so.
        let of_living = sample(8_900.0, 9_000.0, 9_100.0);
        let judged = |undeleted: Option<f64>| {
            let mut tracker = live(10_000.0);
            for _ in 0..100 {
                tracker.pass_started();
                tracker.pass_ended(&of_living, undeleted);
            }
            shown(&tracker).unwrap().0
        };
        assert_eq!(judged(Some(1_000.0)), 10_000.0);
        assert_eq!(
            judged(None),
            10_000.0,
            "where nobody knows, as many as Redis leaves by its own account"
        );
        assert!(
            (judged(Some(0.0)) - 9_000.0).abs() < 1.0,
            "nothing has expired: events were missed"
        );
    }

    #[test]
    fn after_a_gap_nobody_knows_until_a_pass_that_began_later() {
        let mut tracker = live(10.0);
        tracker.pass_started();
        tracker.gap();
        tracker.moved(&None, 1, 0);
        assert_eq!(shown(&tracker), Some((11.0, None)));
        assert!(tracker.pass_ended(&exact(50.0), Some(0.0)), "another pass is wanted");
        assert_eq!(shown(&tracker), Some((50.0, None)));
        tracker.pass_started();
        assert!(!tracker.pass_ended(&exact(52.0), Some(0.0)));
        assert_eq!(shown(&tracker), Some((52.0, Some((52.0, 52.0)))));
        assert_eq!(tracker.drift(), Some(2.0));
    }

    #[test]
    fn a_sample_behind_a_gap_replaces_only_what_it_contradicts() {
        for (found, value) in [(sample(900.0, 960.0, 1020.0), 1000.0), (sample(0.0, 10.0, 30.0), 10.0)] {
            let mut tracker = live(1000.0);
            tracker.pass_started();
            tracker.gap();
            assert!(tracker.pass_ended(&found, Some(0.0)));
            assert_eq!(shown(&tracker), Some((value, None)));
        }
    }

    #[test]
    fn while_nothing_is_heard_passes_are_shown_and_then_listened_from() {
        let mut tracker = live(10.0);
        tracker.go_deaf();
        assert_eq!(shown(&tracker), Some((10.0, None)));
        tracker.moved(&None, 5, 0);
        assert_eq!(
            shown(&tracker),
            Some((10.0, None)),
            "what comes late belongs to nothing"
        );
        tracker.pass_started();
        assert!(!tracker.pass_ended(&exact(20.0), Some(0.0)));
        assert_eq!(shown(&tracker), Some((20.0, Some((20.0, 20.0)))));
        tracker.go_live();
        assert_eq!(
            shown(&tracker),
            Some((20.0, None)),
            "what happened since that pass is unknown"
        );
        tracker.pass_started();
        tracker.pass_ended(&exact(21.0), Some(0.0));
        assert_eq!(shown(&tracker), Some((21.0, Some((21.0, 21.0)))));
    }

    #[test]
    fn without_events_for_good_the_last_pass_counts() {
        let mut tracker = live(10.0);
        tracker.moved(&None, 5, 0);
        tracker.fall_back();
        assert_eq!(shown(&tracker), Some((10.0, Some((10.0, 10.0)))));
        assert_eq!(tracker.drift(), None);
        assert!(!tracker.is_live());
    }

    #[test]
    fn a_pass_that_began_before_listening_is_no_ground_to_stand_on() {
        let mut tracker = tracker();
        tracker.pass_started();
        tracker.go_live();
        tracker.moved(&None, 1, 0);
        assert!(tracker.pass_ended(&exact(7.0), Some(0.0)));
        assert_eq!(shown(&tracker), Some((7.0, None)));
    }

    #[test]
    fn apps_come_and_go_and_are_bounded() {
        let app = |name: &str| -> App { Some(name.into()) };
        let mut tracker = tracker();
        tracker.go_live();
        tracker.pass_started();
        let found = BTreeMap::from([(app("a"), Estimate::exact(5.0)), (app("b"), Estimate::exact(1.0))]);
        tracker.pass_ended(&found, Some(0.0));
        tracker.moved(&app("c"), 2, 0);
        tracker.moved(&app("d"), 4, 1);
        tracker.moved(&app("b"), 0, 1);
        let values = |tracker: &Tracker| -> Vec<(String, f64)> {
            tracker
                .figures()
                .map(|figure| (figure.app.unwrap().into(), figure.value))
                .collect()
        };
        let expected = [("a", 5.0), ("b", 0.0), ("c", 2.0), ("other", 3.0)].map(|(app, value)| (app.to_owned(), value));
        assert_eq!(values(&tracker), expected);
        assert_eq!(tracker.total(), Some(10.0));
        // An exact pass that does not meet an app says that it is gone.
        tracker.pass_started();
        tracker.pass_ended(
            &BTreeMap::from([(app("a"), Estimate::exact(5.0)), (app("c"), Estimate::exact(2.0))]),
            Some(0.0),
        );
        assert_eq!(values(&tracker), [("a".to_owned(), 5.0), ("c".to_owned(), 2.0)]);
        assert_eq!(tracker.drift(), Some(-3.0));
    }

    #[test]
    fn a_long_life_of_truth_is_never_corrected() {
        // Events tell the truth, passes see any part of what happens meanwhile: nothing drifts.
        let mut random = fastrand::Rng::with_seed(3);
        let mut truth = 500_u64;
        let mut tracker = live(500.0);
        for _ in 0..500 {
            tracker.pass_started();
            let before = truth;
            let (arrived, left) = (random.u64(0..50), random.u64(0..50.min(truth)));
            tracker.moved(&None, arrived, left);
            truth = truth + arrived - left;
            // Of what came or went during the pass, it saw some.
            let seen = before + random.u64(0..=arrived) - random.u64(0..=left.min(before));
            assert!(!tracker.pass_ended(&exact(seen as f64), Some(0.0)));
            let (value, interval) = shown(&tracker).unwrap();
            let (low, high) = interval.unwrap();
            assert_eq!(value, truth as f64);
            assert!((low..=high).contains(&value), "{low} {value} {high}");
            assert_eq!(tracker.drift(), Some(0.0));
        }
    }
}
