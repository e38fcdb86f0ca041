use super::*;
use crate::exposition::Dialect;
use crate::telemetry::BuildInfo;
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use tempfile::TempDir;

/// A folder with a web configuration, and what looks at it.
struct Watched {
    folder: TempDir,
    reading: Reading,
}

/// A certificate that ends in this year, and its key.
fn pair(year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

const TLS: &str = "tls_server_config: {cert_file: a.crt, key_file: a.key}\n";
/// `htpasswd -nbB -C 4 scraper hunter2`, as in the tests of `http`.
const USERS: &str = "basic_auth_users: {scraper: $2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm}\n";

impl Watched {
    /// Begins with a valid configuration of TLS and a user.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair(2030);
        fs::write(folder.path().join("a.crt"), certificate).unwrap();
        fs::write(folder.path().join("a.key"), key).unwrap();
        let file = folder.path().join("web.yml");
        fs::write(&file, format!("{TLS}{USERS}")).unwrap();
        let origin = Origin {
            source: WebSource::File(file),
            user: None,
        };
        let web = Arc::new(Web::new(origin.state().unwrap()));
        let telemetry = Arc::new(Telemetry::new(BuildInfo::THIS, None));
        let mut watched = Self {
            folder,
            reading: Reading::new(origin, web, telemetry),
        };
        watched.looks(3);
        assert!(watched.is_successful());
        watched
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    fn looks(&mut self, times: usize) {
        for _ in 0..times {
            self.reading.look();
        }
    }

    fn state(&self) -> Arc<WebState> {
        self.reading.web.current()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.reading.telemetry.encode(Dialect::Text);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in:\n{text}"))
            .parse()
            .unwrap()
    }

    fn is_successful(&self) -> bool {
        self.metric("redis_session_exporter_web_config_last_reload_successful") == 1.0
    }

    fn not_after(&self) -> f64 {
        self.metric("redis_session_exporter_http_certificate_not_after_timestamp_seconds")
    }

    /// The old state is in use, and the metric says that something is wrong.
    fn assert_kept(&mut self, before: &Arc<WebState>, what: &str) {
        self.looks(3);
        assert!(Arc::ptr_eq(before, &self.state()), "{what}");
        assert!(!self.is_successful(), "{what}");
        assert!(
            self.state().is_tls() && self.state().config().users.len() == 1,
            "{what}"
        );
    }
}

/// `date -u -d YEAR-01-01 +%s`
const YEAR_2030: f64 = 1_893_456_000.0;
const YEAR_2031: f64 = 1_924_992_000.0;

#[test]
fn what_does_not_change_is_not_read_again() {
    let mut watched = Watched::start();
    let before = watched.state();
    watched.looks(5);
    assert!(Arc::ptr_eq(&before, &watched.state()));
    assert_eq!(watched.not_after(), YEAR_2030);
}

#[test]
fn a_change_is_in_use_when_two_looks_found_the_same() {
    let mut watched = Watched::start();
    let more = USERS
        .replace("scraper", "second")
        .replace("basic_auth_users: {", "")
        .replace('}', "");
    let both = USERS.replace('}', &format!(", {}}}", more.trim()));
    watched.write("web.yml", &format!("{TLS}{both}"));
    watched.looks(1);
    assert_eq!(watched.state().config().users.len(), 1, "perhaps it is being written");
    watched.looks(1);
    assert_eq!(watched.state().config().users.len(), 2);
    assert!(watched.is_successful());
}

#[test]
fn broken_cut_off_and_vanished_files_change_nothing_until_they_are_mended() {
    let mut watched = Watched::start();
    let whole = format!("{TLS}{USERS}");
    let before = watched.state();
    // Wherever a writer was stopped.
    for length in 0..whole.len() - 1 {
        watched.write("web.yml", &whole[..length]);
        watched.assert_kept(&before, &whole[..length]);
    }
    for broken in [
        "\t",
        "tls_server_config: []",
        "nonsense: 1",
        USERS,
        TLS,
        "---\n",
        "\u{feff}",
        "- a",
    ] {
        watched.write("web.yml", broken);
        watched.assert_kept(&before, broken);
    }
    watched.remove("web.yml");
    watched.assert_kept(&before, "it vanished");
    watched.write("web.yml", &whole);
    watched.looks(2);
    assert!(watched.is_successful());
    assert_eq!(watched.not_after(), YEAR_2030);
}

#[test]
fn a_certificate_and_its_key_may_be_replaced_one_after_the_other() {
    let mut watched = Watched::start();
    let before = watched.state();
    let (certificate, key) = pair(2031);
    watched.write("a.crt", &certificate);
    watched.assert_kept(&before, "the key does not fit");
    assert_eq!(watched.not_after(), YEAR_2030, "of the one in use");
    watched.write("a.key", &key[..key.len() / 2]);
    watched.assert_kept(&before, "half a key");
    watched.remove("a.key");
    watched.assert_kept(&before, "no key");
    watched.write("a.key", &key);
    watched.looks(2);
    assert!(watched.is_successful());
    assert_eq!(watched.not_after(), YEAR_2031);
}

#[test]
fn links_that_move_are_followed() {
    let mut watched = Watched::start();
    let at = |name: &str| watched.folder.path().join(name);
    // As the kubelet does it: the files are links to ..data/FILE, and ..data is a link that a rename replaces.
    for (folder, year) in [("one", 2030), ("two", 2031)] {
        fs::create_dir(at(folder)).unwrap();
        let (certificate, key) = pair(year);
        fs::write(at(folder).join("a.crt"), certificate).unwrap();
        fs::write(at(folder).join("a.key"), key).unwrap();
    }
    std::os::unix::fs::symlink("one", at("..data")).unwrap();
    for name in ["a.crt", "a.key"] {
        fs::remove_file(at(name)).unwrap();
        std::os::unix::fs::symlink(format!("..data/{name}"), at(name)).unwrap();
    }
    let (data, new) = (at("..data"), at("..data_tmp"));
    std::os::unix::fs::symlink("two", &new).unwrap();
    watched.looks(3);
    assert_eq!(watched.not_after(), YEAR_2030);
    fs::rename(new, data).unwrap();
    watched.looks(2);
    assert_eq!(watched.not_after(), YEAR_2031);
}

#[test]
fn a_file_that_only_the_broken_configuration_names_mends_it() {
    let mut watched = Watched::start();
    let before = watched.state();
    let (certificate, key) = pair(2031);
    watched.write("b.key", &key);
    watched.write("web.yml", &format!("{}{USERS}", TLS.replace("a.", "b.")));
    watched.assert_kept(&before, "b.crt is not there yet");
    watched.write("b.crt", &certificate);
    watched.looks(1);
    assert!(watched.is_successful());
    assert_eq!(watched.not_after(), YEAR_2031);
}

#[test]
fn whoever_asks_is_told_at_once() {
    let mut watched = Watched::start();
    assert_eq!(watched.reading.read_again(), Ok(()));
    watched.write("web.yml", TLS);
    let refused = watched.reading.read_again().unwrap_err().to_string();
    assert!(
        refused.contains("basic_auth_users") && refused.contains("restart"),
        "{refused}"
    );
    assert!(!watched.is_successful());
    watched.write("web.yml", &format!("{TLS}{USERS}"));
    assert_eq!(watched.reading.read_again(), Ok(()));
    assert!(watched.is_successful());
}

#[test]
fn a_thread_looks_and_ends_with_who_asks_it() {
    let watched = Watched::start();
    let settings = Settings {
        web: watched.reading.origin.source.clone(),
        ..settings()
    };
    let web = Arc::new(Web::new(load(&settings).unwrap()));
    let watcher = Watcher::start(&settings, web.clone(), watched.reading.telemetry.clone()).unwrap();
    assert_eq!(watcher.read_again(), Ok(()));
    let before = web.current();
    let (certificate, key) = pair(2031);
    watched.write("a.crt", &certificate);
    watched.write("a.key", &key);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while watched.not_after() != YEAR_2031 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(!Arc::ptr_eq(&before, &web.current()));
    drop(watcher);
    while Arc::strong_count(&web) > 1 {
        assert!(std::time::Instant::now() < deadline, "the thread goes on");
        std::thread::yield_now();
    }
}

fn settings() -> Settings {
    use clap::Parser as _;
    let cli = crate::cli::Cli::parse_from(["redis-session-exporter"]);
    cli.settings(&crate::config::Environment::of_pairs(&[])).unwrap()
}

#[test]
fn flags_of_the_peer_serve_what_they_served_there() {
    let watched = Watched::start();
    let at = |name: &str| watched.folder.path().join(name);
    let flags = ServerTlsFlags {
        cert_file: at("a.crt"),
        key_file: at("a.key"),
        ca_file: Some(at("a.crt")),
        min_version: TlsVersion::V1_3,
    };
    let settings = Settings {
        web: WebSource::ServerFlags(flags.clone()),
        ..settings()
    };
    let state = load(&settings).unwrap();
    let tls = state.config().tls.as_ref().unwrap();
    assert_eq!(
        (tls.client_auth, tls.min_version),
        (ClientAuth::RequireAndVerify, TlsVersion::V1_3)
    );
    let broken = Settings {
        web: WebSource::ServerFlags(ServerTlsFlags {
            cert_file: at("nothing.crt"),
            key_file: at("web.yml"),
            ..flags
        }),
        ..settings
    };
    let errors = load(&broken).unwrap_err().to_string();
    assert_eq!(errors.lines().count(), 2, "all at once: {errors}");
    assert!(
        errors.contains("nothing.crt") && errors.contains("holds no private key"),
        "{errors}"
    );
}
