//! `/metrics` and `/probe`.

use super::App;
use super::answer::Answer;
use super::overrides;
use super::query::Query;
use crate::config::InstanceConfig;
use crate::config::types::Address;
use crate::exposition::encode::{EXPORTER, Filter, FilterError, InstanceLabels};
use crate::exposition::gzip::CompressError;
use crate::exposition::negotiate::{self, Encoding, Format};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use hyper::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::time::Instant;

/// The text of a header, all its lines.
fn lines(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn negotiated(headers: &HeaderMap) -> (Format, Encoding) {
    let format = negotiate::format(lines(headers, ACCEPT));
    (format, negotiate::encoding(lines(headers, ACCEPT_ENCODING)))
}

fn filter(app: &App, query: &Query<'_>) -> Result<Filter, FilterError> {
    Filter::from_names(query.all("collect[]"), query.all("exclude[]"), &app.parts.collectors)
}

fn uncompressed(error: CompressError) -> Answer {
    Answer::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

/// All instances, and the exporter's own section; that one alone where `--redis.addr=` names nothing.
pub(super) async fn whole(app: &App, headers: &HeaderMap, query: &Query<'_>) -> Answer {
    let filter = match filter(app, query) {
        Ok(filter) => filter,
        Err(error) => return Answer::text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let (Format { dialect, content_type }, encoding) = negotiated(headers);
    let own = if filter.admits(EXPORTER) {
        if app.parts.options.redis_only {
            app.parts.telemetry.encode_redis_only(dialect)
        } else {
            app.parts.telemetry.encode(dialect)
        }
    } else {
        dialect.end().to_owned()
    };
    let now = Instant::now();
    let labels = InstanceLabels::Written;
    let exposed = if filter == Filter::All && app.parts.options.exporter_alone {
        app.bodies.selected(&[], &filter, labels, (dialect, encoding), own, now)
    } else if filter == Filter::All {
        app.bodies.whole(&app.parts.store, dialect, encoding, own, now).await
    } else {
        let (_, instances) = app.parts.store.all();
        app.bodies
            .selected(&instances, &filter, labels, (dialect, encoding), own, now)
    };
    match exposed {
        Ok(exposed) => Answer::exposed(content_type, exposed, encoding == Encoding::Gzip),
        Err(error) => uncompressed(error),
    }
}

/// The series of one instance without the labels that `/sd` supplies. The target is compared and never dialled, shown or
/// logged.
pub(super) fn probe(app: &App, headers: &HeaderMap, query: &Query<'_>) -> Answer {
    let Some(target) = query.first("target").filter(|target| !target.is_empty()) else {
        app.parts.telemetry.probe_refused();
        return Answer::text(
            StatusCode::BAD_REQUEST,
            "the parameter target is missing: name a configured instance, as /sd lists them",
        );
    };
    let Some(instance) = find(app, target) else {
        app.parts.telemetry.probe_refused();
        return Answer::text(
            StatusCode::NOT_FOUND,
            "no configured instance has this name or address; /sd lists them",
        );
    };
    if let Some(sentence) = overrides::refusal(query, &instance) {
        app.parts.telemetry.probe_refused();
        return Answer::text(StatusCode::BAD_REQUEST, &sentence);
    }
    let filter = match filter(app, query) {
        Ok(filter) => filter,
        Err(error) => return Answer::text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let (Format { dialect, content_type }, encoding) = negotiated(headers);
    let snapshots: Vec<_> = app.parts.store.get(&instance.name).into_iter().collect();
    let exposed = app.bodies.selected(
        &snapshots,
        &filter,
        InstanceLabels::Omitted,
        (dialect, encoding),
        dialect.end().to_owned(),
        Instant::now(),
    );
    match exposed {
        Ok(exposed) => Answer::exposed(content_type, exposed, encoding == Encoding::Gzip),
        Err(error) => uncompressed(error),
    }
}

/// The configured instance with this name, else the first one with an address that the text may mean.
fn find(app: &App, target: &str) -> Option<Arc<InstanceConfig>> {
    let config = app.config();
    let by_name = config.instances.iter().find(|instance| instance.name == target);
    let found = by_name.or_else(|| {
        let meant = (app.parts.hooks.addresses_meant)(target);
        let at = |address: &Address| config.instances.iter().find(|instance| instance.address == *address);
        meant.iter().find_map(at)
    });
    found.cloned()
}
