//! Configurations and files that are broken, with a secret in each kind of wrong place.

use super::matcher::{assert_none, plain, secret};
use super::outside::Outputs;
use crate::support::exporter;
use std::path::Path;

/// Configurations that no version accepts.
pub fn files() -> Vec<String> {
    let word = plain("broken");
    let text = format!("'{}'", secret("broken").replace('\'', "''"));
    let mut files: Vec<String> = [
        // The secret as the value of a key that takes something else.
        "environment: [W]",
        "poll: W",
        "poll: { ping_interval: W }",
        "scan: { redis_share: W, sample_keys: W }",
        "limits: { label_values: W }",
        "limits: W",
        "allowed_networks: [W]",
        "instances: W",
        "instances: [W, W]",
        "instances: { W: W }",
        "defaults: W",
        "defaults: { labels: { W: W }, collectors: { W: W }, expect: { maxmemory_policy: W } }",
        "instances: [{ address: 'redis://u:W@h:port' }]",
        "instances: [{ address: 'redis://u:W@[h' }]",
        "instances: [{ address: 'http://u:W@h' }]",
        "instances: [{ address: 'redis://u:W@h/database' }]",
        "instances: [{ address: 'unix://u:W@relative' }]",
        "instances: [{ address: 'redis-sentinel://:W@h' }]",
        "instances: [{ address: 'redis-cluster://u:W@h,:W' }]",
        "instances: [{ address: 'redis://h', scan_from: ['redis://u:W@h'] }]",
        "instances: [{ address: 'redis://u:W@h', password: W }]",
        "instances: [{ address: 'redis://h', password: W, password_file: W }]",
        "instances: [{ address: 'redis://h', password: [W] }]",
        "instances: [{ address: 'redis://h', password: { W: W } }]",
        "instances: [{ address: 'redis://h', password: ${W} }]",
        "instances: [{ address: 'redis://h', password: '${W W}' }]",
        "instances: [{ address: 'redis://h', password_file: W }]",
        "instances: [{ address: 'redis://h', password_file: '${W' }]",
        "instances: [{ address: 'redis://h', password_file: [W] }]",
        "instances: [{ address: 'redis://h', username: W }]",
        "instances: [{ address: 'redis://h', sessions: W }]",
        "instances: [{ address: 'redis://h', sessions: [{ store: s, preset: W, id: '(W', databases: [W], ttl: W }] }]",
        "instances: [{ address: 'redis://h', application_metrics: [{ name: W W, type: W, key: W }] }]",
        "instances: [{ address: 'redis://h', lua: [{ file: [W], read_only: W }] }]",
        "instances: [{ address: 'redis://h', operations: W, session_probe: { interval: W, prefix: 'W*' } }]",
        "instances: [{ address: 'redis://h', compatibility: { config_command: 'W W' } }]",
        "instances: [{ address: 'redis://h', key_groups: { patterns: ['(W'] }, check_keys: ['db=W'] }]",
        // As a key, as syntax, behind a tag, in a second document.
        "password: W",
        "instances: [{ address: 'redis://h', pasword: W }]",
        "instances: [{ address: 'redis://h', password:W }]",
        "instances:\n  - address: redis://h\n    password: W\n   W: W",
        "instances:\n  - address: redis://h\n    password: \"W",
        "instances:\n  - address: redis://h\n    password: !W W",
        "instances:\n  - address: redis://h\n    password: *W",
        "instances:\n  - address: redis://h\n    password: &W W\n    password: W",
        "instances:\n  - address: redis://h\n\tpassword: W",
        "instances:\n  - address: redis://h\n---\npassword: W",
        "W",
        "[W",
        "{W: {W: W}}",
        "\"W\": \"W\"",
        "? W\n: W",
    ]
    .iter()
    .flat_map(|file| {
        [
            file.replace('W', &word),
            file.replace("'W'", &text).replace(": W", &format!(": {text}")),
        ]
    })
    .map(|file| file.replace(": W", &format!(": {word}")).replace('W', &word))
    .collect();
    files.sort();
    files.dedup();
    files
}

