use super::*;

impl Tracker {
    /// A pass of a primary ended: over every key if it found exact counts, else over a tenth.
    fn ended(&mut self, found: &BTreeMap<App, Estimate>, undeleted: Option<f64>) -> bool {
        let is_exact = found.values().all(Estimate::is_exact);
        self.pass_ended(&Found {
            active: found.clone(),
            covered: if is_exact { 1.0 } else { 0.1 },
            undeleted,
            at_replica: false,
        })
    }
}

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
    assert!(!tracker.ended(&exact(count), Some(0.0)));
    tracker
}

#[test]
fn without_events_the_pass_is_what_is_shown() {
    let mut tracker = tracker();
    assert_eq!(shown(&tracker), None);
    tracker.moved(&None, 3, 0);
    assert_eq!(shown(&tracker), None, "nothing was counted yet");
    tracker.pass_started();
    assert!(!tracker.ended(&exact(10.0), Some(0.0)));
    assert_eq!(shown(&tracker), Some((10.0, Some((10.0, 10.0)))));
    tracker.pass_started();
    assert!(!tracker.ended(&sample(8.0, 12.0, 20.0), Some(0.0)));
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
        assert!(!tracker.ended(&exact(found), Some(0.0)));
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
    tracker.ended(&sample(900.0, 1000.0, 1100.0), Some(0.0));
    assert_eq!(shown(&tracker), Some((1000.0, Some((900.0, 1100.0)))));
    assert_eq!(tracker.drift(), None, "there was nothing to correct");
    for (low, value, high) in [
        (880.0, 980.0, 1080.0),
        (950.0, 1050.0, 1150.0),
        (1000.0, 1090.0, 1190.0),
    ] {
        tracker.pass_started();
        tracker.ended(&sample(low, value, high), Some(0.0));
        assert_eq!(shown(&tracker), Some((1000.0, Some((low, high)))));
        assert_eq!(tracker.drift(), Some(0.0));
    }
    // One sample in twenty is like this.
    tracker.pass_started();
    tracker.ended(&sample(1001.0, 1100.0, 1200.0), Some(0.0));
    assert_eq!(shown(&tracker), Some((1000.0, Some((1000.0, 1200.0)))));
    // Two that agree are beyond doubt; the correction is what all of them say together.
    tracker.pass_started();
    tracker.ended(&sample(1200.0, 1300.0, 1400.0), Some(0.0));
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
        tracker.ended(&found, Some(0.0));
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
        tracker.ended(&estimate(9_850.0), Some(0.0));
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
            tracker.ended(&of_living, undeleted);
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
    assert!(tracker.ended(&exact(50.0), Some(0.0)), "another pass is wanted");
    assert_eq!(shown(&tracker), Some((50.0, None)));
    tracker.pass_started();
    assert!(!tracker.ended(&exact(52.0), Some(0.0)));
    assert_eq!(shown(&tracker), Some((52.0, Some((52.0, 52.0)))));
    assert_eq!(tracker.drift(), Some(2.0));
}

