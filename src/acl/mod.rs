//! The least that an ACL user needs for a configuration, as the line that an administrator runs. Pure: nothing here connects.
//!
//! What a collector needs says its `Spec` ([`crate::collectors::grants`]), what every connection needs says [`frame`]; [`servers`] knows
//! what which server has, [`rules`] how it is written. `commands::acl` prints the line, `commands::check` names out of the same rules
//! what is missing, and `tests/servers/least_privilege.rs` takes every rule away, one at a time.

pub mod rules;
pub mod servers;

use crate::collectors::grants::{self, Grant, command};
use crate::collectors::{self, Server};
use crate::config::InstanceConfig;
use std::collections::BTreeSet;

/// Stands in the line where the password belongs: whoever runs it puts the password, or `#` and its SHA-256, there.
pub const PASSWORD: &str = "PASSWORD";

/// The user of a line where the configuration names none, or the one that must not be reset.
pub const DEFAULT_USER: &str = "exporter";

/// The user that every client is that names none. `reset` would lock them all out.
const EVERYBODY: &str = "default";

/// A grant, and the collectors that need it; none where every connection does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What is granted.
    pub grant: Grant,
    /// Names of collectors, in their order.
    pub collectors: Vec<&'static str>,
}

/// Everything that a user needs on this server: keys, then channels, then commands, those of the connection first. What the server does
/// not have is left out.
pub fn needs(config: &InstanceConfig, server: &Server) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    let mut add = |grant: Grant, collector: Option<&'static str>| {
        if !servers::has(server, &grant) {
            return;
        }
        match needs.iter_mut().find(|need| need.grant == grant) {
            Some(need) => {
                if collector.is_some_and(|name| !need.collectors.contains(&name)) {
                    need.collectors.extend(collector);
                }
            }
            None => needs.push(Need {
                grant,
                collectors: collector.into_iter().collect(),
            }),
        }
    };
    for grant in frame(config, server) {
        add(grant, None);
    }
    for spec in collectors::ALL {
        if config.collectors.get(spec.name).copied().unwrap_or(spec.default_on) {
            for grant in (spec.grants)(config, server) {
                add(grant, Some(spec.name));
            }
        }
    }
    needs.sort_by_key(|need| kind(&need.grant));
    needs
}

/// What comes first in a line.
const fn kind(grant: &Grant) -> u8 {
    match grant {
        Grant::ReadKeys(_) => 0,
        Grant::WriteKeys(_) => 1,
        Grant::Channels(_) => 2,
        Grant::Command(_) => 3,
        Grant::EveryDatabase => 4,
    }
}

/// What the frame around the collectors does on every connection: PING, INFO, a name, the database of the address, and who else is in the
/// cluster. AUTH and HELLO need no grant.
fn frame(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    let mut granted = grants::commands(&["ping", "info"]);
    if config.optional.compatibility.set_client_name {
        granted.push(command("client|setname"));
    }
    if config.address.database != 0 && !server.is_sentinel {
        granted.push(command("select"));
    }
    if config.discovered.is_some() {
        // The first of the questions that the server knows is enough.
        let shards = command("cluster|shards");
        let has_shards = servers::has(server, &shards);
        granted.push(if has_shards { shards } else { command("cluster|nodes") });
    }
    granted
}

/// A line, in the parts that its two spellings share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The user that the line makes, or resets.
    pub user: String,
    /// The rules behind the password.
    pub rules: Vec<String>,
}

/// The line for one instance on this server; `None` for a server without users, where everybody may do everything.
pub fn line(config: &InstanceConfig, server: &Server) -> Option<Line> {
    if !servers::has_users(server) {
        return None;
    }
    let needs = needs(config, server);
    let of_kind = |wanted: std::ops::RangeInclusive<u8>| {
        let chosen = needs.iter().map(|need| &need.grant);
        rules::rules(chosen.filter(move |grant| wanted.contains(&kind(grant))), Some(server))
    };
    let mut line = of_kind(0..=1);
    // A new user may listen to every channel in 6.2, and to none from 7.0 on, unless `acl-pubsub-default` says otherwise.
    if servers::has_channel_rules(server) {
        line.push("resetchannels".to_owned());
        line.extend(of_kind(2..=2));
    }
    line.push("-@all".to_owned());
    line.extend(of_kind(3..=4));
    let user = config.username.as_deref().filter(|user| *user != EVERYBODY);
    Some(Line {
        user: user.unwrap_or(DEFAULT_USER).to_owned(),
        rules: line,
    })
}

