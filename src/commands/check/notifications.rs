//! What `check` says about keyspace notifications: whether they tell of sessions, and the command that makes them. They are only asked
//! about, never changed.

use super::Report;
use crate::collectors::grants::Grant;
use crate::collectors::{Server, events};
use crate::config::{EventsMode, InstanceConfig};
use crate::poller::events::setting_command;
use crate::redis::{Command, Connection, Connector, Reply, Unavailable, sanitised_code, unavailability};
use crate::sessions::details::denies_command;
use crate::sessions::notifications::{Class, EventKind, Known, Setting, channel};
use tokio::time::Instant;

const SUBJECT: &str = "notifications";

/// Says what is published, what is missing, and whether the user may listen. Gives back whether everything is told, or may be where nobody
/// can say.
pub(super) async fn describe(report: &mut Report, config: &InstanceConfig, connection: &mut Connection) -> bool {
    let stores = config.sessions.configured();
    let is_off = !config.sessions.is_auto() && stores.iter().all(|store| store.events == EventsMode::Off);
    if is_off || !config.collectors.get("events").copied().unwrap_or(true) {
        return false;
    }
    let config_command = &config.optional.compatibility.config_command;
    let Some(command) = setting_command(config_command) else {
        report.line(
            SUBJECT,
            "unknown, since CONFIG may not be asked (`compatibility.config_command`): they are listened to, and what comes is believed",
        );
        return describe_listening(report, config).await;
    };
    let deadline = Instant::now() + config.poll.timeout;
    let replies = connection.exchange(std::slice::from_ref(&command), deadline).await;
    let mut is_complete = true;
    let sentence = match replies.as_deref() {
        Ok([Reply::Array(pair)]) => match pair.get(1).and_then(Reply::as_text).and_then(Setting::parse) {
            Some(setting) => {
                is_complete = Class::ALL.iter().all(|class| setting.class(*class) != Known::Off);
                of_setting(&setting, config.optional.compatibility.shown_config_command())
            }
            None => "unknown to this server".to_owned(),
        },
        Ok([error @ Reply::Error(_)]) => {
            let code = sanitised_code(error);
            format!("unknown, CONFIG GET answers {code}: they are listened to, and what comes is believed")
        }
        Ok(_) => "unknown".to_owned(),
        Err(error) => format!("unknown: {error}"),
    };
    report.line(SUBJECT, &sentence);
    let may_listen = describe_listening(report, config).await;
    is_complete && may_listen
}

fn of_setting(setting: &Setting, config_command: &str) -> String {
    let flags = setting.as_str();
    let told: Vec<&str> = [
        (Class::New, "creations"),
        (Class::Generic, "deletions"),
        (Class::Expired, "expiries"),
        (Class::Evicted, "evictions"),
    ]
    .into_iter()
    .filter(|(class, _)| setting.class(*class) != Known::Off)
    .map(|(_, word)| word)
    .collect();
    let state = match (flags, told.as_slice()) {
        ("", _) => "off".to_owned(),
        (_, []) => format!("on ({flags}), but nothing about sessions"),
        (_, told) => format!("on ({flags}): {}", told.join(", ")),
    };
    match setting.mending_command(config_command) {
        Some(command) => format!("{state}; `{command}` switches on what is missing"),
        None => state,
    }
}

/// Whether the user may subscribe, on a connection of its own: one that listens can do nothing else.
async fn describe_listening(report: &mut Report, config: &InstanceConfig) -> bool {
    let deadline = Instant::now() + config.poll.timeout;
    let Ok((mut connection, _)) = Connector::new(config).connect(deadline).await else {
        // Said already by whoever connected first, or passing.
        return false;
    };
    let granted = (events::SPEC.grants)(config, &Server::default());
    let channels: Vec<&Grant> = granted
        .iter()
        .filter(|grant| matches!(grant, Grant::Channels(_)))
        .collect();
    // One that each rule is for: of this database, and of another one.
    let (home, other) = (config.address.database, config.address.database.wrapping_add(1));
    let named = |grant: &Grant| match grant {
        Grant::Channels(glob) => glob.replace("@*", &format!("@{other}")).replace(":*", ":new"),
        _ => String::from_utf8_lossy(&channel(home, EventKind::New)).into_owned(),
    };
    let batch: Vec<Command> = channels
        .iter()
        .map(|grant| Command::new(1, &["SUBSCRIBE"]).arg(named(grant)))
        .collect();
    let replies = connection.exchange(&batch, deadline).await.unwrap_or_default();
    let mut may_listen = true;
    for (grant, reply) in channels.iter().zip(&replies) {
        match unavailability(reply) {
            Some(Unavailable::Denied) => {
                may_listen = false;
                if denies_command(reply) {
                    report.denied("subscribe");
                }
                report.grants.insert(Grant::clone(grant));
            }
            Some(Unavailable::Unsupported) => {
                report.line(SUBJECT, "this server has no SUBSCRIBE");
                return false;
            }
            None => {}
        }
    }
    if !may_listen {
        report.line(
            SUBJECT,
            "the user may not listen to some channels or any: what comes from events is absent, or lost events are not noticed",
        );
    }
    may_listen
}
