//! `check`: connects to every instance and says what each collector can and cannot do there, and what mends it.

mod alerts;
mod application;
mod as_file;
mod attempts;
mod clusters;
mod compatibility;
mod features;
mod greetings;
mod groups_and_streams;
mod keys;
mod lua;
mod notifications;
mod sentinel;
mod session_probe;
mod sessions;
mod tls;

use super::{EXIT_FAILURE, EXIT_OK};
use crate::acl;
use crate::collectors::grants::Grant;
use crate::collectors::{CollectError, Server, SessionKnowledge};
use crate::config::types::Address;
use crate::config::{InstanceConfig, ValidatedConfig};
use crate::discovery;
use crate::poller::info_poll::{self, InfoPoll};
use crate::redis::capabilities::Capabilities;
use crate::redis::{
    Command, Connection, Connector, Handshake, Reason, RedisError, Reply, Unavailable, denies_database, sanitised_code,
    unavailability,
};
pub use as_file::as_file;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Finds the nodes of every cluster and prints one paragraph about each; then checks every instance side by side and prints one paragraph
/// each, in the order of the configuration, and then `file`: what [`as_file`] makes of flags, or nothing.
///
/// # Errors
/// When `output` cannot be written.
pub async fn run(config: ValidatedConfig, file: &str, mut output: impl Write) -> std::io::Result<u8> {
    let targets = discovery::once(&Arc::new(config)).await;
    let config = &*targets.config;
    let mut code = EXIT_OK;
    for cluster in &targets.clusters {
        let report = clusters::describe(cluster);
        output.write_all(report.text.as_bytes())?;
        if !report.works {
            code = EXIT_FAILURE;
        }
    }
    let mut checks = JoinSet::new();
    for (position, instance) in config.instances.iter().cloned().enumerate() {
        checks.spawn(async move { (position, check(&instance).await) });
    }
    let mut reports: Vec<_> = checks.join_all().await;
    reports.sort_by_key(|(position, _)| *position);
    let shared: Vec<Report> = config
        .clusters
        .iter()
        .map(|cluster| {
            let is_of = |position: usize| {
                let discovered = config.instances.get(position).and_then(|it| it.discovered.as_ref());
                discovered.is_some_and(|discovered| *discovered.cluster == *cluster.name)
            };
            let nodes = reports.iter_mut().filter(|(position, _)| is_of(*position));
            clusters::shared(&cluster.name, nodes.map(|(_, report)| report).collect())
        })
        .collect();
    let reports = reports.into_iter().map(|(_, report)| report);
    for report in reports.chain(shared) {
        let works = report.works;
        output.write_all(report.whole().as_bytes())?;
        if !works {
            code = EXIT_FAILURE;
        }
    }
    if !file.is_empty() {
        output.write_all(b"\n")?;
        output.write_all(file.as_bytes())?;
    }
    output.flush()?;
    Ok(code)
}

/// What `check` found about one instance.
#[derive(Default)]
struct Report {
    text: String,
    /// Whether the daemon could connect, PING and poll with this configuration.
    works: bool,
    /// What the user must be granted besides.
    grants: BTreeSet<Grant>,
    /// The features that are missing, each with what it needs.
    unavailable: Vec<String>,
    /// The alerts that cannot fire, by what they miss.
    silent: Vec<String>,
    /// The command that mends what is denied.
    mending: Option<String>,
}

impl Report {
    /// A line of the paragraph: what, and what about it.
    fn line(&mut self, subject: &str, sentence: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "  {subject:<15} {sentence}");
    }

    /// The name of the instance, which stands first.
    fn title(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// The whole paragraph.
    fn whole(mut self) -> String {
        for sentence in std::mem::take(&mut self.unavailable) {
            self.line("not available", &sentence);
        }
        for sentence in std::mem::take(&mut self.silent) {
            self.line("cannot fire", &sentence);
        }
        if let Some(command) = self.mending.take() {
            self.line("to mend", &command);
        }
        self.text
    }

    /// Notes a command that the user may not run.
    fn denied(&mut self, command: &str) {
        self.grants.insert(Grant::Command(command.to_owned().into()));
    }

    /// Notes keys, by a glob, that the user may not read.
    fn may_read(&mut self, glob: &str) {
        self.grants.insert(Grant::ReadKeys(glob.to_owned()));
    }

    /// Notes one key that the user may not read.
    fn may_read_key(&mut self, key: &str) {
        self.grants.insert(Grant::read_key(key));
    }
}