impl Line {
    /// `ACL SETUSER …` for the prompt of `redis-cli`. `reset` first: rules that the user had are gone.
    pub fn command(&self) -> String {
        let rules: Vec<String> = self.rules.iter().map(|rule| rules::quoted(rule)).collect();
        let user = rules::quoted(&self.user);
        format!("ACL SETUSER {user} reset on >{PASSWORD} {}", rules.join(" "))
    }

    /// `user …` for the file that `aclfile` names, or for the server's configuration. It is split at spaces and knows no quotes.
    pub fn of_file(&self) -> String {
        format!("user {} reset on >{PASSWORD} {}", self.user, self.rules.join(" "))
    }
}

/// What whoever runs the line should know, each in one sentence.
pub fn notes(config: &InstanceConfig, server: &Server) -> Vec<String> {
    let mut notes = Vec::new();
    match config.username.as_deref() {
        None if config.address.tls && config.tls.client_certificate.is_some() => notes.push(format!(
            "The configuration names no user. Where the server takes it from our certificate (`tls-auth-clients-user`), put that name in place of \
             {DEFAULT_USER}; else write `username: {DEFAULT_USER}` (--redis.user={DEFAULT_USER}) and its password there."
        )),
        None => notes.push(format!(
            "The configuration names no user: write `username: {DEFAULT_USER}` (--redis.user={DEFAULT_USER}) and its password there."
        )),
        Some(EVERYBODY) => notes.push(format!(
            "The configuration names the user {EVERYBODY}, which every client is that names none, so that its rights are not touched: write \
             `username: {DEFAULT_USER}` there."
        )),
        Some(_) => {}
    }
    let needs = needs(config, server);
    let has = |name: &'static str| needs.iter().any(|need| need.grant == command(name));
    if needs.iter().any(|need| rules::is_wider(&need.grant)) {
        notes.push(
            "A rule cannot hold white space or control characters: `?` stands for each, which any other character matches as well.".to_owned(),
        );
    }
    if config.sessions.is_auto() && needs.iter().any(|need| need.collectors.contains(&"sessions")) {
        notes.push(
            "`sessions: auto` looks at the keys of every library that it knows; where the file names the stores, the line holds theirs alone \
             (`check` recognises them and prints the lines for the file)."
                .to_owned(),
        );
    }
    if has("config|get") {
        notes.push(
            "+config|get shows the server's own passwords to whoever has the exporter's; docs/acl.md says what is absent without it.".to_owned(),
        );
    }
    if has("config|get") && config.optional.compatibility.has_secret_config_command() && !servers::has_reading(server) {
        notes.push(
            "CONFIG has another name there, which a Redis before 7.0 wants to read in the rule: +NAME|get.".to_owned(),
        );
    }
    if has("eval_ro") || has("eval") {
        notes.push(
            "`lua`: add the commands that the scripts call and the keys that they read; only their author knows them. +script|kill ends \
             whichever script runs, and is needed only where one of them may not end."
                .to_owned(),
        );
    }
    if has("ft.info") {
        notes.push(
            "+ft._list and +ft.info are known to servers with the search module alone; others refuse the line."
                .to_owned(),
        );
    }
    if servers::names_whole_commands(server) {
        notes.push("Rules name whole commands there: the user may do more than the exporter does.".to_owned());
    }
    let replicas: BTreeSet<String> = config.scan_from.iter().map(ToString::to_string).collect();
    if !replicas.is_empty() {
        let replicas: Vec<String> = replicas.into_iter().collect();
        notes.push(format!(
            "The same line is for {} (`scan_from`): servers do not hand their users on to their replicas.",
            replicas.join(", ")
        ));
    }
    if config.discovered.is_some() {
        notes.push("Nodes of a cluster do not hand their users on to each other: each needs the line.".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests;
