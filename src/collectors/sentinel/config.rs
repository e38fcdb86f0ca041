//! SENTINEL CONFIG GET: the parameters of a Sentinel as labels, shown when `config_all` is on, `<secret>` in place of whatever may be one.

use super::primaries::list;
use crate::collectors::config_all::shown;
use crate::collectors::label_text::label_text;
use crate::collectors::{CollectError, PollContext};
use crate::config::types::SECRET_PLACEHOLDER;
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;
use crate::redis::info::parse_number;

/// Most parameters that are shown. Redis 8.0 and Valkey 9.1 have seven.
const MAX_PARAMETERS: usize = 100;

/// Every parameter with its value as text.
pub static KEY_VALUE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_config_key_value",
    "Parameters of the Sentinel itself, 1 for each; <secret> stands for every value that is, or may be, a secret. Needs `config_all`.",
    "SENTINEL CONFIG GET * (6.2+)",
)
.with_labels(&["key", "value"]);

/// Every parameter whose value is a number.
pub static VALUE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_config_value",
    "Parameters of the Sentinel itself that are numbers and no secrets. Needs `config_all`.",
    "SENTINEL CONFIG GET * (6.2+)",
)
.with_labels(&["key"]);

/// The command that lists the parameters.
pub fn config_get() -> Command {
    Command::new(2, &["SENTINEL", "CONFIG", "GET", "*"])
}

/// Adds the parameters of the reply, if there is one.
///
/// # Errors
/// `Shape` and `Failed`; that the command is not to be had is no error, since the frame names it.
pub fn push(context: &PollContext<'_>, samples: &mut Samples) -> Result<(), CollectError> {
    let command = config_get();
    let reply = match context.reply(&command) {
        Ok(reply) => reply,
        Err(CollectError::Unavailable { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut seen = std::collections::BTreeSet::new();
    for pair in list(reply, &command)?.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let (Some(name), Some(value)) = (name.as_bytes().map(label_text), value.as_bytes()) else {
            continue;
        };
        // Where one name stands twice the first counts.
        if !seen.insert(name.clone()) {
            continue;
        }
        if seen.len() > MAX_PARAMETERS {
            samples.note_dropped(1);
            continue;
        }
        let value = label_text(value);
        let value = shown(&name, &value);
        if value != SECRET_PLACEHOLDER
            && let Some(number) = parse_number(value)
        {
            samples.push_with(&VALUE, vec![("key", name.clone().into())], number);
        }
        let labels = vec![("key", name.into()), ("value", value.to_owned().into())];
        samples.push_with(&KEY_VALUE, labels, 1.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::Scene;
    use crate::redis::Reply;

    fn reply(pairs: &[(&str, &str)]) -> Reply {
        let words = pairs.iter().flat_map(|(name, value)| [*name, *value]);
        Reply::Array(words.map(|word| Reply::Bulk(word.to_owned().into())).collect())
    }

    fn pushed(reply: Reply) -> Samples {
        let scene = Scene::new("redis_mode:sentinel\r\n").answer(config_get(), reply);
        let mut samples = Samples::new();
        scene.with_context(|context| push(context, &mut samples)).unwrap();
        samples
    }

    /// The parameters of Redis 8.0 and Valkey 9.1, with secrets, a number among them.
    #[test]
    fn nothing_that_may_be_a_secret_is_shown() {
        let samples = pushed(reply(&[
            ("resolve-hostnames", "no"),
            ("announce-port", "26379"),
            ("announce-ip", ""),
            ("sentinel-user", "somebody"),
            ("sentinel-pass", "31337"),
            ("Some-New-Token", "hunter2"),
            ("loglevel", "notice"),
            ("loglevel", "debug"),
        ]));
        let shown = format!("{samples:?}");
        for secret in ["somebody", "31337", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(samples.number_with(VALUE.name, &["announce-port"]), Some(26379.0));
        assert_eq!(
            samples.number_with(KEY_VALUE.name, &["resolve-hostnames", "no"]),
            Some(1.0)
        );
        assert_eq!(samples.number_with(KEY_VALUE.name, &["announce-ip", ""]), Some(1.0));
        assert_eq!(samples.number_with(KEY_VALUE.name, &["loglevel", "notice"]), Some(1.0));
        assert_eq!(
            samples.families()[0].samples.len() + samples.families()[1].samples.len(),
            8
        );
        let hidden = samples.number_with(KEY_VALUE.name, &["sentinel-pass", SECRET_PLACEHOLDER]);
        assert_eq!(hidden, Some(1.0));
    }

    #[test]
    fn an_older_sentinel_shows_nothing_and_a_hostile_one_not_everything() {
        let unknown = Reply::Error("ERR Unknown subcommand 'config'. Try SENTINEL HELP.".into());
        assert!(pushed(unknown).is_empty());
        let names: Vec<String> = (0..MAX_PARAMETERS + 3).map(|number| format!("p{number}")).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        let samples = pushed(reply(&pairs));
        assert_eq!(samples.families()[0].samples.len(), MAX_PARAMETERS);
        assert_eq!(samples.dropped(), 3);
    }
}
