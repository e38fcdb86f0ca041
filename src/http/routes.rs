//! Who answers which path, and what all answers have in common.

use super::access::Access;
use super::answer::Answer;
use super::query::{Query, decode_segment};
use super::{App, WebOptions, artefacts, cluster_nodes, health, landing, metrics, sd};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::time::{Duration, Instant};

/// How long a reload may take before the client is told that it still runs. Reading files takes milliseconds; starting the
/// tasks of hundreds of new instances a little more.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);

/// What a GET of `/-/reload` is told: with redis_exporter it reads the file of passwords again.
const RELOAD_BY_GET: &str = "a GET changes nothing here: files of passwords are read again at every connect, so a changed one needs no \
    reload; POST or PUT, with --web.enable-lifecycle, or the signal SIGHUP read the whole configuration again";

/// Every route; what it stands for in the label `route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Landing,
    Metrics,
    Probe,
    Discovery,
    ClusterNodes,
    Config,
    HealthAll,
    /// With the instance's name as it stands in the path.
    HealthOne(&'a str),
    Health,
    Healthy,
    Ready,
    Reload,
    Rules,
    /// With the name of the file as it stands in the path.
    RuleFile(&'a str),
    Dashboards,
    /// With the name of the dashboard as it stands in the path.
    Dashboard(&'a str),
    Unknown,
}

impl<'a> Route<'a> {
    fn find(path: &'a str, telemetry_path: &str) -> Self {
        if path == telemetry_path {
            return Self::Metrics;
        }
        match path {
            "/" => Self::Landing,
            "/probe" | "/scrape" => Self::Probe,
            "/sd" => Self::Discovery,
            "/discover-cluster-nodes" => Self::ClusterNodes,
            "/config" => Self::Config,
            "/health" => Self::Health,
            "/-/healthy" => Self::Healthy,
            "/-/ready" => Self::Ready,
            "/-/reload" => Self::Reload,
            "/rules" | "/rules/" => Self::Rules,
            "/dashboards" | "/dashboards/" => Self::Dashboards,
            _ => {
                if let Some(name) = path.strip_prefix("/rules/") {
                    return Self::RuleFile(name);
                }
                if let Some(name) = path.strip_prefix("/dashboards/") {
                    return Self::Dashboard(name);
                }
                let path = path.strip_prefix("/api").unwrap_or(path);
                match path.strip_prefix("/health/redis") {
                    Some("" | "/") => Self::HealthAll,
                    Some(rest) => match rest.strip_prefix('/') {
                        Some(name) if !name.contains('/') => Self::HealthOne(name),
                        _ => Self::Unknown,
                    },
                    None => Self::Unknown,
                }
            }
        }
    }

    /// The value of the label `route`: patterns, so that their number is fixed.
    fn as_label(self) -> &'static str {
        match self {
            Self::Landing => "/",
            Self::Metrics => "/metrics",
            Self::Probe => "/probe",
            Self::Discovery => "/sd",
            Self::ClusterNodes => "/discover-cluster-nodes",
            Self::Config => "/config",
            Self::HealthAll => "/health/redis",
            Self::HealthOne(_) => "/health/redis/{instance}",
            Self::Health => "/health",
            Self::Healthy => "/-/healthy",
            Self::Ready => "/-/ready",
            Self::Reload => "/-/reload",
            Self::Rules => "/rules",
            Self::RuleFile(_) => "/rules/{name}",
            Self::Dashboards => "/dashboards",
            Self::Dashboard(_) => "/dashboards/{name}",
            Self::Unknown => "other",
        }
    }

    /// Whether it is served to clients without credentials and at any rate: what an orchestrator asks, which has none, and which would
    /// restart a container that answers 429.
    fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Healthy | Self::Ready)
    }

    /// Why the flags have switched it off.
    fn switched_off(self, options: &WebOptions) -> Option<&'static str> {
        match self {
            Self::Probe if !options.serve_probe => Some(
                "/probe and /scrape are switched off by --disable-scrape-endpoint; every instance is on the path of the metrics",
            ),
            Self::Discovery if !options.serve_probe => Some(
                "/sd names targets on /probe, which is switched off by --disable-scrape-endpoint; every instance is on the path of the \
                 metrics",
            ),
            _ => None,
        }
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Reload => method == Method::POST || method == Method::PUT,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// The value of the label `method`.
fn method_label(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    known
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// Answers a request. Bodies of requests are never read.
pub(super) async fn answer(app: &App, request: &Request<Incoming>) -> Answer {
    let begun = Instant::now();
    let route = Route::find(request.uri().path(), &app.parts.options.telemetry_path);
    let method = request.method();
    let access = app.access();
    let answer = if let Some(refusal) = refusal(&access, route, request, begun).await {
        refusal
    } else if let Some(sentence) = route.switched_off(&app.parts.options) {
        Answer::text(StatusCode::NOT_FOUND, sentence)
    } else if route == Route::Unknown {
        Answer::text(StatusCode::NOT_FOUND, "nothing is here; / lists what there is")
    } else if !route.allows(method) {
        let (allowed, sentence) = if route == Route::Reload {
            ("POST, PUT", RELOAD_BY_GET)
        } else {
            ("GET, HEAD", "only these methods are allowed here: GET, HEAD")
        };
        Answer::text(StatusCode::METHOD_NOT_ALLOWED, sentence).with_header(ALLOW, HeaderValue::from_static(allowed))
    } else {
        dispatch(app, route, request).await
    };
    finished(app, &access, route, method, begun, answer)
}

/// Answers a request with a refusal, whatever it asks for.
pub(super) fn refused(app: &App, request: &Request<Incoming>, status: StatusCode, sentence: &str) -> Answer {
    let route = Route::find(request.uri().path(), &app.parts.options.telemetry_path);
    let answer = Answer::text(status, sentence);
    finished(app, &app.access(), route, request.method(), Instant::now(), answer)
}

/// What all answers have in common.
fn finished(app: &App, access: &Access, route: Route<'_>, method: &Method, begun: Instant, answer: Answer) -> Answer {
    let answer = access.dressed(answer);
    let code = answer.status().as_u16();
    app.parts
        .telemetry
        .request_answered(method_label(method), route.as_label(), code, begun.elapsed());
    if method == Method::HEAD {
        answer.without_body()
    } else {
        answer
    }
}

/// Turns away clients that are not let in, and what is more than the rate of requests allows.
async fn refusal(access: &Access, route: Route<'_>, request: &Request<Incoming>, now: Instant) -> Option<Answer> {
    if route.is_open() {
        return None;
    }
    access.refusal(request.headers(), now).await
}

async fn dispatch(app: &App, route: Route<'_>, request: &Request<Incoming>) -> Answer {
    let query = match Query::parse(request.uri().query()) {
        Ok(query) => query,
        Err(error) => return Answer::text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let headers = request.headers();
    match route {
        Route::Metrics => metrics::whole(app, headers, &query).await,
        Route::Probe => metrics::probe(app, headers, &query),
        Route::Landing => landing::answer(app),
        Route::Discovery => sd::answer(app, headers, request.uri()),
        Route::ClusterNodes => cluster_nodes::answer(app),
        Route::Config => Answer::yaml((app.parts.hooks.redacted_yaml)(&app.config())),
        Route::Health => Answer::text(StatusCode::OK, "ok"),
        Route::HealthAll => health::all(app, &query),
        Route::HealthOne(name) => match decode_segment(name) {
            Ok(name) => health::one(app, &name, &query),
            Err(_) => Answer::text(StatusCode::BAD_REQUEST, "the path must be percent-encoded UTF-8"),
        },
        Route::Healthy => healthy(app),
        Route::Ready => match app.is_ready() {
            Ok(()) => Answer::text(StatusCode::OK, "Ready"),
            Err(waiting) => Answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!(
                    "Not ready: the first poll of {waiting} instances (or the discovery of their cluster) has not ended"
                ),
            ),
        },
        Route::Reload => reload(app).await,
        Route::Rules => artefacts::rules(),
        Route::RuleFile(name) => artefacts::rule_file(name),
        Route::Dashboards => artefacts::dashboards(),
        Route::Dashboard(name) => artefacts::dashboard(name),
        Route::Unknown => Answer::text(StatusCode::NOT_FOUND, "nothing is here"),
    }
}

/// The process answers, and every instance's task turns.
fn healthy(app: &App) -> Answer {
    let wedged = app.wedged(Instant::now());
    match wedged.first() {
        None => Answer::text(StatusCode::OK, "Healthy"),
        Some(first) => Answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!(
                "Not healthy: {} tasks have stopped, first the one of instance {first}; restart this exporter and report it",
                wedged.len()
            ),
        ),
    }
}

