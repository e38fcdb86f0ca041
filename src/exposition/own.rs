//! The exporter's own live metrics: prometheus-client writes OpenMetrics, and a small converter makes text 0.0.4 of that.

use super::Dialect;
use prometheus_client::registry::Registry;

/// The metrics of the registry in the dialect, with the end that the dialect demands.
///
/// # Errors
/// An error of formatting, which only a metric that refuses to be encoded can cause.
pub fn encode(registry: &Registry, dialect: Dialect) -> Result<String, std::fmt::Error> {
    /// Our own metrics take about 8 KiB; growing step by step would copy them several times.
    const USUAL_BYTES: usize = 16 * 1024;
    let mut open = String::with_capacity(USUAL_BYTES);
    prometheus_client::encoding::text::encode(&mut open, registry)?;
    Ok(match dialect {
        Dialect::OpenMetrics => open,
        Dialect::Text => to_text(&open),
    })
}

/// Turns what prometheus-client writes into text 0.0.4: counters are named with `_total` in their headers, `unknown` is
/// `untyped`, `info` is a gauge, and `# UNIT` and `# EOF` do not exist.
fn to_text(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let mut lines = open.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let Some(header) = line.strip_prefix("# ") else {
            out.push_str(line);
            continue;
        };
        if let Some(rest) = header.strip_prefix("HELP ") {
            // HELP comes first, but how its metric is named depends on the type that follows.
            let word = lines.peek().and_then(|next| type_word(next));
            push_header(&mut out, "HELP", rest, suffix(word));
        } else if let Some(rest) = header.strip_prefix("TYPE ") {
            let word = type_word(line);
            let (name, _) = rest.split_once(' ').unwrap_or((rest, ""));
            let text_word = match word {
                Some("unknown") => "untyped",
                Some("info") => "gauge",
                Some(word) => word,
                None => continue,
            };
            for piece in ["# TYPE ", name, suffix(word), " ", text_word, "\n"] {
                out.push_str(piece);
            }
        }
    }
    out
}

/// The type in a `# TYPE` line.
fn type_word(line: &str) -> Option<&str> {
    line.strip_prefix("# TYPE ")?.trim_end().split(' ').nth(1)
}

/// What the samples of such a family have behind the family's name.
fn suffix(word: Option<&str>) -> &'static str {
    match word {
        Some("counter") => "_total",
        Some("info") => "_info",
        _ => "",
    }
}

fn push_header(out: &mut String, keyword: &str, rest: &str, suffix: &str) {
    let (name, text) = rest.split_once(' ').unwrap_or((rest.trim_end(), "\n"));
    for piece in ["# ", keyword, " ", name, suffix, " ", text] {
        out.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::registry::Unit;

    #[test]
    fn headers_are_converted_and_samples_kept() {
        let mut registry = Registry::default();
        let counter: Counter = Counter::default();
        counter.inc();
        registry.register_with_unit("cpu", "Time used", Unit::Seconds, counter);
        registry.register("open", "Open # things", Gauge::<i64>::default());
        assert_eq!(
            encode(&registry, Dialect::OpenMetrics).unwrap(),
            "# HELP cpu_seconds Time used.\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\ncpu_seconds_total 1\n\
             # HELP open Open # things.\n# TYPE open gauge\nopen 0\n# EOF\n"
        );
        assert_eq!(
            encode(&registry, Dialect::Text).unwrap(),
            "# HELP cpu_seconds_total Time used.\n# TYPE cpu_seconds_total counter\ncpu_seconds_total 1\n\
             # HELP open Open # things.\n# TYPE open gauge\nopen 0\n"
        );
    }

    #[test]
    fn types_that_text_does_not_know_are_renamed() {
        let open = "# HELP a A.\n# TYPE a unknown\na 1\n# HELP b B.\n# TYPE b info\nb_info{x=\"y\"} 1\n# EOF\n";
        assert_eq!(
            to_text(open),
            "# HELP a A.\n# TYPE a untyped\na 1\n# HELP b_info B.\n# TYPE b_info gauge\nb_info{x=\"y\"} 1\n"
        );
    }
}