async fn check(config: &InstanceConfig) -> Report {
    let mut report = Report {
        text: format!("{} at {}\n", config.name, config.address),
        works: true,
        ..Report::default()
    };
    let mut server = None;
    match look(&mut report, config).await {
        Ok(known) => server = known,
        Err((step, error)) => {
            report.works = false;
            report.line(step, &format!("failed ({}): {error}", error.reason.as_label()));
        }
    }
    report.mending = mending(config, server.as_ref(), &report.grants);
    report
}

/// The command that an administrator runs, with every missing rule once. A server without ACL (Redis before 6.0, `requirepass` alone) denies
/// nothing, so there is no line.
fn mending(config: &InstanceConfig, server: Option<&Server>, grants: &BTreeSet<Grant>) -> Option<String> {
    if grants.is_empty() {
        return None;
    }
    let makes_sense = |grant: &&Grant| match grant {
        Grant::Channels(_) => server.is_none_or(acl::servers::has_channel_rules),
        _ => true,
    };
    let rules = acl::rules::rules(grants.iter().filter(makes_sense), server);
    let rules: Vec<String> = rules.iter().map(|rule| acl::rules::quoted(rule)).collect();
    let user = acl::rules::quoted(config.username.as_deref().unwrap_or("default"));
    Some(format!("ACL SETUSER {user} {}", rules.join(" ")))
}

/// Goes through everything that the daemon does, as far as the server lets it; gives back who answered. An error ends the look.
async fn look(report: &mut Report, config: &InstanceConfig) -> Result<Option<Server>, (&'static str, RedisError)> {
    let deadline = || Instant::now() + config.poll.timeout;
    let mut databases: BTreeSet<u32> = BTreeSet::new();
    let mut home = config.address.database;
    let has_certificates;
    let mut connection = match Connector::new(config).connect(deadline()).await {
        Ok((connection, handshake)) => {
            report.line("connect", &format!("ok{}", phases(&handshake)));
            has_certificates = tls::describe(report, config, &handshake);
            connection
        }
        Err((handshake, error)) => {
            report.works = false;
            report.line(
                "connect",
                &format!("failed ({}){}: {error}", error.reason.as_label(), phases(&handshake)),
            );
            has_certificates = tls::describe(report, config, &handshake);
            // Only SELECT is denied at a connect. What else is missing can be found out without it.
            if error.reason != Reason::Denied {
                return Ok(None);
            }
            databases.insert(config.address.database);
            home = 0;
            let address = Address {
                database: 0,
                ..config.address.clone()
            };
            let connector = Connector::like(config, address);
            let (connection, _) = connector
                .connect(deadline())
                .await
                .map_err(|(_, error)| ("connect", error))?;
            connection
        }
    };
    match connection.ping(deadline()).await {
        Ok(()) => report.line("ping", "ok"),
        Err(error) if error.reason == Reason::Denied => {
            report.works = false;
            report.denied("ping");
            report.line("ping", "the user may not run PING: redis_connection_status stays 0");
        }
        Err(error) if error.reason.is_answer() => {
            report.works = false;
            report.line("ping", &format!("failed ({}): {error}", error.reason.as_label()));
        }
        Err(error) => return Err(("ping", error)),
    }
    let mut running = info_poll::collectors_of(config);
    let mut capabilities = Capabilities::default();
    let poll = info_poll::poll(
        &mut connection,
        &mut running,
        None,
        &mut capabilities,
        &SessionKnowledge::default(),
        None,
        deadline(),
    )
    .await
    .map_err(|error| ("poll", error))?;
    describe_server(report, &poll);
    describe_collectors(report, config, &poll);
    if poll.server.as_ref().is_some_and(|server| server.is_sentinel) {
        sentinel::describe(report, config, &poll);
        return Ok(poll.server);
    }
    compatibility::describe(report, config, &poll);
    let is_replica = matches!(
        poll.info.as_ref().and_then(|info| info.get("role")),
        Some("slave" | "replica")
    );
    let applications = application::describe(report, config, &mut connection, home, deadline()).await?;
    if config.collectors.get("sessions").copied().unwrap_or(true) {
        databases.extend(
            config
                .sessions
                .configured()
                .iter()
                .flat_map(|store| store.databases.iter().copied()),
        );
    }
    let mut hindrances = Hindrances::new();
    for database in databases.iter().copied().chain(crate::keys::databases(config)) {
        if hindrances.contains_key(&database) {
            continue;
        }
        let subject = if databases.contains(&database) {
            "sessions"
        } else {
            "keys"
        };
        let found = describe_database(report, config, &mut connection, database, subject)
            .await
            .map_err(|error| (subject, error))?;
        hindrances.insert(database, found);
    }
    greetings::describe(report, config, &mut connection, poll.server.as_ref())
        .await
        .map_err(|error| ("connect", error))?;
    keys::describe(report, config, &mut connection, is_replica, &hindrances)
        .await
        .map_err(|error| ("keys", error))?;
    lua::describe(report, config, &mut connection)
        .await
        .map_err(|error| ("lua", error))?;
    groups_and_streams::describe(report, config, &mut connection).await?;
    let counted = sessions::describe(report, config, is_replica).await;
    sessions::describe_indexes(report, config, &counted, &mut connection, is_replica)
        .await
        .map_err(|error| ("sessions", error))?;
    let tells_everything = notifications::describe(report, config, &mut connection).await;
    let is_cluster = poll.server.as_ref().is_some_and(|server| server.cluster_enabled);
    let may_write = session_probe::describe(report, config, &mut connection, is_replica, is_cluster).await;
    let further = features::Further {
        application_metrics: applications,
        events: tells_everything,
        session_probe: may_write,
        tls: has_certificates,
    };
    features::describe(report, config, &poll, &capabilities, &counted, further, is_replica);
    Ok(poll.server)
}

