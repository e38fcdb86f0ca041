//! The binary: parse flags, load the configuration, start logging, run, exit code; nothing else.

use redis_session_exporter::cli::{Action, Cli, CommandLineError, Settings, UsageError};
use redis_session_exporter::commands::artefacts::{self, Outcome, RulesRequest};
use redis_session_exporter::commands::{EXIT_CONFIG, EXIT_FAILURE, EXIT_OK, EXIT_USAGE, acl, check, healthcheck, once};
use redis_session_exporter::config::{self, ConfigErrors, Environment, FlagSource, Loaded, Source};
use redis_session_exporter::http::WebState;
use redis_session_exporter::{app, catalogue, telemetry};
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

/// Two workers: one may encode a large body while the other polls. More would only add memory.
const WORKER_THREADS: usize = 2;

/// Name resolution, password files and the parsing of large INFO replies run on these. A dead resolver or file share holds a thread
/// until it gives up, and an instance has at most two such jobs: the 500 instances that one process is built for may all hang and
/// still leave room for others. Threads exist only while they are needed (and 10 s longer) and cost about 20 KiB each.
const MAX_BLOCKING_THREADS: usize = 1024;

fn main() -> ExitCode {
    match Cli::read(std::env::args_os()) {
        Ok(cli) => ExitCode::from(run(&cli)),
        Err(CommandLineError::Usage(error)) => ExitCode::from(complain(EXIT_USAGE, &error.to_string())),
        // Help, the version, or what is wrong, each on its own stream.
        Err(CommandLineError::Clap(error)) => error.exit(),
    }
}

fn run(cli: &Cli) -> u8 {
    let environment = Environment::of_process();
    let settings = match cli.settings(&environment) {
        Ok(settings) => settings,
        Err(error) => return complain(EXIT_USAGE, &error.to_string()),
    };
    if let Err(error) = telemetry::init_logging(settings.log_level, settings.log_format) {
        return complain(EXIT_FAILURE, &error.to_string());
    }
    match &settings.action {
        Action::Catalogue { markdown } => {
            let text = if *markdown {
                catalogue::markdown()
            } else {
                catalogue::table()
            };
            return finish(stdout().write_all(text.as_bytes()).map(|()| EXIT_OK));
        }
        Action::Rules {
            values,
            output,
            format,
            print_values,
        } => {
            let request = RulesRequest {
                values: values.as_deref(),
                folder: output.as_deref(),
                format: *format,
                print_values: *print_values,
            };
            return told(artefacts::rules(&request, stdout()));
        }
        Action::Dashboards { name, output, format } => {
            return told(artefacts::dashboards(
                name.as_deref(),
                output.as_deref(),
                *format,
                stdout(),
            ));
        }
        Action::Healthcheck { .. } => {
            return block_on(async {
                finish(healthcheck::run(settings.healthcheck_address(), &settings.web, stdout()).await)
            });
        }
        Action::Serve | Action::Once { .. } | Action::Check | Action::Acl { .. } => {}
    }
    let chosen = match cli.config_source(&environment) {
        Ok(chosen) => chosen,
        Err(error) => return complain(EXIT_USAGE, &error.to_string()),
    };
    // Of no matter to commands that serve nothing, unless they only check.
    let serves = settings.config_check || settings.action == Action::Serve;
    let web = serves.then(|| app::web::load(&settings)).transpose();
    let (loaded, web) = match (config::load(&chosen.source, &environment), web) {
        (Ok(loaded), Ok(web)) => (loaded, web),
        (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => return invalid(&errors),
        (Err(errors), Err(of_web)) => return invalid(&errors.and(of_web)),
    };
    for warning in chosen.warnings.iter().chain(&loaded.warnings) {
        tracing::warn!("{warning}");
    }
    let file = match as_file(cli, &environment, &chosen.source, &loaded) {
        Ok(file) => file,
        Err(error) => return complain(EXIT_USAGE, &error.to_string()),
    };
    if settings.config_check {
        // Where a file follows, the sentence is a comment of it.
        let comment = if file.is_empty() { "" } else { "# " };
        let (instances, clusters) = (loaded.config.instances.len(), loaded.config.clusters.len());
        let of_clusters = if clusters == 0 {
            String::new()
        } else {
            format!(", {clusters} cluster(s)")
        };
        let sentence = format!("{comment}the configuration is valid: {instances} instance(s){of_clusters}\n{file}");
        return finish(stdout().write_all(sentence.as_bytes()).map(|()| EXIT_OK));
    }
    block_on(command(&settings, chosen.source, loaded, web, &file))
}

fn invalid(errors: &ConfigErrors) -> u8 {
    complain(EXIT_CONFIG, &format!("the configuration is invalid:\n{errors}"))
}

/// What flags said as a file, for those who check; nothing where there is a file, or nothing was said.
fn as_file(cli: &Cli, environment: &Environment, source: &Source, loaded: &Loaded) -> Result<String, UsageError> {
    match source {
        Source::Flags(flags) if *flags != FlagSource::default() => {
            Ok(check::as_file(&loaded.config, &cli.beside_a_file(environment)?))
        }
        _ => Ok(String::new()),
    }
}

async fn command(settings: &Settings, source: Source, loaded: Loaded, web: Option<WebState>, file: &str) -> u8 {
    match &settings.action {
        Action::Once { unpaced } => finish(once::run(loaded.config, !*unpaced, stdout()).await),
        Action::Acl { server, format } => finish(acl::run(loaded.config, server.as_ref(), *format, stdout()).await),
        Action::Check => finish(check::run(loaded.config, file, stdout()).await),
        _ => match app::serve(settings, source, loaded.config, web.unwrap_or_default()).await {
            Ok(()) => EXIT_OK,
            Err(error) => complain(EXIT_FAILURE, &error.to_string()),
        },
    }
}

/// The exit code of a command that says itself what went wrong.
fn told(outcome: Outcome) -> u8 {
    match outcome {
        Ok((code, None)) => finish(Ok(code)),
        Ok((code, Some(sentence))) => complain(code, &sentence),
        Err(error) => finish(Err(error)),
    }
}

fn block_on(future: impl Future<Output = u8>) -> u8 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(future);
            // A password file on a dead network share must not keep the process from ending.
            runtime.shutdown_background();
            code
        }
        Err(error) => complain(EXIT_FAILURE, &format!("cannot start the runtime: {error}")),
    }
}

fn finish(outcome: std::io::Result<u8>) -> u8 {
    match outcome {
        Ok(code) => code,
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => EXIT_OK,
        Err(error) => complain(EXIT_FAILURE, &format!("cannot write to standard output: {error}")),
    }
}

fn complain(code: u8, sentence: &str) -> u8 {
    // Where standard error is closed there is nobody left to tell; the exit code says it.
    let _ = writeln!(stderr(), "redis-session-exporter: {sentence}");
    code
}
