//! `rate_limit` of the web configuration: a bucket of tokens for all requests together, one of which each request takes.
//!
//! As golang.org/x/time/rate does it for the exporter-toolkit: the bucket is full at first and holds `burst` tokens, and one more comes every
//! `interval`, evenly, not all at once.

use crate::config::web::RateLimit;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets as many requests pass as the configuration says.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    bucket: Mutex<Bucket>,
}

/// The state of the bucket, written as the time that it takes to fill it up again: without fractions, so that nothing is lost by
/// rounding.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    missing: Duration,
    /// When that was; `None` before the first request.
    at: Option<Instant>,
}

impl Limiter {
    /// A full bucket.
    pub(super) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            bucket: Mutex::default(),
        }
    }

    /// A bucket with this limit in the place of another: as full as that one where the limit is the same, so that a file that is written
    /// again and again lets nobody through.
    pub(super) fn replacing(limit: RateLimit, previous: Option<&Self>) -> Self {
        let new = Self::new(limit);
        match previous.filter(|previous| previous.limit == limit) {
            Some(previous) => Self {
                bucket: Mutex::new(*previous.bucket.lock().unwrap_or_else(PoisonError::into_inner)),
                ..new
            },
            None => new,
        }
    }

    /// Takes a token for a request that came now.
    ///
    /// # Errors
    /// The time until there is one, when there is none.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        // Requests of several threads may come here out of order: time does not go back.
        let now = bucket.at.map_or(now, |at| at.max(now));
        let filled_up = bucket.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let missing = bucket.missing.saturating_sub(filled_up);
        let burst = u32::try_from(self.limit.burst).unwrap_or(u32::MAX);
        let whole = self.limit.interval.saturating_mul(burst);
        let wanted = missing.saturating_add(self.limit.interval);
        let taken = wanted <= whole;
        *bucket = Bucket {
            missing: if taken { wanted } else { missing },
            at: Some(now),
        };
        if taken {
            Ok(())
        } else {
            Err(wanted.saturating_sub(whole))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(interval: Duration, burst: u64) -> RateLimit {
        RateLimit { interval, burst }
    }

    /// Takes tokens at times that the test chooses.
    struct Clock {
        limiter: Limiter,
        now: Instant,
    }

    impl Clock {
        fn new(limiter: Limiter) -> Self {
            let now = Instant::now();
            Self { limiter, now }
        }

        fn take(&self) -> Result<(), Duration> {
            self.limiter.take(self.now)
        }

        fn advance(&mut self, by: Duration) {
            self.now += by;
        }
    }

    #[test]
    fn a_burst_passes_and_then_one_for_every_interval() {
        let mut clock = Clock::new(Limiter::new(limit(SECOND, 3)));
        for _ in 0..3 {
            assert_eq!(clock.take(), Ok(()));
        }
        assert_eq!(clock.take(), Err(SECOND));
        // What is refused takes nothing.
        assert_eq!(clock.take(), Err(SECOND));
        clock.advance(SECOND * 3 / 4);
        assert_eq!(clock.take(), Err(SECOND / 4));
        clock.advance(SECOND / 4);
        assert_eq!(clock.take(), Ok(()));
        assert_eq!(clock.take(), Err(SECOND));
        // Tokens come evenly, and no more of them than the bucket holds.
        clock.advance(SECOND * 5 / 2);
        assert_eq!((clock.take(), clock.take()), (Ok(()), Ok(())));
        assert_eq!(clock.take(), Err(SECOND / 2));
        clock.advance(SECOND * 1000);
        let passed = (0..10).filter(|_| clock.take().is_ok()).count();
        assert_eq!(passed, 3);
        let earlier = clock.now - SECOND * 100;
        assert_eq!(clock.limiter.take(earlier), Err(SECOND), "time does not go back");
        assert_eq!(clock.take(), Err(SECOND));
    }

    #[test]
    fn over_a_long_time_nothing_is_lost() {
        let mut clock = Clock::new(Limiter::new(limit(Duration::from_nanos(333_333_333), 2)));
        let mut passed = 0;
        for _ in 0..10_000 {
            clock.advance(Duration::from_millis(10));
            passed += u32::from(clock.take().is_ok());
        }
        // 99.99 s after the first request, and a burst of two.
        assert_eq!(passed, 2 + 299);
    }

    #[test]
    fn the_largest_numbers_do_no_harm() {
        let mut clock = Clock::new(Limiter::new(limit(Duration::from_secs(86_400), u64::MAX)));
        for _ in 0..1000 {
            assert_eq!(clock.take(), Ok(()));
        }
        clock = Clock::new(Limiter::new(limit(Duration::MAX, 1)));
        assert_eq!(clock.take(), Ok(()));
    }

    #[test]
    fn the_same_limit_goes_on_where_it_was() {
        let first = Clock::new(Limiter::new(limit(SECOND, 2)));
        assert_eq!((first.take(), first.take()), (Ok(()), Ok(())));
        let replaced = |limit| Limiter::replacing(limit, Some(&first.limiter)).take(first.now);
        assert_eq!(replaced(limit(SECOND, 2)), Err(SECOND));
        assert_eq!(replaced(limit(SECOND, 1)), Ok(()));
        assert_eq!(Limiter::replacing(limit(SECOND, 1), None).take(first.now), Ok(()));
    }
}
