//! What SENTINEL MASTERS, SENTINELS and SLAVES answer: lists of flat lists of names and values. Pure.

use crate::collectors::CollectError;
use crate::collectors::label_text::label_text;
use crate::metric::Label;
use crate::redis::info::parse_number;
use crate::redis::{Command, Reply};

/// Most primaries that are shown. Each costs three commands per poll and thirteen series; a Sentinel of a platform watches a few hundred.
pub const MAX_PRIMARIES: usize = 500;

/// Longest name of a primary that is asked about, in bytes. Names are typed by hand; a longer one is counted as dropped.
const MAX_NAME_BYTES: usize = 256;

/// The command that lists the primaries that a Sentinel watches.
pub fn masters() -> Command {
    Command::new(2, &["SENTINEL", "MASTERS"])
}

/// The fields of one thing that a Sentinel knows.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'reply>(&'reply [Reply]);

impl<'reply> Entry<'reply> {
    /// The fields, if it is a list. Names and values alternate; what stands alone at the end is never read.
    pub fn of(reply: &'reply Reply) -> Option<Self> {
        reply.as_array().map(Self)
    }

    /// The value of the first field with this name.
    pub fn get(&self, name: &str) -> Option<&'reply [u8]> {
        let is_wanted = |pair: &&[Reply]| pair.first().and_then(Reply::as_bytes) == Some(name.as_bytes());
        self.0.chunks_exact(2).find(is_wanted)?.get(1)?.as_bytes()
    }

    /// The value as a finite number.
    pub fn number(&self, name: &str) -> Option<f64> {
        parse_number(std::str::from_utf8(self.get(name)?).ok()?)
    }

    /// Whether neither this Sentinel alone (`s_down`) nor the quorum (`o_down`) holds it for down; an entry without flags is not known to
    /// be well.
    pub fn is_well(&self) -> bool {
        let down = |flag: &[u8]| matches!(flag, b"s_down" | b"o_down");
        self.get("flags")
            .is_some_and(|flags| !flags.split(|byte| *byte == b',').any(down))
    }
}

/// One primary that the Sentinel watches.
#[derive(Debug, Clone)]
pub struct Primary<'reply> {
    /// Its name, byte for byte, as further commands need it.
    pub name: &'reply [u8],
    /// Label `master_name`.
    pub shown_name: String,
    /// Label `master_address`: host, colon, port.
    pub shown_address: String,
    /// Its fields.
    pub entry: Entry<'reply>,
}

impl Primary<'_> {
    /// The labels of most series about it.
    pub fn labels(&self) -> Vec<Label> {
        vec![
            ("master_name", self.shown_name.clone().into()),
            ("master_address", self.shown_address.clone().into()),
        ]
    }

    /// `SENTINEL SENTINELS name`: the other Sentinels that watch it.
    pub fn sentinels(&self) -> Command {
        Command::new(2, &["SENTINEL", "SENTINELS"]).arg(self.name)
    }

    /// `SENTINEL SLAVES name`: its replicas. The older name of `SENTINEL REPLICAS` (5.0+), which every version still answers to.
    pub fn replicas(&self) -> Command {
        Command::new(2, &["SENTINEL", "SLAVES"]).arg(self.name)
    }

    /// `SENTINEL CKQUORUM name`: whether enough Sentinels are left for a failover.
    pub fn ckquorum(&self) -> Command {
        Command::new(2, &["SENTINEL", "CKQUORUM"]).arg(self.name)
    }
}

/// The primaries, by name, and how many were left out: those without name or address, those with a name without end, those that show
/// like another, and those beyond [`MAX_PRIMARIES`].
///
/// # Errors
/// `Shape` when the reply is no list.
pub fn primaries(reply: &Reply) -> Result<(Vec<Primary<'_>>, usize), CollectError> {
    let entries = list(reply, &masters())?;
    let mut found: Vec<Primary<'_>> = entries.iter().filter_map(primary).collect();
    // The server's order is that of a hash table. The same primaries are kept at every poll, whatever it does.
    found.sort_by(|left, right| left.name.cmp(right.name));
    let mut shown = std::collections::BTreeSet::new();
    found.retain(|primary| shown.insert(primary.shown_name.clone()));
    found.truncate(MAX_PRIMARIES);
    let left_out = entries.len() - found.len();
    Ok((found, left_out))
}

