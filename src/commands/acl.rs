//! `acl`: prints the line that makes the least-privilege user, for every instance and its server. Nothing is changed anywhere, and no
//! password is printed.

use super::EXIT_OK;
use crate::acl::{self, PASSWORD, servers};
use crate::collectors::{Server, identify};
use crate::config::cluster::Discovered;
use crate::config::types::{Address, PasswordSource};
use crate::config::{InstanceConfig, ValidatedConfig};
use crate::discovery;
use crate::poller::info_poll::info_command;
use crate::redis::{Connector, Info, Reason, Reply, Unavailable, sanitised_code, unavailability};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Which servers the lines are for, where they are not to be asked (`--server`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerChoice {
    /// The common ones, one line for all that take the same.
    All,
    /// This one, whichever servers the instances are.
    One(Server),
}

impl std::str::FromStr for ServerChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        let server = servers::parse(text);
        server
            .map(Self::One)
            .ok_or_else(|| format!("expected {}", servers::EXPECTED))
    }
}

/// How a line is spelt (`--format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For the prompt of redis-cli: ACL SETUSER …
    #[default]
    Command,
    /// For the file that aclfile names, or redis.conf: user …
    File,
}

/// An instance, or all nodes of a cluster.
struct Subject {
    /// As it is named in the comment.
    title: String,
    config: Arc<InstanceConfig>,
}

/// Prints the lines in the order of the configuration, the nodes of clusters last. Without a choice every server is asked what it is.
///
/// # Errors
/// When `output` cannot be written.
pub async fn run(
    config: ValidatedConfig,
    choice: Option<&ServerChoice>,
    format: Format,
    mut output: impl Write,
) -> std::io::Result<u8> {
    let config = Arc::new(config);
    let paragraphs = match choice {
        Some(ServerChoice::One(server)) => of_chosen(&config, std::slice::from_ref(server), format),
        Some(ServerChoice::All) => of_chosen(&config, &servers::common(), format),
        None => of_asked(&config, format).await,
    };
    let mut text = head(format);
    for paragraph in paragraphs {
        text.push('\n');
        text.push_str(&paragraph);
    }
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(EXIT_OK)
}

/// What holds for every line.
fn head(format: Format) -> String {
    let place = match format {
        Format::Command => {
            "Each line is for the prompt of redis-cli at that server; ACL SAVE or CONFIG REWRITE makes it last."
        }
        Format::File => {
            "Each line is for the server's aclfile, which takes no comments, or for its configuration; ACL LOAD reads the former."
        }
    };
    format!(
        "# {place}\n# Put the exporter's password in place of {PASSWORD}, or write #HASH (its SHA-256 in hexadecimal) in place of >{PASSWORD}.\n"
    )
}

/// Without asking anybody.
fn of_chosen(config: &ValidatedConfig, chosen: &[Server], format: Format) -> Vec<String> {
    let instances = config.instances.iter().cloned().map(of_instance);
    let clusters = config.clusters.iter().map(|cluster| of_cluster(cluster));
    instances
        .chain(clusters)
        .map(|subject| {
            // Servers whose lines are the same stand together.
            let mut groups: Vec<(Vec<String>, String)> = Vec::new();
            for server in chosen {
                let body = body(&subject.config, server, format);
                match groups.iter_mut().find(|(_, known)| *known == body) {
                    Some((names, _)) => names.push(servers::name(server)),
                    None => groups.push((vec![servers::name(server)], body)),
                }
            }
            let paragraphs = groups
                .into_iter()
                .map(|(names, body)| format!("# {}: {}\n{body}", subject.title, names.join(", ")));
            paragraphs.collect::<Vec<_>>().join("\n")
        })
        .collect()
}

/// Every server is asked, all side by side.
async fn of_asked(config: &Arc<ValidatedConfig>, format: Format) -> Vec<String> {
    let targets = discovery::once(config).await;
    let mut subjects: Vec<Subject> = targets.config.instances.iter().cloned().map(of_instance).collect();
    for cluster in &config.clusters {
        let is_of = |subject: &Subject| {
            let discovered = subject.config.discovered.as_ref();
            discovered.is_some_and(|discovered| *discovered.cluster == *cluster.name)
        };
        if !subjects.iter().any(is_of) {
            subjects.push(of_cluster(cluster));
        }
    }
    let mut questions = JoinSet::new();
    for (position, subject) in subjects.into_iter().enumerate() {
        questions.spawn(async move {
            let server = ask(&subject.config).await;
            (position, subject, server)
        });
    }
    let mut answers = questions.join_all().await;
    answers.sort_by_key(|(position, _, _)| *position);
    let paragraphs = answers.into_iter().map(|(_, subject, server)| match server {
        Ok(server) => format!(
            "# {}: {}\n{}",
            subject.title,
            servers::name(&server),
            body(&subject.config, &server, format)
        ),
        Err(why) => {
            let assumed = servers::parse(servers::ASSUMED).unwrap_or_default();
            let (name, body) = (servers::name(&assumed), body(&subject.config, &assumed, format));
            format!(
                "# {}: {why}\n# The line is for {name} and everything later, without what only later servers have; `acl --server=…` prints \
                 another: {}.\n{body}",
                subject.title,
                servers::EXPECTED
            )
        }
    });
    paragraphs.collect()
}

fn of_instance(config: Arc<InstanceConfig>) -> Subject {
    Subject {
        title: format!("{} at {}", config.name, config.address),
        config,
    }
}

