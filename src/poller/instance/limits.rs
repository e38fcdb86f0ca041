//! Says once which limit leaves something out. How much it is counts `redis_session_exporter_series_dropped_total`, which names no limit.

use super::Instance;
use crate::collectors::client_list::pace::MAX_LISTED_CLIENTS;
use crate::collectors::tls;
use crate::config::InstanceConfig;
use crate::keys::{check_keys, key_groups, streams};

impl Instance {
    /// Notes that a collector left series out. The first time the log says which limit it was; the landing page says so until a reload.
    pub(super) fn note_limit(&mut self, collector: &'static str, left_out: u64) {
        if left_out == 0 || self.details.limits_reached.contains_key(collector) {
            return;
        }
        let Some(limit) = limit_of(&self.config, collector) else {
            return;
        };
        tracing::warn!(
            instance = %self.name, collector, %limit, left_out,
            "a limit is reached: what is beyond it is not shown, and is counted in redis_session_exporter_series_dropped_total"
        );
        self.details.limits_reached.insert(collector, limit);
    }
}

/// What the limit of a collector is called and how large it is.
fn limit_of(config: &InstanceConfig, collector: &str) -> Option<String> {
    match collector {
        check_keys::COLLECTOR => Some(format!("limits.checked_keys ({})", config.checked_keys)),
        key_groups::COLLECTOR => {
            let groups = config.optional.key_groups.as_ref()?;
            (groups.max_groups > 0).then(|| format!("key_groups.max_groups ({})", groups.max_groups))
        }
        streams::COLLECTOR => Some(streams::limits_in_words()),
        // Whoever asks for none at all knows that none are shown.
        "client_list" => {
            let clients = config.optional.client_list.max_clients;
            (clients > 0).then(|| format!("client_list.max_clients ({clients})"))
        }
        tls::COLLECTOR => Some(format!("{MAX_LISTED_CLIENTS} clients that one CLIENT LIST may list")),
        "client_counts" => Some(format!(
            "limits.label_values ({}), or {MAX_LISTED_CLIENTS} clients that one CLIENT LIST may list",
            config.label_values
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_str};
    use std::path::Path;

    #[test]
    fn limits_are_named_as_the_file_names_them_and_none_where_none_is_wanted() {
        let of = |text: &str, collector| {
            let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
            limit_of(&loaded.config.instances[0], collector)
        };
        let limits = "limits: { checked_keys: 7 }\ninstances: [ { address: a } ]";
        assert_eq!(of(limits, "check_keys").unwrap(), "limits.checked_keys (7)");
        assert_eq!(of("", "client_list").unwrap(), "client_list.max_clients (1000)");
        let none = "instances: [ { address: a, client_list: { max_clients: 0 } } ]";
        assert_eq!(of(none, "client_list"), None);
        let groups = |most: u32| {
            format!("instances: [ {{ address: a, key_groups: {{ patterns: ['a'], max_groups: {most} }} }} ]")
        };
        assert_eq!(of(&groups(3), "key_groups").unwrap(), "key_groups.max_groups (3)");
        assert_eq!(of(&groups(0), "key_groups"), None);
        let streams = of("", "streams").unwrap();
        assert!(
            streams.contains("1000 streams") && streams.contains("10000 groups"),
            "{streams}"
        );
        assert_eq!(of("", "memory"), None);
    }
}
