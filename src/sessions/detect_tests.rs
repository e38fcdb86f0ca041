//! Recognition held against the layout of every library, mixes of them, and data that only looks similar.

use super::*;
use crate::config::presets::by_name;
use proptest::prelude::*;

/// Random enough ids, the same in every run.
struct Ids(u64);

impl Ids {
    fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn of(&mut self, alphabet: &str, length: usize) -> String {
        let letters = alphabet.as_bytes();
        let letter = |_| char::from(letters[usize::try_from(self.next() % letters.len() as u64).unwrap()]);
        (0..length).map(letter).collect()
    }

    fn hex(&mut self, length: usize) -> String {
        self.of("0123456789abcdef", length)
    }

    fn lower(&mut self, length: usize) -> String {
        self.of("abcdefghijklmnopqrstuvwxyz0123456789", length)
    }

    fn alnum(&mut self, length: usize) -> String {
        self.of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", length)
    }

    fn base64url(&mut self, length: usize) -> String {
        self.of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            length,
        )
    }

    fn base32(&mut self, length: usize) -> String {
        self.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", length)
    }

    fn php(&mut self) -> String {
        self.of("0123456789abcdefghijklmnopqrstuv", 26)
    }

    fn uuid(&mut self) -> String {
        format!(
            "{}-{}-4{}-a{}-{}",
            self.hex(8),
            self.hex(4),
            self.hex(3),
            self.hex(3),
            self.hex(12)
        )
    }
}

/// The keys of one session as the library writes them: the session itself first, then what else it writes.
fn layout(name: &str, ids: &mut Ids) -> Vec<String> {
    let user = ids.next() % 1000;
    match name {
        "spring-session-indexed" => {
            let id = ids.uuid();
            vec![
                format!("spring:session:sessions:expires:{id}"),
                format!("spring:session:sessions:{id}"),
                format!("spring:session:expirations:{}", 1_439_245_080_000 + user * 60_000),
                format!(
                    "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:u{user}"
                ),
            ]
        }
        "spring-session" => vec![format!("spring:session:sessions:{}", ids.uuid())],
        "redisson-tomcat" => {
            let id = ids.of("0123456789ABCDEF", 32);
            vec![
                format!("redisson:tomcat_session:{id}"),
                format!("redisson:tomcat_notified_nodes:{id}"),
            ]
        }
        "shiro-redis" => vec![
            format!("shiro:session:{}", ids.uuid()),
            format!("shiro:cache:Realm.authorizationCache:{user}"),
        ],
        "sa-token" => {
            let id = ids.uuid();
            vec![
                format!("satoken:login:token:{id}"),
                format!("satoken:login:session:{user}"),
                format!("satoken:login:last-active:{id}"),
            ]
        }
        "django-cache-session" => vec![
            format!(":1:django.contrib.sessions.cache{}", ids.lower(32)),
            format!(
                ":1:views.decorators.cache.cache_page..GET.{}.{}.en-us.UTC",
                ids.hex(32),
                ids.hex(32)
            ),
        ],
        "django-cached-db-session" => vec![format!(":1:django.contrib.sessions.cached_db{}", ids.lower(32))],
        "starsessions" => vec![format!("starsessions.{}", ids.hex(32))],
        "gitlab" => {
            let id = ids.hex(64);
            vec![
                format!("session:gitlab:2::{id}"),
                format!("session:user:gitlab::v2:{user}:2::{id}"),
                format!("session:user:gitlab:{user}:2::{id}"),
                format!("session:lookup:user:gitlab:{user}"),
                format!("session:lookup:ip:gitlab2:10.0.0.{}", user % 250),
            ]
        }
        "gitlab-authenticated" => vec![format!("session:user:gitlab::v2:{user}:2::{}", ids.hex(64))],
        "rails-cache-store" => vec![
            format!("shop:_session_id:2::{}", ids.hex(64)),
            format!("shop:views/products/{user}-20240101"),
        ],
        "rack-redis" => vec![format!("rack:session:2::{}", ids.hex(64))],
        "rails-redis-store" => vec![format!("shop:session:2::{}", ids.hex(64))],
        "phpredis" => {
            let id = ids.php();
            let mut keys = vec![format!("PHPREDIS_SESSION:{id}")];
            if user.is_multiple_of(4) {
                keys.push(format!("PHPREDIS_SESSION:{id}_LOCK"));
            }
            keys
        }
        "symfony" => vec![format!("sf_s{}", ids.php())],
        "codeigniter" => {
            let id = ids.php() + "abcdef";
            vec![
                format!("ci_session:ci_session:{id}"),
                format!("ci_session:ci_session:{id}:lock"),
            ]
        }
        "laravel-cache-session" => vec![
            format!("laravel_database_laravel_cache_{}", ids.alnum(40)),
            format!("laravel_database_laravel_cache_products.{user}"),
            "laravel_database_laravel_cache_illuminate:queue:restart".to_owned(),
        ],
        "magento" => vec![format!("sess_{}", ids.php())],
        "aspnet-session-state" => {
            let id = ids.of("abcdefghijklmnopqrstuvwxyz012345", 24);
            vec![
                format!("{{/shop_{id}}}_SessionStateItemCollection"),
                format!("{{/shop_{id}}}_SessionTimeout"),
                format!("{{/shop_{id}}}_WriteLock"),
            ]
        }
        "authelia" => vec![format!("authelia-session:{}", ids.of("abcXYZ019-_!#$%^*", 32))],
        "oauth2-proxy" => {
            let id = ids.hex(32);
            vec![format!("_oauth2_proxy-{id}"), format!("_oauth2_proxy-{id}.lock")]
        }
        "scs" => vec![format!("scs:session:{}", ids.base64url(43))],
        "gorilla-redistore" => vec![format!("session_{}", ids.base32(52))],
        "gorilla-redisstore-v9" => vec![format!("session:{}", ids.base32(103))],
        "flask-session" => vec![format!("session:{}", ids.base64url(43))],
        "django-redis-sessions" => vec![format!("session:{}", ids.lower(32))],
        "koa-session-redis" => vec![format!("koa:sess:{}", ids.base64url(32))],
        "connect-redis" => vec![format!("sess:{}", ids.base64url(32))],
        "authjs-upstash" => vec![
            format!("user:session:{}", ids.uuid()),
            format!("user:session:by-user-id:{}", ids.uuid()),
            format!("user:{}", ids.uuid()),
        ],
        "fasthttp-session" => vec![format!("session:{}", ids.alnum(32))],
        "aspnetcore-distributed-cache" => vec![format!("shop:{}", ids.uuid())],
        "fiber" => vec![ids.uuid()],
        "actix-session" => vec![ids.alnum(64)],
        "tower-sessions" => vec![ids.base64url(22)],
        "better-auth" => vec![ids.alnum(32), format!("active-sessions-{}", ids.alnum(32))],
        "moodle" => vec![ids.php()],
        _ => panic!("{name} has no layout in this test"),
    }
}

