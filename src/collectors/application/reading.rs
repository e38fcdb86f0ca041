//! How one metric is read: which commands are sent, and what their replies mean.
//!
//! A [`Turn`] goes from batch to batch until it is done. Whatever the key is, little is asked for: numbers come by GETRANGE, fields are
//! asked for by name once their lengths are known, and a hash whose fields are not known is counted before it is looked at.
//! What was found out about a key is kept in a [`Reader`] from turn to turn.

mod fields;

use super::Problem;
use super::number::{MAX_NUMBER_BYTES, value};
use crate::config::{ApplicationMetricConfig, ApplicationRead};
use crate::metric::{Distribution, MetricKind};
use crate::redis::{Command, Reply};
use fields::{Asked, Pages};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// How often a turn begins again because the key has another type than it had. One change is a deployment; more are a fight.
const MAX_RESTARTS: u32 = 2;

/// What a key is, as TYPE says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Text,
    Hash,
    List,
    Set,
    SortedSet,
    Stream,
}

impl KeyKind {
    /// The command that tells the length.
    const fn length(self) -> &'static str {
        match self {
            Self::Text => "STRLEN",
            Self::Hash => "HLEN",
            Self::List => "LLEN",
            Self::Set => "SCARD",
            Self::SortedSet => "ZCARD",
            Self::Stream => "XLEN",
        }
    }
}

/// The commands that reading a metric may need, in lower case, for whoever grants permissions.
pub fn commands(metric: &ApplicationMetricConfig) -> Vec<&'static str> {
    const TEXT: [&str; 2] = ["getrange", "exists"];
    const HASH: [&str; 4] = ["hlen", "hscan", "hstrlen", "hmget"];
    const LENGTH: [&str; 6] = ["type", "llen", "scard", "zcard", "xlen", "hlen"];
    match metric.read {
        _ if matches!(
            metric.descriptor.kind,
            MetricKind::Histogram | MetricKind::GaugeHistogram
        ) =>
        {
            HASH.to_vec()
        }
        ApplicationRead::Fields | ApplicationRead::Field(_) => HASH.to_vec(),
        ApplicationRead::Text => TEXT.to_vec(),
        ApplicationRead::Length => LENGTH.to_vec(),
        ApplicationRead::Auto if metric.label.is_some() => [&["type"], &HASH[..]].concat(),
        ApplicationRead::Auto if metric.descriptor.kind == MetricKind::Counter => [&["type"], &TEXT[..]].concat(),
        ApplicationRead::Auto => [&TEXT[..], &LENGTH[..]].concat(),
    }
}

/// What is remembered of a metric's key between turns.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// The key's type, until it proves to be another one.
    kind: Option<KeyKind>,
    /// Fields that became label values, so that the same ones do so again.
    granted: BTreeSet<Vec<u8>>,
}

/// What one metric's key holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Numbers by label value; without a label one of them, and none where the key does not exist and tells nothing so.
    Numbers(Vec<(Option<String>, f64)>),
    /// A histogram.
    Histogram(Distribution),
}

/// One metric, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The values.
    pub found: Found,
    /// Fields that did not become label values: beyond the limit, too long, or with control characters.
    pub dropped: usize,
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// These commands are to be sent, in the database of the metric.
    Ask(Vec<Command>),
    /// The turn is done.
    Done(Result<Finding, Problem>),
}

/// One turn of one metric.
#[derive(Debug)]
pub struct Turn<'a> {
    metric: &'a ApplicationMetricConfig,
    stage: Stage,
    asked: Vec<Command>,
    restarts: u32,
    lookups: u64,
    exists: bool,
}

/// What the replies that are awaited are about.
#[derive(Debug)]
enum Stage {
    /// TYPE
    Type,
    /// GETRANGE
    Text,
    /// EXISTS, since GETRANGE says the same of an empty string and of none.
    EmptyText,
    /// LLEN and the like.
    Length,
    /// HLEN
    Fields,
    /// HSCAN
    Scan { pages: Pages, whole: bool },
    /// HSTRLEN of each of these fields.
    FieldLengths(Asked),
    /// HMGET of these fields.
    FieldValues(Asked),
}

impl<'a> Turn<'a> {
    /// Begins to read a metric. The second value holds the first commands.
    pub fn begin(metric: &'a ApplicationMetricConfig, reader: &Reader) -> (Self, Vec<Command>) {
        let mut turn = Self {
            metric,
            stage: Stage::Type,
            asked: Vec::new(),
            restarts: 0,
            lookups: 0,
            exists: false,
        };
        let commands = match turn.start(reader) {
            Step::Ask(commands) => commands,
            // Nothing is done before it was asked for.
            Step::Done(_) => Vec::new(),
        };
        (turn, commands)
    }

