//! The password file of `redis_exporter`: a JSON object `{"redis://user@host:port": "password"}`. It may stand wherever a password file may;
//! which of the two a file is says its first character.

use super::address::{names_scheme, parse_address};
use super::password_file::{self, PasswordFileFailure};
use super::peer_flags::cluster_address;
use super::resolve::MAX_INSTANCES;
use super::types::{Address, PasswordSource, Secret};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Largest map: five thousand instances with an address of 100 bytes and a password of 100 each.
pub(super) const MAX_MAP_BYTES: usize = 1024 * 1024;

/// What `password` or a password file stands for before it is known for which instance.
#[derive(Clone)]
pub(super) enum PasswordDraft {
    /// The same for every instance.
    Source(PasswordSource),
    /// To be looked up for each instance.
    Map(Rc<PasswordMap>),
}

/// The addresses of a map. The passwords stay in the file.
pub(super) struct PasswordMap {
    path: PathBuf,
    /// In the order of the file.
    pub(super) entries: Vec<MapEntry>,
}

/// One key of the map.
pub(super) struct MapEntry {
    /// As it stands in the file; it may hold a password.
    key: Secret,
    /// Whether it says how the server is spoken to.
    names_scheme: bool,
    /// Where the server listens.
    address: Address,
    /// The same as the address of a cluster, where there is such a form of it.
    cluster: Option<Address>,
    /// The user.
    pub(super) username: Option<String>,
    /// Whether it holds a password at all.
    pub(super) has_password: bool,
    /// Position of the first entry with the same password.
    same_as: usize,
}

impl MapEntry {
    /// The address as it stands in the file.
    pub(super) fn written(&self) -> &str {
        self.key.expose()
    }

    /// Whether the address has a scheme.
    pub(super) fn names_scheme(&self) -> bool {
        self.names_scheme
    }

    fn is_at(&self, address: &Address) -> bool {
        self.address == *address || self.cluster.as_ref() == Some(address)
    }

    /// Whether it names the server of an address over TLS without saying how it is spoken to. One that says `redis://` names another
    /// port, and its password is not for this one, nor the other way round.
    fn is_behind(&self, address: &Address) -> bool {
        let plain = Address {
            tls: false,
            ..address.clone()
        };
        address.tls && !self.names_scheme && self.is_at(&plain)
    }
}

impl PasswordMap {
    /// The entry of a server and a user: the one that names both, else the one of that server that names no user; before others those
    /// that name the scheme.
    pub(super) fn entry(&self, address: &Address, username: Option<&str>) -> Option<&MapEntry> {
        let find = |fits: fn(&MapEntry, &Address) -> bool, wanted: Option<&str>| {
            let mut entries = self.entries.iter();
            entries.find(|entry| fits(entry, address) && entry.username.as_deref() == wanted)
        };
        let of_user = |wanted| find(MapEntry::is_at, wanted).or_else(|| find(MapEntry::is_behind, wanted));
        of_user(username).or_else(|| of_user(None))
    }

    /// The source of the first entry whose password is the same as that of this source: equal passwords have equal ones.
    pub(super) fn representative(&self, source: &PasswordSource) -> Option<PasswordSource> {
        let PasswordSource::MapFile { key, .. } = source else {
            return None;
        };
        let entry = self.entries.iter().find(|entry| entry.key == *key)?;
        self.entries.get(entry.same_as).map(|first| self.source(first))
    }

    /// Where the password of an entry is read from at each connect.
    pub(super) fn source(&self, entry: &MapEntry) -> PasswordSource {
        if entry.has_password {
            PasswordSource::MapFile {
                path: self.path.clone(),
                key: entry.key.clone(),
            }
        } else {
            PasswordSource::None
        }
    }
}

/// What a password file holds, if it can be read now. Relative paths begin at `directory`.
pub(super) fn checked(directory: &Path, written: &str) -> Result<PasswordDraft, PasswordFileFailure> {
    let path = directory.join(written);
    // Absolute, so that `/config` shows what is read whatever the working directory of the reader is.
    let path = std::path::absolute(&path).unwrap_or(path);
    let content = password_file::content(&path, MAX_MAP_BYTES)?;
    if is_map(&content) {
        return Ok(PasswordDraft::Map(Rc::new(PasswordMap {
            entries: entries(&content)?,
            path,
        })));
    }
    password_file::password_in(&content)?;
    Ok(PasswordDraft::Source(PasswordSource::File(path)))
}