fn phases(handshake: &Handshake) -> String {
    let mut text = String::new();
    for (phase, duration) in &handshake.phases {
        let _ = write!(text, ", {} {:.2} ms", phase.as_label(), duration.as_secs_f64() * 1000.0);
    }
    text
}

fn describe_server(report: &mut Report, poll: &InfoPoll) {
    let (Some(server), Some(info)) = (&poll.server, &poll.info) else {
        report.line(
            "server",
            "unknown: INFO is denied; run check again when it is granted, since more may be asked then",
        );
        return;
    };
    let role = match info.get("role") {
        _ if server.is_sentinel => "a Sentinel: it watches other servers and holds no keys",
        Some("master") => "primary",
        Some("slave" | "replica") => "replica: its sessions are counted at the primary",
        _ => "role unknown",
    };
    report.line("server", &format!("{} {}, {role}", server.product, server.version));
}

/// One line per collector that runs.
fn describe_collectors(report: &mut Report, config: &InstanceConfig, poll: &InfoPoll) {
    for outcome in &poll.outcomes {
        let forbidden: Vec<&String> = outcome
            .missing
            .iter()
            .filter(|(_, reason)| *reason == Unavailable::Denied)
            .map(|(command, _)| command)
            .collect();
        for command in &forbidden {
            report.denied(command);
        }
        let sentence = match &outcome.result {
            Ok(samples) if !forbidden.is_empty() => {
                let series: usize = samples.families().iter().map(|family| family.samples.len()).sum();
                let commands: Vec<String> = forbidden.iter().map(|command| command.to_uppercase()).collect();
                format!("a part, {series} series: the user may not run {}", commands.join(", "))
            }
            Ok(samples) if samples.is_empty() => "ok, nothing to show on this server".to_owned(),
            Ok(samples) => {
                let series: usize = samples.families().iter().map(|family| family.samples.len()).sum();
                format!("ok, {series} series")
            }
            Err(CollectError::Unavailable {
                command,
                reason: Unavailable::Denied,
            }) => {
                report.denied(command);
                format!("cannot run: the user may not run {}", command.to_uppercase())
            }
            Err(CollectError::Unavailable {
                command,
                reason: Unavailable::Unsupported,
            }) => {
                format!("cannot run: this server has no {}", command.to_uppercase())
            }
            Err(error) => format!("failed: {error}"),
        };
        report.line(outcome.name, &sentence);
    }
    for name in config.collectors.keys() {
        if let Some(section) = config.idle_without(name) {
            report.line(
                name,
                &format!("does nothing, since nothing is named; write `{section}`"),
            );
        }
    }
    let off: Vec<&str> = config
        .collectors
        .iter()
        .filter(|(_, on)| !**on)
        .map(|(name, _)| *name)
        .collect();
    if !off.is_empty() {
        report.line("switched off", &off.join(", "));
    }
}

