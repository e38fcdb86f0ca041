//! What the application itself counts in Redis, where it does.

use crate::dashboards::expression::share;
use crate::dashboards::marks::{
    ERRORS_ELEVATED, HITS_CRITICAL, HITS_LOW, TOKEN_ERRORS, WAITING_JOBS, WAITING_REQUESTS,
};
use crate::dashboards::panel::{Panel, graph, pie, stat};
use crate::dashboards::shared::{INSTANCE, yes_no};

const NOT_COUNTED: &str = "the application does not count this";

pub(super) fn panels() -> Vec<Panel> {
    vec![
        pie("Encryption errors by kind", 6, 8)
            .about(
                "Encryption and decryption failures in the time that is shown (session_encryption_errors_total, counted by the application). key_missing: the secret is not mounted; decrypt_failed after a release: the old key is gone.",
            )
            .instant("sum by (error_type) (increase(session_encryption_errors_total{@instance}[$__range]))", "{{error_type}}")
            .unit("short")
            .decimals(0)
            .empty(NOT_COUNTED)
            .runbooks(&["EncryptionKeyMissing", "SessionEncryptionErrorRate"]),
        graph("Encryption errors per minute", 6, 8)
            .about(
                "Encryption and decryption failures over time (session_encryption_errors_total, counted by the application). Each decryption that fails is a user logged out.",
            )
            .query("60 * sum by (error_type) (rate(session_encryption_errors_total{@instance}[$__rate_interval]))", "{{error_type}}")
            .unit("cpm")
            .min(0.0)
            .empty(NOT_COUNTED)
            .runbooks(&["SessionEncryptionErrorRate"]),
        graph("Token errors per minute", 6, 8)
            .about(
                "Tokens that were not accepted, by error (tokens_validation_errors_total, counted by the application). expired: clocks or a changed time to live; invalid_signature: a key that does not fit, or somebody forging. The line at 20 per minute is that of the alert.",
            )
            .query("60 * sum by (error_type) (rate(tokens_validation_errors_total{@instance}[$__rate_interval]))", "{{error_type}}")
            .unit("cpm")
            .min(0.0)
            .reach(TOKEN_ERRORS)
            .lines(&[(TOKEN_ERRORS, "red")])
            .empty(NOT_COUNTED)
            .runbooks(&["TokenValidationErrorsElevated", "TokenSignatureAttack"]),
        stat("Encryption key", 6, 8)
            .about(
                "Whether the application has its encryption key (session_encryption_key_present, published by the application). Without it, sessions are written in the clear or not at all.",
            )
            .instant("min by (environment, instance) (session_encryption_key_present{@instance})", INSTANCE)
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("present", "MISSING"))
            .empty(NOT_COUNTED)
            .runbooks(&["EncryptionKeyMissing"]),
        graph("Session cache, look-ups per second", 8, 8)
            .about(
                "Look-ups of the application that found their session (hits), and all others (session_cache_hits_total, session_cache_requests_total, session_cache_errors_total, counted by the application).",
            )
            .query("sum(rate(session_cache_hits_total{@instance}[$__rate_interval]))", "hits")
            .query(
                "sum(rate(session_cache_requests_total{@instance}[$__rate_interval])) - sum(rate(session_cache_hits_total{@instance}[$__rate_interval]))",
                "misses",
            )
            .query("sum(rate(session_cache_errors_total{@instance}[$__rate_interval]))", "errors")
            .unit("ops")
            .color("hits", "green")
            .color("misses", "orange")
            .color("errors", "red")
            .empty(NOT_COUNTED)
            .runbooks(&["LowCacheHitRate"]),
        graph("Session cache, share of hits", 8, 8)
            .about(
                "Share of the application's look-ups that found their session (session_cache_hits_total of session_cache_requests_total). Lines at 90 % and 70 %: below, the database behind carries the load.",
            )
            .query(
                share(
                    "sum by (environment, instance) (rate(session_cache_hits_total{@instance}[$__rate_interval]))",
                    "sum by (environment, instance) (rate(session_cache_requests_total{@instance}[$__rate_interval]))",
                ),
                INSTANCE,
            )
            .query(
                share(
                    "sum by (environment, instance) (rate(session_cache_errors_total{@instance}[$__rate_interval]))",
                    "sum by (environment, instance) (rate(session_cache_requests_total{@instance}[$__rate_interval]))",
                ),
                "{{environment}} {{instance}} errors",
            )
            .unit("percentunit")
            .min(0.0)
            .max(1.0)
            .reach(ERRORS_ELEVATED)
            .lines(&[(HITS_CRITICAL, "red"), (HITS_LOW, "yellow")])
            .empty(NOT_COUNTED)
            .runbooks(&["LowCacheHitRate", "SessionCacheHitRateCritical"]),
        graph("Connection pool", 8, 8)
            .about(
                "Connections of the application's pool by state, and requests that wait for one (redis_pool_connections, redis_pool_pending, published by the application). Requests that wait while Redis is fast: the pool is too small or leaks.",
            )
            .query("sum by (state) (redis_pool_connections{@instance})", "{{state}}")
            .query("sum(redis_pool_pending{@instance})", "waiting")
            .unit("short")
            .min(0.0)
            .color("waiting", "red")
            .reach(WAITING_REQUESTS)
            .lines(&[(WAITING_REQUESTS, "orange")])
            .empty(NOT_COUNTED)
            .runbooks(&["SessionPoolSaturated"]),
        graph("Circuit breaker, openings per hour", 12, 8)
            .about(
                "How often the application stopped asking Redis since too much failed (circuit_breaker_opens_total, counted by the application). While it is open, users log in without the cache or not at all.",
            )
            .query("sum by (environment, instance) (increase(circuit_breaker_opens_total{@instance}[1h]))", INSTANCE)
            .unit("short")
            .min(0.0)
            .empty(NOT_COUNTED)
            .runbooks(&["SessionCircuitBreakerOpen"]),
        graph("Jobs that wait", 12, 8)
            .about(
                "Length of the job queue that the application keeps in Redis (job_queue_pending). It grows when workers are fewer or slower than the work; it takes memory from the sessions.",
            )
            .query("sum by (environment, instance) (job_queue_pending{@instance})", INSTANCE)
            .unit("short")
            .min(0.0)
            .reach(WAITING_JOBS)
            .lines(&[(WAITING_JOBS, "orange")])
            .empty(NOT_COUNTED)
            .runbooks(&["JobQueueBacklog"]),
    ]
}
