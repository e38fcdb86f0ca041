//! The configuration of flags as the `exporter.yaml` that a person would write: only what differs from the defaults, what all instances
//! share once under `defaults`, and no secret.

use super::address::ParsedAddress;
use super::cluster::ClusterConfig;
use super::decode::{Decoder, unplaced};
use super::environment::Environment;
use super::problem::Problems;
use super::render::{cluster_tree, instance_tree};
use super::resolve::resolve;
use super::schema::{ConfigDraft, InstanceDraft, Layer};
use super::types::{PasswordSource, Secret};
use super::{InstanceConfig, ValidatedConfig};
use serde_yaml::{Mapping, Value};
use std::sync::Arc;

/// The variable that the file takes the first password from; it is the one of `redis_exporter`. Further ones get a number behind it.
const PASSWORD_VARIABLE: &str = "REDIS_PASSWORD";

/// The variable that it takes the name of CONFIG from where somebody made one up; it is the one of `redis_exporter` as well.
const CONFIG_COMMAND_VARIABLE: &str = "REDIS_EXPORTER_CONFIG_COMMAND";

/// A file, and what has to be there beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinimalFile {
    /// The YAML; empty when there is no instance, which no file can say.
    pub yaml: String,
    /// The variables that it takes passwords from, with what they must hold.
    pub variables: Vec<(String, Secret)>,
    /// The same of made-up names of CONFIG.
    pub command_variables: Vec<(String, Secret)>,
    /// How many texts look like `${NAME}` and so would be taken from the environment.
    pub lookalikes: usize,
}

/// Writes a configuration that flags made. Loaded again, with the variables set, it is the same configuration.
pub fn to_minimal_yaml(config: &ValidatedConfig) -> MinimalFile {
    let mut file = MinimalFile {
        yaml: String::new(),
        variables: Vec::new(),
        command_variables: Vec::new(),
        lookalikes: 0,
    };
    let mut trees: Vec<Mapping> = Vec::new();
    let single = config.instances.iter().map(|instance| (said(instance), instance));
    let clusters = config.clusters.iter();
    let clusters = clusters.map(|cluster| (said_of_cluster(cluster), &cluster.template));
    for (tree, instance) in single.chain(clusters) {
        let Some(mut tree) = tree else {
            continue;
        };
        file.lookalikes += lookalikes(&Value::Mapping(tree.clone()));
        if let PasswordSource::Inline(secret) = &instance.password {
            let variable = variable(&mut file.variables, PASSWORD_VARIABLE, secret);
            tree.insert("password".into(), format!("${{{variable}}}").into());
        }
        let compatibility = &instance.optional.compatibility;
        let section = tree.get_mut("compatibility").and_then(Value::as_mapping_mut);
        if let Some(section) = section.filter(|_| compatibility.has_secret_config_command()) {
            let secret = Secret::new(compatibility.config_command.as_str());
            let variable = variable(&mut file.command_variables, CONFIG_COMMAND_VARIABLE, &secret);
            section.insert("config_command".into(), format!("${{{variable}}}").into());
        }
        trees.push(tree);
    }
    if trees.is_empty() {
        return file;
    }
    let mut whole = Mapping::new();
    let shared = shared(&mut trees);
    if !shared.is_empty() {
        whole.insert("defaults".into(), Value::Mapping(shared));
    }
    let trees = trees.into_iter().map(Value::Mapping).collect();
    whole.insert("instances".into(), Value::Sequence(trees));
    file.yaml = serde_yaml::to_string(&whole).unwrap_or_default();
    file
}

/// The variable of a secret: the same for the same one, the first with the name itself and every other with a number behind it.
fn variable(variables: &mut Vec<(String, Secret)>, first: &str, secret: &Secret) -> String {
    if let Some((name, _)) = variables.iter().find(|(_, known)| known == secret) {
        return name.clone();
    }
    let name = match variables.len() {
        0 => first.to_owned(),
        others => format!("{first}_{}", others + 1),
    };
    variables.push((name.clone(), secret.clone()));
    name
}

