//! How a fault runs its course: it is provoked, the alerts arrive, it is mended, the alerts resolve.

use super::faults::Fault;
use super::store::Store;
use super::told::Told;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Longest time until all alerts of a fault have arrived. The longest wait of an alert is an hour, two minutes here.
const ARRIVAL_BOUND: Duration = Duration::from_secs(190);

/// Longest time until they are resolved: windows of half an hour, a minute here, must have passed, and the group must be told.
const RESOLUTION_BOUND: Duration = Duration::from_secs(120);

/// A fault under way.
pub(super) struct Course {
    pub(super) fault: Fault,
    /// Label `instance` of its alerts.
    pub(super) instance: String,
    provoked: Instant,
    kept: Instant,
    /// When each of the expected alerts arrived, in their order.
    arrived: Vec<Option<Instant>>,
    all_arrived: Option<Instant>,
    mended: Option<Instant>,
    resolved: Vec<Option<Instant>>,
    late: Option<&'static str>,
}

impl Course {
    /// Provokes the fault.
    pub(super) fn begin(fault: Fault, store: &mut Store) -> Self {
        let instance = match &store.exporter {
            Some(exporter) if fault.of_the_exporter => format!("127.0.0.1:{}", exporter.port),
            _ => fault.instance.to_owned(),
        };
        (fault.provoke)(store);
        let now = Instant::now();
        let alerts = fault.expected.len();
        Self {
            fault,
            instance,
            provoked: now,
            kept: now,
            arrived: vec![None; alerts],
            all_arrived: None,
            mended: None,
            resolved: vec![None; alerts],
            late: None,
        }
    }

    /// Goes on with it; `true` when it is over.
    pub(super) fn go_on(&mut self, store: &mut Store, told: &Told) -> bool {
        let now = Instant::now();
        if self.mended.is_none() {
            if let Some((pause, keep)) = self.fault.keep
                && now.duration_since(self.kept) >= pause
            {
                self.kept = now;
                keep(store);
            }
            for (arrived, (alert, receiver)) in self.arrived.iter_mut().zip(self.fault.expected) {
                *arrived = arrived.or_else(|| told.fired(alert, receiver, &self.instance));
            }
            if self.all_arrived.is_none() && self.arrived.iter().all(Option::is_some) {
                self.all_arrived = Some(now);
            }
            let over = self.all_arrived.is_some_and(|at| now >= at + self.fault.lasts);
            let late = now >= self.provoked + ARRIVAL_BOUND;
            if over || late {
                if !over {
                    self.late = Some("not all of its alerts arrived");
                }
                (self.fault.mend)(store);
                self.mended = Some(Instant::now());
            }
            return false;
        }
        for (resolved, (alert, receiver)) in self.resolved.iter_mut().zip(self.fault.expected) {
            *resolved = resolved.or_else(|| told.resolved(alert, receiver, &self.instance));
        }
        let open = self.arrived.iter().zip(&self.resolved);
        let over = open
            .clone()
            .all(|(arrived, resolved)| arrived.is_none() || resolved.is_some());
        let late = self.mended.is_some_and(|at| now >= at + RESOLUTION_BOUND);
        if !over && late && self.late.is_none() {
            self.late = Some("not all of its alerts were resolved");
        }
        over || late
    }

    /// What was not as it must be.
    pub(super) fn problems(&self, told: &Told) -> Vec<String> {
        let mut problems: Vec<String> = self.late.into_iter().map(str::to_owned).collect();
        for (alert, receiver) in self.fault.expected {
            let times = told.times_fired(alert, receiver, &self.instance);
            if times != 1 {
                problems.push(format!("{receiver} was told {times} times of {alert}"));
            }
        }
        for alert in told.alerts_of(&self.instance) {
            let expected = self.fault.expected.iter().any(|(name, _)| *name == alert);
            let accepted = self.fault.accepted.iter().any(|(name, _)| *name == alert);
            if !expected && !accepted {
                problems.push(format!("{alert} arrived as well"));
            }
        }
        let repeats = told.repeats(&self.instance);
        if repeats > self.fault.repeats {
            problems.push(format!("{repeats} notifications said nothing new"));
        }
        problems
            .iter()
            .map(|it| format!("{}: {it}", self.fault.instance))
            .collect()
    }

    /// Rows of the report.
    pub(super) fn report(&self, told: &Told, hurry: f64) -> String {
        let mut text = format!("{} ({})\n", self.fault.what, self.instance);
        for (index, (alert, receiver)) in self.fault.expected.iter().enumerate() {
            let arrived = self.arrived[index].map(|at| at.duration_since(self.provoked).as_secs_f64());
            let resolved = self.resolved[index].map(|at| {
                let mended = self.mended.unwrap();
                // What resolves by itself is resolved before somebody mends it.
                at.saturating_duration_since(mended).as_secs_f64()
            });
            let _ = writeln!(
                text,
                "  {alert:<34} {receiver:<20} {:>8} {:>10} {:>6} {:>10}",
                seconds(arrived),
                arrived.map_or("never".to_owned(), |seconds| unhurried(seconds * hurry)),
                told.times_fired(alert, receiver, &self.instance),
                seconds(resolved),
            );
        }
        let others = |verb: &str, alerts: Vec<String>| match alerts.as_slice() {
            [] => String::new(),
            alerts => format!("  {verb}: {}\n", alerts.join(", ")),
        };
        let expected = |name: &String| self.fault.expected.iter().any(|(alert, _)| alert == name);
        let also: Vec<String> = told
            .alerts_of(&self.instance)
            .into_iter()
            .filter(|name| !expected(name))
            .collect();
        let silent = told.silenced(&self.instance);
        text += &others("also told", also);
        text += &others("fired and was not told (inhibited, or waiting for its group)", silent);
        text
    }
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn unhurried(seconds: f64) -> String {
    format!("{:.1} min", seconds / 60.0)
}