/// What keeps the keys of a database from being looked at.
#[derive(Debug, Default)]
struct Hindrance {
    /// Why the database cannot be entered.
    select: Option<String>,
    /// Why its keys cannot be gone through.
    scan: Option<String>,
}

/// By database; every one that was tried is there.
type Hindrances = BTreeMap<u32, Hindrance>;

/// What keeps a collector from all of its databases, or from some; `None` when nothing does. `by_scan` says that it goes through keys, and
/// does not only ask for those that are named.
fn hindered(hindrances: &Hindrances, databases: &BTreeSet<u32>, by_scan: bool) -> Option<(bool, String)> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for database in databases {
        let hindrance = hindrances.get(database)?;
        let scan = hindrance.scan.as_ref().filter(|_| by_scan);
        if let Some(reason) = hindrance.select.as_ref().or(scan) {
            reasons.entry(reason).or_default().push(format!("db{database}"));
        }
    }
    let count: usize = reasons.values().map(Vec::len).sum();
    if count == 0 {
        return None;
    }
    let is_everywhere = count == databases.len();
    let in_words = |(reason, databases): (&str, Vec<String>)| {
        if is_everywhere && databases.len() == count {
            reason.to_owned()
        } else {
            format!("{reason} ({})", databases.join(", "))
        }
    };
    let words: Vec<String> = reasons.into_iter().map(in_words).collect();
    Some((is_everywhere, words.join(", ")))
}