/// As Prometheus does it: 403 when the flag is not set, 500 with the reason when the new configuration is not valid.
async fn reload(app: &App) -> Answer {
    if !app.parts.options.enable_lifecycle {
        return Answer::text(
            StatusCode::FORBIDDEN,
            "Lifecycle API is not enabled; start with --web.enable-lifecycle",
        );
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    if app.parts.reload.try_send(sender).is_err() {
        return Answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "other reloads are waiting; try again later",
        );
    }
    match tokio::time::timeout(RELOAD_LIMIT, receiver).await {
        Ok(Ok(Ok(()))) => Answer::text(StatusCode::OK, "the configuration was reloaded"),
        Ok(Ok(Err(reason))) => Answer::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the configuration was not reloaded, the old one stays in use: {reason}"),
        ),
        Ok(Err(_)) | Err(_) => Answer::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the reload has not ended in time; the log says how it went",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_routed() {
        let cases = [
            ("/", Route::Landing),
            ("/m", Route::Metrics),
            ("/metrics", Route::Unknown),
            ("/scrape", Route::Probe),
            ("/health/redis", Route::HealthAll),
            ("/health/redis/", Route::HealthAll),
            ("/api/health/redis", Route::HealthAll),
            ("/health/redis/a%2Fb", Route::HealthOne("a%2Fb")),
            ("/api/health/redis/x", Route::HealthOne("x")),
            ("/health/redis/a/b", Route::Unknown),
            ("/health/redisx", Route::Unknown),
            ("/api/metrics", Route::Unknown),
            ("/rules", Route::Rules),
            ("/rules/memory.yaml", Route::RuleFile("memory.yaml")),
            ("/dashboards/", Route::Dashboards),
            ("/dashboards/redis-session-slo", Route::Dashboard("redis-session-slo")),
            ("*", Route::Unknown),
        ];
        for (path, route) in cases {
            assert_eq!(Route::find(path, "/m"), route, "{path}");
        }
    }

    #[test]
    fn unknown_methods_share_a_label() {
        assert_eq!(method_label(&Method::GET), "GET");
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