/// Whether the content is meant as a map, whole or broken: an object of JSON begins with `{` and a quote. A single password that does
/// the same has to stand in a map.
pub(super) fn is_map(content: &[u8]) -> bool {
    // A byte order mark is what some editors write in front of UTF-8; it is no part of the text.
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    match content.trim_ascii_start().strip_prefix(b"{") {
        Some(rest) => rest
            .trim_ascii_start()
            .first()
            .is_none_or(|byte| matches!(byte, b'"' | b'}')),
        None => false,
    }
}

fn entries(content: &[u8]) -> Result<Vec<MapEntry>, PasswordFileFailure> {
    let found = parse(content, Wanted::Every)?;
    let mut entries: Vec<MapEntry> = Vec::with_capacity(found.len());
    for (index, (key, password)) in found.iter().enumerate() {
        let parsed = parse_address(key).map_err(|error| PasswordFileFailure::MapAddress(index + 1, error))?;
        let entry = MapEntry {
            key: Secret::new(key.as_str()),
            names_scheme: names_scheme(key),
            cluster: parse_address(&cluster_address(key)).ok().map(|parsed| parsed.address),
            address: parsed.address,
            username: parsed.username,
            has_password: !password.expose().is_empty(),
            same_as: found.iter().position(|(_, other)| other == password).unwrap_or(index),
        };
        let same = |known: &MapEntry| known.address == entry.address && known.username == entry.username;
        match entries.iter().position(same) {
            Some(first) => return Err(PasswordFileFailure::MapTwice(first + 1, index + 1)),
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

/// The password of one entry of the map, as it is now. Blocks for as long as the file system takes.
///
/// # Errors
/// [`PasswordFileFailure`]: the file cannot be read, is no map, or has no such entry.
pub fn read(path: &Path, key: &Secret) -> Result<Secret, PasswordFileFailure> {
    let content = password_file::content(path, MAX_MAP_BYTES)?;
    let found = parse(&content, Wanted::One(key.expose()))?;
    match found.into_iter().next() {
        None => Err(PasswordFileFailure::NoEntry),
        // As with a file that is empty: an empty password is not sent.
        Some((_, password)) if password.expose().is_empty() => Err(PasswordFileFailure::Empty),
        Some((_, password)) => Ok(password),
    }
}

/// Which entries are kept.
#[derive(Clone, Copy)]
enum Wanted<'k> {
    Every,
    One(&'k str),
}

fn parse(content: &[u8], wanted: Wanted<'_>) -> Result<Vec<(String, Secret)>, PasswordFileFailure> {
    let text = std::str::from_utf8(content).map_err(|_| PasswordFileFailure::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut json = serde_json::Deserializer::from_str(text);
    let outcome = Entries { wanted }.deserialize(&mut json).and_then(|found| {
        json.end()?;
        Ok(found)
    });
    // The error's own text may quote a value; only its place is passed on.
    let found = outcome.map_err(|error| PasswordFileFailure::MapBroken {
        line: error.line(),
        column: error.column(),
    })?;
    let longest = super::address::MAX_SECRET_BYTES;
    match found {
        None => Err(PasswordFileFailure::MapTooLong),
        Some(found) if found.iter().any(|(_, password)| password.expose().len() > longest) => {
            Err(PasswordFileFailure::TooLong)
        }
        Some(found) => Ok(found),
    }
}

/// Reads the object. `None` means that it has too many entries. Of a key that stands twice the last value counts, as in Go.
struct Entries<'k> {
    wanted: Wanted<'k>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = Option<Vec<(String, Secret)>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Option<Vec<(String, Secret)>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of passwords")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<(String, Secret)> = Vec::new();
        let mut too_many = false;
        while let Some(key) = map.next_key::<String>()? {
            let is_wanted = match self.wanted {
                Wanted::Every => true,
                Wanted::One(wanted) => wanted == key,
            };
            if !is_wanted || too_many {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let password = Secret::new(map.next_value::<String>()?);
            match found.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = password,
                None => found.push((key, password)),
            }
            too_many = found.len() > MAX_INSTANCES;
        }
        Ok((!too_many).then_some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(content: &str) -> Result<Vec<MapEntry>, PasswordFileFailure> {
        entries(content.as_bytes())
    }

    fn failure(content: &str) -> String {
        let failure = of(content).err().unwrap_or_else(|| panic!("{content}"));
        failure.about("the file /m.json")
    }

    #[test]
    fn servers_are_found_by_what_their_addresses_mean() {
        let map = PasswordMap {
            path: "/m.json".into(),
            entries: of(r#"{"redis://monitor@Cache:6379": "a", "cache": "b", "unix:///run/r.sock": "c", "redis://other:7000": ""}"#)
                .unwrap(),
        };
        let key = |address: &str, user: Option<&str>| {
            let address = parse_address(address).unwrap().address;
            map.entry(&address, user).map(|entry| entry.key.expose().to_owned())
        };
        assert_eq!(
            key("redis://cache:6379/0", Some("monitor")).unwrap(),
            "redis://monitor@Cache:6379"
        );
        assert_eq!(key("valkey://cache", None).unwrap(), "cache");
        assert_eq!(
            key("redis://cache", Some("somebody")).unwrap(),
            "cache",
            "the entry without a user is for any"
        );
        assert_eq!(key("/run/r.sock", None).unwrap(), "unix:///run/r.sock");
        assert_eq!(key("redis://cache:6380", None), None);
        assert_eq!(key("redis://cache/1", None), None);
        assert_eq!(
            key("rediss://cache", None).unwrap(),
            "cache",
            "without a scheme it is for TLS as well"
        );
        assert_eq!(key("rediss://other:7000", None), None, "a password for the other port");
        let empty = map.entry(&parse_address("other:7000").unwrap().address, None).unwrap();
        assert_eq!(map.source(empty), PasswordSource::None);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place_alone() {
        for (content, part) in [
            ("{\n  \"redis://h\": hunter2\n}", "is broken at line 2, column 16"),
            ("{\"redis://h\": \"hunter2\"", "is broken at line 1, column 23"),
            ("{\"redis://h\": \"hunter2\"} hunter2", "is broken at line 1, column 26"),
            ("{\"redis://h\": 12}", "is broken at line 1"),
            ("{\"redis://h\": {\"hunter2\": 1}}", "is broken at line 1"),
            (
                "{\"redis://h\": \"hunter2\", \"ftp://hunter2\": \"x\"}",
                "entry 2 has an unknown scheme",
            ),
            (
                "{\"h\": \"hunter2\", \"redis://h:6379/0\": \"x\"}",
                "entries 1 and 2 name the same server",
            ),
        ] {
            let sentence = failure(content);
            assert!(sentence.contains(part), "{content}: {sentence}");
            assert!(
                sentence.contains("/m.json") && !sentence.contains("hunter2"),
                "{sentence}"
            );
        }
        let many: Vec<String> = (0..=MAX_INSTANCES)
            .map(|number| format!("\"h{number}\": \"p\""))
            .collect();
        assert!(failure(&format!("{{{}}}", many.join(","))).contains("more than"));
        assert!(failure(&format!("{{\"h\": \"{}\"}}", "x".repeat(17 * 1024))).contains("longer than"));
    }

    #[test]
    fn one_password_and_a_map_are_told_apart() {
        for map in ["{\"a\":\"b\"}", " \n{ \"a", "{}", "{ ", "{", "\u{feff}{\"a\""] {
            assert!(is_map(map.as_bytes()), "{map}");
        }
        for password in ["", "p", "{p}", "{{", "\"a\"", "[1]", "{'a'"] {
            assert!(!is_map(password.as_bytes()), "{password}");
        }
    }

    #[test]
    fn one_entry_is_read_anew_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let key = Secret::new("redis://u@h:1");
        let read_now = |content: &str| {
            std::fs::write(file.path(), content).unwrap();
            read(file.path(), &key)
        };
        assert_eq!(
            read_now(r#"{"redis://u@h:1": "first", "x": 1}"#),
            Ok(Secret::new("first"))
        );
        assert_eq!(
            read_now(r#"{"redis://u@h:1": "second", "redis://u@h:1": "third"}"#),
            Ok(Secret::new("third"))
        );
        assert_eq!(read_now(r#"{"redis://u@h:2": "p"}"#), Err(PasswordFileFailure::NoEntry));
        assert_eq!(read_now(r#"{"redis://u@h:1": ""}"#), Err(PasswordFileFailure::Empty));
        assert!(matches!(
            read_now(r#"{"redis://u@h:1": "p"#),
            Err(PasswordFileFailure::MapBroken { .. })
        ));
        assert!(matches!(read_now("p"), Err(PasswordFileFailure::MapBroken { .. })));
        assert!(matches!(read_now(""), Err(PasswordFileFailure::MapBroken { .. })));
    }

    proptest! {
        #[test]
        fn no_content_panics(content in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (is_map(&content), entries(&content), parse(&content, Wanted::One("a")));
        }
    }
}