/// Whether the commands of a scan work in a database, and whether the user may use it. Gives back what is in the way of looking at its keys.
///
/// # Errors
/// When the exchange fails.
async fn describe_database(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    database: u32,
    subject: &'static str,
) -> Result<Hindrance, RedisError> {
    let commands = [
        Command::new(1, &["SELECT"]).arg(database.to_string()),
        Command::new(1, &["DBSIZE"]),
        Command::new(1, &["SCAN", "0", "COUNT", "1"]),
    ];
    let deadline = Instant::now() + config.poll.timeout;
    let replies = connection.exchange(&commands, deadline).await?;
    let mut problems = Vec::new();
    let mut hindrance = Hindrance::default();
    let mut is_selected = true;
    // Sessions are counted without DBSIZE.
    let mut remark = "";
    for (command, reply) in commands.iter().zip(&replies) {
        let name = command.name();
        let shown = name.to_uppercase();
        let known = problems.len();
        if denies_database(reply) {
            report.grants.insert(Grant::EveryDatabase);
            problems.push("the user may not use this database".to_owned());
        } else if unavailability(reply) == Some(Unavailable::Denied) {
            report.denied(&name);
            if name == "dbsize" {
                remark = ", how much of the database a pass saw is unknown: the user may not run DBSIZE";
            } else {
                problems.push(format!("the user may not run {shown}"));
            }
        } else if matches!(reply, Reply::Error(_)) && is_selected {
            problems.push(format!("{shown} answers {}", sanitised_code(reply)));
        }
        let place = if name == "scan" {
            &mut hindrance.scan
        } else {
            &mut hindrance.select
        };
        if let Some(problem) = problems.get(known) {
            place.get_or_insert_with(|| problem.clone());
        }
        // What the others answer after a failed SELECT is about another database, but for what the user may run.
        is_selected &= name != "select" || !matches!(reply, Reply::Error(_));
    }
    problems.dedup();
    let stores: Vec<&str> = config
        .sessions
        .configured()
        .iter()
        .filter(|store| store.databases.contains(&database))
        .map(|store| store.name.as_str())
        .collect();
    let of_stores = match stores.as_slice() {
        [] => String::new(),
        stores => format!(", stores: {}", stores.join(", ")),
    };
    let verdict = match problems.as_slice() {
        [] => "ok".to_owned(),
        problems if subject == "keys" => format!("cannot be looked at: {}", problems.join(", ")),
        problems => format!("cannot be counted: {}", problems.join(", ")),
    };
    report.line(subject, &format!("db{database}: {verdict}{of_stores}{remark}"));
    Ok(hindrance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_str};
    use std::path::Path;

    fn instance(text: &str) -> Arc<InstanceConfig> {
        let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        loaded.config.instances[0].clone()
    }

    fn grants(commands: &[&'static str]) -> BTreeSet<Grant> {
        crate::collectors::grants::commands(commands).into_iter().collect()
    }

    #[test]
    fn the_mending_line_names_each_rule_once_for_this_user_and_server() {
        let nobody = instance("");
        let monitor = instance("instances: [{ address: a, username: monitor, password: x }]");
        let mut rules = grants(&["ping", "slowlog|len", "slowlog|get"]);
        rules.insert(Grant::EveryDatabase);
        let of = |product: &str| Server {
            product: product.to_owned(),
            redis_version: (7, 2, 4),
            ..Server::default()
        };
        assert_eq!(mending(&nobody, None, &grants(&[])), None);
        assert_eq!(
            mending(&nobody, Some(&of("redis")), &rules).unwrap(),
            "ACL SETUSER default +ping +slowlog|get +slowlog|len alldbs"
        );
        assert_eq!(
            mending(&monitor, None, &rules).unwrap(),
            "ACL SETUSER monitor +ping +slowlog|get +slowlog|len alldbs"
        );
        assert_eq!(
            mending(
                &monitor,
                Some(&of("dragonfly")),
                &grants(&["slowlog|len", "slowlog|get", "ping"])
            )
            .unwrap(),
            "ACL SETUSER monitor +ping +slowlog"
        );
        let old = Server::default();
        let mut keys = grants(&["pttl"]);
        keys.insert(Grant::ReadKeys("sess:*".to_owned()));
        keys.insert(Grant::Channels("a".to_owned()));
        assert_eq!(
            mending(&nobody, Some(&old), &keys).unwrap(),
            "ACL SETUSER default ~sess:* +pttl"
        );
        assert_eq!(
            mending(&nobody, Some(&of("redis")), &keys).unwrap(),
            "ACL SETUSER default %R~sess:* &a +pttl"
        );
    }

    #[test]
    fn what_is_in_the_way_is_said_for_all_databases_or_for_some() {
        let denied = |select: bool, scan: bool| Hindrance {
            select: select.then(|| "no SELECT".to_owned()),
            scan: scan.then(|| "no SCAN".to_owned()),
        };
        let hindrances = Hindrances::from([
            (0, denied(false, false)),
            (1, denied(false, true)),
            (2, denied(true, true)),
        ]);
        let of = |databases: &[u32], by_scan| hindered(&hindrances, &databases.iter().copied().collect(), by_scan);
        assert_eq!(of(&[0], true), None);
        assert_eq!(of(&[1], true), Some((true, "no SCAN".to_owned())));
        assert_eq!(of(&[1], false), None);
        assert_eq!(of(&[0, 1], true), Some((false, "no SCAN (db1)".to_owned())));
        assert_eq!(
            of(&[1, 2], true),
            Some((true, "no SCAN (db1), no SELECT (db2)".to_owned()))
        );
        assert_eq!(of(&[0, 2], false), Some((false, "no SELECT (db2)".to_owned())));
    }
}
