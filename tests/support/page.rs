//! What a page of the documentation tells people to run: blocks that stand behind `<!-- tested: NAME -->`, and the containers in them.

use serde_yaml::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// docs/migration.md with its blocks.
#[derive(Debug)]
pub struct Page {
    blocks: BTreeMap<String, String>,
}

/// What a container is started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// The image with its tag.
    pub image: String,
    /// Arguments behind the image.
    pub arguments: Vec<String>,
    /// Environment.
    pub variables: Vec<(String, String)>,
}

/// Options of `docker run` that the page uses and that take the next word.
const WITH_A_WORD: [&str; 3] = ["--name", "-p", "-v"];

/// Options of `docker run` that the page uses and that take nothing.
const ALONE: [&str; 2] = ["-d", "--rm"];

impl Page {
    /// Reads docs/migration.md.
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
        let text = std::fs::read_to_string(path).unwrap();
        let mut blocks = BTreeMap::new();
        for part in text.split("<!-- tested: ").skip(1) {
            let (name, rest) = part.split_once(" -->\n```").unwrap();
            let (_, rest) = rest.split_once('\n').unwrap();
            let (block, _) = rest.split_once("```\n").unwrap();
            let before = blocks.insert(name.to_owned(), block.to_owned());
            assert!(before.is_none(), "two blocks are called {name}");
        }
        Self { blocks }
    }

    /// A block, with these texts replaced.
    pub fn block(&self, name: &str, replaced: &[(&str, &str)]) -> String {
        let block = self.blocks.get(name);
        let mut block = block.unwrap_or_else(|| panic!("no block {name}")).clone();
        for (from, to) in replaced {
            block = block.replace(from, to);
        }
        block
    }

    /// A block that is YAML.
    pub fn yaml(&self, name: &str, replaced: &[(&str, &str)]) -> Value {
        let block = self.block(name, replaced);
        serde_yaml::from_str(&block).unwrap_or_else(|error| panic!("{name}: {error}\n{block}"))
    }

    /// The names of all blocks.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.blocks.keys().map(String::as_str)
    }

    /// The container of a block that is a `docker run`.
    pub fn docker_run(&self, name: &str, replaced: &[(&str, &str)]) -> Container {
        let block = self.block(name, replaced).replace("\\\n", " ");
        let mut words = block.split_whitespace().map(str::to_owned);
        assert_eq!(
            [words.next(), words.next(), words.next()].map(Option::unwrap),
            ["$", "docker", "run"]
        );
        let mut container = Container::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-e" => {
                    let variable = words.next().unwrap();
                    let (name, value) = variable.split_once('=').unwrap();
                    container.variables.push((name.to_owned(), value.to_owned()));
                }
                option if WITH_A_WORD.contains(&option) => assert!(words.next().is_some()),
                option if ALONE.contains(&option) => {}
                option if option.starts_with('-') => panic!("{name}: what is {option}?"),
                image => {
                    container.image = image.to_owned();
                    break;
                }
            }
        }
        container.arguments = words.collect();
        container
    }
}

/// The text of a scalar; YAML's numbers and booleans as they are written.
pub fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Null => String::new(),
        other => panic!("no scalar: {other:?}"),
    }
}

fn words(list: &Value) -> Vec<String> {
    list.as_sequence().into_iter().flatten().map(scalar).collect()
}

/// `env` of a pod, with a value for the keys of all secrets.
fn pod_variables(list: &Value, secret: &str) -> Vec<(String, String)> {
    let of = |item: &Value| {
        let value = match item["valueFrom"]["secretKeyRef"].as_mapping() {
            Some(_) => secret.to_owned(),
            None => scalar(&item["value"]),
        };
        (scalar(&item["name"]), value)
    };
    list.as_sequence().into_iter().flatten().map(of).collect()
}

/// The one service of a compose file.
pub fn of_compose(file: &Value) -> Container {
    let services = file["services"].as_mapping().unwrap();
    assert_eq!(services.len(), 1);
    let service = services.values().next().unwrap();
    let environment = service["environment"].as_mapping().unwrap();
    Container {
        image: scalar(&service["image"]),
        arguments: words(&service["command"]),
        variables: environment
            .iter()
            .map(|(name, value)| (scalar(name), scalar(value)))
            .collect(),
    }
}

/// The one container of a pod.
pub fn of_pod(pod: &Value, secret: &str) -> Container {
    let container = &pod["containers"][0];
    Container {
        image: scalar(&container["image"]),
        arguments: words(&container["args"]),
        variables: pod_variables(&container["env"], secret),
    }
}

/// What the chart prometheus-redis-exporter makes of its values; the file of passwords is mounted at `passwords`.
pub fn of_helm(values: &Value, secret: &str, passwords: &str) -> Container {
    let image = &values["image"];
    let arguments = values["extraArgs"].as_mapping().into_iter().flatten();
    let mut variables = vec![("REDIS_ADDR".to_owned(), scalar(&values["redisAddress"]))];
    let auth = &values["auth"];
    if auth["enabled"].as_bool() == Some(true) {
        if auth["redisPasswordFile"]["secret"]["name"].is_string() {
            variables.push(("REDIS_PASSWORD_FILE".to_owned(), passwords.to_owned()));
        } else {
            assert!(auth["secret"]["key"].is_string());
            variables.push(("REDIS_PASSWORD".to_owned(), secret.to_owned()));
        }
    }
    variables.extend(pod_variables(&values["env"], secret));
    Container {
        image: format!("{}:{}", scalar(&image["repository"]), scalar(&image["tag"])),
        arguments: arguments
            .map(|(name, value)| format!("--{}={}", scalar(name), scalar(value)))
            .collect(),
        variables,
    }
}
