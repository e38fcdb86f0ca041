//! `/sd`: Prometheus HTTP service discovery.
//!
//! Source: Prometheus, "Writing HTTP service discovery": the full list as JSON with status 200, `[]` when it is empty.

use super::App;
use super::answer::Answer;
use hyper::header::{HOST, HeaderMap};
use hyper::{StatusCode, Uri};
use serde::Serialize;
use std::collections::BTreeMap;

/// Longest host with port: a DNS name has at most 253 characters (RFC 1035), a port five digits and a colon.
const MAX_HOST_BYTES: usize = 260;

/// One entry of the list.
#[derive(Debug, Serialize)]
struct Group {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

/// One entry per instance, with labels that make Prometheus scrape `/probe` for it.
pub(super) fn answer(app: &App, headers: &HeaderMap, uri: &Uri) -> Answer {
    let (scheme, authority, prefix) = match &app.parts.options.external_url {
        Some(url) => (Some(url.scheme.as_str()), url.authority.clone(), url.path.as_str()),
        None => {
            let header = headers.get(HOST).and_then(|value| value.to_str().ok());
            // A request line with a whole URL beats the header (RFC 9112 section 3.2.2).
            let host = uri.authority().map(|it| it.as_str()).or(header).unwrap_or_default();
            if !is_host(host) {
                return Answer::text(
                    StatusCode::BAD_REQUEST,
                    "the header Host must name this server, or --web.external-url must be set",
                );
            }
            // Prometheus would ask in clear otherwise.
            let scheme = app.parts.web.current().is_tls().then_some("https");
            (scheme, host.to_owned(), "")
        }
    };
    let config = app.config();
    let groups = config.instances.iter().map(|instance| {
        let mut labels = BTreeMap::new();
        for (name, value) in &instance.labels {
            labels.insert(name.clone(), value.clone());
        }
        let address = instance.address.to_string();
        for (name, value) in [
            ("__metrics_path__", format!("{prefix}/probe")),
            ("__param_target", instance.name.clone()),
            ("__meta_redis_session_exporter_name", instance.name.clone()),
            ("__meta_redis_session_exporter_address", address),
            ("instance", instance.name.clone()),
            ("environment", instance.environment.clone()),
        ] {
            labels.insert(name.to_owned(), value);
        }
        if let Some(scheme) = scheme {
            labels.insert("__scheme__".to_owned(), scheme.to_owned());
        }
        Group {
            targets: [authority.clone()],
            labels,
        }
    });
    Answer::json(StatusCode::OK, &groups.collect::<Vec<_>>())
}

/// Whether a text may stand as host with an optional port. What it names is the client's business; it only must not contain
/// anything that Prometheus could read as more than a host.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            _ => return false,
        },
        None => match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        },
    };
    let port_is_fine = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok());
    let letters_are_fine = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'));
    !host.is_empty() && text.len() <= MAX_HOST_BYTES && port_is_fine && letters_are_fine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked() {
        for host in [
            "localhost",
            "127.0.0.1:9121",
            "[::1]:9121",
            "[::1]",
            "exporter.example_x:80",
        ] {
            assert!(is_host(host), "{host}");
        }
        let long = "a".repeat(MAX_HOST_BYTES + 1);
        for host in [
            "", ":80", "a b", "a/b", "a@b", "a:b", "a:70000", "a:1:2", "[::1", "[x]:1", "a\"", &long,
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn external_urls_are_split() {
        let url: super::super::ExternalUrl = "https://example.org:8443/redis/".parse().unwrap();
        assert_eq!(
            (url.scheme.as_str(), url.authority.as_str(), url.path.as_str()),
            ("https", "example.org:8443", "/redis")
        );
        for bad in [
            "example.org",
            "ftp://x",
            "http://",
            "http://u:p@x/",
            "http://x/?q",
            "http://x/#f",
        ] {
            assert!(bad.parse::<super::super::ExternalUrl>().is_err(), "{bad}");
        }
    }
}