/// What has to be said of an instance: its address, and what is not as it would be without a word.
fn said(instance: &InstanceConfig) -> Option<Mapping> {
    let plain = plain(instance, None)?;
    let silent = instance_tree(plain.instances.first()?)?;
    let address = instance.address.to_string();
    // Database 0 is the one that an address without a database means.
    let short = address.strip_suffix("/0").filter(|short| short.contains("://"));
    Some(beside(short.unwrap_or(&address), &instance_tree(instance)?, &silent))
}

/// The same of a cluster.
fn said_of_cluster(cluster: &ClusterConfig) -> Option<Mapping> {
    let plain = plain(&cluster.template, Some(cluster))?;
    let silent = cluster_tree(plain.clusters.first()?)?;
    Some(beside(&cluster.address(), &cluster_tree(cluster)?, &silent))
}

/// What has to stand beside an address.
fn beside(address: &str, tree: &Mapping, silent: &Mapping) -> Mapping {
    let mut said = Mapping::new();
    let mut rest = differences(tree, silent);
    said.extend(rest.remove("name").map(|name| ("name".into(), name)));
    said.insert("address".into(), address.into());
    said.extend(rest);
    said
}

/// The instance, or the cluster with this template, as it were with nothing but its address. A section that names something switches its
/// collector on by itself.
fn plain(instance: &InstanceConfig, cluster: Option<&ClusterConfig>) -> Option<ValidatedConfig> {
    let nothing = Environment::of_pairs(&[]);
    let mut decoder = Decoder::new(Problems::new(""), &nothing);
    let draft = InstanceDraft {
        place: None,
        path: String::new(),
        name: None,
        address: Some(unplaced(ParsedAddress {
            address: instance.address.clone(),
            cluster: cluster.map(|cluster| cluster.seeds.clone()),
            username: None,
            password: None,
        })),
        layer: Layer::default(),
    };
    let draft = ConfigDraft {
        instances: Some(vec![draft]),
        ..ConfigDraft::default()
    };
    let mut config = resolve(&mut decoder, draft)?;
    let templates = config
        .clusters
        .iter_mut()
        .map(|cluster| &mut Arc::make_mut(cluster).template);
    for plain in config.instances.iter_mut().chain(templates) {
        for (name, on) in &mut Arc::make_mut(plain).collectors {
            *on = *on || instance.optional.switches_on(name);
        }
    }
    Some(config)
}

/// What of `tree` is not the same in `silent`.
fn differences(tree: &Mapping, silent: &Mapping) -> Mapping {
    let mut different = Mapping::new();
    for (key, value) in tree {
        match (value, silent.get(key)) {
            (_, Some(known)) if known == value => {}
            (Value::Mapping(tree), Some(Value::Mapping(silent))) => {
                let inner = differences(tree, silent);
                if !inner.is_empty() {
                    different.insert(key.clone(), Value::Mapping(inner));
                }
            }
            _ => {
                different.insert(key.clone(), value.clone());
            }
        }
    }
    different
}

/// Takes what every one of several instances says alike out of them.
fn shared(trees: &mut [Mapping]) -> Mapping {
    let mut shared = Mapping::new();
    let Some((first, others)) = trees.split_first() else {
        return shared;
    };
    if others.is_empty() {
        return shared;
    }
    for (key, value) in first {
        let own = ["name", "address"].iter().any(|own| key == &Value::from(*own));
        if !own && others.iter().all(|tree| tree.get(key) == Some(value)) {
            shared.insert(key.clone(), value.clone());
        }
    }
    for tree in trees {
        tree.retain(|key, _| !shared.contains_key(key));
    }
    shared
}

/// How many texts look like a variable.
fn lookalikes(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(text.starts_with("${") && text.ends_with('}')),
        Value::Sequence(items) => items.iter().map(lookalikes).sum(),
        Value::Mapping(tree) => tree.iter().map(|(_, value)| lookalikes(value)).sum(),
        _ => 0,
    }
}
