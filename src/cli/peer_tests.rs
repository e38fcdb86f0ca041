//! The command line of `redis_exporter`: every row of the table in each of its forms, and Go's way to read flags.

use super::peer::{Effect, Kind, PEER_FLAGS, help};
use super::*;
use crate::config::tls::TlsVersion;
use crate::config::types::BasicPassword;
use std::collections::BTreeSet;
use std::path::Path;

const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuJ5tYJjO6b0vPjvbTFEtx7uKbe8PxfIe";

fn read(arguments: &[&str]) -> Result<Cli, CommandLineError> {
    let words = [&["redis-session-exporter"], arguments].concat();
    Cli::read(words.into_iter().map(OsString::from))
}

/// Everything that flags and variables change.
#[derive(Debug, PartialEq)]
struct Outcome {
    settings: Settings,
    flags: FlagSource,
    warnings: Vec<String>,
}

fn outcome(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Outcome, String> {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::of_pairs(variables);
    let cli = read(arguments).map_err(|error| error.to_string())?;
    let settings = cli.settings(&environment).map_err(|error| error.to_string())?;
    let chosen = cli
        .config_source_in(&environment, folder.path())
        .map_err(|error| error.to_string())?;
    let Source::Flags(flags) = chosen.source else {
        panic!("{:?}", chosen.source);
    };
    Ok(Outcome {
        settings,
        flags,
        warnings: chosen.warnings,
    })
}

/// A value other than the default.
fn sample(flag: &PeerFlag) -> &'static str {
    match (flag.kind, flag.name) {
        (Kind::Switch, _) if flag.default == "true" => "false",
        (Kind::Switch, _) => "true",
        (Kind::Number, _) => "7",
        (Kind::Text, "--connection-timeout") => "2s",
        (Kind::Text, "--web.listen-address") => "127.0.0.1:9999",
        (Kind::Text, "--web.telemetry-path") => "/other",
        (Kind::Text, "--log-level") => "WARNING",
        (Kind::Text, "--log-format") => "json",
        (Kind::Text, "--basic-auth-hash-password") => HASH,
        (Kind::Text, "--tls-server-min-version") => "TLS1.3",
        (Kind::Text, "--redis.addr") => "redis://hunter2@h:1",
        (Kind::Text, _) => "hunter2",
    }
}

/// What makes sense only beside a flag.
fn companion(flag: &PeerFlag) -> &'static [&'static str] {
    match flag.name {
        "--basic-auth-username" => &["--basic-auth-password=p"],
        "--basic-auth-password" | "--basic-auth-hash-password" => &["--basic-auth-username=u"],
        "--tls-server-cert-file" => &["--tls-server-key-file=k"],
        "--tls-server-key-file" => &["--tls-server-cert-file=c"],
        "--tls-server-ca-cert-file" | "--tls-server-min-version" => {
            &["--tls-server-cert-file=c", "--tls-server-key-file=k"]
        }
        _ => &[],
    }
}

/// The same with every origin taken for the flag.
fn normalised(outcome: Result<Outcome, String>, flag: &PeerFlag) -> String {
    let text = format!("{outcome:?}");
    match flag.variable {
        Some(variable) => text.replace(variable, flag.name),
        None => text,
    }
}

