//! The shape of `client_list`: what of the clients is shown where the collector of that name is on.

use super::decode::{Decoder, Fields};
use super::names::Scope;
use super::optional::{ClientListConfig, MAX_SHOWN_CLIENTS};

/// Decodes `client_list` of one level; `None` when it was left out.
pub(super) fn client_list(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<ClientListConfig> {
    let field = fields.get("client_list")?;
    if field.node.is_null() {
        return None;
    }
    let fields = decoder.fields(field, Scope::ClientList);
    let mut config = ClientListConfig::default();
    if let Some(port) = fields.get("port").and_then(|field| decoder.switch(field)) {
        config.port = port;
    }
    let most = u64::try_from(MAX_SHOWN_CLIENTS).unwrap_or(u64::MAX);
    let written = fields
        .get("max_clients")
        .and_then(|field| decoder.whole_number(field, 0, most));
    if let Some(clients) = written.and_then(|number| usize::try_from(number).ok()) {
        config.max_clients = clients;
    }
    Some(config)
}

#[cfg(test)]
mod tests {
    use crate::config::optional::ClientListConfig;
    use crate::config::{Environment, load_str};
    use std::path::Path;

    fn loaded(text: &str) -> Result<(ClientListConfig, bool), String> {
        let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[]));
        let loaded = loaded.map_err(|error| error.to_string())?;
        let instance = &loaded.config.instances[0];
        Ok((instance.optional.client_list, instance.collectors["client_list"]))
    }

    #[test]
    fn an_instance_says_the_section_whole_and_options_switch_nothing_on() {
        let standard = ClientListConfig {
            port: false,
            max_clients: 1_000,
        };
        assert_eq!(loaded("").unwrap(), (standard, false));
        let text = "defaults: { client_list: { port: on, max_clients: 5 }, collectors: { client_list: on } }\n\
                    instances: [{ address: a, client_list: { max_clients: 0 } }]";
        let own = ClientListConfig {
            port: false,
            max_clients: 0,
        };
        assert_eq!(loaded(text).unwrap(), (own, true));
        let text = "defaults: { client_list: { port: on } }\ninstances: [{ address: a }]";
        let common = ClientListConfig { port: true, ..standard };
        assert_eq!(loaded(text).unwrap(), (common, false));
    }

    #[test]
    fn wrong_keys_and_values_are_refused() {
        for text in [
            "{ prot: on }",
            "{ port: 5 }",
            "{ max_clients: 10001 }",
            "{ max_clients: -1 }",
            "on",
        ] {
            let text = format!("instances: [{{ address: a, client_list: {text} }}]");
            assert!(loaded(&text).unwrap_err().contains("client_list"), "{text}");
        }
    }
}
