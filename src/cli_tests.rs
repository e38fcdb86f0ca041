use super::*;
use crate::config::types::PasswordSource;

fn read(arguments: &[&str]) -> Result<Cli, CommandLineError> {
    let words = [&["redis-session-exporter"], arguments].concat();
    Cli::read(words.into_iter().map(OsString::from))
}

fn parsed(arguments: &[&str]) -> Cli {
    read(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// What clap says of a command line that it refuses.
fn refused(arguments: &[&str]) -> clap::Error {
    match read(arguments) {
        Err(CommandLineError::Clap(error)) => error,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn settings(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Settings, String> {
    parsed(arguments)
        .settings(&Environment::of_pairs(variables))
        .map_err(|error| error.to_string())
}

/// The choice in a directory that holds an `exporter.yaml` or not.
fn source(arguments: &[&str], variables: &[(&str, &str)], with_file: bool) -> Result<ChosenSource, String> {
    let directory = tempfile::tempdir().unwrap();
    if with_file {
        std::fs::write(directory.path().join(DEFAULT_CONFIG_FILE), "").unwrap();
    }
    parsed(arguments)
        .config_source_in(&Environment::of_pairs(variables), directory.path())
        .map_err(|error| error.to_string())
}

fn flags_of(chosen: ChosenSource) -> FlagSource {
    match chosen.source {
        Source::Flags(flags) => flags,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn without_anything_the_defaults_hold() {
    let settings = settings(&[], &[]).unwrap();
    assert_eq!(settings.action, Action::Serve);
    assert_eq!(settings.listen_addresses[0].written, ":9121");
    assert_eq!(settings.telemetry_path, "/metrics");
    assert_eq!(settings.external_url, None);
    assert!(!settings.config_check && !settings.systemd_socket && !settings.enable_lifecycle);
    assert_eq!(
        (settings.log_level, settings.log_format),
        (LogLevel::Info, LogFormat::Logfmt)
    );
    assert_eq!(settings.healthcheck_address().to_string(), "127.0.0.1:9121");
}

#[test]
fn flags_stand_before_or_after_the_subcommand_and_beat_variables() {
    let variables = [
        ("REDIS_SESSION_EXPORTER_LOG_LEVEL", "error"),
        ("REDIS_SESSION_EXPORTER_LOG_FORMAT", "json"),
        ("REDIS_SESSION_EXPORTER_WEB_LISTEN_ADDRESS", ":1,[::1]:2"),
        ("REDIS_SESSION_EXPORTER_WEB_ENABLE_LIFECYCLE", "true"),
        ("REDIS_SESSION_EXPORTER_WEB_TELEMETRY_PATH", ""),
        ("REDIS_SESSION_EXPORTER_WEB_EXTERNAL_URL", "https://x.example/prefix/"),
    ];
    for arguments in [
        ["--log.level=debug", "once", "--unpaced"],
        ["once", "--unpaced", "--log.level=debug"],
    ] {
        let settings = settings(&arguments, &variables).unwrap();
        assert_eq!(settings.action, Action::Once { unpaced: true });
        assert_eq!(settings.log_level, LogLevel::Debug);
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.telemetry_path, "/metrics");
        assert_eq!(settings.external_url.as_deref(), Some("https://x.example/prefix"));
        assert!(settings.enable_lifecycle);
        let written: Vec<&str> = settings
            .listen_addresses
            .iter()
            .map(|listen| listen.written.as_str())
            .collect();
        assert_eq!(written, [":1", "[::1]:2"]);
    }
    assert!(
        !settings(&["--web.enable-lifecycle=false"], &variables)
            .unwrap()
            .enable_lifecycle
    );
    let several = settings(
        &["--web.listen-address=:3", "--web.listen-address", "127.0.0.1:4"],
        &variables,
    )
    .unwrap();
    assert_eq!(several.listen_addresses.len(), 2);
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for (arguments, variables, part) in [
        (
            vec!["--web.listen-address=9121"],
            vec![],
            "--web.listen-address must be",
        ),
        (
            vec!["--web.listen-address=host:9121"],
            vec![],
            "--web.listen-address must be",
        ),
        (
            vec!["--web.telemetry-path=metrics"],
            vec![],
            "--web.telemetry-path must begin",
        ),
        (
            vec!["--web.telemetry-path=/"],
            vec![],
            "--web.telemetry-path must begin",
        ),
        (
            vec!["--web.telemetry-path=/-/healthy"],
            vec![],
            "something else is served",
        ),
        (vec!["--web.telemetry-path=/config"], vec![], "something else is served"),
        (vec!["--web.external-url=ftp://x"], vec![], "--web.external-url must be"),
        (
            vec!["--web.external-url=http://u:p@x"],
            vec![],
            "--web.external-url must be",
        ),
        (
            vec![],
            vec![("REDIS_SESSION_EXPORTER_LOG_LEVEL", "loud")],
            "LOG_LEVEL must be one of error, warn, info, debug",
        ),
        (
            vec![],
            vec![("REDIS_SESSION_EXPORTER_CONFIG_CHECK", "maybe")],
            "CONFIG_CHECK must be `true`",
        ),
        (
            vec![],
            vec![("REDIS_SESSION_EXPORTER_WEB_LISTEN_ADDRESS", ":1,")],
            "--web.listen-address must be",
        ),
    ] {
        let error = settings(&arguments, &variables).unwrap_err();
        assert!(error.contains(part), "{arguments:?} {variables:?}: {error}");
    }
    for arguments in [
        &["--no-such-flag"][..],
        &["--log.level=loud"],
        &["dance"],
        &["--config.file"],
    ] {
        assert_eq!(refused(arguments).exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn the_version_names_program_compiler_and_platform() {
    for form in ["--version", "-version", "-V", "--version=true"] {
        assert_eq!(refused(&[form]).exit_code(), 0, "{form}");
    }
    parsed(&["--version=false"]);
    let text = refused(&["--version"]).to_string();
    assert!(
        text.starts_with(&format!("redis-session-exporter, version {VERSION}\n")),
        "{text}"
    );
    assert!(text.contains(&format!("rustc version: {RUSTC_VERSION}")) && text.contains(&format!("platform: {TARGET}")));
    assert_ne!(RUSTC_VERSION, "unknown");
}

#[test]
fn listen_addresses_take_the_forms_that_people_write() {
    let shown = |text: &str| -> Vec<String> {
        parse_listen_address(text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(shown(":9121"), ["[::]:9121", "0.0.0.0:9121"]);
    assert_eq!(shown("127.0.0.1:0"), ["127.0.0.1:0"]);
    assert_eq!(shown("[::1]:9121"), ["[::1]:9121"]);
    assert_eq!(shown("localhost:9121"), ["127.0.0.1:9121", "[::1]:9121"]);
    for text in [
        "", ":", "9121", ":65536", ":+1", "::1:9121", "[::1]", "1.2.3.4", "host:1", "[:1",
    ] {
        assert_eq!(parse_listen_address(text), Err(ListenAddressError), "{text}");
    }
}

#[test]
fn with_nothing_the_built_in_defaults_are_the_source() {
    let chosen = source(&[], &[("REDIS_ADDR", ""), ("REDIS_SESSION_EXPORTER_CONFIG", "")], false).unwrap();
    assert_eq!(chosen.source, Source::Flags(FlagSource::default()));
    assert_eq!(chosen.warnings, Vec::<String>::new());
}

#[test]
fn an_explicit_configuration_refuses_flags_and_ignores_variables_with_one_warning() {
    let file = ("REDIS_SESSION_EXPORTER_CONFIG_FILE", "/x.yaml");
    let inline = (INLINE_VARIABLE, "environment: x");
    for (arguments, variables) in [
        (vec!["--config.file=/x.yaml"], vec![]),
        (vec![], vec![file]),
        (vec![], vec![inline]),
    ] {
        for flag in [
            "--redis.addr=h",
            "--redis.user=u",
            "--redis.password-file=/p",
            "--redis.password=hunter2",
            "--check-keys=a",
            "--is-cluster=true",
        ] {
            let error = source(&[arguments.as_slice(), &[flag]].concat(), &variables, true).unwrap_err();
            let name = flag.split('=').next().unwrap();
            assert!(
                error.starts_with(name) && error.contains("cannot be used beside"),
                "{error}"
            );
        }
        let ignored = [("REDIS_ADDR", "redis://:hunter2@h"), ("REDIS_PASSWORD", "hunter2")];
        let chosen = source(&arguments, &[variables.as_slice(), &ignored].concat(), true).unwrap();
        assert!(!matches!(chosen.source, Source::Flags(_)));
        assert_eq!(chosen.warnings.len(), 1);
        assert!(chosen.warnings[0].starts_with("REDIS_ADDR, REDIS_PASSWORD are ignored"));
        assert!(!format!("{chosen:?}").contains("hunter2"));
    }
    let both = source(&["--config.file=/a.yaml"], &[file, inline], false).unwrap();
    assert_eq!(both.source, Source::File("/a.yaml".into()));
    assert_eq!(both.warnings.len(), 1);
}

#[test]
fn a_found_file_yields_to_an_address_and_to_nothing_else() {
    let found = source(&[], &[("REDIS_URL", "redis://h")], true).unwrap();
    assert!(matches!(found.source, Source::File(path) if path.ends_with(DEFAULT_CONFIG_FILE)));
    assert_eq!(
        found.warnings,
        ["REDIS_URL is ignored, because the configuration comes from exporter.yaml."]
    );
    assert!(
        source(&["--redis.user=u"], &[], true)
            .unwrap_err()
            .contains("--redis.user cannot be used")
    );
    let yielding = source(&["--redis.addr=h", "--redis.user=u"], &[("REDIS_PASSWORD", "p")], true).unwrap();
    assert_eq!(yielding.warnings.len(), 1);
    let flags = flags_of(yielding);
    assert_eq!(flags.addresses[0].text.expose(), "h");
    assert_eq!(flags.password.unwrap().origin, "REDIS_PASSWORD");
}

#[test]
fn variables_of_the_peer_configure_one_instance() {
    let environment = [
        ("REDIS_ADDR", "redis://cache:7000"),
        ("REDIS_URL", "redis://other"),
        ("REDIS_USER", "exporter"),
        ("REDIS_PASSWORD", "hunter2"),
        ("REDIS_PASSWORD_FILE", "/nowhere"),
    ];
    let chosen = source(&[], &environment, false).unwrap();
    assert_eq!(
        chosen.warnings.len(),
        2,
        "REDIS_URL and REDIS_PASSWORD_FILE have no say"
    );
    let loaded = crate::config::load(&chosen.source, &Environment::of_pairs(&[])).unwrap();
    let instance = &loaded.config.instances[0];
    assert_eq!(instance.name, "cache:7000");
    assert_eq!(instance.environment, "default");
    assert_eq!(instance.username.as_deref(), Some("exporter"));
    assert_eq!(instance.password, PasswordSource::Inline(Secret::new("hunter2")));
    let only_url = flags_of(source(&[], &[("REDIS_URL", "redis://other")], false).unwrap());
    assert_eq!(only_url.addresses[0].origin, "REDIS_URL");
    let flag_wins = flags_of(source(&["--redis.password-file=/p"], &environment, false).unwrap());
    assert_eq!(flag_wins.password, None);
    assert_eq!(flag_wins.password_file.unwrap().origin, "--redis.password-file");
}

#[test]
fn the_health_is_asked_where_the_daemon_listens() {
    let asked = |arguments: &[&str]| settings(arguments, &[]).unwrap().healthcheck_address().to_string();
    assert_eq!(asked(&["healthcheck"]), "127.0.0.1:9121");
    assert_eq!(asked(&["healthcheck", "--web.listen-address=[::1]:7"]), "[::1]:7");
    assert_eq!(asked(&["healthcheck", "[::]:7"]), "127.0.0.1:7");
    assert_eq!(asked(&["healthcheck", ":8", "--web.listen-address=:7"]), "127.0.0.1:8");
    refused(&["healthcheck", "nonsense"]);
}
