//! Why one of the application's metrics could not be read, in words that say what to do. Never with a key or a value.

use crate::redis::{Reply, denies_database, names_another_node, sanitised_code, unavailability};

/// Why a metric has no value although the server answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value that is no number, or longer than one.
    #[error(
        "a value is no finite decimal number of at most 63 characters; write it with INCRBY, HINCRBY or HINCRBYFLOAT"
    )]
    NotANumber,
    /// A counter or a histogram with a negative value.
    #[error("a counter or histogram holds a negative value; only ever add to it, or make it a gauge")]
    Negative,
    /// A bucket that holds something else than a whole number.
    #[error("a bucket of the histogram holds no whole number; count observations with HINCRBY 1")]
    NotWhole,
    /// The field of a histogram that is neither a bound nor `sum` or `count`.
    #[error("a field of the histogram is no upper bound; its fields are numbers, +Inf, sum and count")]
    NotABound,
    /// Observations were counted, but there is no sum of them.
    #[error("the histogram has observations but no field `sum`; add each observation to it with HINCRBYFLOAT")]
    NoSum,
    /// The hash of a histogram that cannot be one.
    #[error("the hash has more fields than a histogram can have; check that the key is the histogram's")]
    TooManyFields,
    /// `WRONGTYPE`
    #[error("the key does not have the type that the metric is read from; correct `key` or `read`")]
    WrongType,
    /// A counter whose key is a list, set, sorted set or stream.
    #[error("the key of a counter is a list, set, sorted set or stream; a counter lives in a string or a hash")]
    CounterWithoutNumber,
    /// A type of a module.
    #[error("the key has a type that holds no number and has no length; correct `key`")]
    UnknownType,
    /// A string for a metric with a label.
    #[error("the metric has a label, but the key is no hash; remove `label`, or keep a field per label value")]
    LabelWithoutFields,
    /// A hash for a counter without a label.
    #[error("the key is a hash, but the metric has neither a label nor a field; name `label`, or one `field`")]
    FieldsWithoutLabel,
    /// `NOPERM` of a command.
    #[error(
        "the Redis user may not run {command}; grant it, `redis-session-exporter check` prints the line. It is tried again in ten \
         minutes"
    )]
    Denied {
        /// The command, in upper case.
        command: String,
    },
    /// `NOPERM` of a key.
    #[error(
        "the Redis user may not read the key; grant it with an ACL rule `%R~KEY`. It is tried again in ten minutes"
    )]
    KeyDenied,
    /// The server does not have a command.
    #[error(
        "the server does not have {command}; use a metric that is read in another way. It is tried again in ten minutes"
    )]
    Unsupported {
        /// The command, in upper case.
        command: String,
    },
    /// SELECT of the metric's database was refused.
    #[error(
        "database {database} was refused with {code}; name a database that the server has and the user may select. It is tried \
         again in ten minutes"
    )]
    Database {
        /// The number of the database.
        database: u32,
        /// The error's code.
        code: String,
    },
    /// `MOVED` or `ASK`: the node of a cluster does not hold the slot of the key.
    #[error(
        "the key is in a hash slot of another node of the cluster, and it is that node's instance that shows the metric. It is looked for here again in \
         ten minutes"
    )]
    Elsewhere,
    /// Another error reply.
    #[error("{command} was answered with error {code}; check the server's log")]
    Refused {
        /// The command, in upper case.
        command: String,
        /// The error's code.
        code: String,
    },
    /// A reply of another shape than the command has.
    #[error(
        "{command} was answered with something else than it should be; check that the address belongs to a Redis server"
    )]
    Shape {
        /// The command, in upper case.
        command: String,
    },
    /// The key changed while it was read, again and again.
    #[error("the key could not be read whole, since it changes while it is read; check who else writes to it")]
    Unstable,
    /// The reply exceeds what one reply may have.
    #[error(
        "the reply was larger than one may be, or twice did not come in time; check that the key holds numbers and nothing else. It is \
         tried again in ten minutes"
    )]
    TooLarge,
}

impl Problem {
    /// What an error reply to `command` (in lower case, as in commandstats) means. Errors that are about the whole server are the
    /// caller's business.
    pub fn of_error(command: &str, reply: &Reply) -> Self {
        let command = command.to_ascii_uppercase();
        if reply.error_code() == Some("WRONGTYPE") {
            return Self::WrongType;
        }
        if names_another_node(reply) {
            return Self::Elsewhere;
        }
        match unavailability(reply) {
            Some(crate::redis::Unavailable::Denied) if names_keys(reply) => Self::KeyDenied,
            Some(crate::redis::Unavailable::Denied) => Self::Denied { command },
            Some(crate::redis::Unavailable::Unsupported) => Self::Unsupported { command },
            None => Self::Refused {
                command,
                code: sanitised_code(reply),
            },
        }
    }

    /// What an error reply to SELECT means.
    pub fn of_database(database: u32, reply: &Reply) -> Self {
        let code = if denies_database(reply) {
            "NOPERM".to_owned()
        } else {
            sanitised_code(reply)
        };
        Self::Database { database, code }
    }

    /// Whether asking again soon would only fill the server's ACL LOG, or break the connection again.
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. }
                | Self::KeyDenied
                | Self::Unsupported { .. }
                | Self::Database { .. }
                | Self::TooLarge
                | Self::Elsewhere
        )
    }

    /// Whether it is the state of a cluster that is well: nothing is to be mended.
    pub fn is_harmless(&self) -> bool {
        *self == Self::Elsewhere
    }

    /// Whether it is for want of a permission or a command, for `redis_session_exporter_collector_unavailable`.
    pub fn unavailable(&self) -> Option<crate::redis::Unavailable> {
        match self {
            Self::Denied { .. } | Self::KeyDenied => Some(crate::redis::Unavailable::Denied),
            Self::Database { code, .. } if code == "NOPERM" => Some(crate::redis::Unavailable::Denied),
            Self::Unsupported { .. } | Self::Database { .. } => Some(crate::redis::Unavailable::Unsupported),
            _ => None,
        }
    }
}

/// Whether a refusal is about a key and not about a command: "this user has no permissions to access one of the keys used as arguments"
/// (Redis 6.0), "No permissions to access a key" (Redis 7.2, Valkey).
fn names_keys(error: &Reply) -> bool {
    let Reply::Error(text) = error else { return false };
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    text.contains("one of the keys") || text.contains("access a key")
}
