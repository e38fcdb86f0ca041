//! Where Alertmanager sends its notifications in tests: an HTTP server that takes them in and remembers when they came.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// One notification, as Alertmanager's `webhook_configs` send it (version 4 of the format).
#[derive(Debug, Clone)]
pub struct Notification {
    /// When it came in.
    pub at: Instant,
    /// Name of the receiver.
    pub receiver: String,
    /// What identifies the group of alerts, in Alertmanager's own words.
    pub group: String,
    /// The alerts of the group.
    pub alerts: Vec<ToldAlert>,
}

/// An alert within a notification.
#[derive(Debug, Clone)]
pub struct ToldAlert {
    /// Whether it fires; otherwise it is resolved.
    pub firing: bool,
    /// What identifies its labels.
    pub fingerprint: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl ToldAlert {
    /// A label; empty when it has none of this name, as in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A running server. Its threads end with the process of the tests.
#[derive(Debug)]
pub struct Webhook {
    /// Port on 127.0.0.1.
    pub port: u16,
    notifications: Arc<Mutex<Vec<Notification>>>,
}

impl Webhook {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let notifications = Arc::new(Mutex::new(Vec::new()));
        let taken = notifications.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let taken = taken.clone();
                std::thread::spawn(move || serve(stream, &taken));
            }
        });
        Self { port, notifications }
    }

    /// Everything that came in so far, in the order of arrival.
    pub fn notifications(&self) -> Vec<Notification> {
        self.notifications.lock().unwrap().clone()
    }
}

/// Serves one connection until the client closes it.
fn serve(stream: TcpStream, taken: &Mutex<Vec<Notification>>) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader) {
        let notification =
            read(&body).unwrap_or_else(|| panic!("not a notification: {}", String::from_utf8_lossy(&body)));
        taken.lock().unwrap().push(notification);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if reader.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}

/// The body of the next request; `None` at the end of the connection.
fn request(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    let mut body = vec![0; length?];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn read(body: &[u8]) -> Option<Notification> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let texts = |value: &serde_json::Value| -> Option<BTreeMap<String, String>> {
        let entries = value.as_object()?.iter();
        entries
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    let alerts = json["alerts"].as_array()?.iter().map(|alert| {
        Some(ToldAlert {
            firing: alert["status"] == "firing",
            fingerprint: alert["fingerprint"].as_str()?.to_owned(),
            labels: texts(&alert["labels"])?,
            annotations: texts(&alert["annotations"])?,
        })
    });
    Some(Notification {
        at: Instant::now(),
        receiver: json["receiver"].as_str()?.to_owned(),
        group: json["groupKey"].as_str()?.to_owned(),
        alerts: alerts.collect::<Option<_>>()?,
    })
}