#[test]
fn every_row_works_in_every_form_and_as_a_variable() {
    let nothing = outcome(&[], &[]).unwrap();
    let mut seen = [0; 4];
    for flag in PEER_FLAGS.iter().filter(|flag| flag.name != "--version") {
        let companion = companion(flag);
        let without = normalised(outcome(companion, &[]), flag);
        let value = sample(flag);
        let short = flag.name.strip_prefix('-').unwrap();
        let (one_dash, two_dashes) = (format!("{short}={value}"), format!("{}={value}", flag.name));
        let mut forms = vec![vec![one_dash.as_str()], vec![two_dashes.as_str()]];
        match flag.kind {
            Kind::Switch if value == "true" => forms.extend([vec![short], vec![flag.name]]),
            Kind::Switch => {}
            Kind::Number | Kind::Text => forms.extend([vec![short, value], vec![flag.name, value]]),
        }
        let found = outcome(&[forms[0].as_slice(), companion].concat(), &[]);
        let first = normalised(outcome(&[forms[0].as_slice(), companion].concat(), &[]), flag);
        assert_ne!(first, without, "{} has no effect", flag.name);
        for form in &forms {
            for arguments in [[form.as_slice(), companion].concat(), [companion, form].concat()] {
                assert_eq!(normalised(outcome(&arguments, &[]), flag), first, "{arguments:?}");
            }
        }
        let variable = flag.variable.unwrap();
        let by_variable = outcome(companion, &[(variable, value)]);
        // The password is worse on the command line, and said to be.
        if flag.name != "--redis.password" {
            assert_eq!(normalised(by_variable, flag), first, "{variable}");
        }
        assert!(
            !first.contains("hunter2") || matches!(flag.effect, Effect::Servers(_) | Effect::Process(_)),
            "{first}"
        );
        match flag.effect {
            Effect::Ours => {
                let found = found.unwrap();
                assert!(
                    found.settings != nothing.settings || found.flags != nothing.flags,
                    "{}",
                    flag.name
                );
                seen[0] += 1;
            }
            Effect::Servers(_) => {
                let found = found.unwrap();
                assert_ne!(found.flags.servers, nothing.flags.servers, "{}", flag.name);
                assert_eq!(found.settings, nothing.settings, "{}", flag.name);
                seen[1] += 1;
            }
            Effect::Process(_) => {
                let found = found.unwrap();
                assert_ne!(found.settings, nothing.settings, "{}", flag.name);
                assert_eq!(found.flags, nothing.flags, "{}", flag.name);
                seen[2] += 1;
            }
            Effect::Nothing(reason) => {
                let found = found.unwrap();
                assert_eq!(found.settings, nothing.settings, "{}", flag.name);
                assert_eq!(found.flags.servers, nothing.flags.servers, "{}", flag.name);
                let [remark] = found.flags.remarks.as_slice() else {
                    panic!("{:?}", found.flags.remarks);
                };
                assert_eq!((remark.origin, remark.reason.as_str()), (flag.name, reason));
                seen[3] += 1;
            }
        }
    }
    // With --version, which ends the process, these are the 59.
    assert_eq!(seen, [6, 34, 12, 6]);
}

#[test]
fn https_of_the_peer_is_https_here_or_nothing_starts() {
    let both = ["--tls-server-cert-file=c", "-tls-server-key-file", "k"];
    let served = |more: &[&str], variables: &[(&str, &str)]| {
        outcome(&[both.as_slice(), more].concat(), variables).map(|found| (found.settings.web, found.flags.remarks))
    };
    let expected = |ca_file: Option<&str>, min_version| {
        WebSource::ServerFlags(ServerTlsFlags {
            cert_file: "c".into(),
            key_file: "k".into(),
            ca_file: ca_file.map(Into::into),
            min_version,
        })
    };
    assert_eq!(served(&[], &[]).unwrap(), (expected(None, TlsVersion::V1_2), vec![]));
    let mutual = served(
        &["--tls-server-min-version=TLS1.3"],
        &[("REDIS_EXPORTER_TLS_SERVER_CA_CERT_FILE", "a")],
    );
    assert_eq!(mutual.unwrap(), (expected(Some("a"), TlsVersion::V1_3), vec![]));
    let (old, remarks) = served(&["--tls-server-min-version=TLS1.0"], &[]).unwrap();
    assert_eq!(old, expected(None, TlsVersion::V1_2));
    assert!(remarks[0].reason.contains("not spoken"), "{remarks:?}");
    for (arguments, part) in [
        (
            &["--tls-server-cert-file=hunter2"][..],
            "--tls-server-cert-file asks for HTTPS, and without --tls-server-key-file",
        ),
        (
            &["--tls-server-key-file=hunter2"],
            "--tls-server-key-file asks for HTTPS",
        ),
        (
            &["--tls-server-ca-cert-file=hunter2"],
            "--tls-server-ca-cert-file asks for HTTPS",
        ),
        (
            &["--tls-server-min-version=hunter2"],
            "--tls-server-min-version must be TLS1.2 or TLS1.3",
        ),
        (
            &[
                "--web.config.file=w",
                "--tls-server-cert-file=hunter2",
                "--tls-server-key-file=k",
            ],
            "--tls-server-cert-file stands beside --web.config.file",
        ),
    ] {
        let error = outcome(arguments, &[]).unwrap_err();
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
    }
    let lonely = outcome(&["--tls-server-min-version=TLS1.3"], &[]).unwrap();
    assert_eq!(lonely.settings.web, WebSource::Nothing);
    assert!(
        lonely.flags.remarks[0].reason.contains("--tls-server-cert-file"),
        "{lonely:?}"
    );
}

