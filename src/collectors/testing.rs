//! What tests of collectors share: a scene with an INFO reply, other replies and options, and a reader of recorded replies.

use super::identity::identify;
use super::{
    Build, CollectError, Expectations, Options, PollContext, Server, SessionKnowledge, Spec, Unavailable, client_list,
    config,
};
use crate::metric::Samples;
use crate::redis::{Command, Info, OwnSockets, Reply};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

/// Everything that a collector may look at.
pub struct Scene {
    pub info: Info,
    pub server: Server,
    pub replies: HashMap<Command, Reply>,
    pub unavailable: BTreeMap<String, Unavailable>,
    pub options: Options,
    pub unix_seconds: f64,
    pub now: Instant,
    pub file_bytes: Option<u64>,
}

impl Scene {
    pub fn new(info: &str) -> Self {
        Self::from_bytes(info.as_bytes())
    }

    pub fn from_bytes(info: &[u8]) -> Self {
        let info = Info::parse(info);
        Self {
            server: identify(&info),
            info,
            replies: HashMap::new(),
            unavailable: BTreeMap::new(),
            options: Options {
                label_values: 50,
                expect: Expectations::default(),
                operations: crate::config::Operations::default(),
                optional: crate::config::optional::Optional::default(),
                config_all: false,
            },
            file_bytes: None,
            unix_seconds: 1_795_170_440.0,
            now: Instant::now(),
        }
    }

    /// CONFIG GET answers with these pairs, to however many commands this server needs.
    pub fn config(self, pairs: &[(&str, &str)]) -> Self {
        self.config_reply(config::reply_of(pairs))
    }

    /// CONFIG GET answers this.
    pub fn config_reply(self, reply: Reply) -> Self {
        let reader = config::Reader::new(&self.options.optional.compatibility);
        self.answer_all(&|server| reader.requests(server), reply)
    }

    /// Every command that `requests` asks for gets this reply.
    pub fn answer_all(mut self, requests: &dyn Fn(Option<&Server>) -> Vec<Command>, reply: Reply) -> Self {
        for command in requests(Some(&self.server)) {
            self.replies.insert(command, reply.clone());
        }
        self
    }

    pub fn answer(mut self, command: Command, reply: Reply) -> Self {
        self.replies.insert(command, reply);
        self
    }

    pub fn with_context<T>(&self, act: impl FnOnce(&PollContext<'_>) -> T) -> T {
        let clients = match self.replies.get(&client_list::client_list()) {
            Some(Reply::Bulk(text)) => Some(client_list::list::ClientList::parse(text, OwnSockets::default())),
            _ => None,
        };
        act(&PollContext {
            clients: clients.as_ref(),
            sessions: &SessionKnowledge::default(),
            info: Some(&self.info),
            server: &self.server,
            replies: &self.replies,
            unavailable: &self.unavailable,
            unix_seconds: self.unix_seconds,
            now: self.now,
            file_bytes: self.file_bytes,
        })
    }

    /// One poll by a fresh collector. Like the frame, it refuses samples that are not among the collector's descriptors, and
    /// two samples with the same labels.
    pub fn collect(&self, spec: &Spec) -> Result<Samples, CollectError> {
        let Build::FromReplies(build) = spec.build else {
            panic!("{} has no replies to read", spec.name)
        };
        let samples = self.with_context(|context| build(&self.options).collect(context))?;
        let descriptors = (spec.descriptors)();
        for family in samples.families() {
            let name = family.descriptor.name;
            assert!(
                descriptors.iter().any(|known| std::ptr::eq(*known, family.descriptor)),
                "{name} is not announced"
            );
            let mut seen = std::collections::HashSet::new();
            for sample in &family.samples {
                assert!(
                    seen.insert(format!("{:?}", sample.labels)),
                    "{name} has {:?} twice",
                    sample.labels
                );
                assert!(
                    sample
                        .labels
                        .iter()
                        .all(|(label, _)| family.descriptor.labels.contains(label)),
                    "{name} has a label that its descriptor lacks"
                );
            }
        }
        Ok(samples)
    }
}

/// What a collector that lives on INFO alone makes of this text.
pub fn collect(spec: &Spec, info: &str) -> Samples {
    Scene::new(info).collect(spec).unwrap()
}

/// Reads one recorded RESP2 reply.
pub fn parse_reply(bytes: &[u8]) -> Reply {
    let mut at = 0;
    reply_at(bytes, &mut at)
}

fn reply_at(bytes: &[u8], at: &mut usize) -> Reply {
    let end = *at + bytes[*at..].windows(2).position(|pair| pair == b"\r\n").unwrap();
    let line = &bytes[*at + 1..end];
    let kind = bytes[*at];
    *at = end + 2;
    let number = || std::str::from_utf8(line).unwrap().parse::<i64>().unwrap();
    match kind {
        b'+' => Reply::Simple(Bytes::copy_from_slice(line)),
        b'-' => Reply::Error(Bytes::copy_from_slice(line)),
        b':' => Reply::Integer(number()),
        b'$' if number() < 0 => Reply::Null,
        b'$' => {
            let length = number() as usize;
            let text = Bytes::copy_from_slice(&bytes[*at..*at + length]);
            *at += length + 2;
            Reply::Bulk(text)
        }
        b'*' if number() < 0 => Reply::Null,
        b'*' => Reply::Array((0..number()).map(|_| reply_at(bytes, at)).collect()),
        other => panic!("no RESP2 type {other}"),
    }
}