fn primary(reply: &Reply) -> Option<Primary<'_>> {
    let entry = Entry::of(reply)?;
    let name = entry.get("name").filter(|name| name.len() <= MAX_NAME_BYTES)?;
    let address = [entry.get("ip")?, b":", entry.get("port")?].concat();
    Some(Primary {
        name,
        shown_name: label_text(name),
        shown_address: label_text(&address),
        entry,
    })
}

/// The elements of a reply that must be a list.
///
/// # Errors
/// `Shape` when it is not.
pub fn list<'reply>(reply: &'reply Reply, command: &Command) -> Result<&'reply [Reply], CollectError> {
    reply
        .as_array()
        .ok_or_else(|| CollectError::shape(command, "a list was expected"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::parse_reply;

    fn bulk(text: &[u8]) -> Reply {
        Reply::Bulk(bytes::Bytes::copy_from_slice(text))
    }

    fn entry(pairs: &[(&str, &[u8])]) -> Reply {
        let fields = pairs
            .iter()
            .flat_map(|(name, value)| [bulk(name.as_bytes()), bulk(value)]);
        Reply::Array(fields.collect())
    }

    #[test]
    fn fields_are_found_by_name_in_odd_entries_too() {
        let mut reply = entry(&[("ip", b"10.0.0.1"), ("flags", b"slave,disconnected"), ("quorum", b"x")]);
        if let Reply::Array(fields) = &mut reply {
            fields.push(bulk(b"alone"));
        }
        let entry = Entry::of(&reply).unwrap();
        assert_eq!(entry.get("ip"), Some(b"10.0.0.1".as_slice()));
        assert_eq!((entry.get("alone"), entry.get("10.0.0.1")), (None, None));
        assert_eq!(entry.number("quorum"), None);
        assert!(entry.is_well());
        let flags = |flags: &[u8]| Entry::of(&self::entry(&[("flags", flags)])).unwrap().is_well();
        assert!(!flags(b"slave,s_down") && !flags(b"o_down,master") && flags(b"slave"));
        assert!(!Entry::of(&Reply::Array(Vec::new())).unwrap().is_well());
        assert!(Entry::of(&Reply::Null).is_none());
    }

    #[test]
    fn names_that_are_no_text_are_escaped_and_odd_primaries_left_out() {
        let address: [(&str, &[u8]); 2] = [("ip", b"127.0.0.1"), ("port", b"6379")];
        let named = |name: &[u8]| entry(&[&[("name", name)], address.as_slice()].concat());
        let reply = Reply::Array(vec![
            named(b"z\xff,name=x"),
            named(b"a"),
            named(b"a"),
            entry(&address),
            Reply::Integer(1),
            named(&[b'x'; MAX_NAME_BYTES + 1]),
        ]);
        let (primaries, left_out) = primaries(&reply).unwrap();
        let names: Vec<&str> = primaries.iter().map(|primary| primary.shown_name.as_str()).collect();
        assert_eq!(names, ["a", "z\\xff,name=x"]);
        assert_eq!(left_out, 4);
        assert_eq!(primaries[1].ckquorum().words()[2].as_ref(), b"z\xff,name=x");
        assert!(super::primaries(&Reply::Integer(1)).is_err());
    }

    #[test]
    fn the_same_primaries_are_kept_beyond_the_limit() {
        let named = |number: usize| {
            let name = format!("p{number:05}");
            entry(&[("name", name.as_bytes()), ("ip", b"h"), ("port", b"1")])
        };
        let forward = Reply::Array((0..MAX_PRIMARIES + 7).map(named).collect());
        let backward = Reply::Array((0..MAX_PRIMARIES + 7).rev().map(named).collect());
        for reply in [forward, backward] {
            let (kept, left_out) = primaries(&reply).unwrap();
            assert_eq!((kept.len(), left_out), (MAX_PRIMARIES, 7));
            assert_eq!(kept[0].shown_name, "p00000");
        }
    }

    /// SENTINEL MASTERS of Redis 7.0.15.
    #[test]
    fn a_recorded_reply() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentinel/redis-7.0");
        let reply = parse_reply(&std::fs::read(path.join("sentinel-masters.resp")).unwrap());
        let (primaries, left_out) = primaries(&reply).unwrap();
        assert_eq!((primaries.len(), left_out), (1, 0));
        assert_eq!(primaries[0].shown_name, "mymaster");
        assert_eq!(primaries[0].entry.number("down-after-milliseconds"), Some(2000.0));
    }
}
