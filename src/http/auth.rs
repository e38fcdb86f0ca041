//! HTTP basic authentication (RFC 7617).
//!
//! A check against a bcrypt hash costs a tenth of a second or more on purpose. It runs beside the tasks that answer, one at a time, and what
//! it found true is remembered as a salted hash: a scrape every 15 s pays once, and a flood of wrong passwords delays nobody who was
//! let in before. A request that cannot be checked soon is answered with 503 and not kept.

mod bcrypt;

use super::answer::Answer;
use crate::config::types::{BasicAuth, BasicPassword};
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
    Bcrypt(bcrypt::Hash),
}

/// Who is let in; nobody named means everybody. Names are unique.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(Vec<User>);

/// Why credentials cannot be used. No variant holds a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// The text is no bcrypt hash, or one that takes too long.
    #[error(
        "the hash of the HTTP password is no bcrypt hash that can be used: it must begin with $2a$, $2b$ or $2y$, have a cost from 04 to 14, \
         and 60 characters in all; make one with `htpasswd -nBC 10 USER`"
    )]
    Hash,
    /// No name, or one with a colon, which ends the name in a request (RFC 7617 section 2).
    #[error("the name of an HTTP user must not be empty and must hold no colon")]
    Name,
    /// Twice the same name.
    #[error("an HTTP user is named twice")]
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
                    Password::Bcrypt(bcrypt::Hash::parse(text.expose()).ok_or(UsersError::Hash)?)
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

/// Decides who is let in.
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
    waiting: Semaphore,
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
        if users.0.is_empty() {
            return Self { checks: None };
        }
        let mut salt = [0; 32];
        // Without randomness the fingerprints are unsalted, and nothing else is weaker: they never leave this process.
        let _ = getrandom::fill(&mut salt);
        let known = users.0.iter().map(|user| match &user.password {
            Password::Plain(password) => Some(fingerprint(&salt, user.name.as_bytes(), password.expose().as_bytes())),
            Password::Bcrypt(_) => None,
        });
        Self {
            checks: Some(Arc::new(Checks {
                known: RwLock::new(known.collect()),
                users: users.0.clone(),
                salt,
                running: Arc::new(Semaphore::new(RUNNING_CHECKS)),
                waiting: Semaphore::new(WAITING_CHECKS),
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
        // A name that nobody has is checked against another's hash and refused, so that time does not tell who exists.
        let named = self.users.iter().position(|user| user.name.as_bytes() == name);
        let of_named = named.and_then(|index| Some((index, self.users.get(index)?.hash()?)));
        let Some((index, hash)) = of_named.map_or_else(
            || Some((None, self.users.iter().find_map(User::hash)?)),
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
            let matches = hash.matches(&password);
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

impl User {
    fn hash(&self) -> Option<&bcrypt::Hash> {
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
