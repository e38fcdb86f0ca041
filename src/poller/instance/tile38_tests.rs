//! A whole turn against a scripted Tile38: its own figures are shown beside what its INFO has, and no sessions are looked for, since its SCAN
//! is another command.

use super::*;
use crate::config::{Environment, load_str};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;

/// Answers like a Tile38 until the other side goes, and writes down what it was asked.
fn serve(stream: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tile38");
    let extended = std::fs::read(folder.join("server-ext-synthetic.resp")).unwrap();
    let info = std::fs::read_to_string(folder.join("info-synthetic.txt")).unwrap();
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    let number = |reader: &mut BufReader<TcpStream>| -> Option<usize> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse().ok()
    };
    loop {
        let mut words = Vec::new();
        for _ in 0..number(&mut reader)? {
            let mut word = vec![0; number(&mut reader)? + 2];
            reader.read_exact(&mut word).ok()?;
            words.push(String::from_utf8_lossy(&word).trim().to_uppercase());
        }
        let line = words.join(" ");
        let reply = match line.as_str() {
            "PING" => b"+PONG\r\n".to_vec(),
            "INFO ALL" => format!("${}\r\n{info}\r\n", info.len()).into_bytes(),
            "SERVER EXT" => extended.clone(),
            line if line.starts_with("CLIENT SETNAME") => b"+OK\r\n".to_vec(),
            _ => format!("-ERR unknown command '{}'\r\n", words[0].to_lowercase()).into_bytes(),
        };
        asked.lock().unwrap().push(line);
        writer.write_all(&reply).ok()?;
    }
}

#[tokio::test]
async fn a_tile38_shows_its_own_figures_and_is_not_scanned() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let log = log.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &log));
        }
    });
    let text = format!("instances: [{{name: t, address: 'redis://127.0.0.1:{port}'}}]");
    let loaded = load_str(&text, "test", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    let mut config = (*loaded.config.instances[0]).clone();
    config.optional.compatibility.tile38 = true;
    let store = Arc::new(SnapshotStore::new());
    let surroundings = Surroundings::new(&store, &loaded.config, "t");
    let mut instance = Instance::new(Arc::new(config), surroundings);
    assert!(instance.run_once(false).await, "{:?}", instance.details.errors);
    let section = |collector| {
        let key = SectionKey {
            collector,
            part: publish::VALUES,
        };
        instance.sections[&key].chunks.len()
    };
    assert_eq!(section("tile38"), 19);
    assert!(section("stats") >= 3 && section("cpu") >= 4 && section("clients") == 1);
    assert!(!instance.collector_states.contains_key("sessions"));
    let asked = asked.lock().unwrap();
    assert!(
        !asked
            .iter()
            .any(|line| line.starts_with("SCAN") || line.starts_with("SELECT")),
        "{asked:?}"
    );
}
