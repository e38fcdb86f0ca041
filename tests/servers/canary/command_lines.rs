//! Command lines and variables that make no sense, with a secret in them.

use super::matcher::{assert_none, plain, secret};
use super::outside::Outputs;
use crate::support::exporter;

#[test]
fn no_misuse_is_quoted() {
    let word = secret("argument");
    let plain = plain("argument");
    let address = format!("redis://u:{plain}@127.0.0.1:1");
    let with = |flag: &str, value: &str| format!("{flag}{value}");
    let lines: Vec<Vec<String>> = vec![
        // Where the name of a command stands.
        vec![address.clone()],
        vec![plain.clone()],
        vec!["serve".into(), address.clone()],
        vec!["once".into(), word.clone()],
        vec!["check".into(), "--".into(), address.clone()],
        // Misspelt, doubled, without a value, with one too many.
        vec![with("--redis.pasword=", &word)],
        vec!["--redis.pasword".into(), word.clone()],
        vec![with("--redis.adr=", &address)],
        vec!["--redis.password".into(), plain.clone(), plain.clone()],
        vec![with("--redis.addr=", &format!("redis://u:{plain}@h:port"))],
        vec![with("--redis.addr=", &plain), "--config.file=/nonexistent".into()],
        vec![with("--redis.password=", &word), "--config.file=/nonexistent".into()],
        vec![with("--redis.password-file=", &word)],
        vec![with("--redis.password-file=", &plain)],
        vec![
            with("--redis.user=", "u"),
            with("--redis.password=", &word),
            "--redis.addr=redis://[".into(),
        ],
        vec![with("-redis.password=", &word), "--unknown".into()],
        vec![
            with("--basic-auth-username=", "u"),
            with("--basic-auth-hash-password=", &plain),
        ],
        vec![with("--basic-auth-password=", &plain)],
        vec![
            with("--basic-auth-username=", "u"),
            with("--basic-auth-password=", &plain),
            with("--basic-auth-hash-password=", &plain),
        ],
        vec![with("--is-cluster=", &plain)],
        vec![with("--config-command=", &word)],
        vec![
            with("--script=", &format!("/nonexistent/{}", "x")),
            with("--redis.password=", &plain),
        ],
    ];
    let mut outputs = Outputs::new();
    for line in &lines {
        let arguments: Vec<&str> = line
            .iter()
            .map(String::as_str)
            .chain(["--config.check", "--log.level=debug"])
            .collect();
        let ended = exporter::run(&arguments);
        outputs.push((format!("{line:?}"), ended.output.into_bytes()));
    }
    let variables = [
        ("REDIS_ADDR", format!("redis://u:{plain}@h:port")),
        ("REDIS_URL", format!("redis://u:{plain}@[")),
        ("REDIS_PASSWORD_FILE", word.clone()),
        ("REDIS_EXPORTER_BASIC_AUTH_HASH_PASSWORD", plain.clone()),
        ("REDIS_EXPORTER_BASIC_AUTH_PASSWORD", word.clone()),
        ("REDIS_SESSION_EXPORTER_CONFIG", word.clone()),
        ("REDIS_SESSION_EXPORTER_REDIS_PASWORD", word.clone()),
        ("REDIS_EXPORTER_IS_CLUSTER", plain.clone()),
    ];
    for (name, value) in &variables {
        let ended = exporter::run_with(&["--config.check", "--log.level=debug"], &[(name, value)], None);
        outputs.push((format!("{name} as a variable"), ended.output.into_bytes()));
    }
    assert_none(&outputs);
}
