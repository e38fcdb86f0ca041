//! HTTP basic authentication (RFC 7617).
//!
//! A check against a bcrypt hash costs a tenth of a second or more on purpose. It runs beside the tasks that answer, one at a time, and what
//! it found true is remembered as a salted hash: a scrape every 15 s pays once, and a flood of wrong passwords delays nobody who was
//! let in before. A request that cannot be checked soon is answered with 503 and not kept.

use super::answer::Answer;
use crate::config::types::{BasicAuth, BasicPassword};
use crate::config::web::hash::{BcryptHash, HashError};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};
use std::hint::black_box;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// Checks against bcrypt hashes that run at one time. Each takes a whole core, and the poller needs the others.
const RUNNING_CHECKS: usize = 1;

/// Requests that may wait for a check, the running one included. At 0.2 s for one (cost 10) the last waits for 6 s.
const WAITING_CHECKS: usize = 32;

/// The credentials of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    name: String,
    password: Password,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Password {
    Plain(crate::config::types::Secret),
    Bcrypt(BcryptHash),
}

/// Who is let in; nobody named means everybody. Names are unique.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(Vec<User>);

/// Why credentials cannot be used. No variant holds a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// The text is no bcrypt hash, or one that takes too long.
    #[error("what is given as the hash of an HTTP user {0}")]
    Hash(HashError),
    /// No name, or one with a colon, which ends the name in a request (RFC 7617 section 2).
    #[error("the name of an HTTP user must not be empty and must hold no colon")]
    Name,
    /// Twice the same name.
    #[error(
        "an HTTP user is named twice; those of the web configuration and the one of --basic-auth-username count together"
    )]
    Duplicate,
}

impl Users {
    /// Reads what the configuration says.
    ///
    /// # Errors
    /// [`UsersError`] when a hash or a name cannot be used.
    pub fn new(credentials: impl IntoIterator<Item = BasicAuth>) -> Result<Self, UsersError> {
        let mut users: Vec<User> = Vec::new();
        for BasicAuth { username, password } in credentials {
            if username.is_empty() || username.contains(':') {
                return Err(UsersError::Name);
            }
            if users.iter().any(|known| known.name == username) {
                return Err(UsersError::Duplicate);
            }
            let password = match password {
                BasicPassword::Plain(password) => Password::Plain(password),
                BasicPassword::Bcrypt(text) => {
                    Password::Bcrypt(BcryptHash::parse(text.expose()).map_err(UsersError::Hash)?)
                }
            };
            users.push(User {
                name: username,
                password,
            });
        }
        Ok(Self(users))
    }
}

/// Name and password as one salted hash.
type Fingerprint = [u8; 32];

/// What became of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Admitted,
    Refused,
    /// Too many others wait to be checked.
    Busy,
}

/// Decides who is let in. Its users never change; a new configuration makes a new gate.
#[derive(Default)]
pub(super) struct Gate {
    /// `None` lets everybody in.
    checks: Option<Arc<Checks>>,
}

struct Checks {
    users: Vec<User>,
    /// Random for each process: what is remembered is of no use elsewhere.
    salt: [u8; 32],
    /// Per user what is known to be right: always for a plain password, for a bcrypt hash since its first check.
    known: RwLock<Vec<Option<Fingerprint>>>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users = self.checks.as_ref().map_or(0, |checks| checks.users.len());
        write!(formatter, "Gate({users} users)")
    }
}

impl Gate {
    /// A gate for these users.
    pub(super) fn new(users: &Users) -> Self {
        Self::replacing(users, &Self { checks: None })
    }

    /// A gate for these users in the place of another. What that one found true is known to this one as far as it is about a user who has
    /// the same password still; both share the bounds of running and waiting checks.
    pub(super) fn replacing(users: &Users, previous: &Self) -> Self {
        if users.0.is_empty() {
            return Self { checks: None };
        }
        let previous = previous.checks.as_deref();
        let salt = previous.map_or_else(new_salt, |previous| previous.salt);
        let known = users.0.iter().map(|user| match &user.password {
            Password::Plain(password) => Some(fingerprint(&salt, user.name.as_bytes(), password.expose().as_bytes())),
            Password::Bcrypt(_) => previous.and_then(|previous| previous.known_of(user)),
        });
        let known = RwLock::new(known.collect());
        let bound = |permits| Arc::new(Semaphore::new(permits));
        Self {
            checks: Some(Arc::new(Checks {
                known,
                users: users.0.clone(),
                salt,
                running: previous.map_or_else(|| bound(RUNNING_CHECKS), |previous| previous.running.clone()),
                waiting: previous.map_or_else(|| bound(WAITING_CHECKS), |previous| previous.waiting.clone()),
            })),
        }
    }