/// Keys of something else.
fn noise(ids: &mut Ids) -> String {
    match ids.next() % 8 {
        0 => format!("user:{}", ids.next() % 10_000),
        1 => format!("cache:product:{}", ids.next() % 10_000),
        2 => format!("queue:{}", ids.hex(8)),
        3 => ids.uuid(),
        4 => format!("rate:10.0.0.{}", ids.next() % 250),
        5 => format!("lock:order:{}", ids.next() % 10_000),
        6 => format!("token:{}", ids.hex(40)),
        _ => format!("feature-{}", ids.next() % 100),
    }
}

/// A detector that saw `sessions` sessions of each library and a fifth as many other keys.
fn saw(names: &[&str], sessions: usize) -> Detector {
    let mut ids = Ids(42);
    let mut detector = Detector::new();
    for number in 0..sessions {
        for name in names {
            for key in layout(name, &mut ids) {
                detector.observe(key.as_bytes());
            }
        }
        if number % 5 == 0 {
            detector.observe(noise(&mut ids).as_bytes());
        }
    }
    detector
}

/// What Redis would answer: every example has the type of its library, and a TTL.
fn answers(detector: &Detector) -> BTreeMap<&'static str, Vec<KeyEvidence>> {
    detector
        .candidates()
        .iter()
        .map(|candidate| {
            let key_type = candidate.preset.key_type.or(Some(KeyType::String));
            let has_ttl = Some(true);
            let evidence = candidate
                .examples
                .iter()
                .map(|_| KeyEvidence { key_type, has_ttl })
                .collect();
            (candidate.preset.name, evidence)
        })
        .collect()
}