/// All nodes of a cluster that nobody named.
fn of_cluster(cluster: &crate::config::cluster::ClusterConfig) -> Subject {
    let config = InstanceConfig {
        discovered: Some(Discovered {
            cluster: cluster.name.as_str().into(),
            networks: None,
        }),
        ..InstanceConfig::clone(&cluster.template)
    };
    Subject {
        title: format!("every node of {}", cluster.address()),
        config: Arc::new(config),
    }
}

/// Notes as comments, and the line.
fn body(config: &InstanceConfig, server: &Server, format: Format) -> String {
    let Some(line) = acl::line(config, server) else {
        return "# It has no users: a password (requirepass), or none, gives every right.\n".to_owned();
    };
    let mut body = String::new();
    for note in acl::notes(config, server) {
        // Writing to a String cannot fail.
        let _ = writeln!(body, "# {note}");
    }
    let line = match format {
        Format::Command => line.command(),
        Format::File => line.of_file(),
    };
    body.push_str(&line);
    body.push('\n');
    body
}

/// Asks a server what it is: as the user of the configuration, and where that one is not let in, since it is to be made yet, as nobody.
///
/// # Errors
/// Why that is unknown, in words.
async fn ask(config: &InstanceConfig) -> Result<Server, String> {
    let (reason, why) = match inquire(config).await {
        Ok(server) => return Ok(server),
        Err(failure) => failure,
    };
    let has_credentials = config.username.is_some() || config.password != PasswordSource::None;
    if has_credentials && matches!(reason, Reason::Auth | Reason::Denied) {
        let nobody = InstanceConfig {
            username: None,
            password: PasswordSource::None,
            ..config.clone()
        };
        if let Ok(server) = inquire(&nobody).await {
            return Ok(server);
        }
    }
    Err(why)
}

async fn inquire(config: &InstanceConfig) -> Result<Server, (Reason, String)> {
    let deadline = Instant::now() + config.poll.timeout;
    // The user may not be allowed to change to another database yet.
    let address = Address {
        database: 0,
        ..config.address.clone()
    };
    let unasked = |error: crate::redis::RedisError| {
        let reason = error.reason;
        (
            reason,
            format!("it could not be asked what it is ({}): {error}", reason.as_label()),
        )
    };
    let connected = Connector::like(config, address).connect(deadline).await;
    let (mut connection, _) = connected.map_err(|(_, error)| unasked(error))?;
    let replies = connection
        .exchange(&[info_command()], deadline)
        .await
        .map_err(unasked)?;
    match replies.first() {
        Some(Reply::Bulk(text) | Reply::Simple(text)) => Ok(identify(&Info::parse(text))),
        Some(error @ Reply::Error(_)) if unavailability(error) == Some(Unavailable::Denied) => Err((
            Reason::Denied,
            "it does not say what it is, since INFO is denied".to_owned(),
        )),
        Some(error @ Reply::Error(_)) => {
            let code = sanitised_code(error);
            let reason = crate::redis::reason::classify_error_reply(error).unwrap_or(Reason::Other);
            Err((reason, format!("it does not say what it is: INFO answers {code}")))
        }
        _ => Err((
            Reason::Protocol,
            "it does not say what it is: INFO answers no text".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_str};
    use std::path::Path;

    #[test]
    fn servers_are_chosen_by_name() {
        assert_eq!("all".parse(), Ok(ServerChoice::All));
        assert!(matches!("valkey-8.1".parse(), Ok(ServerChoice::One(server)) if server.product == "valkey"));
        let complaint = "redis".parse::<ServerChoice>().unwrap_err();
        assert!(complaint.contains("redis-6.2"), "{complaint}");
    }

    #[tokio::test]
    async fn nobody_is_asked_where_a_server_is_chosen_and_no_secret_is_printed() {
        // Port 1 of loopback: whoever dialled it would say so.
        let text = "instances:\n  - { name: web, address: 'redis://exporter:canary@127.0.0.1:1' }\n  \
                    - { name: shop, address: 'redis-cluster://exporter:canary@127.0.0.1:1' }";
        let print = async |choice: Option<ServerChoice>, format| {
            let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
            let mut output = Vec::new();
            let code = run(loaded.config, choice.as_ref(), format, &mut output).await.unwrap();
            assert_eq!(code, EXIT_OK);
            let output = String::from_utf8(output).unwrap();
            assert!(!output.contains("canary"), "{output}");
            output
        };
        let chosen = print(Some("redis-6.2".parse().unwrap()), Format::Command).await;
        assert!(
            chosen.contains("# web at redis://127.0.0.1:1/0: Redis 6.2\n"),
            "{chosen}"
        );
        assert!(
            chosen.contains("# every node of redis-cluster://127.0.0.1:1"),
            "{chosen}"
        );
        assert!(!chosen.contains("could not be asked"), "{chosen}");
        let lines: Vec<&str> = chosen
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        assert_eq!(lines.len(), 2, "{chosen}");
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("ACL SETUSER exporter reset on >PASSWORD ~"))
        );
        assert!(
            !lines[0].contains("+cluster|nodes") && lines[1].contains("+cluster|nodes"),
            "{chosen}"
        );

        let all = print(Some(ServerChoice::All), Format::File).await;
        let of_web = all.lines().filter(|line| line.starts_with("# web at ")).count();
        assert!(
            (4..=10).contains(&of_web),
            "servers with the same line stand together: {all}"
        );
        assert!(all.contains("\nuser exporter reset on >PASSWORD %R~"), "{all}");

        let asked = print(None, Format::Command).await;
        assert!(
            asked.contains("# web at redis://127.0.0.1:1/0: it could not be asked what it is (refused)"),
            "{asked}"
        );
        assert!(asked.contains("The line is for Redis 7.0"), "{asked}");
    }
}