#[test]
fn the_web_configuration_is_named_by_flag_or_variable() {
    let web = |arguments: &[&str], variables: &[(&str, &str)]| outcome(arguments, variables).unwrap().settings.web;
    let variable = [("REDIS_SESSION_EXPORTER_WEB_CONFIG_FILE", "v")];
    assert_eq!(web(&["--web.config.file=w"], &variable), WebSource::File("w".into()));
    assert_eq!(web(&[], &variable), WebSource::File("v".into()));
    // Templates of Kubernetes write nothing as an empty text.
    assert_eq!(web(&["--web.config.file="], &variable), WebSource::Nothing);
    assert_eq!(
        web(&[], &[("REDIS_SESSION_EXPORTER_WEB_CONFIG_FILE", "")]),
        WebSource::Nothing
    );
}

#[test]
fn rows_are_unlike_and_their_defaults_say_nothing() {
    let names: BTreeSet<&str> = PEER_FLAGS.iter().map(|flag| flag.name).collect();
    let variables: BTreeSet<&str> = PEER_FLAGS.iter().filter_map(|flag| flag.variable).collect();
    assert_eq!((names.len(), variables.len()), (59, 58));
    let nothing = outcome(&[], &[]).unwrap();
    for flag in PEER_FLAGS.iter().filter(|flag| flag.effect != Effect::Ours) {
        let given = format!("{}={}", flag.name, flag.default);
        let found = outcome(&[&given], &[]).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(found.flags.remarks, nothing.flags.remarks, "{given}");
        assert_eq!(found.settings, nothing.settings, "{given}");
        assert!(help().contains(&format!("  {}\n", flag.name)), "{given}");
    }
}

#[test]
fn flags_beat_variables_and_the_last_flag_counts() {
    let level =
        |arguments: &[&str], variables: &[(&str, &str)]| outcome(arguments, variables).unwrap().settings.log_level;
    let (ours, theirs) = ("REDIS_SESSION_EXPORTER_LOG_LEVEL", "REDIS_EXPORTER_LOG_LEVEL");
    assert_eq!(
        level(&["--log-level=error"], &[(ours, "debug"), (theirs, "warn")]),
        LogLevel::Error
    );
    assert_eq!(level(&["--log-level=error", "--log.level=warn"], &[]), LogLevel::Warn);
    assert_eq!(level(&[], &[(ours, "debug"), (theirs, "warn")]), LogLevel::Debug);
    assert_eq!(
        level(&["-log-level", "error", "-log-level", "warn"], &[]),
        LogLevel::Warn
    );
    assert_eq!(
        level(&["--log-level=error", "--debug"], &[]),
        LogLevel::Debug,
        "--debug wins, as there"
    );
    assert_eq!(
        level(&["--debug=false"], &[("REDIS_EXPORTER_DEBUG", "1")]),
        LogLevel::Info
    );
    let format = outcome(
        &[],
        &[
            ("REDIS_SESSION_EXPORTER_LOG_FORMAT", "logfmt"),
            ("REDIS_EXPORTER_LOG_FORMAT", "json"),
        ],
    );
    assert_eq!(format.unwrap().settings.log_format, LogFormat::Logfmt);
    let listen = outcome(
        &[],
        &[
            ("REDIS_SESSION_EXPORTER_WEB_LISTEN_ADDRESS", ":1"),
            ("REDIS_EXPORTER_WEB_LISTEN_ADDRESS", ":2"),
        ],
    );
    assert_eq!(listen.unwrap().settings.listen_addresses[0].written, ":1");
}

