//! Collector `client_counts`: how many clients each ACL user and each client name has. Off by default: users and names become label values.
//!
//! This exporter's own connections are counted like any other. An application that gives every connection a name of its own (with a number, a
//! process id) makes as many values; they are bounded like every label, the most frequent first.

use super::admission::Admission;
use super::client_list::client_list;
use super::client_list::list::{ClientList, Tally};
use super::client_list::pace::{Pace, has_too_many_clients};
use super::label_text::label_text;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::config::optional::ClientCountsConfig;
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;
use std::collections::BTreeMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "client_counts",
    help: "Connections by ACL user and by client name. Users and names become label values.",
    default_on: false,
    schedule: Schedule::Info,
    grants: |_, _| grants::commands(&["info", "client|list"]),
    descriptors: || vec![&BY_USER, &BY_NAME],
    build: Build::FromReplies(|options| {
        let config = options.optional.client_counts;
        let count = |is_wanted: bool, descriptor, label, of| {
            is_wanted.then(|| Count {
                descriptor,
                label,
                of,
                admission: Admission::default(),
            })
        };
        Box::new(ClientCounts::new(
            config,
            options.label_values,
            [
                count(config.by_user, &BY_USER, "user", ClientList::by_user),
                count(config.by_name, &BY_NAME, "name", ClientList::by_name),
            ],
        ))
    }),
};

static BY_USER: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_clients_by_user",
    "Clients of all kinds by the ACL user that they are logged in as; `default` also for those that did not log in. At most limits.label_values \
     users, first those with the most clients. Counted again as often as 0.1 % of the server's time allows, in between the last count is shown.",
    "CLIENT LIST: user (6.0+)",
)
.with_labels(&["user"]);

static BY_NAME: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_clients_by_name",
    "Clients of all kinds by the name that they gave themselves with CLIENT SETNAME, empty for those that did not. At most limits.label_values \
     names, first those with the most clients. Counted again as often as 0.1 % of the server's time allows, in between the last count is shown.",
    "CLIENT LIST: name",
)
.with_labels(&["name"]);

/// One way of counting.
struct Count {
    descriptor: &'static Descriptor,
    label: &'static str,
    of: fn(&ClientList) -> &Tally,
    admission: Admission,
}

struct ClientCounts {
    is_idle: bool,
    label_values: usize,
    counts: Vec<Count>,
    pace: Pace,
    /// The last count with the server that it is about.
    last: Option<(String, Samples)>,
}

impl ClientCounts {
    fn new(config: ClientCountsConfig, label_values: usize, counts: [Option<Count>; 2]) -> Self {
        Self {
            is_idle: !config.by_user && !config.by_name,
            label_values,
            counts: counts.into_iter().flatten().collect(),
            pace: Pace::default(),
            last: None,
        }
    }
}

impl Collector for ClientCounts {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn follow_up(&self, context: &PollContext<'_>) -> Vec<Command> {
        // One that is known to be refused is not sent; it is named so that it is shown as missing.
        let is_refused = context.unavailable.contains_key(&client_list().name());
        let is_wanted = !self.is_idle && (is_refused || self.pace.is_due(context));
        is_wanted.then(client_list).into_iter().collect()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        context.info()?;
        self.pace.note(context);
        let run_id = &context.server.run_id;
        self.last = self.last.take().filter(|(of, _)| of == run_id);
        if self.is_idle {
            return Ok(Samples::new());
        }
        if context.unavailable.contains_key(&client_list().name()) || context.replies.contains_key(&client_list()) {
            self.last = None;
            context.reply(&client_list())?;
            let list = context
                .clients
                .ok_or_else(|| CollectError::shape(&client_list(), "a text was expected"))?;
            let mut samples = Samples::new();
            for count in &mut self.counts {
                count.push(list, self.label_values, &mut samples);
            }
            self.last = Some((run_id.clone(), samples));
        } else if has_too_many_clients(context) {
            self.last = None;
            let mut samples = Samples::new();
            samples.note_dropped(self.counts.len());
            return Ok(samples);
        }
        let (_, samples) = self.last.clone().unwrap_or_default();
        Ok(samples)
    }
}

