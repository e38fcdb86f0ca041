//! The shape of `compatibility`: what `redis_exporter` lets its users change about things that both exporters do by default.

use super::decode::{Decoder, Field, Fields, TextRule};
use super::names::Scope;
use super::optional::CompatibilityLayer;

/// Longest name of a command. Redis' own are below 30 bytes; names that somebody made up to hide a command are often random ones.
const MAX_COMMAND_BYTES: usize = 128;

/// What one level says. Each key stands alone, so that an instance may change one and keep the others of `defaults`.
pub(super) fn compatibility(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> CompatibilityLayer {
    let Some(field) = fields.get("compatibility") else {
        return CompatibilityLayer::default();
    };
    let fields = decoder.fields(field, Scope::Compatibility);
    let config_command = fields
        .get("config_command")
        .and_then(|field| command_name(decoder, field));
    let mut switch = |key: &str| fields.get(key).and_then(|field| decoder.switch(field));
    CompatibilityLayer {
        config_command,
        set_client_name: switch("set_client_name"),
        empty_databases: switch("empty_databases"),
        latency_commands: switch("latency_commands"),
        rdb_file_size: switch("rdb_file_size"),
        keys_at_replicas_only: switch("keys_at_replicas_only"),
        tile38: switch("tile38"),
    }
}

/// One word. It is sent as it stands, so that one with a space would be a command that no server knows.
fn command_name(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let name = decoder.text(field, &TextRule::line(MAX_COMMAND_BYTES))?;
    if name.contains(char::is_whitespace) {
        decoder.refuse(
            field,
            "contains a space; write the name behind `rename-command CONFIG` in the server's configuration, or `-` when CONFIG may not be asked",
        );
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, InstanceConfig, load_str};
    use std::path::Path;
    use std::sync::Arc;

    fn instances(text: &str) -> Vec<Arc<InstanceConfig>> {
        let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        loaded.config.instances
    }

    #[test]
    fn each_key_comes_from_the_nearest_level_that_says_it() {
        let text = "defaults: { compatibility: { config_command: HIDDEN, set_client_name: off, rdb_file_size: on } }\n\
            instances:\n  - { name: a, address: a }\n  - { name: b, address: b, compatibility: { set_client_name: on, tile38: on, \
            empty_databases: off, latency_commands: off, keys_at_replicas_only: on } }\n";
        let instances = instances(text);
        let a = &instances[0].optional.compatibility;
        assert_eq!(a.config_command, "HIDDEN");
        assert!(!a.set_client_name && a.rdb_file_size && a.empty_databases && a.latency_commands);
        assert!(!a.tile38 && !a.keys_at_replicas_only);
        let b = &instances[1].optional.compatibility;
        assert_eq!(b.config_command, "HIDDEN");
        assert!(b.set_client_name && b.rdb_file_size && b.tile38 && b.keys_at_replicas_only);
        assert!(!b.empty_databases && !b.latency_commands);
    }

    #[test]
    fn a_level_that_says_nothing_changes_nothing() {
        let text = "instances: [ { address: a, compatibility: } ]";
        assert_eq!(
            instances(text)[0].optional.compatibility,
            crate::config::optional::Compatibility::default()
        );
    }
}