    /// The refusal of a request that may not see what it asks for; `None` lets it in. A refusal says nothing about what was wrong.
    pub(super) async fn refusal(&self, headers: &HeaderMap) -> Option<Answer> {
        let checks = self.checks.as_ref()?;
        let verdict = match credentials(headers) {
            Some(credentials) => checks.judge(&credentials).await,
            None => Verdict::Refused,
        };
        match verdict {
            Verdict::Admitted => None,
            Verdict::Refused => Some(
                Answer::text(StatusCode::UNAUTHORIZED, "this needs a user name and a password")
                    .with_header(WWW_AUTHENTICATE, CHALLENGE),
            ),
            Verdict::Busy => Some(
                Answer::text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many passwords are being checked; try again",
                )
                .with_header(RETRY_AFTER, HeaderValue::from_static("1")),
            ),
        }
    }
}

/// What a client without credentials is asked for.
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="redis-session-exporter", charset="UTF-8""#);

impl Checks {
    async fn judge(self: &Arc<Self>, credentials: &[u8]) -> Verdict {
        let Some(colon) = credentials.iter().position(|byte| *byte == b':') else {
            return Verdict::Refused;
        };
        let (name, password) = credentials.split_at(colon);
        let password = password.get(1..).unwrap_or_default();
        let given = fingerprint(&self.salt, name, password);
        if self.is_known(&given) {
            return Verdict::Admitted;
        }
        let named = self.users.iter().position(|user| user.name.as_bytes() == name);
        let of_named = named.and_then(|index| Some((index, self.users.get(index)?.hash()?)));
        let Some((index, hash)) = of_named.map_or_else(
            || Some((None, self.stand_in(name)?)),
            |(index, hash)| Some((Some(index), hash)),
        ) else {
            return Verdict::Refused;
        };
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Verdict::Busy;
        };
        let Ok(running) = self.running.clone().acquire_owned().await else {
            return Verdict::Busy;
        };
        if self.is_known(&given) {
            // The same credentials were found right while these waited.
            return Verdict::Admitted;
        }
        let (hash, password, checks) = (hash.clone(), password.to_vec(), self.clone());
        let checked = tokio::task::spawn_blocking(move || {
            // An error would mean that the hash is none, which was found out when it was read.
            let matches = bcrypt::verify(&password, hash.expose()).unwrap_or(false);
            if let Some(index) = index.filter(|_| matches) {
                checks.remember(index, given);
            }
            // Given back here, since a client that leaves does not end the check.
            drop(running);
            matches && index.is_some()
        });
        match checked.await {
            Ok(true) => Verdict::Admitted,
            Ok(false) | Err(_) => Verdict::Refused,
        }
    }

    /// The hash that a name without one is checked against, to be refused in any case, so that time does not tell who exists. Which of the
    /// hashes it is depends on the name, since their costs may differ: a name that took another time at another try would tell as well.
    fn stand_in(&self, name: &[u8]) -> Option<&BcryptHash> {
        let hashes: Vec<&BcryptHash> = self.users.iter().filter_map(User::hash).collect();
        // From what only we know and what stays the same as long as the users do.
        let mut choice = Sha256::new();
        for hash in &hashes {
            choice.update(hash.expose());
        }
        choice.update(name);
        let digest = choice.finalize();
        let number = digest.iter().fold(0_usize, |number, byte| {
            number.wrapping_mul(31).wrapping_add(usize::from(*byte))
        });
        hashes.get(number.checked_rem(hashes.len())?).copied()
    }

    /// What is known of a user who has exactly this password.
    fn known_of(&self, user: &User) -> Option<Fingerprint> {
        let index = self.users.iter().position(|mine| mine == user)?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(index).copied().flatten()
    }

    fn is_known(&self, given: &Fingerprint) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        // All of them are compared, whoever fits.
        known
            .iter()
            .flatten()
            .fold(false, |found, known| constant_time_equal(known, given) | found)
    }

    fn remember(&self, index: usize, given: Fingerprint) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known.get_mut(index) {
            *place = Some(given);
        }
    }
}

fn new_salt() -> [u8; 32] {
    let mut salt = [0; 32];
    // Without randomness the fingerprints are unsalted, and nothing else is weaker: they never leave this process.
    let _ = getrandom::fill(&mut salt);
    salt
}

impl User {
    fn hash(&self) -> Option<&BcryptHash> {
        match &self.password {
            Password::Bcrypt(hash) => Some(hash),
            Password::Plain(_) => None,
        }
    }
}

/// SHA-256 of salt, name and password; the name's length keeps the two apart.
fn fingerprint(salt: &[u8], name: &[u8], password: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update((name.len() as u64).to_be_bytes());
    hash.update(name);
    hash.update(password);
    hash.finalize().into()
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
fn constant_time_equal(one: &[u8], other: &[u8]) -> bool {
    let differing = one
        .iter()
        .zip(other)
        .fold(0, |differing, (one, other)| black_box(differing | (one ^ other)));
    one.len() == other.len() && differing == 0
}

/// `name:password` of the one header `Authorization: Basic …`.
fn credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.as_bytes();
    let (scheme, encoded) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    BASE64_STANDARD.decode(encoded.trim_ascii()).ok()
}

#[cfg(test)]
mod tests;
