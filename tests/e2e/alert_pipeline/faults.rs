//! What goes wrong, at which instance, and who must hear of it.

mod availability;
mod data;
mod servers;

use super::store::Store;
use std::time::Duration;

/// Alert, receiver.
pub(super) type Expected = (&'static str, &'static str);

/// Alert, and why it is right that somebody is told of it as well.
pub(super) type Accepted = (&'static str, &'static str);

/// Something that is done to a store.
type Act = fn(&mut Store);

/// Something that goes wrong, and is mended.
pub(super) struct Fault {
    /// What happens, for the report.
    pub(super) what: &'static str,
    /// Name of the store, which is its `instance`.
    pub(super) instance: &'static str,
    /// Whether the alerts are about the exporter that watches the store alone, instead of the store.
    pub(super) of_the_exporter: bool,
    /// The alerts that must arrive, each at its receiver.
    pub(super) expected: &'static [Expected],
    /// Alerts that may arrive.
    pub(super) accepted: &'static [Accepted],
    /// How long it goes on after all have arrived.
    pub(super) lasts: Duration,
    /// How often a notification of the same group may be repeated meanwhile.
    pub(super) repeats: usize,
    /// Makes it go wrong.
    pub(super) provoke: Act,
    /// What happens again and again until it is mended, and how often.
    pub(super) keep: Option<(Duration, Act)>,
    /// Mends it.
    pub(super) mend: Act,
}

/// Longer than the `group_interval` of pages, so that a second notification would come to light.
const ONE_GROUP_INTERVAL: Duration = Duration::from_secs(11);

impl Fault {
    /// A fault that nothing has to be mended after.
    const fn new(instance: &'static str, what: &'static str, expected: &'static [Expected], provoke: Act) -> Self {
        Self {
            what,
            instance,
            of_the_exporter: false,
            expected,
            accepted: &[],
            lasts: ONE_GROUP_INTERVAL,
            repeats: 0,
            provoke,
            keep: None,
            mend: |_| {},
        }
    }

    const fn accepting(mut self, accepted: &'static [Accepted]) -> Self {
        self.accepted = accepted;
        self
    }

    const fn kept_up(mut self, milliseconds: u64, keep: Act) -> Self {
        self.keep = Some((Duration::from_millis(milliseconds), keep));
        self
    }

    const fn mended(mut self, mend: Act) -> Self {
        self.mend = mend;
        self
    }
}

/// A store that is watched: its name, its environment, what the exporter is told about it, and how it is started.
pub(super) struct Watched {
    /// Label `instance`.
    pub(super) name: &'static str,
    /// Label `environment`.
    pub(super) environment: &'static str,
    /// Keys of the store itself, beside name and pattern.
    pub(super) store: &'static str,
    /// Further lines of the instance.
    pub(super) further: &'static str,
    /// Starts it.
    pub(super) start: fn() -> Store,
}

impl Watched {
    /// A store in an environment where somebody is woken, but where speaking without TLS is allowed.
    const fn new(name: &'static str, start: fn() -> Store) -> Self {
        Self {
            name,
            environment: "live",
            store: "expected_ttl: 1h, capacity: 10000",
            further: "",
            start,
        }
    }

    const fn in_production(mut self) -> Self {
        self.environment = "production";
        self
    }

    const fn store(mut self, store: &'static str) -> Self {
        self.store = store;
        self
    }

    const fn further(mut self, further: &'static str) -> Self {
        self.further = further;
        self
    }
}

/// The store to which nothing happens, of which nobody may hear. Everything that can be watched is watched there.
pub(super) const HEALTHY: Watched = Watched::new("healthy", || {
    Store::tls(
        false,
        &[
            "--notify-keyspace-events",
            "Egxen",
            "--slowlog-log-slower-than",
            "10000",
        ],
    )
})
.in_production()
.store("expected_ttl: 1h, capacity: 1000, events: on, encryption: { expect_prefix: \"enc:v1:\" }")
.further("session_probe: { enabled: true, interval: 1s }\nexpect: { maxmemory_policy: noeviction, persistence: none }\ncollectors: { latency: on }");

/// The store that has an exporter of its own.
pub(super) const BESIDE: Watched = Watched::new("beside", Store::plain);

/// All stores of the first exporter, each with what goes wrong there.
pub(super) fn all() -> Vec<(Watched, Fault)> {
    [availability::faults(), data::faults(), servers::faults()]
        .into_iter()
        .flatten()
        .collect()
}

/// What goes wrong at the second exporter while it runs.
pub(super) fn of_the_second_exporter() -> Fault {
    let mut fault = Fault::new(
        "beside",
        "the exporter is told to read a broken file",
        &[("SessionExporterConfigReloadFailed", "p2-chat-ops")],
        |store| {
            let exporter = store.exporter.as_ref().unwrap();
            std::fs::copy(exporter.path("exporter.yaml"), exporter.path("kept.yaml")).unwrap();
            exporter.reload("instances: nonsense\n");
        },
    )
    .accepting(&[("SessionExporterDown", "the last of all")])
    .mended(|store| {
        let exporter = store.exporter.as_ref().unwrap();
        exporter.reload(&std::fs::read_to_string(exporter.path("kept.yaml")).unwrap());
    });
    fault.of_the_exporter = true;
    fault
}

/// The last of all: nobody looks at the store any more. That its Redis is down must not be said.
pub(super) fn last() -> Fault {
    let mut fault = Fault::new(
        "beside",
        "the exporter stops (SIGSTOP), its Redis runs on",
        &[("SessionExporterDown", "p1-page-ops")],
        |store| store.exporter.as_ref().unwrap().process.signal("STOP"),
    )
    .accepting(&[("SessionExporterConfigReloadFailed", "the one before")])
    .mended(|store| store.exporter.as_ref().unwrap().process.signal("CONT"));
    fault.of_the_exporter = true;
    fault
}
