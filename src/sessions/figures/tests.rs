use super::*;
use crate::config::EncryptionCheck;
use crate::config::presets::KeyType;
use crate::redis::{Reply, Unavailable};
use crate::sessions::details::Refusal;
use crate::sessions::stores::testing::store;
use std::time::Duration;

/// What one session answers to PTTL, MEMORY USAGE, TYPE, GETRANGE.
type Answers = [Reply; 4];

fn answers(pttl: i64, size: i64, kind: &'static str, value: &'static str) -> Answers {
    [
        Reply::Integer(pttl),
        Reply::Integer(size),
        Reply::Simple(kind.into()),
        Reply::Bulk(value.into()),
    ]
}

fn config() -> StoreConfig {
    let mut config = store("web");
    config.key_type = Some(KeyType::String);
    config.expected_ttl = Some(Duration::from_secs(3600));
    config.ttl_offset = Duration::from_secs(300);
    config.encryption = Some(EncryptionCheck {
        expect_prefix: "enc:".to_owned(),
    });
    config
}

fn sample(config: &StoreConfig, sessions: &[(u16, Answers)]) -> DetailSample {
    let mut sample = DetailSample::new(config, 100_000, None);
    let asked = sample.asked();
    for (app, answers) in sessions {
        sample.offer(0.5, *app, b"web:1");
        for picked in sample.take(1) {
            sample.note(&picked, &asked, answers);
        }
    }
    sample
}

fn exact(counts: &[f64]) -> Vec<(App, Estimate)> {
    let names = ["a", "b", "c"].map(|name| Some(name.into()));
    names
        .into_iter()
        .zip(counts.iter().map(|count| Estimate::exact(*count)))
        .collect()
}

#[test]
fn everything_looked_at_is_exact() {
    let config = config();
    let sessions = [
        (0, answers(360_000, 100, "string", "enc:")),
        (0, answers(-1, 200, "string", "{\"a\"")),
        (0, answers(4_000_000, 5000, "string", "enc:")),
        (1, answers(1000, 60, "string", "enc:")),
        (1, answers(-2, 0, "none", "")),
        (1, answers(1000, 60, "hash", "")),
    ];
    let figures = StoreFigures::new(&config, exact(&[3.0, 3.0]), &sample(&config, &sessions));
    let apps: Vec<f64> = figures.active.values().map(|count| count.value).collect();
    assert_eq!(apps, [3.0, 2.0], "a hash is no session of this store");
    assert!(figures.total().is_exact());
    assert_eq!(figures.without_ttl, Some(Estimate::exact(1.0)));
    assert_eq!(
        figures.ttl_exceeding,
        Some(1.0),
        "4000 s of the key are 3700 s of the session"
    );
    assert_eq!(figures.memory_bytes, Some(Estimate::exact(5360.0)));
    assert_eq!(figures.unencrypted, Some(Estimate::exact(1.0)));
    let ttl = figures.ttl_remaining.unwrap();
    assert_eq!((ttl.count, ttl.sum), (4, 60.0 + 3700.0));
    assert_eq!(
        ttl.buckets.first(),
        Some(&(60.0, 2)),
        "one ends in 60 s, of one only the key lives on"
    );
    assert_eq!(
        ttl.buckets.last(),
        Some(&(604_800.0, 3)),
        "no TTL lies above every bound"
    );
    let size = figures.size.unwrap();
    assert_eq!(
        (size.count, size.buckets[0].1, size.buckets[1].1, size.buckets[6].1),
        (4, 2, 3, 4)
    );
}

