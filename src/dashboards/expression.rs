//! Expressions of panels, with the matchers of the dashboard's variables written short.

/// Matchers of an instance: every series of ours has these labels.
const INSTANCE: &str = r#"job=~"$job",environment=~"$environment",instance=~"$instance""#;
/// Matchers of a store. A metric that the application counts has no `store`; the variable's "All" matches that too.
const STORE: &str = r#"job=~"$job",environment=~"$environment",instance=~"$instance",store=~"$store""#;
/// Matchers of what belongs to the exporter's process and not to an instance: there, `instance` is the address of the exporter.
const JOB: &str = r#"job=~"$job""#;
/// Alerts of these rules, which are the ones with a `symptom`, about what is selected. Alerts about all instances of an environment have no
/// `instance`; those about the exporter have no `environment`, and their `instance` is the exporter.
const ALERTS: &str = r#"symptom!="",job=~"$job",environment=~"$environment|",instance=~"$instance|""#;
const ALERTS_OF_EXPORTER: &str = r#"symptom!="",job=~"$job",environment="""#;

/// Writes `@instance`, `@store`, `@job`, `@alerts` and `@exporter_alerts` out, as in `redis_up{@instance}`.
pub(super) fn expand(expression: &str) -> String {
    expression
        .replace("@instance", INSTANCE)
        .replace("@store", STORE)
        .replace("@job", JOB)
        .replace("@exporter_alerts", ALERTS_OF_EXPORTER)
        .replace("@alerts", ALERTS)
}

/// `numerator` as a share of `denominator`; no value where nothing happened, instead of a division by 0.
pub(super) fn share(numerator: &str, denominator: &str) -> String {
    format!("{numerator}\n/ ({denominator} > 0)")
}

/// A percentile of a histogram over what is selected, told apart by these labels. `bucket` is its `_bucket` series with matchers.
pub(super) fn percentile(quantile: &str, by: &str, bucket: &str) -> String {
    let separator = if by.is_empty() { "" } else { ", " };
    format!("histogram_quantile({quantile}, sum by ({by}{separator}le) (rate({bucket}[$__rate_interval])))")
}
