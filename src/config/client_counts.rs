//! The shape of `client_counts`: in which ways clients are counted where the collector of that name is on.

use super::decode::{Decoder, Fields};
use super::names::Scope;
use super::optional::ClientCountsConfig;

/// Decodes `client_counts` of one level; `None` when it was left out.
pub(super) fn client_counts(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<ClientCountsConfig> {
    let field = fields.get("client_counts")?;
    if field.node.is_null() {
        return None;
    }
    let fields = decoder.fields(field, Scope::ClientCounts);
    let mut config = ClientCountsConfig::default();
    for (key, switch) in [("by_user", &mut config.by_user), ("by_name", &mut config.by_name)] {
        if let Some(on) = fields.get(key).and_then(|field| decoder.switch(field)) {
            *switch = on;
        }
    }
    Some(config)
}

#[cfg(test)]
mod tests {
    use crate::config::optional::ClientCountsConfig;
    use crate::config::{Environment, load_str};
    use std::path::Path;

    fn loaded(text: &str) -> Result<(ClientCountsConfig, bool), String> {
        let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[]));
        let loaded = loaded.map_err(|error| error.to_string())?;
        let instance = &loaded.config.instances[0];
        Ok((instance.optional.client_counts, instance.collectors["client_counts"]))
    }

    #[test]
    fn both_are_counted_unless_one_is_left_out_and_options_switch_nothing_on() {
        let of = |by_user, by_name| ClientCountsConfig { by_user, by_name };
        assert_eq!(loaded("").unwrap(), (of(true, true), false));
        let text = "defaults: { client_counts: { by_name: off }, collectors: { client_counts: on } }\ninstances: [{ address: a }]";
        assert_eq!(loaded(text).unwrap(), (of(true, false), true));
        let own = text.replace("address: a", "address: a, client_counts: { by_user: off }");
        assert_eq!(
            loaded(&own).unwrap(),
            (of(false, true), true),
            "an instance says the section whole"
        );
    }

    #[test]
    fn wrong_keys_and_values_are_refused() {
        for text in ["{ by_address: on }", "{ by_user: 5 }", "on"] {
            let text = format!("instances: [{{ address: a, client_counts: {text} }}]");
            assert!(loaded(&text).unwrap_err().contains("client_counts"), "{text}");
        }
    }
}