#[test]
fn a_sample_is_scaled_to_the_count() {
    let config = config();
    let mut sessions = vec![(0, answers(60_000_000, 1000, "string", "enc:")); 900];
    sessions.extend(vec![(0, answers(-1, 2000, "string", "abcd")); 100]);
    let figures = StoreFigures::new(&config, exact(&[50_000.0]), &sample(&config, &sessions));
    assert_eq!(figures.total(), Estimate::exact(50_000.0));
    let holds = |estimate: Estimate, value: f64| {
        assert!((estimate.value - value).abs() < 1e-6 * value, "{estimate:?}");
        assert!(estimate.low < value && value < estimate.high, "{estimate:?}");
    };
    holds(figures.without_ttl.unwrap(), 5000.0);
    holds(figures.unencrypted.unwrap(), 5000.0);
    holds(figures.memory_bytes.unwrap(), 50_000.0 * 1100.0);
    let ttl = figures.ttl_remaining.unwrap();
    assert_eq!((ttl.count, ttl.buckets[8].1), (50_000, 45_000));
    let rising = |distribution: &Distribution| {
        let mut counts: Vec<u64> = distribution.buckets.iter().map(|(_, count)| *count).collect();
        counts.push(distribution.count);
        assert!(counts.is_sorted(), "{counts:?}");
    };
    rising(&ttl);
    rising(figures.size.as_ref().unwrap());
}

#[test]
fn wrong_types_make_the_count_an_estimate() {
    let config = config();
    let mut sessions = vec![(0, answers(1000, 10, "string", "enc:")); 300];
    sessions.extend(vec![(1, answers(1000, 10, "set", "")); 100]);
    let figures = StoreFigures::new(&config, exact(&[6000.0, 2000.0]), &sample(&config, &sessions));
    let total = figures.total();
    assert!(!total.is_exact() && (total.value - 6000.0).abs() < 1e-6, "{total:?}");
    assert!(figures.active.values().all(|count| !count.is_exact()));
}

#[test]
fn what_cannot_be_known_is_absent() {
    let mut config = config();
    let none = StoreFigures::new(&config, exact(&[10.0]), &sample(&config, &[]));
    assert_eq!(none.total(), Estimate::exact(10.0));
    assert_eq!(
        (none.without_ttl, none.memory_bytes, none.unencrypted),
        (None, None, None)
    );
    assert_eq!((none.ttl_remaining, none.size), (None, None));

    let empty = StoreFigures::new(&config, exact(&[0.0]), &sample(&config, &[]));
    let zero = Some(Estimate::exact(0.0));
    assert_eq!(
        (empty.without_ttl, empty.memory_bytes, empty.unencrypted),
        (zero, zero, zero)
    );
    assert_eq!(
        empty.ttl_remaining.map(|ttl| (ttl.count, ttl.buckets.len())),
        Some((0, 9))
    );

    let mut denied = sample(&config, &[(0, answers(1000, 10, "string", "x"))]);
    let refusal = Refusal {
        reason: Unavailable::Denied,
        is_general: true,
    };
    denied.refuse(DetailCommand::Pttl, refusal);
    let figures = StoreFigures::new(&config, exact(&[1.0]), &denied);
    assert_eq!(
        (figures.without_ttl, figures.ttl_remaining, figures.ttl_exceeding),
        (None, None, None)
    );
    assert_eq!(figures.memory_bytes, Some(Estimate::exact(10.0)));

    config.encryption = None;
    config.expected_ttl = None;
    let figures = StoreFigures::new(
        &config,
        exact(&[1.0]),
        &sample(&config, &[(0, answers(1000, 10, "string", "x"))]),
    );
    assert_eq!((figures.unencrypted, figures.ttl_exceeding), (None, None));
}

#[test]
fn databases_add_up() {
    let config = config();
    let one = |value: &'static str| {
        StoreFigures::new(
            &config,
            exact(&[1.0]),
            &sample(&config, &[(0, answers(-1, 10, "string", value))]),
        )
    };
    let mut figures = one("abcd");
    figures.add(one("enc:"));
    assert_eq!(figures.total(), Estimate::exact(2.0));
    assert_eq!(figures.without_ttl, Some(Estimate::exact(2.0)));
    assert_eq!(figures.unencrypted, Some(Estimate::exact(1.0)));
    assert_eq!(figures.size.as_ref().map(|size| size.count), Some(2));
    let unknown = StoreFigures::new(&config, exact(&[5.0]), &sample(&config, &[]));
    figures.add(unknown);
    assert_eq!(figures.total().value, 7.0);
    assert_eq!((figures.without_ttl, figures.size.is_none()), (None, true));
}
