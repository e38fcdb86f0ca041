//! What a process shows to whoever asks: answers to requests good and bad, and what the kernel tells of it.

use super::matcher::{basic, percent_encoded, plain, secret};
use crate::support::exporter::Exporter;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What was seen, and where.
pub type Outputs = Vec<(String, Vec<u8>)>;

/// Longest time for the answer to bytes that are no request.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every page that is about no instance.
const PAGES: [&str; 22] = [
    "/",
    "/metrics",
    "/metrics?exclude[]=exporter",
    "/metrics?collect[]=config_all",
    "/metrics?collect[]=lua",
    "/sd",
    "/config",
    "/discover-cluster-nodes",
    "/health",
    "/health/redis",
    "/health/redis?detailed=true",
    "/health/redis?check=connectivity",
    "/health/redis?check=memory",
    "/health/redis?check=pool",
    "/health/redis?check=performance",
    "/health/redis?check=persistence",
    "/api/health/redis?detailed=true",
    "/-/healthy",
    "/-/ready",
    "/rules",
    "/dashboards/overview",
    "/debug/pprof/",
];

/// How metrics are asked for.
const ACCEPTED: [&str; 3] = [
    "text/plain; version=0.0.4",
    "application/openmetrics-text; version=1.0.0",
    "*/*",
];

/// Asks for everything that there is, and for much that there is not, with a secret wherever a client can put one. `credentials` is sent
/// with what is asked for in earnest.
pub fn everything_served(exporter: &Exporter, instances: &[&str], credentials: Option<&str>) -> Outputs {
    let mut outputs = Outputs::new();
    let mut ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let response = exporter.request(method, path, headers);
        let head = format!("{} {:?}", response.status, response.headers);
        outputs.push((format!("head of {method} {path}"), head.into_bytes()));
        // Compressed bodies are unpacked by whoever searches.
        outputs.push((format!("body of {method} {path}"), response.body));
        response.status
    };
    let with = |headers: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let credentials = credentials.map(|value| ("Authorization", value.to_owned()));
        let given = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        given.chain(credentials).collect()
    };
    let of_instances = instances.iter().flat_map(|name| {
        [
            format!("/probe?target={name}"),
            format!("/scrape?target={name}&collect[]=config_all"),
            format!("/health/redis/{name}?detailed=true"),
        ]
    });
    for path in PAGES.iter().map(|path| (*path).to_owned()).chain(of_instances) {
        for accepted in ACCEPTED {
            for encoding in ["identity", "gzip"] {
                let headers = with(&[("Accept", accepted), ("Accept-Encoding", encoding)]);
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let status = ask("GET", &path, &headers);
                assert!(
                    status != 401 || credentials.is_none(),
                    "{path} is not shown to its user"
                );
            }
        }
    }
    let planted = percent_encoded(&secret("request"));
    let word = plain("request");
    let bearer = format!("Bearer {word}");
    let of_somebody = basic("somebody", &secret("authorization"));
    let forms = [
        format!("/probe?target=redis://u:{planted}@127.0.0.1:1"),
        format!("/probe?target=redis://u:{word}@h"),
        format!("/scrape?target={planted}"),
        format!("/scrape?target=redis://h&check-keys={planted}"),
        format!("/scrape?{planted}={planted}"),
        format!("/metrics?collect[]={planted}"),
        format!("/metrics?exclude[]={word}"),
        format!("/health/redis/{planted}"),
        format!("/health/redis?check={planted}"),
        format!("/sd?{planted}"),
        format!("/dashboards/{planted}"),
        format!("/-/{word}"),
        format!("/{planted}"),
    ];
    for path in &forms {
        for method in ["GET", "HEAD", "POST", "DELETE", "TRACE", "OPTIONS"] {
            let headers = [
                ("Authorization", of_somebody.as_str()),
                ("Cookie", word.as_str()),
                ("User-Agent", word.as_str()),
                ("Referer", word.as_str()),
                ("X-Forwarded-For", word.as_str()),
                ("Accept", word.as_str()),
            ];
            ask(method, path, &headers);
        }
    }
    for authorization in [of_somebody.as_str(), &bearer, &word, "Basic !!!"] {
        ask("GET", "/metrics", &[("Authorization", authorization)]);
        ask("POST", "/-/reload", &[("Authorization", authorization)]);
    }
    for bytes in no_requests(&word) {
        let answer = raw(exporter.port, &bytes);
        outputs.push((
            format!("answer to {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)])),
            answer,
        ));
    }
    outputs
}

/// Bytes that are no request, or one of an unreasonable size.
fn no_requests(word: &str) -> Vec<Vec<u8>> {
    let long = format!("X: {word}\r\n").repeat(2_000);
    [
        format!("{word} /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /metrics HTTP/1.1\r\nHost: {word}\r\n{word}\r\n\r\n"),
        format!("GET /metrics HTTP/9.9\r\nHost: {word}\r\n\r\n"),
        format!("GET /{word} HTTP/1.1\r\nHost: x\r\n{long}\r\n"),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", word.repeat(4_000)),
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: {word}\r\n\r\n"),
        format!("GET /sd HTTP/1.1\r\nHost: {word} {word}\r\nConnection: close\r\n\r\n"),
        format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{word}\r\n", word.len()),
        format!("\u{16}\u{3}\u{1}{word}"),
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// What comes back on these bytes until the other side closes.
fn raw(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    // A reset after the answer is a close.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// What the process wrote, and what the kernel tells everybody of it.
pub fn process(exporter: &Exporter) -> Outputs {
    let of_kernel = |name: &str| {
        let path = format!("/proc/{}/{name}", exporter.process.id());
        (path.clone(), std::fs::read(path).unwrap())
    };
    vec![
        ("its log".to_owned(), exporter.log().into_bytes()),
        of_kernel("cmdline"),
        of_kernel("comm"),
    ]
}

/// Variables of the process as the kernel shows them to its own user.
pub fn environment(exporter: &Exporter) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{}/environ", exporter.process.id())).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.split('\0')
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}
