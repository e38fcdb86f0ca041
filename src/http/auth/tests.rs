use super::*;
use crate::config::types::Secret;
use std::time::Duration;

/// crypt(3) of `hunter2` with cost 4.
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";

fn plain(name: &str, password: &str) -> BasicAuth {
    BasicAuth {
        username: name.to_owned(),
        password: BasicPassword::Plain(Secret::new(password)),
    }
}

fn hashed(name: &str, hash: &str) -> BasicAuth {
    BasicAuth {
        username: name.to_owned(),
        password: BasicPassword::Bcrypt(Secret::new(hash)),
    }
}

fn gate(users: &[BasicAuth]) -> Gate {
    Gate::new(&Users::new(users.to_vec()).unwrap())
}

fn header(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    headers
}

fn basic(credentials: &str) -> HeaderMap {
    header(&format!("Basic {}", BASE64_STANDARD.encode(credentials)))
}

/// 200 when the request is let in, else the status of the refusal.
async fn status(gate: &Gate, headers: &HeaderMap) -> u16 {
    gate.refusal(headers)
        .await
        .map_or(200, |answer| answer.status().as_u16())
}

#[tokio::test]
async fn without_users_everybody_gets_in() {
    assert_eq!(status(&gate(&[]), &HeaderMap::new()).await, 200);
    assert_eq!(status(&gate(&[]), &basic("a:b")).await, 200);
}

#[tokio::test]
async fn several_users_each_with_a_password_of_its_own() {
    let gate = gate(&[plain("plain", "p:ä"), hashed("hashed", HASH), plain("empty", "")]);
    for right in ["plain:p:ä", "hashed:hunter2", "hashed:hunter2", "empty:"] {
        assert_eq!(status(&gate, &basic(right)).await, 200, "{right}");
    }
    for wrong in [
        "plain:hunter2",
        "hashed:p:ä",
        "plain:p:",
        "plain:p:ä ",
        "plain:",
        "plain",
        "",
        ":",
        ":p:ä",
        "empty:x",
        "hashed:",
        "hashed:hunter",
        "Plain:p:ä",
        "nobody:hunter2",
        "plainp:ä",
    ] {
        assert_eq!(status(&gate, &basic(wrong)).await, 401, "{wrong}");
    }
    assert_eq!(format!("{gate:?}"), "Gate(3 users)");
}