fn accepted(detector: &Detector) -> Vec<&'static str> {
    let recognition = detector.verdict(&answers(detector));
    recognition.accepted.iter().map(|preset| preset.name).collect()
}

fn recognisable() -> Vec<&'static str> {
    ALL.iter()
        .filter(|preset| is_auto(preset))
        .map(|preset| preset.name)
        .collect()
}

#[test]
fn each_library_is_recognised_alone_among_other_keys() {
    for preset in ALL {
        let detector = saw(&[preset.name], 1000);
        let expected: &[&str] = if is_auto(preset) { &[preset.name] } else { &[] };
        assert_eq!(accepted(&detector), expected, "{}", preset.name);
        for candidate in detector.candidates() {
            assert_eq!(candidate.examples.len(), MAX_EXAMPLES, "{}", preset.name);
        }
    }
}

#[test]
fn nineteen_sessions_are_too_few_and_twenty_are_enough() {
    for name in recognisable() {
        assert!(accepted(&saw(&[name], 19)).is_empty(), "{name}");
        assert_eq!(accepted(&saw(&[name], 20)), [name]);
    }
}

#[test]
fn each_pair_of_libraries_is_recognised_together() {
    let names = recognisable();
    for (position, first) in names.iter().enumerate() {
        for second in names.iter().skip(position + 1) {
            let expected: Vec<&str> = match (*first, *second) {
                // The hashes of both look the same, so that those of the indexed repository explain all.
                (first @ "spring-session-indexed", "spring-session") => vec![first],
                pair => vec![pair.0, pair.1],
            };
            assert_eq!(accepted(&saw(&[first, second], 30)), expected);
        }
    }
}

/// Data that only looks similar: nothing is accepted.
#[test]
fn caches_are_no_sessions() {
    type Make = fn(&mut Ids) -> String;
    let caches: [(&str, Make); 20] = [
        ("noise", noise),
        ("rails cache", |ids| {
            format!("shop:views/products/{}-{}", ids.next() % 500, ids.hex(32))
        }),
        ("rails cache of digests", |ids| format!("shop:{}", ids.hex(64))),
        ("laravel cache", |ids| {
            format!("laravel_database_laravel_cache_:products.{}", ids.next() % 500)
        }),
        ("laravel rate limiter", |ids| {
            format!("laravel_database_laravel_cache_:{}", ids.hex(40))
        }),
        ("laravel tags", |ids| format!("laravel_cache_:{}:products", ids.hex(40))),
        ("django cache", |ids| {
            format!(
                ":1:views.decorators.cache.cache_page..GET.{}.{}.en-us.UTC",
                ids.hex(32),
                ids.hex(32)
            )
        }),
        ("django fragments", |ids| {
            format!(":1:template.cache.sidebar.{}", ids.hex(32))
        }),
        ("session: of odd lengths", |ids| {
            let length = 3 + usize::try_from(ids.next() % 28).unwrap();
            format!("session:{}", ids.alnum(length))
        }),
        ("session: with digests", |ids| format!("session:{}", ids.hex(32))),
        ("session: with uuids", |ids| format!("session:{}", ids.uuid())),
        ("sess: of configuration", |ids| {
            format!("sess:config:{}", ids.next() % 500)
        }),
        ("sess: with numbers", |ids| format!("sess:{}", ids.next())),
        ("uuids", Ids::uuid),
        ("digests", |ids| ids.hex(32)),
        ("long digests", |ids| ids.hex(64)),
        ("tokens", |ids| ids.base64url(22)),
        ("rack attack", |ids| {
            format!("rack::attack:{}:req/ip:10.0.0.{}", ids.next() % 9999, ids.next() % 250)
        }),
        ("other springs", |ids| {
            format!("spring:session:sessions:{}:idx", ids.uuid())
        }),
        ("other users", |ids| format!("user:session:{}", ids.uuid())),
    ];
    for (what, make) in caches {
        let mut ids = Ids(7);
        let mut detector = Detector::new();
        (0..1000).for_each(|_| detector.observe(make(&mut ids).as_bytes()));
        let found = accepted(&detector);
        assert!(found.is_empty(), "{what}: {found:?}");
        assert!(detector.candidates().is_empty(), "{what}");
    }
    let nothing = Detector::new();
    assert_eq!((accepted(&nothing).len(), nothing.keys_observed()), (0, 0));
    assert!(nothing.verdict(&BTreeMap::new()).unsure.is_empty());
}