    /// Lookups of keys that the commands added to the server's hits and misses, and whether the key was there: hits if so.
    pub fn lookups(&self) -> (u64, bool) {
        (self.lookups, self.exists)
    }

    /// Takes the replies to the commands of the last step, one per command and in their order. Errors that are about the whole server
    /// must not come here.
    pub fn absorb(&mut self, reader: &mut Reader, replies: &[Reply]) -> Step {
        let asked = std::mem::take(&mut self.asked);
        let mut failure = None;
        for (command, reply) in asked.iter().zip(replies) {
            let problem = matches!(reply, Reply::Error(_)).then(|| Problem::of_error(&command.name(), reply));
            // The server looks a key up before it finds that it is of another type, but not when it refuses the command.
            if problem.as_ref().is_none_or(|problem| *problem == Problem::WrongType) {
                self.lookups += 1;
            }
            failure = failure.or(problem);
        }
        if let Some(problem) = failure {
            if problem != Problem::WrongType {
                return Step::Done(Err(problem));
            }
            self.exists = true;
            // Under `auto` the type tells what to read instead, or why nothing can be.
            let may_be_another = reader.kind.take().is_some() || self.metric.read == ApplicationRead::Auto;
            if may_be_another && self.restarts < MAX_RESTARTS {
                self.restarts += 1;
                return self.ask_type();
            }
            return Step::Done(Err(problem));
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Type);
        let shape = || Problem::Shape {
            command: asked
                .first()
                .map(Command::name)
                .unwrap_or_default()
                .to_ascii_uppercase(),
        };
        self.advance(reader, stage, replies)
            .unwrap_or_else(|| Step::Done(Err(shape())))
    }

    fn ask(&mut self, stage: Stage, commands: Vec<Command>) -> Step {
        self.stage = stage;
        self.asked.clone_from(&commands);
        Step::Ask(commands)
    }

    fn on_key(&self, name: &'static str) -> Command {
        Command::new(1, &[name]).arg(self.metric.key.as_bytes())
    }

    fn ask_type(&mut self) -> Step {
        let command = self.on_key("TYPE");
        self.ask(Stage::Type, vec![command])
    }

    fn is_histogram(&self) -> bool {
        matches!(
            self.metric.descriptor.kind,
            MetricKind::Histogram | MetricKind::GaugeHistogram
        )
    }

    fn is_counter(&self) -> bool {
        self.metric.descriptor.kind == MetricKind::Counter
    }

    /// The first commands, by what is known of the key.
    fn start(&mut self, reader: &Reader) -> Step {
        if self.is_histogram() {
            return self.ask_fields();
        }
        match (&self.metric.read, reader.kind) {
            (ApplicationRead::Fields, _) => self.ask_labelled(),
            (ApplicationRead::Field(name), _) => self.ask_lengths(vec![name.as_bytes().to_vec()], 1),
            (ApplicationRead::Text, _) => self.ask_text(),
            (ApplicationRead::Length, Some(kind)) => self.ask_length(kind),
            // What these can only be is read at once, so that a missing permission shows before the key exists.
            (ApplicationRead::Auto, _) if self.metric.label.is_some() => self.ask_labelled(),
            (ApplicationRead::Auto, _) if self.is_counter() => self.ask_text(),
            (ApplicationRead::Auto, Some(kind)) => match self.choose(kind) {
                Ok(step) => step,
                Err(problem) => Step::Done(Err(problem)),
            },
            (ApplicationRead::Length | ApplicationRead::Auto, None) => self.ask_type(),
        }
    }

    /// `read: auto`: by the key's own type.
    fn choose(&mut self, kind: KeyKind) -> Result<Step, Problem> {
        let has_label = self.metric.label.is_some();
        match kind {
            KeyKind::Text if has_label => Err(Problem::LabelWithoutFields),
            KeyKind::Text => Ok(self.ask_text()),
            KeyKind::Hash if has_label => Ok(self.ask_labelled()),
            KeyKind::Hash if self.is_counter() => Err(Problem::FieldsWithoutLabel),
            _ if self.is_counter() => Err(Problem::CounterWithoutNumber),
            _ if has_label => Err(Problem::LabelWithoutFields),
            _ => Ok(self.ask_length(kind)),
        }
    }

    fn ask_text(&mut self) -> Step {
        // One byte more than a number has, so that a longer text is not taken for one.
        let command = self.on_key("GETRANGE").arg("0").arg(MAX_NUMBER_BYTES.to_string());
        self.ask(Stage::Text, vec![command])
    }

    fn ask_length(&mut self, kind: KeyKind) -> Step {
        let command = self.on_key(kind.length());
        self.ask(Stage::Length, vec![command])
    }