#[tokio::test]
async fn headers_that_are_not_basic_are_refused() {
    let gate = gate(&[plain("u", "p")]);
    let encoded = BASE64_STANDARD.encode("u:p");
    assert_eq!(status(&gate, &header(&format!("bAsIc   {encoded}"))).await, 200);
    for wrong in [
        encoded.clone(),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        format!("Bearer {encoded}"),
        format!("Basic {encoded}!"),
        format!("Basic {encoded}, Basic {encoded}"),
        format!("Basic\t{encoded}"),
        "Basic u:p".to_owned(),
    ] {
        assert_eq!(status(&gate, &header(&wrong)).await, 401, "{wrong}");
    }
    let mut twice = basic("u:p");
    twice.append(AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    assert_eq!(status(&gate, &twice).await, 401, "which of two counts is not guessed");
    let refusal = gate.refusal(&HeaderMap::new()).await.unwrap();
    let challenge = refusal.header("www-authenticate");
    assert_eq!(challenge, r#"Basic realm="redis-session-exporter", charset="UTF-8""#);
}

#[tokio::test]
async fn a_hash_is_checked_once_for_right_credentials() {
    let gate = gate(&[hashed("u", HASH)]);
    let checks = gate.checks.as_ref().unwrap();
    assert_eq!(status(&gate, &basic("u:wrong")).await, 401);
    assert_eq!(*checks.known.read().unwrap(), [None], "what is wrong is not remembered");
    assert_eq!(status(&gate, &basic("u:hunter2")).await, 200);
    assert!(checks.known.read().unwrap()[0].is_some());
    // With every place taken only what is remembered gets in, at once.
    let _waiting = checks
        .waiting
        .try_acquire_many(u32::try_from(WAITING_CHECKS).unwrap())
        .unwrap();
    assert_eq!(status(&gate, &basic("u:hunter2")).await, 200);
    assert_eq!(status(&gate, &basic("u:wrong")).await, 503);
    assert_eq!(status(&gate, &HeaderMap::new()).await, 401);
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_is_bounded_and_delays_nobody_who_is_known() {
    let gate = Arc::new(gate(&[hashed("u", HASH), plain("p", "q")]));
    assert_eq!(status(&gate, &basic("u:hunter2")).await, 200);
    let checks = gate.checks.clone().unwrap();
    // The one check that may run is taken, so that all others wait.
    let running = checks.running.clone().acquire_owned().await.unwrap();
    let flood: Vec<_> = (0..10 * WAITING_CHECKS)
        .map(|number| {
            let gate = gate.clone();
            tokio::spawn(async move { status(&gate, &basic(&format!("x{number}:y"))).await })
        })
        .collect();
    while checks.waiting.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    for right in ["u:hunter2", "p:q"] {
        let headers = basic(right);
        let known = tokio::time::timeout(Duration::from_secs(20), status(&gate, &headers));
        assert_eq!(known.await, Ok(200));
    }
    drop(running);
    let mut outcomes = std::collections::BTreeMap::new();
    for one in flood {
        *outcomes.entry(one.await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(outcomes.get(&401), Some(&WAITING_CHECKS), "{outcomes:?}");
    assert_eq!(outcomes.get(&503), Some(&(9 * WAITING_CHECKS)), "{outcomes:?}");
    assert_eq!(checks.waiting.available_permits(), WAITING_CHECKS);
    assert_eq!(checks.running.available_permits(), RUNNING_CHECKS);
}

#[tokio::test]
async fn a_client_that_leaves_takes_no_place_with_it() {
    let gate = Arc::new(gate(&[hashed("u", HASH)]));
    let checks = gate.checks.clone().unwrap();
    let running = checks.running.clone().acquire_owned().await.unwrap();
    let leaving = tokio::spawn({
        let gate = gate.clone();
        async move { status(&gate, &basic("u:hunter2")).await }
    });
    while checks.waiting.available_permits() == WAITING_CHECKS {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(checks.waiting.available_permits(), WAITING_CHECKS);
    drop(running);
    assert_eq!(status(&gate, &basic("u:hunter2")).await, 200);
}

#[test]
fn credentials_that_cannot_be_used_are_named_without_being_shown() {
    assert_eq!(
        Users::new([hashed("u", "hunter2")]),
        Err(UsersError::Hash(HashError::Malformed))
    );
    assert_eq!(Users::new([plain("", "p")]), Err(UsersError::Name));
    assert_eq!(Users::new([plain("a:b", "p")]), Err(UsersError::Name));
    assert_eq!(
        Users::new([plain("u", "p"), hashed("u", HASH)]),
        Err(UsersError::Duplicate)
    );
    let users = Users::new([hashed("u", HASH), plain("v", "hunter2")]).unwrap();
    let shown = format!("{users:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("abcdefgh"), "{shown}");
}

/// What other programs made.
const KNOWN: [(&str, &str); 6] = [
    // Test vectors of crypt_blowfish and of jBCrypt.
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
    // The first one with bits in its salt that mean nothing.
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    // crypt(3) of Debian 12 (libxcrypt 4.4).
    ("hunter2", HASH),
    (
        "pässword",
        "$2b$04$9Zg4V0cRrFZ2Xc0dQ1yN4u44jbwI2h92gjMAt6ItFJLTWE/pVhVte",
    ),
];

#[tokio::test]
async fn hashes_of_other_programs_match_their_passwords_alone() {
    for (password, hash) in KNOWN {
        let gate = gate(&[hashed("u", hash)]);
        for (given, expected) in [(password, 200), ("U*u", 401), (&format!("{password}x"), 401)] {
            assert_eq!(status(&gate, &basic(&format!("u:{given}"))).await, expected, "{hash}");
        }
    }
    let costlier = HASH.replace("$04$", "$05$");
    assert_eq!(status(&gate(&[hashed("u", &costlier)]), &basic("u:hunter2")).await, 401);
}

#[tokio::test]
async fn a_password_counts_up_to_72_bytes() {
    // A test vector of crypt_blowfish: 72 bytes and what follows them.
    let gate = gate(&[hashed(
        "u",
        "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
    )]);
    let long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored";
    for (length, expected) in [(long.len(), 200), (72, 200), (71, 401)] {
        let given = format!("u:{}", &long[..length]);
        assert_eq!(status(&gate, &basic(&given)).await, expected, "{length}");
    }
}

#[tokio::test]
async fn a_changed_or_removed_user_is_forgotten_and_the_others_are_not() {
    let other_hash = KNOWN[5].1;
    let old = gate(&[
        hashed("stays", HASH),
        hashed("changes", HASH),
        hashed("goes", HASH),
        plain("plain", "p"),
    ]);
    for name in ["stays", "changes", "goes"] {
        assert_eq!(status(&old, &basic(&format!("{name}:hunter2"))).await, 200, "{name}");
    }
    let users = Users::new([
        plain("plain", "q"),
        hashed("comes", HASH),
        hashed("changes", other_hash),
        hashed("stays", HASH),
    ]);
    let new = Gate::replacing(&users.unwrap(), &old);
    let known = new.checks.as_ref().unwrap().known.read().unwrap().clone();
    let is_known: Vec<bool> = known.iter().map(Option::is_some).collect();
    assert_eq!(is_known, [true, false, false, true]);
    for (credentials, expected) in [
        ("stays:hunter2", 200),
        ("changes:hunter2", 401),
        ("changes:pässword", 200),
        ("goes:hunter2", 401),
        ("comes:hunter2", 200),
        ("plain:p", 401),
        ("plain:q", 200),
    ] {
        assert_eq!(status(&new, &basic(credentials)).await, expected, "{credentials}");
    }
    // Nobody: everybody gets in; and what was known is not known again afterwards.
    let open = Gate::replacing(&Users::default(), &new);
    assert_eq!(status(&open, &HeaderMap::new()).await, 200);
    let again = Gate::replacing(&Users::new([hashed("stays", HASH)]).unwrap(), &open);
    assert_eq!(*again.checks.as_ref().unwrap().known.read().unwrap(), [None]);
}

#[tokio::test]
async fn gates_that_follow_each_other_share_their_bounds() {
    let first = gate(&[hashed("u", HASH)]);
    let second = Gate::replacing(&Users::new([hashed("v", HASH)]).unwrap(), &first);
    let places = u32::try_from(WAITING_CHECKS).unwrap();
    let _taken = first.checks.as_ref().unwrap().waiting.try_acquire_many(places).unwrap();
    assert_eq!(status(&second, &basic("v:hunter2")).await, 503);
}

#[tokio::test]
async fn a_name_that_nobody_has_costs_one_check_of_the_same_cost_each_time() {
    let costlier = HASH.replace("$04$", "$05$");
    let gate = gate(&[hashed("a", HASH), plain("p", "q"), hashed("b", &costlier)]);
    let checks = gate.checks.as_ref().unwrap();
    let mut chosen = std::collections::BTreeSet::new();
    for number in 0..64 {
        let name = format!("nobody{number}");
        let stand_in = checks.stand_in(name.as_bytes()).unwrap().expose().to_owned();
        assert_eq!(checks.stand_in(name.as_bytes()).unwrap().expose(), stand_in);
        chosen.insert(stand_in);
    }
    assert_eq!(chosen.len(), 2, "one cost for all who do not exist would tell who does");
    // With all places taken it is not refused at once: it waits for a check like everybody.
    let _taken = checks
        .waiting
        .try_acquire_many(u32::try_from(WAITING_CHECKS).unwrap())
        .unwrap();
    for wrong in ["nobody:x", "p:x", "a:x", "b:x"] {
        assert_eq!(status(&gate, &basic(wrong)).await, 503, "{wrong}");
    }
}

#[test]
fn equality_looks_at_every_byte_and_at_the_length() {
    assert!(constant_time_equal(b"", b"") && constant_time_equal(b"ab", b"ab"));
    for other in [b"".as_slice(), b"a", b"abc", b"ac", b"bb"] {
        assert!(!constant_time_equal(b"ab", other));
    }
}
