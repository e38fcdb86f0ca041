//! The sections of the web configuration but for TLS: users, headers, the rate of requests.

use super::super::decode::{Decoder, Field, Fields};
use super::super::names::Scope;
use super::super::problem::Place;
use super::super::tree::{Kind, Node};
use super::super::types::{BasicAuth, BasicPassword, Secret};
use super::hash::BcryptHash;
use super::values::{given, switch, text, text_of};
use super::{HEADERS, RateLimit, WebConfig, go_duration, server};
use std::path::Path;

/// Most users. Credentials of a request are held against what is known of each of them.
const MAX_USERS: usize = 1000;
/// Longest name of a user: a head of a request has 16 KiB, and three quarters of that are left by base 64.
const MAX_USERNAME_BYTES: usize = 1024;
/// Longest value of a header. A policy with many sources takes some hundreds of bytes; it goes out with every answer.
const MAX_HEADER_BYTES: usize = 4096;
/// Largest burst. More requests than anybody can send at once limit nothing.
const MAX_BURST: u64 = u32::MAX as u64;

/// Decodes the root of the tree. `open_files` says whether the files that it names are read as well.
pub(super) fn decode(decoder: &mut Decoder<'_>, root: &Node, directory: &Path, open_files: bool) -> WebConfig {
    let root = Field {
        node: root,
        place: root.place,
        path: String::new(),
    };
    let fields = decoder.fields(&root, Scope::WebConfig);
    WebConfig {
        tls: given(&fields, "tls_server_config")
            .and_then(|field| server::decode(decoder, field, directory, open_files)),
        headers: given(&fields, "http_server_config").map_or_else(Vec::new, |field| http(decoder, field)),
        users: given(&fields, "basic_auth_users").map_or_else(Vec::new, |field| users(decoder, field)),
        rate_limit: given(&fields, "rate_limit").and_then(|field| rate_limit(decoder, field)),
        warnings: Vec::new(),
    }
}

fn users(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<BasicAuth> {
    let entries = decoder.entries(field);
    if entries.len() > MAX_USERS {
        decoder.refuse(
            field,
            format!("names more than {MAX_USERS} users; let a proxy in front of this exporter tell them apart"),
        );
        return Vec::new();
    }
    let mut users = Vec::with_capacity(entries.len());
    for (entry, value) in entries {
        let name = &*entry.key;
        if let Some(message) = wrong_name(name) {
            decoder.problems.add(entry.place, &field.path, message);
            continue;
        }
        // Under the path of the section: the name may be a password that changed places with it.
        let value = Field {
            path: field.path.clone(),
            ..value
        };
        if let Some(hash) = hash(decoder, &value, entry.place) {
            users.push(BasicAuth {
                username: name.to_owned(),
                password: BasicPassword::Bcrypt(hash),
            });
        }
    }
    users
}

/// Why nobody could log in by this name.
fn wrong_name(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("has a user without a name; write one in front of the hash".to_owned());
    }
    if name.contains(':') {
        let message =
            "has a user whose name holds a colon, which ends the name in a request (RFC 7617); rename the user";
        return Some(message.to_owned());
    }
    (name.len() > MAX_USERNAME_BYTES || name.chars().any(char::is_control)).then(|| {
        format!("has a user whose name is longer than {MAX_USERNAME_BYTES} bytes or holds a control character; rename the user")
    })
}

fn hash(decoder: &mut Decoder<'_>, field: &Field<'_>, place: Place) -> Option<Secret> {
    let is_empty = matches!(&field.node.kind, Kind::Scalar { text, .. } if text.is_empty());
    if is_empty || field.node.is_null() {
        let message = "has a user without a hash; make one with `htpasswd -nBC 10 USER`";
        decoder.problems.add(place, &field.path, message);
        return None;
    }
    let written = text(decoder, field)?;
    match BcryptHash::parse(&written) {
        Ok(_) => Some(Secret::new(written.as_ref())),
        Err(error) => {
            decoder.refuse(field, format!("what stands behind a user {error}"));
            None
        }
    }
}

fn http(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<(&'static str, String)> {
    let fields = decoder.fields(field, Scope::WebHttp);
    // Read for its problems: HTTP/1.1 is all that is spoken here, whatever it says, and all that Prometheus needs.
    let _ = switch(decoder, &fields, "http2");
    let Some(headers) = given(&fields, "headers") else {
        return Vec::new();
    };
    let values = decoder.fields(headers, Scope::WebHeaders);
    HEADERS
        .into_iter()
        .filter_map(|name| Some((name, header(decoder, &values, name)?)))
        .collect()
}

fn header(decoder: &mut Decoder<'_>, values: &Fields<'_>, name: &'static str) -> Option<String> {
    let (field, value) = text_of(decoder, values, name)?;
    let allowed: &[&str] = match name {
        "X-Content-Type-Options" => &["nosniff"],
        "X-Frame-Options" => &["deny", "sameorigin"],
        _ => &[],
    };
    if !allowed.is_empty() && !allowed.contains(&&*value) {
        let words = allowed.join("` or `");
        decoder.refuse(field, format!("must be `{words}`, in small letters"));
        return None;
    }
    if value.len() > MAX_HEADER_BYTES || value.chars().any(char::is_control) {
        let message = format!(
            "is longer than {MAX_HEADER_BYTES} bytes or holds a line break or another control character, which no header may; write it on one line"
        );
        decoder.refuse(field, message);
        return None;
    }
    Some(value.as_ref().to_owned())
}

fn rate_limit(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<RateLimit> {
    let fields = decoder.fields(field, Scope::WebRateLimit);
    let burst = match text_of(decoder, &fields, "burst") {
        None => Some(0),
        Some((burst, _)) => decoder.whole_number(burst, 0, MAX_BURST),
    };
    // Without an interval nothing is limited, as with the interval 0.
    let (interval_field, text) = text_of(decoder, &fields, "interval")?;
    let Some(interval) = go_duration::parse(&text) else {
        decoder.refuse(
            interval_field,
            "must be a duration of at most a day; write for example `1s`, `250ms` or `1m30s`, or `0` for no limit",
        );
        return None;
    };
    let burst = burst?;
    if interval.is_zero() {
        return None;
    }
    if burst == 0 {
        decoder.refuse(
            field,
            "has no `burst`, so that every request would be refused; write how many requests may come at once, or `interval: 0` for no limit",
        );
        return None;
    }
    Some(RateLimit { interval, burst })
}
