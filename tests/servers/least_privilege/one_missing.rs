//! One user for every rule of the line, who has all of them but that one, and one daemon that watches one server as all of these users.

use super::scene::{Denial, LARGE, SECRET, Scene, denials, fill, lines_of, printed, server, wait_for_polls, words};
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use redis_session_exporter::acl;
use redis_session_exporter::collectors::identify;
use redis_session_exporter::config::{Environment, InstanceConfig, load_str};
use redis_session_exporter::redis::Info;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Rules whose lack cannot be seen here, each with why.
const UNPROVED: &[(&str, &str)] = &[
    ("+script|kill", "no script runs for ever"),
    ("+cluster|info", "the server is in no cluster"),
];

/// Rules without which the server denies something again and again, each with why.
const REPEATED: &[(&str, &str)] = &[("+ping", "PING is the question whether the server answers")];

/// A user who lacks one rule.
struct Lacking {
    /// User and instance.
    name: String,
    rule: String,
    /// Collectors that say that they need the rule.
    declared: BTreeSet<&'static str>,
}

fn loaded(text: &str) -> Arc<InstanceConfig> {
    let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    loaded.config.instances[0].clone()
}

/// Makes the users.
fn users(server: &RedisServer, text: &str, prefix: &str) -> Vec<Lacking> {
    let identity = identify(&Info::parse(server.command(&["INFO", "all"]).text().as_bytes()));
    let needs = acl::needs(&loaded(text), &identity);
    let [line] = printed(text, &[]).try_into().unwrap();
    let line = words(&line);
    let (head, rules) = line.split_at(6);
    assert_eq!(head[5], format!(">{SECRET}"));
    let mut lacking = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        if rule == "resetchannels" || rule == "-@all" {
            continue;
        }
        let declared = needs
            .iter()
            .filter(|need| acl::rules::rule(&need.grant, Some(&identity)) == *rule)
            .flat_map(|need| need.collectors.clone())
            .collect();
        let name = format!("{prefix}{number:02}");
        let mut words: Vec<&str> = vec!["ACL", "SETUSER", &name];
        words.extend(head[3..].iter().map(String::as_str));
        words.extend(rules.iter().filter(|other| *other != rule).map(String::as_str));
        // What the script calls.
        words.extend(["+getbit", "%R~script:*"]);
        server.command(&words);
        lacking.push(Lacking {
            name,
            rule: rule.clone(),
            declared,
        });
    }
    // Every need is in the line, whoever has it.
    for need in &needs {
        let rule = acl::rules::rule(&need.grant, Some(&identity));
        assert!(
            rules.contains(&rule) || rules.iter().any(|rule| rule == "%R~*"),
            "{rule}"
        );
    }
    lacking
}

/// Collectors that fail, or that say that something is missing.
fn affected(scrape: &Scrape, instance: &str) -> BTreeSet<String> {
    let labels = [("instance", instance)];
    let failed = scrape.all("redis_session_exporter_collector_success", &labels);
    let failed = failed.filter(|sample| sample.value != 1.0);
    let unavailable = scrape.all("redis_session_exporter_collector_unavailable", &labels);
    failed
        .chain(unavailable)
        .map(|sample| sample.labels["collector"].clone())
        .collect()
}

fn by_user(denials: &[Denial]) -> BTreeMap<&str, i64> {
    let mut counts = BTreeMap::new();
    for denial in denials {
        *counts.entry(denial.user.as_str()).or_default() += denial.count;
    }
    counts
}

/// Messages at level WARN about an instance.
fn warnings<'log>(log: &'log str, instance: &str) -> Vec<&'log str> {
    let about = format!("instance={instance} ");
    log.lines()
        .filter(|line| line.contains("level=warn") && format!("{line} ").contains(&about))
        .filter_map(|line| line.split_once(" message="))
        .map(|(_, message)| message)
        .collect()
}