fn check(text: &str, variables: &[(&str, &str)], outputs: &mut Outputs) -> i32 {
    let ended = exporter::run_with(&["--config.check"], variables, Some(text));
    outputs.push((format!("--config.check of {text}"), ended.output.into_bytes()));
    ended.code
}

#[test]
fn no_broken_configuration_is_quoted() {
    let mut outputs = Outputs::new();
    let files = files();
    let accepted: Vec<&String> = files
        .iter()
        .filter(|text| check(text, &[], &mut outputs) != 78)
        .collect();
    assert!(accepted.is_empty(), "these are not broken: {accepted:#?}");
    for text in files {
        let inline = exporter::run_with(&["--config.check"], &[("REDIS_SESSION_EXPORTER_CONFIG", &text)], None);
        assert_eq!(inline.code, 78, "{text}");
        outputs.push((
            "a broken configuration in the variable".to_owned(),
            inline.output.into_bytes(),
        ));
    }
    // A secret is mentioned at each `password` of the list, and in every second file more than once.
    assert!(outputs.len() > 150, "{}", outputs.len());
    assert_none(&outputs);
}

#[test]
fn no_broken_secret_file_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let word = secret("brokenfile");
    let quoted = serde_json::to_string(&word).unwrap();
    let mut outputs = Outputs::new();
    for (name, content) in [
        ("too-long", word.repeat(1_000).into_bytes()),
        ("no-text", [word.as_bytes(), &[0xff]].concat()),
        ("map-cut", format!("{{\"redis://h:6379\": {quoted}").into_bytes()),
        (
            "map-of-lists",
            format!("{{\"redis://h:6379\": [{quoted}]}}").into_bytes(),
        ),
        (
            "map-of-numbers",
            format!("{{\"redis://h:6379\": {quoted}, \"redis://i\": 7}}").into_bytes(),
        ),
        (
            "map-with-more",
            format!("{{\"redis://h:6379\": {quoted}}} {word}").into_bytes(),
        ),
        ("map-with-odd-key", format!("{{{quoted}: {quoted}}}").into_bytes()),
        (
            "map-with-secret-in-key",
            format!("{{\"redis://u:{}@h:port\": \"\"}}", plain("mapkey")).into_bytes(),
        ),
        (
            "map-twice",
            format!("{{\"redis://h:6379\": {quoted}, \"redis://h:6379/\": {quoted}}}").into_bytes(),
        ),
        (
            "map-without-entry",
            format!("{{\"redis://other:6379\": {quoted}}}").into_bytes(),
        ),
        (
            "map-with-odd-escape",
            format!("{{\"redis://h:6379\": \"\\q{}\"}}", plain("escape")).into_bytes(),
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let text = format!(
            "instances: [{{ address: 'redis://h', password_file: {} }}]",
            path.display()
        );
        assert_eq!(check(&text, &[], &mut outputs), 78, "{name}");
        let flag = format!("--redis.password-file={}", path.display());
        let ended = exporter::run(&["--config.check", "--redis.addr=redis://h", &flag]);
        assert!(
            ended.code == 78 || name == "map-without-entry",
            "{name}: {}",
            ended.output
        );
        outputs.push((format!("{name} by flag"), ended.output.into_bytes()));
    }
    assert_none(&outputs);
}

#[test]
fn no_variable_is_quoted() {
    let mut outputs = Outputs::new();
    let word = secret("variable");
    let variables = [("PLANTED", word.as_str())];
    for text in [
        "environment: ${PLANTED}\npoll: { timeout: ${PLANTED} }",
        "instances: [{ address: '${PLANTED}' }]",
        "instances: [{ address: 'redis://h', password_file: '${PLANTED}' }]",
        "instances: [{ address: 'redis://h', password_file: '${PLANTED}/redis' }]",
        "instances: [{ address: 'redis://h', scan_from: ['${PLANTED}'], collectors: { ping: '${PLANTED}' } }]",
    ] {
        assert_eq!(check(text, &variables, &mut outputs), 78, "{text}");
    }
    // Written in place of a path: of a file that is missing nothing but what looks like a path is shown.
    assert!(!Path::new(&word).exists());
    assert_none(&outputs);
}