#[test]
fn what_does_not_parse_is_refused_as_a_flag_and_named_as_a_variable() {
    for (arguments, part) in [
        (&["--is-cluster=hunter2"][..], "--is-cluster must be true or false"),
        (&["--is-cluster="], "--is-cluster must be true or false"),
        (
            &["--check-keys-batch-size=hunter2"],
            "--check-keys-batch-size must be a whole number",
        ),
        (&["--check-keys"], "--check-keys needs a value"),
        (
            &["--check-keys=db0=hunter2=b"],
            "--check-keys has an item with more than one `=`",
        ),
        (&["--connection-timeout=hunter2"], "--connection-timeout is no duration"),
        (&["--max-distinct-key-groups=-1"], "--max-distinct-key-groups must be"),
        (&["--debug", "false"], "--debug does not take the next word"),
        (&["--version=hunter2"], "--version must be true or false"),
    ] {
        let error = outcome(arguments, &[]).unwrap_err();
        assert!(error.starts_with(part), "{arguments:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let found = outcome(
        &[],
        &[
            ("REDIS_EXPORTER_IS_CLUSTER", "hunter2"),
            ("REDIS_EXPORTER_MAX_DISTINCT_KEY_GROUPS", "many"),
            ("REDIS_EXPORTER_SET_CLIENT_NAME", "nope"),
            ("REDIS_EXPORTER_LOG_LEVEL", "loud"),
            ("REDIS_EXPORTER_LOG_FORMAT", "xml"),
        ],
    )
    .unwrap();
    assert_eq!(found.flags.servers, FlagSource::default().servers);
    assert_eq!(found.settings, outcome(&[], &[]).unwrap().settings);
    let origins: BTreeSet<&str> = found.flags.remarks.iter().map(|remark| remark.origin).collect();
    assert_eq!(origins.len(), 5, "{:?}", found.flags.remarks);
    assert!(!format!("{found:?}").contains("hunter2"));
    let error = outcome(&[], &[("REDIS_EXPORTER_CHECK_KEYS", "dbhunter2=a")]).unwrap_err();
    assert!(
        error.starts_with("REDIS_EXPORTER_CHECK_KEYS has an item whose database"),
        "{error}"
    );
}

#[test]
fn the_command_line_is_read_as_go_reads_it() {
    // The value of a text is the next word, whatever it looks like.
    let found = outcome(
        &[
            "-check-keys",
            "--is-cluster",
            "-redis.addr",
            "h:1",
            "-export-client-list",
        ],
        &[],
    )
    .unwrap();
    assert_eq!(found.flags.addresses[0].text.expose(), "h:1");
    let keys = outcome(&["--check-keys=--is-cluster", "--export-client-list"], &[]).unwrap();
    assert_eq!(found.flags.servers, keys.flags.servers);
    // Commands and our own flags stand anywhere between them, with one dash as well.
    let cli = read(&[
        "-is-tile38",
        "once",
        "-unpaced",
        "-log.level",
        "debug",
        "--count-keys",
        "a",
    ])
    .unwrap();
    assert_eq!(cli.command, Some(Action::Once { unpaced: true }));
    assert_eq!(cli.flags.log_level, Some(LogLevel::Debug));
    assert_eq!(cli.peer.len(), 2);
    // The next word of one of our flags is its value: as in Go where the peer has the flag as well, and never a flag.
    let cli = read(&["--config.file", "debug", "-redis.password", "--debug"]).unwrap();
    assert_eq!(cli.flags.config_file.as_deref(), Some(Path::new("debug")));
    assert_eq!(cli.flags.redis_password.as_ref().unwrap().expose(), "--debug");
    assert_eq!(cli.peer.len(), 0);
    assert!(read(&["--config.file", "--debug"]).is_err());
    for unknown in ["-no-such-flag", "--no-such-flag=hunter2", "-x", "--", "-"] {
        if let Err(error) = read(&[unknown]) {
            assert!(!error.to_string().contains("hunter2"), "{error}");
        } else {
            assert_eq!(unknown, "--");
        }
    }
    assert!(
        read(&["--", "--debug"]).is_err(),
        "a word behind the end of flags is no flag"
    );
}

#[test]
fn half_of_a_basic_authentication_would_open_the_door() {
    let auth = |arguments: &[&str]| outcome(arguments, &[]).map(|found| found.settings.basic_auth);
    let user = "--basic-auth-username=u";
    let plain = auth(&[user, "--basic-auth-password=p"]).unwrap().unwrap();
    assert_eq!(
        (plain.username.as_str(), plain.password),
        ("u", BasicPassword::Plain(Secret::new("p")))
    );
    let hash = format!("--basic-auth-hash-password={HASH}");
    let hashed = auth(&[user, &hash]).unwrap().unwrap();
    assert_eq!(hashed.password, BasicPassword::Bcrypt(Secret::new(HASH)));
    assert_eq!(auth(&["--basic-auth-username="]).unwrap(), None);
    for (arguments, part) in [
        (&[user][..], "--basic-auth-username names a user without a password"),
        (
            &["--basic-auth-password=hunter2"],
            "--basic-auth-password is a password without a user",
        ),
        (&[user, "--basic-auth-password=hunter2", &hash], "keep one of the two"),
        (&[user, "--basic-auth-hash-password=hunter2"], "must be a bcrypt hash"),
    ] {
        let error = auth(arguments).unwrap_err();
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn beside_a_file_variables_about_servers_are_ignored_and_the_rest_holds() {
    let environment = Environment::of_pairs(&[
        ("REDIS_EXPORTER_CHECK_KEYS", "a*"),
        ("REDIS_EXPORTER_DEBUG", "true"),
        ("REDIS_EXPORTER_NAMESPACE", "other"),
    ]);
    let cli = read(&["--config.file=/x.yaml", "--ping-on-connect"]).unwrap();
    assert_eq!(cli.settings(&environment).unwrap().log_level, LogLevel::Debug);
    let chosen = cli.config_source_in(&environment, Path::new("")).unwrap();
    assert_eq!(
        chosen.warnings[0],
        "REDIS_EXPORTER_CHECK_KEYS is ignored, because the configuration comes from --config.file."
    );
    assert!(
        chosen.warnings[1].contains("REDIS_EXPORTER_NAMESPACE (") && chosen.warnings[1].contains("--ping-on-connect (")
    );
    assert_eq!(chosen.warnings.len(), 2);
}

#[test]
fn passwords_on_the_command_line_are_used_and_named() {
    let found = outcome(
        &["--redis.password=hunter2", "--redis.password-file=/p", "--redis.addr=h"],
        &[("REDIS_PASSWORD", "other")],
    )
    .unwrap();
    assert_eq!(found.flags.password.as_ref().unwrap().text.expose(), "hunter2");
    assert_eq!(found.flags.password_file, None);
    assert_eq!(found.flags.remarks[0].origin, "--redis.password");
    assert_eq!(
        found.warnings,
        ["--redis.password-file is ignored, because --redis.password is set."]
    );
    assert!(!format!("{found:?}").contains("hunter2"));
    let empty = outcome(&["--redis.password=", "--redis.user=", "--redis.password-file="], &[]).unwrap();
    assert_eq!(empty, outcome(&[], &[]).unwrap());
}

/// What must stand beside a flag to give it a meaning.
fn beside(flag: &PeerFlag, folder: &Path) -> Vec<String> {
    let script = folder.join("a.lua").display().to_string();
    std::fs::write(&script, "return {}").unwrap();
    match flag.name {
        "--script" => vec![format!("--script={script}"), "--lua-script-read-only".to_owned()],
        "--lua-script-read-only" => vec![],
        "--streams-exclude-consumer-metrics" => vec!["--check-streams=a*".to_owned(), flag.name.to_owned()],
        "--max-distinct-key-groups" => vec!["--check-key-groups=a".to_owned(), format!("{}=7", flag.name)],
        "--disable-exporting-key-values" => vec!["--check-single-keys=a".to_owned(), flag.name.to_owned()],
        "--check-keys" => vec!["--check-keys=db0=a*,db3=a*,db1=b%2C%24c,literal".to_owned()],
        "--check-single-keys" => vec!["--check-single-keys=a,db3=b%2Cc+d".to_owned()],
        "--config-command" => vec!["--config-command=-".to_owned()],
        "--cluster-discover-hostnames" => ["--is-cluster=true", "--cluster-discover-hostnames=true"]
            .map(str::to_owned)
            .to_vec(),
        name => vec![format!("{name}={}", sample(flag))],
    }
}

#[test]
fn the_file_that_check_prints_says_the_same_as_each_flag() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Environment::of_pairs(&[]);
    let load = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let flags = outcome(&arguments, &[])
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
            .flags;
        crate::config::load(&Source::Flags(flags), &nothing)
            .unwrap_or_else(|errors| panic!("{arguments:?}: {errors}"))
            .config
    };
    let plain = load(&[]);
    let mut said = 0;
    for flag in PEER_FLAGS
        .iter()
        .filter(|flag| matches!(flag.effect, Effect::Servers(_)))
    {
        let config = load(&beside(flag, folder.path()));
        let file = crate::config::to_minimal_yaml(&config).yaml;
        let again = crate::config::load_str(&file, "exporter.yaml", folder.path(), &nothing)
            .unwrap_or_else(|errors| panic!("{}: {errors}\n{file}", flag.name))
            .config;
        assert_eq!(again, config, "{}: {file}", flag.name);
        said += usize::from(config != plain);
    }
    assert!(said > 20, "only {said} flags change anything");
}

/// The table of flags in the document is made from the list. With `UPDATE=1` it is written.
#[test]
fn the_flags_of_the_document_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = "<!-- flags: generated by `UPDATE=1 cargo test --lib cli` -->\n";
    let end = "<!-- end of flags -->";
    let (before, rest) = text.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    let mut wanted = "| flag | variable | default there | here |\n|---|---|---|---|\n".to_owned();
    for flag in &PEER_FLAGS {
        let code = |text: &str| {
            if text.is_empty() {
                String::new()
            } else {
                format!("`{text}`")
            }
        };
        wanted.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            flag.name,
            code(flag.variable.unwrap_or_default()),
            code(flag.default),
            flag.meaning
        ));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{wanted}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, wanted, "run: UPDATE=1 cargo test --lib cli");
    }
}
