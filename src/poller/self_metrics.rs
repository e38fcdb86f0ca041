//! Descriptors of what the poller says about its own work on an instance.

use crate::metric::{Descriptor, MetricKind};

/// Where these values come from.
const SOURCE: &str = "this exporter";

macro_rules! descriptors {
    ($($(#[$doc:meta])* $id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            $(#[$doc])*
            pub static $id: Descriptor = Descriptor {
                name: $name,
                kind: MetricKind::$kind,
                labels: &[$($label),*],
                help: $help,
                source: SOURCE,
            };
        )*
        /// All of them.
        pub static ALL: &[&Descriptor] = &[$(&$id),*];
    };
}

descriptors! {
    /// 1 or 0 per collector that runs.
    COLLECTOR_SUCCESS = Gauge "redis_session_exporter_collector_success" ["collector"]
        "1 when the collector's last turn published its values, 0 when it failed or could not run. Read collector_unavailable for why it cannot.";
    /// Seconds per collector that runs.
    COLLECTOR_DURATION = Gauge "redis_session_exporter_collector_duration_seconds" ["collector"]
        "How long the collector's last turn took, with the round trips of the batch that it shares with others.";
    /// 1 per collector that misses a command.
    COLLECTOR_UNAVAILABLE = Gauge "redis_session_exporter_collector_unavailable" ["collector", "reason"]
        "1 when the collector needs a command that the user may not run (denied) or the server does not have (unsupported). Found once per connection and tried again every ten minutes.";
    /// Unix time of the last success per kind.
    LAST_POLL = Gauge "redis_session_exporter_last_poll_timestamp_seconds" ["kind"]
        "When the last successful poll of this kind ended, in seconds since 1970; 0 before the first.";
    /// Ticks that were missed.
    POLLS_SKIPPED = Counter "redis_session_exporter_polls_skipped_total" ["kind"]
        "Polls of this kind that were left out because the one before was still running when they were due.";
    /// 1 or 0 per feature.
    FEATURE_AVAILABLE = Gauge "redis_session_exporter_feature_available" ["feature"]
        "1 when what alerts and panels of this kind build on is there for this instance, 0 when they cannot show anything. `redis-session-exporter check` says what each needs.";
    /// Series left out at a limit.
    SERIES_DROPPED = Counter "redis_session_exporter_series_dropped_total" ["reason"]
        "What was left out of the metrics: label values beyond their limit (each may stand for several series), series with the labels of another one, values that the formats forbid, and what exceeds the largest size of one family.";
    /// Seconds of the last INFO poll.
    PEER_LAST_SCRAPE_DURATION = Gauge "redis_exporter_last_scrape_duration_seconds" []
        "How long the last INFO poll took. Under the name of redis_exporter, where it was the time of a scrape.";
    /// Seconds of the last connect.
    PEER_LAST_CONNECT_TIME = Gauge "redis_exporter_last_scrape_connect_time_seconds" []
        "How long the last connect of the kept connection took. Under the name of redis_exporter, which connects anew for every scrape.";
    /// Seconds of the last PING.
    PEER_LAST_PING_TIME = Gauge "redis_exporter_last_scrape_ping_time_seconds" []
        "Round trip of the last PING, while PING is answered. Under the name of redis_exporter, which has it only with --ping-on-connect; the distribution is redis_ping_duration_seconds.";
    /// 1 while the last exchange failed.
    PEER_LAST_SCRAPE_ERROR = Gauge "redis_exporter_last_scrape_error" ["err"]
        "1 when the last exchange failed, with the bounded reason as err; 0 with an empty err when it did not.";
    /// INFO polls.
    PEER_SCRAPES = Counter "redis_exporter_scrapes_total" []
        "INFO polls that ended, well or not. Under the name of redis_exporter, where it counted scrapes.";
    /// Sum and count of INFO poll durations.
    PEER_SCRAPE_DURATION = Summary "redis_exporter_scrape_duration_seconds" []
        "Durations of INFO polls, as sum and count. Under the name of redis_exporter, where it timed scrapes.";
    /// Milliseconds of the last pass that counted key groups.
    PEER_KEY_GROUPS_DURATION = Gauge "redis_last_key_groups_scrape_duration_milliseconds" []
        "Milliseconds that the last pass over the keys took which counted key groups, whatever else it did; 0 while none is configured, as in redis_exporter.";
}
