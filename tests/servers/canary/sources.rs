//! Every way to give a secret beside a file: flags, variables, a whole configuration in a variable, users of the web server.

use super::matcher::{assert_none, basic, percent_encoded, plain, secret};
use super::outside::{Outputs, environment, everything_served, process};
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;

/// What the kernel tells of the command line, less what the operator wrote there.
fn without_own(outputs: Outputs, arguments: &[&str]) -> Outputs {
    let strip = |(place, bytes): (String, Vec<u8>)| {
        if !place.ends_with("/cmdline") {
            return (place, bytes);
        }
        let text = String::from_utf8(bytes).unwrap();
        let words: Vec<&str> = text.split('\0').filter(|word| !arguments.contains(word)).collect();
        (place, words.join(" ").into_bytes())
    };
    outputs.into_iter().map(strip).collect()
}

/// Runs the daemon and the commands with these flags and variables, and searches them.
fn watched(arguments: &[&str], variables: &[(&str, &str)], names: &[&str], credentials: Option<&str>) -> Exporter {
    let with_level: Vec<&str> = arguments.iter().copied().chain(["--log.level=debug"]).collect();
    let exporter = Exporter::start_bare(&with_level, variables);
    let mut outputs = Outputs::new();
    for command in [&["--config.check"][..], &["once", "--unpaced"], &["check"]] {
        let words: Vec<&str> = command.iter().chain(&with_level).copied().collect();
        let ended = exporter::run_with(&words, variables, None);
        assert_eq!(ended.code, 0, "{command:?}: {}", ended.output);
        outputs.push((format!("{command:?}"), ended.output.into_bytes()));
    }
    outputs.extend(everything_served(&exporter, names, credentials));
    outputs.extend(process(&exporter));
    assert_none(&without_own(outputs, arguments));
    let mut given = environment(&exporter);
    given.retain(|entry| !entry.starts_with("RUST_BACKTRACE="));
    given.sort();
    let mut expected: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    expected.sort();
    assert_eq!(given, expected);
    exporter
}

#[test]
fn flags_and_variables_are_not_shown() {
    let password = secret("given");
    let server = RedisServer::start_with(&["--requirepass", &password]);
    let address = server.address();
    let name = format!("127.0.0.1:{}", server.port);
    let in_address = format!("redis://:{}@{name}", percent_encoded(&password));
    let file = server.path("password");
    std::fs::write(&file, &password).unwrap();
    let map = server.path("passwords.json");
    std::fs::write(&map, serde_json::json!({ address.clone(): password }).to_string()).unwrap();
    let flag = |name: &str, value: &str| format!("{name}={value}");
    let (file, map) = (file.display().to_string(), map.display().to_string());
    for (arguments, variables) in [
        (
            vec![flag("--redis.addr", &address)],
            vec![("REDIS_PASSWORD", password.as_str())],
        ),
        (
            vec![flag("--redis.addr", &address), flag("--redis.password", &password)],
            vec![],
        ),
        (
            vec![flag("--redis.addr", &address), flag("--redis.password-file", &file)],
            vec![],
        ),
        (vec![flag("--redis.addr", &in_address)], vec![]),
        (vec![], vec![("REDIS_ADDR", in_address.as_str())]),
        (vec![], vec![("REDIS_URL", in_address.as_str())]),
        (
            vec![flag("--redis.addr", ""), flag("--redis.password-file", &map)],
            vec![],
        ),
        (
            vec![],
            vec![("REDIS_ADDR", address.as_str()), ("REDIS_PASSWORD_FILE", map.as_str())],
        ),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let exporter = watched(&arguments, &variables, &[&name], None).with_instances();
        exporter.wait_until_up(&[&name]);
    }
}

#[test]
fn a_configuration_in_a_variable_is_not_shown() {
    let password = secret("inlineyaml");
    let server = RedisServer::start_with(&["--requirepass", &password]);
    let quoted = format!("'{}'", password.replace('\'', "''"));
    let config = config::fast(&[("redis", &server.address(), &format!("password: {quoted}"))]);
    let exporter = watched(&[], &[("REDIS_SESSION_EXPORTER_CONFIG", &config)], &["redis"], None);
    exporter.wait_until_up(&["redis"]);
}

/// A user and a password for the pages of the exporter itself, right and wrong.
#[test]
fn users_of_the_web_server_are_not_shown() {
    let server = RedisServer::start();
    let address = server.address();
    let name = format!("127.0.0.1:{}", server.port);
    let password = secret("basic");
    let hash = format!("$2y$04${}{}", "abcdefghijklmnopqrstuu", &plain("hash0000000")[..31]);
    let right = basic("prometheus", &password);
    let user = ("REDIS_EXPORTER_BASIC_AUTH_USERNAME", "prometheus");
    watched(
        &[],
        &[
            ("REDIS_ADDR", &address),
            user,
            ("REDIS_EXPORTER_BASIC_AUTH_PASSWORD", &password),
        ],
        &[&name],
        Some(&right),
    );
    // Nobody knows the password of this hash: everything but health is shut, and says so without showing it.
    let exporter = Exporter::start_bare(
        &["--log.level=debug"],
        &[
            ("REDIS_ADDR", &address),
            user,
            ("REDIS_EXPORTER_BASIC_AUTH_HASH_PASSWORD", &hash),
        ],
    );
    assert_eq!(exporter.get("/metrics").status, 401);
    let mut outputs = everything_served(&exporter, &[&name], None);
    for wrong in [
        basic("prometheus", &password),
        basic("prometheus", &hash),
        basic(&password, &password),
    ] {
        let response = exporter.request("GET", "/metrics", &[("Authorization", &wrong)]);
        assert_eq!(response.status, 401);
        outputs.push(("the answer to wrong credentials".to_owned(), response.body));
    }
    outputs.extend(process(&exporter));
    assert_none(&outputs);
}
