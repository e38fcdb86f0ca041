//! Values at which panels change their colour or draw a line. Where an alert watches the same figure, they are its defaults.

/// Share of a limit (capacity, maxmemory) above which it is time to look; a colour alone.
pub(super) const HALF_FULL: f64 = 0.6;
/// Share of maxmemory of `RedisMemoryHigh`, of the capacity of `SessionsHighWatermark`, of maxclients of `RedisClientsHigh`.
pub(super) const HIGH: f64 = 0.8;
/// Share of maxmemory of `RedisMemoryCritical`, of the capacity of `SessionsNearCapacity`.
pub(super) const CRITICAL: f64 = 0.9;
/// Share of failed operations of `SessionOperationErrorRateElevated`.
pub(super) const ERRORS_ELEVATED: f64 = 0.01;
/// Share of failed operations of `SessionOperationErrorRate`.
pub(super) const ERRORS_CRITICAL: f64 = 0.05;
/// Seconds of a PING of `HighLatency`: users begin to feel it.
pub(super) const LATENCY_DEGRADED: f64 = 0.01;
/// Seconds of the p99 of `HighSessionLatency`, which is also what the objective calls slow.
pub(super) const LATENCY_HIGH: f64 = 0.5;
/// Seconds of the p99 of `SessionLatencyCritical`.
pub(super) const LATENCY_CRITICAL: f64 = 2.0;
/// Share of look-ups that find their session, of `LowCacheHitRate`.
pub(super) const HITS_LOW: f64 = 0.9;
/// Share of look-ups that find their session, of `SessionCacheHitRateCritical`.
pub(super) const HITS_CRITICAL: f64 = 0.7;
/// Creations per minute below which `SessionCreationRateSpike` is silent.
pub(super) const CREATIONS_FLOOR: f64 = 100.0;
/// Token errors per minute of `TokenValidationErrorsElevated`.
pub(super) const TOKEN_ERRORS: f64 = 20.0;
/// Blocked clients of `RedisBlockedClients`.
pub(super) const BLOCKED_CLIENTS: f64 = 10.0;
/// Resident over used memory above which `RedisFragmentationHigh` looks at it.
pub(super) const FRAGMENTATION: f64 = 1.5;
/// Share of look-ups of clients that find their key, of `RedisLowHitRate`.
pub(super) const REDIS_HITS_LOW: f64 = 0.8;
/// Share of sessions that live longer than expected, of `SessionTTLTooLong`.
pub(super) const TTL_TOO_LONG: f64 = 0.01;
/// Share of sessions that never end, of `SessionsWithoutTTL`.
pub(super) const WITHOUT_TTL: f64 = 0.05;
/// Entries of the slow log per minute of `RedisSlowlogGrowing`.
pub(super) const SLOW_COMMANDS: f64 = 10.0;
/// Refusals per minute of `RedisACLDenied`.
pub(super) const DENIED: f64 = 10.0;
/// Jobs that wait of `JobQueueBacklog`.
pub(super) const WAITING_JOBS: f64 = 100.0;
/// Requests that wait for a connection of the pool of `SessionPoolSaturated`.
pub(super) const WAITING_REQUESTS: f64 = 10.0;
/// One day in seconds: a forecast within it is that of `RedisMemoryForecast` and `SessionsCapacityForecast`.
pub(super) const DAY: f64 = 86_400.0;
/// Days of a forecast within which one should plan.
pub(super) const WEEK: f64 = 7.0 * DAY;
/// Days before the end of a certificate at which `RedisTLSCertificateExpiring` becomes urgent, asks for the team, and writes its first ticket.
pub(super) const CERTIFICATE_DAYS: [f64; 3] = [7.0, 14.0, 30.0];
/// Burn rates of the error budget at which somebody is paged at once, is paged, gets a message, gets a ticket.
pub(super) const BURN_RATES: [f64; 4] = [14.4, 6.0, 3.0, 1.0];

/// Each with the threshold of the rules that it repeats.
#[cfg(test)]
pub(super) const OF_RULES: [(f64, &[&str]); 20] = [
    (HIGH, &["memory_high", "sessions_high_watermark", "clients_high"]),
    (CRITICAL, &["memory_critical", "sessions_near_capacity"]),
    (ERRORS_ELEVATED, &["error_rate_elevated"]),
    (ERRORS_CRITICAL, &["error_rate_critical"]),
    (LATENCY_DEGRADED, &["ping_latency_high"]),
    (LATENCY_HIGH, &["session_latency_high", "slo_latency_bound"]),
    (LATENCY_CRITICAL, &["session_latency_critical"]),
    (HITS_LOW, &["cache_hits_low"]),
    (HITS_CRITICAL, &["cache_hits_critical"]),
    (REDIS_HITS_LOW, &["redis_hits_low"]),
    (CREATIONS_FLOOR, &["created_per_minute"]),
    (TOKEN_ERRORS, &["token_errors"]),
    (BLOCKED_CLIENTS, &["blocked_clients"]),
    (FRAGMENTATION, &["fragmentation_high"]),
    (TTL_TOO_LONG, &["ttl_too_long"]),
    (WITHOUT_TTL, &["without_ttl"]),
    (SLOW_COMMANDS, &["slowlog_entries"]),
    (DENIED, &["acl_denied"]),
    (WAITING_JOBS, &["job_queue_backlog"]),
    (WAITING_REQUESTS, &["pool_waiting"]),
];
