//! The lines of `tests/fixtures/compat/evidence.tsv` that name a test: what its scrape must hold. `src/catalogue/compatibility.rs`
//! says what the files mean and makes docs/compatibility.md of them.

use super::scrape::Scrape;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Labels that the exporter adds to every series of an instance.
const OF_THE_INSTANCE: [&str; 2] = ["environment", "instance"];

/// Labels that the formats add to series of histograms and summaries.
const OF_THE_FORMAT: [&str; 2] = ["le", "quantile"];

fn lines(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// What is wrong with a scrape, by what the lines say that name this place: `file!()`, or that with `:PART`. Metrics must be there with
/// the type and the labels of redis_exporter.
pub fn problems(place: &str, scrape: &Scrape) -> Vec<String> {
    let rows: BTreeMap<String, (String, String)> = lines("tests/fixtures/compat/redis_exporter_metrics.tsv")
        .into_iter()
        .map(|fields| (fields[0].clone(), (fields[1].clone(), fields[2].clone())))
        .collect();
    let evidence = lines("tests/fixtures/compat/evidence.tsv").into_iter();
    let listed: Vec<String> = evidence
        .filter(|fields| fields[1] == "server" && fields[2] == place)
        .map(|fields| fields[0].clone())
        .collect();
    assert!(!listed.is_empty(), "no line of evidence.tsv names {place}");
    listed
        .iter()
        .filter_map(|name| {
            let (kind, labels) = &rows[name];
            problem(scrape, name, kind, labels).map(|problem| format!("{name}: {problem}"))
        })
        .collect()
}

/// Fails unless the scrape holds everything that the lines say which name this place.
pub fn assert_emits_listed(place: &str, scrape: &Scrape) {
    let problems = problems(place, scrape);
    assert!(problems.is_empty(), "{place}:\n{}", problems.join("\n"));
}

fn problem(scrape: &Scrape, name: &str, kind: &str, labels: &str) -> Option<String> {
    let announced = scrape.types.get(name).map(String::as_str);
    if announced != Some(kind) {
        return Some(format!("announced as {announced:?}, not as {kind}"));
    }
    let suffixes: &[&str] = match kind {
        "histogram" => &["_bucket", "_sum", "_count"],
        "summary" => &["_sum", "_count"],
        _ => &[""],
    };
    for suffix in suffixes {
        let mut samples = scrape.all(&format!("{name}{suffix}"), &[]).peekable();
        if samples.peek().is_none() {
            return Some(format!("no sample {name}{suffix}"));
        }
        for sample in samples {
            let ignored = |label: &&str| OF_THE_INSTANCE.contains(label) || OF_THE_FORMAT.contains(label);
            let found: BTreeSet<&str> = sample
                .labels
                .keys()
                .map(String::as_str)
                .filter(|it| !ignored(it))
                .collect();
            let (mut required, mut allowed) = (BTreeSet::new(), BTreeSet::new());
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                // `[,port]` in the list is split at its comma: `host[` and `port]`.
                let plain = label.trim_matches(['[', ']']);
                allowed.insert(plain);
                if !label.contains(']') && !OPTIONAL.contains(&plain) {
                    required.insert(plain);
                }
            }
            if !found.is_subset(&allowed) || !required.is_subset(&found) {
                return Some(format!("has the labels {found:?}, not {{{labels}}}"));
            }
        }
    }
    None
}

/// Labels that only Valkey's instances have.
const OPTIONAL: [&str; 2] = ["valkey_version", "valkey_release_stage"];
