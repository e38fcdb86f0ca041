//! What the web configuration says of requests, whoever serves them: how many pass, who is let in, and what all answers carry.
//!
//! An [`Access`] never changes. A new configuration makes a new one, which takes the place of the old one as a whole.

use super::answer::Answer;
use super::auth::{Gate, Users, UsersError};
use super::headers::{HeaderError, Headers};
use super::rate_limit::Limiter;
use crate::config::web::WebConfig;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use std::time::Instant;

/// Users, headers and rate of requests of one web configuration.
#[derive(Debug, Default)]
pub struct Access {
    gate: Gate,
    headers: Headers,
    limiter: Option<Limiter>,
}

/// Why a web configuration cannot be used. [`crate::config::web::load`] lets nothing through that leads here but a name that a flag
/// gave as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// About the users.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// About a header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Access {
    /// Access as a configuration says it; nobody has been let in yet, and the whole burst is left.
    ///
    /// # Errors
    /// [`AccessError`] when users or headers cannot be used.
    pub fn new(web: &WebConfig) -> Result<Self, AccessError> {
        Ok(Self {
            gate: Gate::new(&Users::new(web.users.iter().cloned())?),
            headers: Headers::new(&web.headers)?,
            limiter: web.rate_limit.map(Limiter::new),
        })
    }

    /// Access as a configuration says it that takes the place of another one. What was known of users who stay with the same password is
    /// known further on, so that no scrape waits because a file was written; a user who is gone or has another password is let in no more.
    ///
    /// # Errors
    /// [`AccessError`] when users or headers cannot be used; the other one is as it was then.
    pub fn replacing(web: &WebConfig, previous: &Self) -> Result<Self, AccessError> {
        Ok(Self {
            gate: Gate::replacing(&Users::new(web.users.iter().cloned())?, &previous.gate),
            headers: Headers::new(&web.headers)?,
            limiter: web
                .rate_limit
                .map(|limit| Limiter::replacing(limit, previous.limiter.as_ref())),
        })
    }

    /// The refusal of a request that came now and does not pass; `None` lets it through. The rate comes first, so that it bounds the guessing of
    /// passwords too.
    pub(super) async fn refusal(&self, headers: &HeaderMap, now: Instant) -> Option<Answer> {
        match self.limiter.as_ref().map_or(Ok(()), |limiter| limiter.take(now)) {
            Ok(()) => self.gate.refusal(headers).await,
            Err(wait) => {
                // Whole seconds are all that the header knows (RFC 9110 section 10.2.3).
                let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
                let answer = Answer::text(
                    StatusCode::TOO_MANY_REQUESTS,
                    "more requests than rate_limit of the web configuration allows; try again later",
                );
                Some(answer.with_header(RETRY_AFTER, HeaderValue::from(seconds)))
            }
        }
    }

    /// The answer with the headers that all answers carry.
    pub(super) fn dressed(&self, answer: Answer) -> Answer {
        self.headers.on(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::{BasicAuth, BasicPassword, Secret};
    use crate::config::web::RateLimit;
    use std::time::Duration;

    fn web() -> WebConfig {
        WebConfig {
            rate_limit: Some(RateLimit {
                interval: Duration::from_millis(1500),
                burst: 1,
            }),
            headers: vec![("X-Frame-Options", "deny".to_owned())],
            users: vec![BasicAuth {
                username: "u".to_owned(),
                password: BasicPassword::Plain(Secret::new("p")),
            }],
            ..WebConfig::default()
        }
    }

    #[tokio::test]
    async fn the_rate_comes_before_the_users_and_headers_on_all() {
        let now = Instant::now();
        let access = Access::new(&web()).unwrap();
        let first = access.dressed(access.refusal(&HeaderMap::new(), now).await.unwrap());
        assert_eq!(
            (first.status().as_u16(), first.header("x-frame-options")),
            (401, "deny")
        );
        let second = access.dressed(access.refusal(&HeaderMap::new(), now).await.unwrap());
        assert_eq!(
            (second.status().as_u16(), second.header("x-frame-options")),
            (429, "deny")
        );
        assert_eq!(second.header("retry-after"), "2");
        // A configuration that says the same of the rate does not give a new burst.
        let same = Access::replacing(&web(), &access).unwrap();
        assert_eq!(
            same.refusal(&HeaderMap::new(), now).await.unwrap().status().as_u16(),
            429
        );
        let open = Access::replacing(&WebConfig::default(), &access).unwrap();
        assert!(open.refusal(&HeaderMap::new(), now).await.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let mut twice = web();
        twice.users.push(twice.users[0].clone());
        let users = Access::new(&twice).unwrap_err();
        assert_eq!(users, AccessError::Users(UsersError::Duplicate));
        assert_eq!(users.to_string(), UsersError::Duplicate.to_string());
        let mut broken = web();
        broken.headers[0].1 = "a\nb".to_owned();
        let header = AccessError::Header(HeaderError("X-Frame-Options"));
        assert_eq!(Access::new(&broken).unwrap_err(), header);
        assert_eq!(
            Access::replacing(&broken, &Access::new(&web()).unwrap()).unwrap_err(),
            header
        );
    }
}
