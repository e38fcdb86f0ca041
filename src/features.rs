//! What alerts and panels build on and what may be missing at an instance. An alert whose feature is missing cannot fire, and somebody
//! must be able to see that: `redis_session_exporter_feature_available` and `check` say it. Who has them is found out by the poller.

/// Something that alerts and panels build on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Label value of `feature`.
    pub name: &'static str,
    /// What it takes, for people: completes "not available: ".
    pub needs: &'static str,
}

macro_rules! features {
    ($($(#[$doc:meta])* $id:ident = $name:literal $needs:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $id: Feature = Feature { name: $name, needs: $needs };
        )*
        /// All of them, in the order of their names.
        pub const ALL: &[Feature] = &[$($id),*];
    };
}

features! {
    /// Metrics of the application.
    APPLICATION_METRICS = "application_metrics" "name what the application keeps in Redis under `application_metrics`";
    /// Every store has a capacity.
    CAPACITY = "capacity" "give every store a `capacity`";
    /// Connections by kind of listener.
    CLIENT_LIST = "client_list" "let the user run CLIENT LIST, before Redis 7.2 also CONFIG GET, on Redis 6.2 or later with at most 10,000 clients; and leave the collector `tls` on";
    /// What the server is configured for: snapshots, limits.
    CONFIGURATION = "configuration" "let the user run CONFIG GET, and leave the collector `config` on";
    /// The shares of values in the clear.
    ENCRYPTION = "encryption" "name the beginning of an encrypted value under `encryption` of a store, and let the user run GETRANGE on its keys";
    /// Creations and endings, and counts that are current between scans.
    EVENTS = "events" "switch on keyspace notifications and let the user subscribe";
    /// What the store should look like.
    EXPECTATIONS = "expectations" "say under `expect` what this store should look like";
    /// Every store has an expected TTL.
    EXPECTED_TTL = "expected_ttl" "give every store an `expected_ttl`";
    /// Latency by the server's own histograms.
    LATENCY_HISTOGRAM = "latency_histogram" "Redis 7.0 or later, a user who may run LATENCY HISTOGRAM, and no `compatibility: { latency_commands: off }`";
    /// A memory limit, without which there is no used ratio.
    MEMORY_LIMIT = "memory_limit" "set `maxmemory` on the server";
    /// Operations counted by the server's command statistics.
    OPERATIONS = "operations" "set `operations: on` where the commands are about sessions";
    /// TTL, size and type of single sessions.
    SESSION_DETAILS = "session_details" "let the user run PTTL, MEMORY USAGE and TYPE on the keys of the stores";
    /// The synthetic session.
    SESSION_PROBE = "session_probe" "set `session_probe: { enabled: true }` at a primary whose user may write below its prefix";
    /// Sessions are counted.
    SESSIONS = "sessions" "name a store under `sessions`, or let `auto` recognise the library";
    /// The dates of the server's certificates.
    TLS = "tls" "speak TLS to the server (an address that begins with `rediss://`), and leave the collector `tls` on";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_listed_once_in_the_order_of_their_names() {
        let names: Vec<&str> = ALL.iter().map(|feature| feature.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(ALL.iter().all(|feature| !feature.needs.is_empty()));
    }
}