#[test]
fn a_sample_behind_a_gap_replaces_only_what_it_contradicts() {
    for (found, value) in [(sample(900.0, 960.0, 1020.0), 1000.0), (sample(0.0, 10.0, 30.0), 10.0)] {
        let mut tracker = live(1000.0);
        tracker.pass_started();
        tracker.gap();
        assert!(tracker.ended(&found, Some(0.0)));
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
    assert!(!tracker.ended(&exact(20.0), Some(0.0)));
    assert_eq!(shown(&tracker), Some((20.0, Some((20.0, 20.0)))));
    tracker.go_live();
    assert_eq!(
        shown(&tracker),
        Some((20.0, None)),
        "what happened since that pass is unknown"
    );
    tracker.pass_started();
    tracker.ended(&exact(21.0), Some(0.0));
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
    assert!(tracker.ended(&exact(7.0), Some(0.0)));
    assert_eq!(shown(&tracker), Some((7.0, None)));
}

#[test]
fn apps_come_and_go_and_are_bounded() {
    let app = |name: &str| -> App { Some(name.into()) };
    let mut tracker = tracker();
    tracker.go_live();
    tracker.pass_started();
    let found = BTreeMap::from([(app("a"), Estimate::exact(5.0)), (app("b"), Estimate::exact(1.0))]);
    tracker.ended(&found, Some(0.0));
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
    tracker.ended(
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
        assert!(!tracker.ended(&exact(seen as f64), Some(0.0)));
        let (value, interval) = shown(&tracker).unwrap();
        let (low, high) = interval.unwrap();
        assert_eq!(value, truth as f64);
        assert!((low..=high).contains(&value), "{low} {value} {high}");
        assert_eq!(tracker.drift(), Some(0.0));
    }
}

#[test]
fn what_a_replica_hides_is_not_taken_out_twice() {
    // Of 1,000 sessions 300 have expired; the replica shows 700 and the primary has told of none.
    let mut tracker = live(1_000.0);
    for told in 0..10 {
        tracker.pass_started();
        tracker.pass_ended(&Found {
            undeleted: Some(300.0 - f64::from(told) * 30.0),
            at_replica: true,
            ..Found::whole(exact(700.0))
        });
        assert_eq!(shown(&tracker).unwrap().0, 1_000.0 - f64::from(told) * 30.0);
        assert_eq!(tracker.drift(), Some(0.0));
        tracker.moved(&None, 0, 30);
    }
    assert_eq!(shown(&tracker).unwrap().0, 700.0);
}

#[test]
fn a_replica_may_lag_and_a_primary_may_not() {
    for (at_replica, value) in [(true, 90.0), (false, 100.0)] {
        let mut tracker = live(100.0);
        tracker.moved(&None, 0, 10);
        tracker.pass_started();
        tracker.pass_ended(&Found {
            at_replica,
            ..Found::whole(exact(100.0))
        });
        assert_eq!(shown(&tracker).unwrap().0, value);
        let (low, high) = shown(&tracker).unwrap().1.unwrap();
        assert!((low..=high).contains(&value));
    }
}

#[test]
fn the_stale_keys_of_others_hide_no_error_for_ever() {
    for (undeleted, most_passes) in [(Some(50_000.0), 30), (Some(0.0), 10)] {
        let mut tracker = live(1_000.0);
        let found_after = (1..200).find(|_| {
            tracker.pass_started();
            tracker.ended(&sample(450.0, 500.0, 550.0), undeleted);
            shown(&tracker).unwrap().0 < 600.0
        });
        assert!(
            found_after.is_some_and(|passes| passes <= most_passes),
            "{found_after:?}"
        );
    }
}

#[test]
fn the_first_sample_after_a_gap_corrects_what_it_contradicts() {
    for (found, value) in [
        (sample(9_504.0, 9_700.0, 9_896.0), 9_700.0),
        (sample(9_900.0, 10_100.0, 10_300.0), 10_000.0),
    ] {
        let mut tracker = live(10_000.0);
        tracker.go_deaf();
        tracker.go_live();
        tracker.pass_started();
        assert!(!tracker.ended(&found, Some(0.0)));
        let (shown_value, interval) = shown(&tracker).unwrap();
        assert_eq!(shown_value, value);
        assert!(interval.is_some());
    }
}

/// Figures by name.
fn values(tracker: &Tracker) -> Vec<(String, f64, bool)> {
    let name = |app: App| app.map_or_else(String::new, Into::into);
    tracker
        .figures()
        .map(|figure| {
            (
                name(figure.app),
                figure.value,
                figure.interval.is_some_and(|(low, high)| low < high),
            )
        })
        .collect()
}

#[test]
fn apps_that_no_sample_meets_any_more_go() {
    let app = |name: &str| -> App { Some(name.into()) };
    let of = |number: f64| Estimate {
        value: number,
        low: number * 0.8,
        high: number * 1.2,
    };
    for is_live in [false, true] {
        let mut tracker = tracker();
        if is_live {
            tracker.go_live();
        }
        let mut pass = |names: &[&str]| {
            let active = names.iter().map(|name| (app(name), of(569.0))).collect();
            tracker.pass_started();
            tracker.ended(&active, Some(0.0));
            values(&tracker)
        };
        let seen = |name: &str| (name.to_owned(), 569.0, true);
        assert_eq!(pass(&["gone", "web"]), [seen("gone"), seen("web")]);
        let after = pass(&["web"]);
        assert!(after[0].2, "nobody knows yet: {after:?}");
        assert_eq!(after[0].1, 0.0, "more than 54 would have been met");
        for _ in 0..9 {
            pass(&["web"]);
        }
        assert_eq!(pass(&["web"]), [seen("web")], "every key was looked at");
    }
}

#[test]
fn who_just_came_need_not_have_been_met() {
    let app = |name: &str| -> App { Some(name.into()) };
    let mut tracker = tracker();
    tracker.go_live();
    tracker.pass_started();
    tracker.ended(
        &BTreeMap::from([(
            app("web"),
            Estimate {
                value: 50.0,
                low: 40.0,
                high: 60.0,
            },
        )]),
        Some(0.0),
    );
    for _ in 0..30 {
        tracker.moved(&app("rare"), 1, 0);
        tracker.pass_started();
        tracker.ended(
            &BTreeMap::from([(
                app("web"),
                Estimate {
                    value: 50.0,
                    low: 40.0,
                    high: 60.0,
                },
            )]),
            Some(0.0),
        );
        tracker.moved(&app("rare"), 0, 1);
        assert!(values(&tracker).iter().any(|(name, _, _)| name == "rare"));
    }
}

#[test]
fn apps_of_many_databases_are_bounded_together() {
    let mut tracker = tracker();
    let of = |first: u32| -> BTreeMap<App, Estimate> {
        let apps =
            (first..first + 20).map(|number| (Some(format!("app{number}").into()), Estimate::exact(f64::from(number))));
        apps.collect()
    };
    tracker.pass_started();
    tracker.ended(&of(0), Some(0.0));
    let shown: Vec<f64> = values(&tracker).into_iter().map(|(_, value, _)| value).collect();
    assert_eq!(
        shown,
        [17.0, 18.0, 19.0, (0..17).sum::<u32>().into()],
        "the largest have a place"
    );
    tracker.pass_started();
    tracker.ended(&of(19), Some(0.0));
    let names: Vec<String> = values(&tracker).into_iter().map(|(name, _, _)| name).collect();
    assert_eq!(
        names,
        ["app19", "app37", "app38", "other"],
        "who is known keeps the place"
    );
}
