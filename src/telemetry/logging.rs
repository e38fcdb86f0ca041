//! Logs: one line per event on standard error, as logfmt or JSON, without colours.

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Values of `--log.level`, named as Prometheus names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogLevel {
    /// What needs an act.
    Error,
    /// What deserves a look.
    Warn,
    /// Start, stop, reload, changes of state.
    #[default]
    Info,
    /// What helps to understand this program.
    Debug,
}

/// Values of `--log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// `level=info message="..."`
    #[default]
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
#[error("logging was already started in this process")]
pub struct LoggingError;

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// The layer that writes to `writer`. Libraries are heard from WARN on only: their lower levels may hold what clients and
/// servers sent.
fn layer<S, W>(
    level: LogLevel,
    format: LogFormat,
    writer: W,
) -> Box<dyn tracing_subscriber::Layer<S> + Send + Sync + 'static>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let level = level.filter();
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level);
    match format {
        LogFormat::Logfmt => tracing_logfmt::builder()
            .with_target(false)
            .with_span_path(false)
            .layer()
            .with_writer(writer)
            .with_filter(targets)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_writer(writer)
            .with_filter(targets)
            .boxed(),
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// When logging was started before.
pub fn init_logging(level: LogLevel, format: LogFormat) -> Result<(), LoggingError> {
    tracing_subscriber::registry()
        .with(layer(level, format, std::io::stderr))
        .try_init()
        .map_err(|_| LoggingError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::registry().with(layer(level, format, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(instance = "redis-1", "A sentence with \x1b[31mcolour\nand a line.");
            tracing::debug!("Hidden at info.");
            tracing::info!(target: "hyper", "Hidden at every level.");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn logfmt_is_one_line_per_event() {
        let lines = logged(LogLevel::Info, LogFormat::Logfmt);
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(
            lines.contains("level=info") && lines.contains("instance=redis-1"),
            "{lines}"
        );
        assert!(!lines.contains("Hidden"), "{lines}");
    }

    #[test]
    fn json_is_one_object_per_event() {
        let lines = logged(LogLevel::Debug, LogFormat::Json);
        assert_eq!(lines.lines().count(), 2, "{lines}");
        for line in lines.lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(event.get("level").is_some() && event.get("message").is_some());
        }
        assert!(!lines.contains('\x1b'));
    }

    #[test]
    fn errors_hide_the_rest() {
        assert_eq!(logged(LogLevel::Error, LogFormat::Json), "");
    }
}