    fn ask_fields(&mut self) -> Step {
        let command = self.on_key("HLEN");
        self.ask(Stage::Fields, vec![command])
    }

    /// What the replies say; `None` when they have another shape than the commands have.
    fn advance(&mut self, reader: &mut Reader, stage: Stage, replies: &[Reply]) -> Option<Step> {
        let first = replies.first()?;
        Some(match stage {
            Stage::Type => self.on_type(reader, first)?,
            Stage::Text => match first.as_bytes()? {
                b"" => {
                    let command = self.on_key("EXISTS");
                    self.ask(Stage::EmptyText, vec![command])
                }
                text => {
                    self.exists = true;
                    self.done_with(value(self.metric.descriptor.kind, text))
                }
            },
            Stage::EmptyText => match first.as_integer()? {
                0 => self.missing(),
                _ => {
                    self.exists = true;
                    Step::Done(Err(Problem::NotANumber))
                }
            },
            Stage::Length => {
                let length = usize::try_from(first.as_integer()?).ok()?;
                self.exists = length > 0;
                self.done_with(Ok(length as f64))
            }
            Stage::Fields => {
                let total = usize::try_from(first.as_integer()?).ok()?;
                self.on_field_count(reader, total)
            }
            Stage::Scan { pages, whole } => self.on_page(reader, pages, whole, first)?,
            Stage::FieldLengths(asked) => self.on_lengths(asked, replies)?,
            Stage::FieldValues(asked) => self.on_values(reader, &asked, first)?,
        })
    }

    fn done_with(&self, value: Result<f64, Problem>) -> Step {
        Step::Done(value.map(|value| Finding {
            found: Found::Numbers(vec![(None, value)]),
            dropped: 0,
        }))
    }

    fn on_type(&mut self, reader: &mut Reader, reply: &Reply) -> Option<Step> {
        let kind = match reply.as_bytes()? {
            b"none" => return Some(self.missing()),
            b"string" => KeyKind::Text,
            b"hash" => KeyKind::Hash,
            b"list" => KeyKind::List,
            b"set" => KeyKind::Set,
            b"zset" => KeyKind::SortedSet,
            b"stream" => KeyKind::Stream,
            _ => {
                self.exists = true;
                return Some(Step::Done(Err(Problem::UnknownType)));
            }
        };
        self.exists = true;
        if self.metric.read == ApplicationRead::Length && kind == KeyKind::Text {
            return Some(Step::Done(Err(Problem::WrongType)));
        }
        reader.kind = Some(kind);
        Some(match &self.metric.read {
            ApplicationRead::Auto => match self.choose(kind) {
                Ok(step) => step,
                Err(problem) => {
                    reader.kind = None;
                    Step::Done(Err(problem))
                }
            },
            ApplicationRead::Length => self.ask_length(kind),
            // These never forget a type, since they never ask for one.
            ApplicationRead::Fields | ApplicationRead::Field(_) | ApplicationRead::Text => {
                Step::Done(Err(Problem::WrongType))
            }
        })
    }

    /// The key does not exist. A counter starts from nothing, so it is 0, and so is every label value that the file names. An empty list
    /// does not exist in Redis, so a length is 0. What a gauge would be, nobody knows.
    fn missing(&mut self) -> Step {
        self.exists = false;
        let is_length = self.metric.read == ApplicationRead::Length;
        let numbers = if self.metric.label.is_some() {
            self.born(&BTreeSet::new())
        } else if self.is_counter() || is_length {
            vec![(None, 0.0)]
        } else {
            Vec::new()
        };
        Step::Done(Ok(Finding {
            found: Found::Numbers(numbers),
            dropped: 0,
        }))
    }
}

fn histogram_finding(distribution: Distribution) -> Finding {
    Finding {
        found: Found::Histogram(distribution),
        dropped: 0,
    }
}

impl Finding {
    /// Adds the values to the samples of a collector.
    pub fn push(self, metric: &ApplicationMetricConfig, samples: &mut crate::metric::Samples) {
        use crate::metric::Value;
        match self.found {
            Found::Numbers(numbers) => {
                for (label, number) in numbers {
                    let labels = match (metric.label, label) {
                        (Some(name), Some(value)) => vec![(name, Cow::Owned(value))],
                        _ => Vec::new(),
                    };
                    samples.push_with(metric.descriptor, labels, number);
                }
            }
            Found::Histogram(distribution) => {
                samples.push_value(metric.descriptor, Vec::new(), Value::Histogram(distribution));
            }
        }
        samples.note_dropped(self.dropped);
    }
}

#[cfg(test)]
mod tests;
