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
    assert_eq!(Users::new([hashed("u", "hunter2")]), Err(UsersError::Hash));
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

#[test]
fn equality_looks_at_every_byte_and_at_the_length() {
    assert!(constant_time_equal(b"", b"") && constant_time_equal(b"ab", b"ab"));
    for other in [b"".as_slice(), b"a", b"abc", b"ac", b"bb"] {
        assert!(!constant_time_equal(b"ab", other));
    }
}