#[test]
fn too_many_strangers_under_the_glob_are_a_doubt() {
    let mut detector = saw(&["connect-redis"], 100);
    (0..5).for_each(|number| detector.observe(format!("sess:config:{number}").as_bytes()));
    assert_eq!(accepted(&detector), ["connect-redis"], "100 of 105 are 95 %");
    detector.observe(b"sess:config:5");
    let recognition = detector.verdict(&answers(&detector));
    assert!(recognition.accepted.is_empty());
    let [unsure] = recognition.unsure.as_slice() else {
        panic!("{:?}", recognition.unsure);
    };
    assert_eq!(unsure.preset.name, "connect-redis");
    assert_eq!(
        unsure.sentence,
        "100 of 106 keys under its globs have ids as it makes them, less than 95 %; \
         if these are sessions, write `preset: connect-redis` under `sessions`."
    );
}

#[test]
fn shapes_and_ids_of_other_making_are_doubts() {
    let doubts = |make: fn(&mut Ids) -> String| {
        let mut ids = Ids(3);
        let mut detector = Detector::new();
        (0..100).for_each(|_| detector.observe(make(&mut ids).as_bytes()));
        let recognition = detector.verdict(&BTreeMap::new());
        assert!(recognition.accepted.is_empty());
        let names: Vec<&str> = recognition.unsure.iter().map(|unsure| unsure.preset.name).collect();
        names
    };
    assert_eq!(doubts(Ids::uuid), ["aspnetcore-distributed-cache", "fiber"]);
    assert_eq!(doubts(|ids| format!("session:{}", ids.uuid())), ["flask-session"]);
    assert_eq!(doubts(|ids| format!("sess:{:016}", ids.next())), ["connect-redis"]);
    assert!(doubts(|ids| format!("user:{}", ids.next())).is_empty());
}

fn evidence(
    name: &'static str,
    key_types: &[Option<KeyType>],
    has_ttl: Option<bool>,
) -> BTreeMap<&'static str, Vec<KeyEvidence>> {
    let keys = key_types.iter().map(|key_type| KeyEvidence {
        key_type: *key_type,
        has_ttl: has_ttl.filter(|_| key_type.is_some()),
    });
    BTreeMap::from([(name, keys.collect())])
}

#[test]
fn the_examples_must_agree() {
    use KeyType::{Hash, String};
    let detector = saw(&["flask-session"], 200);
    let verdict = |types: &[Option<KeyType>], has_ttl| {
        let recognition = detector.verdict(&evidence("flask-session", types, has_ttl));
        (recognition.accepted.len(), recognition.unsure.len())
    };
    assert_eq!(verdict(&[Some(String); 20], Some(true)), (1, 0));
    assert_eq!(verdict(&[Some(Hash); 20], Some(true)), (0, 1));
    let mut mixed = [Some(String); 20];
    mixed[3] = Some(Hash);
    assert_eq!(verdict(&mixed, Some(true)), (1, 0), "one of twenty may be odd");
    mixed[4] = Some(Hash);
    assert_eq!(verdict(&mixed, Some(true)), (0, 1));
    let mut gone = [None; 20];
    assert_eq!(verdict(&gone, None), (0, 1), "all gone");
    gone[..MIN_EVIDENCE].fill(Some(String));
    assert_eq!(verdict(&gone, Some(true)), (1, 0), "some are still there");
    assert_eq!(
        verdict(&[Some(String); 20], Some(false)),
        (0, 1),
        "Flask-Session always sets a TTL"
    );
    assert_eq!(verdict(&[Some(String); 20], None), (1, 0), "PTTL was refused");
    assert_eq!(detector.verdict(&BTreeMap::new()).accepted.len(), 0, "TYPE was refused");
    // Rack sessions have no TTL unless the application asks for one.
    let rack = saw(&["rack-redis"], 200);
    let recognition = rack.verdict(&evidence("rack-redis", &[Some(String); 20], Some(false)));
    assert_eq!(recognition.accepted.len(), 1);
}