#[test]
fn without_one_rule_only_those_miss_something_that_need_it() {
    let server = server(&[]);
    let scene = Scene::new();
    fill(&server);
    let everything = scene.everything();
    let groups = "sessions: []\nkey_groups: { patterns: ['^(.-):'] }".to_owned();
    let mut all = Vec::new();
    for (prefix, lines) in [("a", &everything), ("g", &groups)] {
        let text = lines_of(&server.address(), &[("complete", lines.clone())], false);
        let mut users = users(&server, &text, prefix);
        // What everybody needs is tried once.
        users.retain(|lacking| prefix == "a" || lacking.declared.contains("key_groups") && lacking.rule != "+info");
        all.extend(users.into_iter().map(|lacking| {
            let needs_large = lacking.declared.iter().any(|name| LARGE.contains(name));
            let lines = if prefix == "a" && !needs_large {
                scene.everything_small()
            } else {
                lines.clone()
            };
            (lacking, lines)
        }));
    }
    let configurations: Vec<(&str, String)> = all
        .iter()
        .map(|(lacking, lines)| (lacking.name.as_str(), lines.clone()))
        .collect();
    let names: Vec<&str> = configurations.iter().map(|(name, _)| *name).collect();
    let text = lines_of(&server.address(), &configurations, true);
    server.command(&["ACL", "LOG", "RESET"]);
    let exporter = Exporter::start(&text);
    let can_scan: Vec<&str> = all
        .iter()
        .filter(|(lacking, _)| !["+ping", "+info", "+select", "+scan"].contains(&lacking.rule.as_str()))
        .map(|(lacking, _)| lacking.name.as_str())
        .collect();
    wait_for_polls(&exporter, &server, &can_scan, 2.0);
    let early = denials(&server);
    let scrape = wait_for_polls(&exporter, &server, &can_scan, 2.0);
    let late = denials(&server);
    let log = exporter.log();
    drop(exporter);
    for name in &names {
        // Without it `check` cannot know of what it does not try: it writes nothing, and looks at no key that a glob finds.
        server.command(&["ACL", "SETUSER", name, "+acl|dryrun"]);
    }
    let checked = exporter::run_with(&["check"], &[], Some(&text)).output;

    let (before, after) = (by_user(&early), by_user(&late));
    let mut problems = Vec::new();
    for (lacking, _) in &all {
        let Lacking { name, rule, declared } = lacking;
        let mut problem = |what: String| problems.push(format!("{rule} ({name}): {what}"));
        let is_listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| listed == rule);
        let (first, last) = (before.get(name.as_str()), after.get(name.as_str()));
        if last.is_none() != is_listed(UNPROVED) {
            problem(format!("denials: {last:?}"));
        }
        if first != last && !is_listed(REPEATED) {
            let new: Vec<_> = late
                .iter()
                .filter(|denial| denial.user == *name && !early.contains(denial))
                .collect();
            problem(format!("denied again: {first:?}, {last:?}: {new:?}"));
        }
        let affected = affected(&scrape, name);
        let strangers: Vec<_> = affected.iter().filter(|one| !declared.contains(one.as_str())).collect();
        if !strangers.is_empty() && rule != "+ping" {
            problem(format!("affects {strangers:?}, declared by {declared:?}"));
        }
        let warned = warnings(&log, name);
        let distinct: BTreeSet<&str> = warned.iter().copied().collect();
        if distinct.len() != warned.len() {
            problem(format!("warned twice: {warned:?}"));
        }
        if warned.is_empty() && !affected.is_empty() {
            problem(format!("nobody is told: {affected:?}"));
        }
        let mends = checked
            .lines()
            .filter(|line| line.contains(&format!("ACL SETUSER {name} ")))
            .any(|line| words(line.trim_start()).contains(rule));
        if !mends && !is_listed(UNPROVED) {
            problem("check does not name it".to_owned());
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {}:\n{}",
        problems.len(),
        names.len(),
        problems.join("\n")
    );
}