impl Count {
    fn push(&mut self, list: &ClientList, label_values: usize, samples: &mut Samples) {
        let tally = (self.of)(list);
        // Names that differ only behind the place where they are cut are one value.
        let mut values: BTreeMap<String, u64> = BTreeMap::new();
        for (value, clients) in tally.counts() {
            *values.entry(label_text(value)).or_default() += clients;
        }
        let candidates = values.iter().map(|(value, clients)| (value.as_str(), *clients as f64));
        samples.note_dropped(self.admission.decide(candidates, label_values));
        samples.note_dropped(usize::try_from(tally.beyond()).unwrap_or(usize::MAX));
        for (value, clients) in values {
            if self.admission.admits(&value) {
                samples.push_with(self.descriptor, vec![(self.label, value.into())], clients as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::Unavailable;
    use crate::collectors::testing::Scene;
    use crate::redis::Reply;
    use std::time::Duration;

    /// Clients as Redis 8.0.2 lists them, shortened.
    fn list(clients: &[(&str, &str)]) -> Reply {
        let line = |(number, (user, name)): (usize, &(&str, &str))| {
            format!(
                "id={number} addr=10.0.0.9:{number} laddr=10.0.0.2:6379 name={name} age=1 idle=0 flags=N db=0 user={user} resp=2\n"
            )
        };
        let lines: String = clients.iter().enumerate().map(line).collect();
        Reply::Bulk(lines.into())
    }

    fn scene(clients: &[(&str, &str)]) -> Scene {
        Scene::new("redis_version:8.0.2\r\nrun_id:a\r\nconnected_clients:4\r\n").answer(client_list(), list(clients))
    }

    fn collector(scene: &Scene) -> Box<dyn Collector> {
        let Build::FromReplies(build) = SPEC.build else {
            unreachable!()
        };
        build(&scene.options)
    }

    const CLIENTS: [(&str, &str); 4] = [
        ("app", "web"),
        ("app", "web"),
        ("app", ""),
        ("default", "redis-session-exporter"),
    ];

    #[test]
    fn clients_are_counted_by_user_and_by_name() {
        let samples = scene(&CLIENTS).collect(&SPEC).unwrap();
        let by_user = |user| samples.number_with(BY_USER.name, &[user]);
        let by_name = |name| samples.number_with(BY_NAME.name, &[name]);
        assert_eq!((by_user("app"), by_user("default")), (Some(3.0), Some(1.0)));
        assert_eq!(
            (by_name("web"), by_name(""), by_name("redis-session-exporter")),
            (Some(2.0), Some(1.0), Some(1.0))
        );
    }

    #[test]
    fn each_way_of_counting_can_be_left_out() {
        let mut scene = scene(&CLIENTS);
        scene.options.optional.client_counts.by_name = false;
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.families().len(), 1);
        assert_eq!(samples.number_with(BY_USER.name, &["app"]), Some(3.0));
        scene.options.optional.client_counts.by_user = false;
        assert!(
            scene
                .with_context(|context| collector(&scene).follow_up(context))
                .is_empty()
        );
        assert!(scene.collect(&SPEC).unwrap().is_empty());
    }

    #[test]
    fn the_most_frequent_are_shown_and_the_rest_is_counted() {
        let mut scene = scene(&[
            ("a", "1"),
            ("a", "2"),
            ("b", "2"),
            ("c", "3\u{7f}"),
            ("c", "3\u{7f}"),
            ("c", "4"),
        ]);
        scene.options.label_values = 2;
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.number_with(BY_USER.name, &["c"]), Some(3.0));
        assert_eq!(samples.number_with(BY_USER.name, &["a"]), Some(2.0));
        assert_eq!(samples.number_with(BY_NAME.name, &["2"]), Some(2.0));
        assert_eq!(samples.number_with(BY_NAME.name, &["3\\x7f"]), Some(2.0));
        assert_eq!(samples.dropped(), 1 + 2);
    }

    #[test]
    fn the_last_count_is_shown_until_the_next_is_due() {
        let mut scene = scene(&CLIENTS);
        let mut counts = collector(&scene);
        let asks =
            |counts: &dyn Collector, scene: &Scene| !scene.with_context(|context| counts.follow_up(context)).is_empty();
        assert!(asks(&*counts, &scene));
        scene.with_context(|context| counts.collect(context)).unwrap();
        let reply = scene.replies.remove(&client_list()).unwrap();
        assert!(!asks(&*counts, &scene));
        let samples = scene.with_context(|context| counts.collect(context)).unwrap();
        assert_eq!(samples.number_with(BY_USER.name, &["app"]), Some(3.0));
        scene.now += Duration::from_millis(6);
        assert!(asks(&*counts, &scene), "four clients of 1.5 µs each, a thousand times");
        scene.server.run_id = "b".to_owned();
        assert!(
            scene
                .with_context(|context| counts.collect(context))
                .unwrap()
                .is_empty()
        );
        scene.replies.insert(client_list(), reply);
        assert!(
            !scene
                .with_context(|context| counts.collect(context))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_cannot_be_listed_is_not_there() {
        let mut denied = scene(&[]);
        denied.replies.clear();
        denied.unavailable.insert("client|list".to_owned(), Unavailable::Denied);
        assert!(matches!(denied.collect(&SPEC), Err(CollectError::Unavailable { .. })));
        let mut crowded = Scene::new("redis_version:8.0.2\r\nconnected_clients:10001\r\n");
        assert_eq!(crowded.collect(&SPEC).unwrap().dropped(), 2);
        crowded.replies.insert(client_list(), Reply::Integer(1));
        assert!(matches!(crowded.collect(&SPEC), Err(CollectError::Shape { .. })));
    }
}