#[test]
fn a_rejected_library_does_not_hide_the_one_behind_it() {
    use KeyType::{Hash, String};
    // Shadow keys that are hashes are not Spring's, so that nothing explains the hashes beside them any more.
    let detector = saw(&["spring-session-indexed"], 100);
    let mut both = evidence("spring-session-indexed", &[Some(Hash); 20], Some(true));
    both.extend(evidence("spring-session", &[Some(Hash); 20], Some(true)));
    let recognition = detector.verdict(&both);
    let names: Vec<&str> = recognition.accepted.iter().map(|preset| preset.name).collect();
    assert_eq!(names, ["spring-session"]);
    let right = evidence("spring-session-indexed", &[Some(String); 20], Some(true));
    assert_eq!(detector.verdict(&right).accepted.len(), 1);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut detector = Detector::new();
    for number in 0..100 {
        let host = "h".repeat(600 + number);
        detector.observe(format!("{host}:_session_id:2::{}", "ab".repeat(32)).as_bytes());
    }
    let [candidate] = &detector.candidates()[..] else {
        panic!("{:?}", detector.candidates());
    };
    assert_eq!(candidate.preset.name, "rails-cache-store");
    assert!(
        candidate.examples.is_empty(),
        "examples are at most {MAX_EXAMPLE_BYTES} bytes long"
    );
    assert!(accepted(&detector).is_empty());
    let huge = [b"sess:".as_slice(), &vec![b'a'; MAX_MATCHED_KEY_BYTES]].concat();
    detector.observe(&huge);
    detector.observe(b"");
    assert_eq!(detector.keys_observed(), 102);
    assert_eq!(detector.fits.len(), 1);
}

#[test]
fn a_pattern_is_compiled_when_a_key_comes_under_its_globs() {
    let ready = |detector: &Detector| {
        let patterns = detector
            .matchers
            .iter()
            .flat_map(|matcher| [&matcher.made, &matcher.counted]);
        patterns
            .filter(|pattern| matches!(pattern, LazyPattern::Ready(_)))
            .count()
    };
    let mut ids = Ids(1);
    let mut detector = Detector::new();
    (0..100).for_each(|number| detector.observe(format!("product:{number}").as_bytes()));
    assert_eq!(ready(&detector), 0);
    (0..100).for_each(|_| detector.observe(format!("sess:{}", ids.base64url(32)).as_bytes()));
    assert_eq!(ready(&detector), 2);
}

/// The cheap checks before a glob change nothing: held against the plain glob over keys of every layout, cut and changed.
#[test]
fn checks_before_globs_agree_with_the_globs() {
    let mut ids = Ids(9);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for preset in ALL {
        for key in layout(preset.name, &mut ids) {
            let key = key.into_bytes();
            keys.push(key[1..].to_vec());
            keys.push(key[..key.len() - 1].to_vec());
            keys.push([b"x:", &key[..]].concat());
            keys.push([&key[..], b"_Data"].concat());
            keys.push(key);
        }
        keys.extend(
            preset
                .samples
                .iter()
                .chain(preset.counter_samples)
                .map(|key| key.as_bytes().to_vec()),
        );
    }
    let mut matches = 0;
    for glob in ALL
        .iter()
        .flat_map(|preset| preset.matches.iter().chain(preset.excludes))
    {
        let (checked, plain) = (CheckedGlob::new(glob), Glob::new(glob.as_bytes()));
        for key in &keys {
            let expected = plain.matches(key);
            assert_eq!(
                checked.matches(key),
                expected,
                "{glob} {}",
                String::from_utf8_lossy(key)
            );
            matches += usize::from(expected);
        }
    }
    assert!(matches > 200, "{matches}");
}

#[test]
fn every_library_that_may_leave_out_the_ttl_is_a_preset() {
    assert!(MAY_LIVE_FOREVER.iter().all(|name| by_name(name).is_some()));
}

proptest! {
    #[test]
    fn any_keys_are_survived(keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..60)) {
        let mut detector = Detector::new();
        for key in &keys {
            detector.observe(key);
            for prefix in ["sess:", "session:", "a:login:token:", "{a_"] {
                detector.observe(&[prefix.as_bytes(), key].concat());
            }
        }
        prop_assert_eq!(detector.keys_observed(), keys.len() as u64 * 5);
        let _ = detector.verdict(&answers(&detector));
        prop_assert!(detector.fits.len() <= MAX_FITS);
    }
}
