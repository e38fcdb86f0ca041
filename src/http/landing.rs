//! `/`: a plain page for people.

use super::answer::Answer;
use super::{App, is_wedged};
use crate::collectors::tls::COLLECTOR;
use crate::config::InstanceConfig;
use crate::redis::Reason;
use crate::snapshot::clusters::ClusterFacts;
use crate::snapshot::details::InstanceDetails;
use crate::snapshot::{InstanceSnapshot, tls};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

/// Instances that the page shows. The table of more would be slow to read and to draw; `/health/redis` has all of them.
const MAX_ROWS: usize = 1000;

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>redis-session-exporter</title>
<style>
body { font-family: sans-serif; margin: 2em; color: #222; }
h1 { color: #e6522c; font-size: 1.4em; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 0.3em 0.8em; border-bottom: 1px solid #ddd; }
td.number { text-align: right; }
td.bad { color: #b00020; }
</style>
</head>
<body>
";

/// The page.
pub(super) fn answer(app: &App) -> Answer {
    let now = Instant::now();
    let instances = app.instances();
    let mut page = String::from(HEAD);
    let version = env!("CARGO_PKG_VERSION");
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<h1>redis-session-exporter {version}</h1>\n<p>{} instances.</p>\n",
        instances.len()
    );
    page.push_str(
        "<table>\n<tr><th>Instance</th><th>Address</th><th>State</th><th>TLS</th><th>Version</th><th>Sessions</th>\
         <th>Ping</th><th>Memory</th><th>Last error</th><th>Notes</th></tr>\n",
    );
    for (config, snapshot) in instances.iter().take(MAX_ROWS) {
        row(&mut page, config, snapshot.as_ref(), now);
    }
    page.push_str("</table>\n");
    if let Some(more) = instances.len().checked_sub(MAX_ROWS + 1) {
        let _ = writeln!(page, "<p>{} more are not shown.</p>", more + 1);
    }
    clusters(&mut page, &app.parts.store.clusters());
    page.push_str("<p>");
    let links = [
        app.parts.options.telemetry_path.as_str(),
        "/health/redis",
        "/sd",
        "/config",
        "/rules",
        "/dashboards",
        "/-/healthy",
        "/-/ready",
    ];
    let hidden = (!app.parts.options.serve_probe).then_some("/sd");
    for link in links.into_iter().filter(|link| Some(*link) != hidden) {
        page.push_str("<a href=\"");
        // Relative, so that the page works behind a proxy that adds a prefix.
        escape(&mut page, link.trim_start_matches('/'));
        page.push_str("\">");
        escape(&mut page, link);
        page.push_str("</a> ");
    }
    page.push_str("</p>\n</body>\n</html>\n");
    Answer::html(page)
}

fn row(page: &mut String, config: &InstanceConfig, snapshot: Option<&Arc<InstanceSnapshot>>, now: Instant) {
    let nothing = InstanceDetails::default();
    let details = snapshot.map_or(&nothing, |snapshot| &*snapshot.details);
    let info = details
        .info
        .as_deref()
        .filter(|info| info.expires_at.is_none_or(|expires_at| now < expires_at));
    let wedged = is_wedged(details, now);
    let state = if wedged {
        "the task that polls it has stopped"
    } else {
        state_in_words(details)
    };
    let good = state == STATE_OK;
    page.push_str("<tr>");
    cell(page, "", &config.name);
    cell(page, "", &config.address.to_string());
    cell(page, if good { "" } else { "bad" }, state);
    let tls = tls_in_words(config, details, now);
    cell(page, if tls.is_bad { "bad" } else { "" }, &tls.text);
    cell(page, "", info.map_or("", |info| &info.product));
    cell(page, "number", &sessions_in_words(details, now));
    let ping = details
        .ping_seconds
        .filter(|_| details.connected == Some(true) && !wedged);
    let ping = ping.map(|seconds| format!("{:.3} ms", seconds * 1000.0));
    cell(page, "number", &ping.unwrap_or_default());
    let memory = info.and_then(|info| info.used_memory_human.clone());
    cell(page, "number", &memory.unwrap_or_default());
    cell(page, "", details.errors.last().map_or("", |error| &error.sentence));
    cell(page, "", &notes(details));
    page.push_str("</tr>\n");
}

/// The clusters whose nodes are found out: where from, how many, and what is wrong.
fn clusters(page: &mut String, clusters: &[ClusterFacts]) {
    if clusters.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Clusters</h2>\n<table>\n<tr><th>Cluster</th><th>Address</th><th>Nodes</th><th>State</th>\
         <th>Not watched</th></tr>\n",
    );
    for facts in clusters.iter().take(MAX_ROWS) {
        page.push_str("<tr>");
        cell(page, "", &facts.name);
        cell(page, "", &facts.address);
        cell(page, "number", &facts.nodes.to_string());
        match &facts.error {
            Some(error) => cell(page, "bad", error),
            None if facts.has_ended => cell(page, "", STATE_OK),
            None => cell(page, "", "not asked yet"),
        }
        cell(page, "", &left_out(facts));
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

/// The announced nodes that are not watched, as sentences.
fn left_out(facts: &ClusterFacts) -> String {
    let named = facts.left_out_nodes.iter();
    let mut sentences: Vec<String> = named.map(|node| format!("{}: {}", node.name, node.sentence)).collect();
    let all: usize = facts.left_out.iter().map(|(_, count)| count).sum();
    if let Some(more) = all.checked_sub(sentences.len()).filter(|more| *more > 0) {
        sentences.push(format!("{more} more"));
    }
    sentences.join("; ")
}

fn cell(page: &mut String, class: &str, text: &str) {
    page.push_str("<td");
    if !class.is_empty() {
        let _ = write!(page, " class=\"{class}\"");
    }
    page.push('>');
    escape(page, text);
    page.push_str("</td>");
}

/// `web: 120, api: 7`; a count that is too old is left out.
fn sessions_in_words(details: &InstanceDetails, now: Instant) -> String {
    let fresh = details.sessions.iter().filter(|store| now < store.expires_at);
    let words: Vec<String> = fresh.map(|store| format!("{}: {}", store.name, store.active)).collect();
    words.join(", ")
}

/// Version, verdict and the end of the certificate; nothing where TLS is not spoken. That verification is switched off stands there whoever
/// looks at certificates.
fn tls_in_words(config: &InstanceConfig, details: &InstanceDetails, now: Instant) -> tls::Words {
    if !config.speaks_tls() {
        return tls::Words::default();
    }
    let is_on = config.collectors.get(COLLECTOR).copied().unwrap_or(true);
    if !config.address.tls || !is_on {
        return tls::skipped_in_words(config.tls.insecure_skip_verify);
    }
    tls::in_words(
        details.tls.as_ref(),
        config.tls.insecure_skip_verify,
        now,
        tls::unix_now(),
    )
}

/// What `sessions: auto` found and was not sure of, and what keyspace notifications tell, as sentences.
fn notes(details: &InstanceDetails) -> String {
    let mut sentences = Vec::new();
    if details.is_sentinel {
        sentences.push("this is a Sentinel: it watches other servers and holds no sessions".to_owned());
    }
    if let Some(recognition) = &details.recognition {
        sentences.push(if recognition.accepted.is_empty() {
            format!(
                "no session library is recognised by the names of a sample of {} keys",
                recognition.keys_observed
            )
        } else {
            format!("recognised by the names of keys: {}", recognition.accepted.join(", "))
        });
        let unsure = recognition.unsure.iter();
        sentences.extend(unsure.map(|(preset, sentence)| format!("not sure about {preset}: {sentence}")));
    }
    if details.first_key_pass {
        sentences.push("keys: first pass under way".to_owned());
    }
    let limits = details.limits_reached.iter();
    sentences.extend(limits.map(|(collector, limit)| format!("{collector} leaves something out: {limit} is reached")));
    sentences.extend(
        details
            .notifications
            .iter()
            .map(|notifications| notifications.sentence.clone()),
    );
    sentences.join("; ")
}

/// The only state about which nothing is to be complained.
const STATE_OK: &str = "ok";

/// A verdict for people.
fn state_in_words(details: &InstanceDetails) -> &'static str {
    match details.state {
        None => "not polled yet",
        Some(None) if matches!(details.fresh_connection, Some(Err(_))) => "answers, but new clients do not get in",
        Some(None) => STATE_OK,
        Some(Some(reason)) => match reason {
            Reason::Refused => "refuses connections",
            Reason::Unreachable => "cannot be reached",
            Reason::Timeout => "does not answer in time",
            Reason::Dns => "its name cannot be resolved",
            Reason::Tls => "the TLS handshake fails",
            Reason::Auth => "refuses our user or password",
            Reason::Denied => "our user may not run a command",
            Reason::Loading => "is loading its data",
            Reason::Masterdown => "is a replica that lost its primary",
            Reason::Busy => "is busy with a script",
            Reason::MaxClients => "has too many clients",
            Reason::Protocol => "does not speak the Redis protocol",
            Reason::Closed => "closed the connection",
            Reason::Other => "answers with an error",
        },
    }
}

/// Appends text so that it is text in HTML, in elements and in quoted attributes.
fn escape(page: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            other => page.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::details::{NotificationFacts, RecognitionFacts};

    #[test]
    fn a_server_that_lets_nobody_new_in_is_not_ok() {
        let details = |state, fresh_connection| InstanceDetails {
            state: Some(state),
            fresh_connection,
            ..InstanceDetails::default()
        };
        let failed = || Some(Err("no".to_owned()));
        assert_eq!(state_in_words(&details(None, None)), STATE_OK);
        assert_eq!(state_in_words(&details(None, Some(Ok(())))), STATE_OK);
        assert_eq!(
            state_in_words(&details(None, failed())),
            "answers, but new clients do not get in"
        );
        assert_eq!(
            state_in_words(&details(Some(Reason::Refused), failed())),
            "refuses connections"
        );
    }

    #[test]
    fn that_nobody_verifies_stands_there_whoever_looks_at_certificates() {
        let words = |instance: &str| {
            let text = format!("instances: [{{ {instance} }}]");
            let nothing = crate::config::Environment::of_pairs(&[]);
            let loaded = crate::config::load_str(&text, "f", std::path::Path::new(""), &nothing).unwrap();
            let words = tls_in_words(&loaded.config.instances[0], &InstanceDetails::default(), Instant::now());
            (words.text, words.is_bad)
        };
        let off = ("verification is switched off".to_owned(), true);
        let skipped = "tls: { insecure_skip_verify: on }";
        assert_eq!(
            words(&format!("address: 'rediss://a', {skipped}, collectors: {{ tls: off }}")),
            off
        );
        assert_eq!(
            words(&format!("address: 'redis://a', scan_from: ['rediss://b'], {skipped}")),
            off
        );
        assert_eq!(
            words(&format!("address: 'rediss://a', {skipped}")),
            ("no handshake yet, verification is switched off".to_owned(), true)
        );
        for quiet in [
            "address: 'redis://a'",
            "address: 'rediss://a', collectors: { tls: off }",
        ] {
            assert_eq!(words(quiet), (String::new(), false), "{quiet}");
        }
    }

    #[test]
    fn what_was_recognised_and_what_not_stands_in_the_notes() {
        let recognition = |accepted: &[&'static str]| RecognitionFacts {
            accepted: accepted.to_vec(),
            unsure: vec![("fiber", "a mere shape".to_owned())],
            keys_observed: 120,
        };
        let details = |accepted| InstanceDetails {
            recognition: Some(Arc::new(recognition(accepted))),
            notifications: Some(NotificationFacts {
                sentence: "they are off".to_owned(),
                ..NotificationFacts::default()
            }),
            ..InstanceDetails::default()
        };
        assert_eq!(
            notes(&details(&[])),
            "no session library is recognised by the names of a sample of 120 keys; not sure about fiber: a mere shape; they are off"
        );
        assert_eq!(
            notes(&details(&["phpredis"])),
            "recognised by the names of keys: phpredis; not sure about fiber: a mere shape; they are off"
        );
        assert_eq!(notes(&InstanceDetails::default()), "");
        let limited = InstanceDetails {
            first_key_pass: true,
            limits_reached: [("check_keys", "limits.checked_keys (10)".to_owned())].into(),
            ..InstanceDetails::default()
        };
        assert_eq!(
            notes(&limited),
            "keys: first pass under way; check_keys leaves something out: limits.checked_keys (10) is reached"
        );
        let sentinel = InstanceDetails {
            is_sentinel: true,
            ..InstanceDetails::default()
        };
        assert!(notes(&sentinel).starts_with("this is a Sentinel"));
    }

    #[test]
    fn text_stays_text() {
        let mut page = String::new();
        cell(&mut page, "bad", "<script>\"'&");
        assert_eq!(page, "<td class=\"bad\">&lt;script&gt;&quot;&#39;&amp;</td>");
    }
}
